"""Who waits for room: a line for each account, family and model, let out as tasks end and before they do."""

from __future__ import annotations

import asyncio
import bisect
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from weakref import WeakKeyDictionary, WeakValueDictionary

from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.settings import ClientSettings
from airflow_provider_mps.api.tasks import TaskFamily

OnPlace = Callable[[int, int], None]

REPORT_SECONDS = 60.0

# Chosen for an Airflow that takes 2 to 6 seconds from a trigger's event to a create: see benchmarks/batch.py.
SLOWER, EVENLY, FASTER = 1.5, 0.8, 0.5
"""What the pause between two probes is multiplied by: after one that was refused; after one whose task nobody here
waits for and that did not come back; after one that was accepted. The first two settle where a third is refused."""
SHORTEST_PAUSE = 0.2
"""As a share of the first one."""
JITTER = (0.75, 1.25)
LONGEST_LEAD_SECONDS = 10.0
LEAD_LOSS, LEAD_GAIN = 1.0, 0.3
"""Seconds by which the lead changes where it was too long, and where it was not."""
KNOWN_DURATIONS = 15
TRIPS = 3
"""Who was let out and is not heard of after so many times the longest of the last trips counts as gone."""


class _Why(Enum):
    """Why somebody was let out."""

    ROOM = "there is room"
    SOON = "a task is about to end"
    PROBE = "there may be room"


class _Taken:
    """Room that a task takes, for as long as somebody here waits for the task."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.disappointed = False
        """Somebody was let out in expectation of its end, and refused."""


class _Turn:
    """One who waits."""

    def __init__(self, ticket: float, waits: bool, ready_at: float, future: asyncio.Future[None]) -> None:
        self.ticket = ticket
        self.waits = waits
        self.ready_at = ready_at
        self.future = future


class _LetOut:
    """One who was let out and has not been heard of since."""

    def __init__(self, at: float, why: _Why, waits: bool, overdue: asyncio.TimerHandle) -> None:
        self.at = at
        self.why = why
        self.waits = waits
        self.overdue = overdue


class _Family:
    """The lines of one account and family in one event loop, and those of its tasks whose model is not known."""

    def __init__(self) -> None:
        self.taken: set[_Taken] = set()
        self._lines: WeakValueDictionary[str, Line] = WeakValueDictionary()

    def line(self, model: str) -> Line:
        found = self._lines.get(model)
        if found is None:
            found = self._lines[model] = Line(self)
        return found

    def joined(self, taken: _Taken) -> None:
        """A task is waited for here, of whatever model."""
        self.taken.add(taken)
        for line in list(self._lines.values()):
            line.joined_unknown()

    def left(self, taken: _Taken, ended: bool) -> None:
        """Nobody waits for it here any more; whether that is because it has ended."""
        self.taken.discard(taken)
        for line in list(self._lines.values()):
            line.left(taken, ended)


class Line:
    """The creates of one model that wait for room, first come, first served; one that has just come lets others by.

    As many tasks as were seen to run at once are kept running or on their way (as TCP keeps as many bytes under way as
    were seen to get through): an end lets the next one out. Airflow takes seconds from there to the create, so one is
    let out for each task that, by how long the last ones took, is about to end; how long before, follows from how many
    of those are refused. And one is let out from time to time to see whether there is more room than is known.
    """

    def __init__(self, family: _Family) -> None:
        self._family = family
        self._taken: set[_Taken] = set()
        self._queue: list[_Turn] = []
        self._let_out: dict[float, _LetOut] = {}
        self._cap = 0
        self._headroom = 0
        self._durations: deque[float] = deque(maxlen=KNOWN_DURATIONS)
        self._lead = LONGEST_LEAD_SECONDS / 2
        self._pause = patience().room_backoff
        self._slowed_at = -math.inf
        self._probe_at = math.inf
        self._trip = 2 * patience().room_backoff
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, ticket: float, *, waits: bool, on_place: OnPlace) -> None:
        """Wait until there is likely to be room.

        :param ticket: POSIX time of the first refusal, by which the line is ordered.
        :param waits: whether the task, once it is created, will be waited for in a triggerer.
        :param on_place: is called with the place and how many wait, at once and then once a minute.
        """
        loop = asyncio.get_running_loop()
        turn = _Turn(ticket, waits, loop.time() + patience().resume_stay, loop.create_future())
        bisect.insort(self._queue, turn, key=_ticket)
        self._refused(ticket)
        self._pump()
        try:
            while True:
                if not turn.future.done():
                    on_place(self._queue.index(turn) + 1, len(self._queue))
                done, _ = await asyncio.wait([turn.future], timeout=REPORT_SECONDS)
                if done:
                    return
        finally:
            if turn in self._queue:
                self._queue.remove(turn)
                self._pump()

    def joined(self, taken: _Taken, ticket: float | None) -> None:
        """A task of this model runs, and is waited for here."""
        self._taken.add(taken)
        self._accepted(self._let_out.pop(ticket, None) if ticket is not None else None)

    def joined_unknown(self) -> None:
        """A task of the family is waited for, of which it is not known whether it is of this model."""
        not_waited_for = [ticket for ticket, let_out in self._let_out.items() if not let_out.waits]
        self._accepted(self._let_out.pop(not_waited_for[0]) if not_waited_for else None)

    def left(self, taken: _Taken, ended: bool) -> None:
        """Nobody waits for it here any more; whether that is because it has ended."""
        self._taken.discard(taken)
        if ended:
            self._durations.append(_now() - taken.since)
        self._pump()

    @property
    def _running(self) -> int:
        return len(self._taken) + len(self._family.taken)

    def _soon(self, now: float) -> list[_Taken]:
        """The tasks that are about to end, oldest first."""
        if not self._durations:
            return []
        old = now - self._duration + self._lead
        found = [t for t in (*self._taken, *self._family.taken) if t.since <= old and not t.disappointed]
        return sorted(found, key=_since)

    def _accepted(self, let_out: _LetOut | None) -> None:
        now = _now()
        surely = self._running - len(self._soon(now))
        if let_out:
            self._heard_of(let_out)
            if let_out.why is not _Why.PROBE:
                self._lead = min(self._lead + LEAD_GAIN, LONGEST_LEAD_SECONDS)
            else:
                self._set_pause(FASTER)
                if surely > self._cap:
                    self._headroom = 2 * self._headroom + 1
        self._cap = max(self._cap, surely)
        self._pump()

    def _refused(self, ticket: float) -> None:
        let_out = self._let_out.pop(ticket, None)
        now = _now()
        if self._probe_at == math.inf:
            self._probe_at = now + self._pause * random.uniform(*JITTER)  # noqa: S311
        self._headroom = 0
        if let_out is None:
            self._cap = max(self._cap, self._running - len(self._soon(now)))
            return
        self._heard_of(let_out)
        if let_out.why is _Why.ROOM:
            self._cap = min(self._cap, self._running + len(self._let_out))
        elif let_out.why is _Why.SOON:
            self._lead = max(self._lead - LEAD_LOSS, -max(self._durations))
            if soon := self._soon(now):
                soon[0].disappointed = True
        elif let_out.at > self._slowed_at:
            self._slowed_at = now
            self._set_pause(SLOWER)
            self._probe_at = max(self._probe_at, now + self._pause * random.uniform(*JITTER))  # noqa: S311

    @property
    def _next_probe(self) -> float:
        """When somebody may be let out to see whether there is room; of those that will be heard of, one at a time."""
        probing = any(let_out.why is _Why.PROBE for let_out in self._let_out.values())
        return math.inf if probing and self._queue[0].waits else self._probe_at

    @property
    def _longest_trip(self) -> float:
        bearing = patience()
        return min(max(TRIPS * self._trip, 4 * bearing.room_backoff), bearing.room_backoff_limit)

    def _heard_of(self, let_out: _LetOut) -> None:
        let_out.overdue.cancel()
        self._trip = max(0.9 * self._trip, _now() - let_out.at)

    def _set_pause(self, factor: float) -> None:
        bearing = patience()
        longest = bearing.room_backoff_limit
        if self._running and self._durations:  # an end will be seen here, so less depends on this
            longest = max(longest, self._duration)
        self._pause = min(max(self._pause * factor, SHORTEST_PAUSE * bearing.room_backoff), longest)

    @property
    def _duration(self) -> float:
        """How long a task takes, from when it is first waited for: the median of the last ones."""
        return sorted(self._durations)[len(self._durations) // 2]

    def _lost(self, ticket: float) -> None:
        let_out = self._let_out.pop(ticket, None)
        if let_out and not let_out.waits:
            self._set_pause(EVENLY)
        self._pump()

    def _pump(self) -> None:
        """Let out whom there may be room for, and see to it that this is called again when that may change."""
        now = _now()
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._queue:
            return
        soon = len(self._soon(now))
        while turn := next((turn for turn in self._queue if turn.ready_at <= now), None):
            total = self._running + len(self._let_out)
            if total < self._cap:
                why = _Why.ROOM
            elif total < self._cap + soon:
                why = _Why.SOON
            elif total < self._cap + soon + self._headroom:
                why = _Why.PROBE
            elif now >= self._next_probe:
                why = _Why.PROBE
                self._probe_at = now + self._pause * random.uniform(*JITTER)  # noqa: S311
            else:
                break
            self._queue.remove(turn)
            loop = asyncio.get_running_loop()
            overdue = loop.call_later(self._longest_trip, self._lost, turn.ticket)
            self._let_out[turn.ticket] = _LetOut(now, why, turn.waits, overdue)
            turn.future.set_result(None)
        if self._queue:
            due = [turn.ready_at for turn in self._queue if turn.ready_at > now]
            if len(due) < len(self._queue):
                due.append(self._next_probe)
            if self._durations:
                wait = self._duration - self._lead
                due += [t.since + wait for t in (*self._taken, *self._family.taken) if t.since + wait > now]
            at = min(due)
            if at < math.inf:
                self._timer = asyncio.get_running_loop().call_at(at + 0.01, self._pump)


def _ticket(turn: _Turn) -> float:
    return turn.ticket


def _since(taken: _Taken) -> float:
    return taken.since


def _now() -> float:
    return asyncio.get_running_loop().time()


_families: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[tuple[str, str], _Family]]
_families = WeakKeyDictionary()


def _family(settings: ClientSettings, family: TaskFamily) -> _Family:
    of_loop = _families.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    key = settings.account, family.kind
    found = of_loop.get(key)
    if found is None:
        found = of_loop[key] = _Family()
    return found


def line(settings: ClientSettings, family: TaskFamily, model: str) -> Line:
    """This event loop's line for the creates of a model in an account."""
    return _family(settings, family).line(model)


@contextmanager
def takes_room(settings: ClientSettings, family: TaskFamily, model: str, ticket: float | None) -> Iterator[None]:
    """While this is open, a task is waited for in this event loop; when it is left without an error, it has ended.

    :param model: as ``RequestShape.model_of`` names it; empty: not known, so that all lines of its family get a hint.
    :param ticket: the place in line that the create had, if it waited for room.
    """
    of_family = _family(settings, family)
    own = of_family.line(model) if model else None
    taken = _Taken(_now())
    ended = False
    if own:
        own.joined(taken, ticket)
    else:
        of_family.joined(taken)
    try:
        yield
        ended = True
    finally:
        if own:
            own.left(taken, ended)
        else:
            of_family.left(taken, ended)
