"""Which of the creates that wait for room is let out, and when. Pure: its caller hands it the clock."""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider_mps.api.patience import Patience

# Chosen in virtual time, for creates that leave seconds to minutes after they are let out: benchmarks/room.py.
REFUSED, SILENT, ACCEPTED = 1.25, 0.8, 0.5
"""What the pause between two probes is multiplied by: after one that was refused; after one whose accept is not seen
here, so that one of two is refused in the long run; after one whose task is waited for here."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 120.0
"""As shares of ``Patience.room_backoff``."""
HINTED = 0.5
"""The share of a pause after which a hint may end it."""
PROBES = 6
"""So many probes may be under way whose accept would not be seen; it grows while none is refused."""
ROUND_TRIPS, LONGEST_SILENCE = 3, 5
"""One that is not heard of for so many round trips, and at most so many ``Patience.room_backoff_limit``, was accepted,
or is lost."""
REMEMBERED = 1000
"""Of so many of these the place is still known if they come back after all."""


@dataclass(eq=False)
class Waiting:
    """A create in line.

    :param ticket: its name, for as long as it waits for room.
    :param since: when it was refused first: the line's order.
    :param ready_at: it is not let out before this.
    :param waits: whether its task will be waited for here, so that its accept and its end are seen.
    """

    ticket: float
    since: float
    ready_at: float
    waits: bool

    @property
    def key(self) -> tuple[float, float]:
        """What the line is ordered by."""
        return self.since, self.ticket


@dataclass(eq=False)
class _Place:
    """Room that a task left when it ended, until a create was accepted for it."""

    ended_at: float
    try_at: float
    refusals: int = 0
    looked_for: bool = False
    """One was let out for it, of which nothing is heard yet."""


@dataclass(eq=False)
class _Out:
    """One that was let out: for a place, or as a probe."""

    waiting: Waiting
    at: float
    place: _Place | None


class Line:
    """The creates of one model that wait for room: first come, first served, but one that has just come lets others by.

    The end of a task that is waited for here lets one out. It stands for a place until a create was accepted, for a
    service may count a task for some time after its end: where the one is refused, the first in line tries again after
    each of ``Patience.room_retries``, unless the end is older than ``Patience.room_late`` by then.

    Whatever is not seen here, such as tasks of somebody else, is found by a probe from time to time: ever less often
    while these are refused. Creates whose tasks are not waited for here live by probes only. Of those that are accepted
    nothing is heard, so one counts as accepted when another that was let out later is back, or after a long time.

    All times are seconds on one clock, which does not go back.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._order: list[Waiting] = []
        self._staying: list[tuple[float, int, Waiting]] = []
        self._ready: list[tuple[float, float, int, Waiting]] = []
        self._numbers: Iterator[int] = itertools.count()
        self._places: list[_Place] = []
        self._out: dict[float, _Out] = {}
        self._silent: dict[float, _Out] = {}
        self._running = 0
        self._pause = patience.room_backoff
        self._probed_at = self._slowed_at = -math.inf
        self._hinted = False
        self._probes = PROBES
        self._round_trip: float | None = None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._order)

    def join(self, now: float, ticket: float, *, age: float, stay: float, waits: bool) -> Waiting:
        """A create was refused, for the first time or again, and waits.

        :param age: seconds since its first refusal; one that is known here keeps its place, whatever this says.
        :param stay: for how many seconds it lets others by.
        """
        silent = self._silent.pop(ticket, None)
        known = silent or self._out.pop(ticket, None)
        if not known and not self._order:
            # Nobody waits here, so its own refusal counts as a probe: there is no room at this moment.
            self._probed_at = max(self._probed_at, now)
        waiting = Waiting(ticket, known.waiting.since if known else now - age, now + stay, waits)
        bisect.insort(self._order, waiting, key=_key)
        heapq.heappush(self._staying, (waiting.ready_at, next(self._numbers), waiting))
        if known:
            self._heard_of(known, now)
            self._refused(known, now, counted_as_accepted=bool(silent) and not waits)
        return waiting

    def leave(self, waiting: Waiting) -> None:
        """It no longer waits."""
        at = self._index(waiting)
        if at is not None:
            del self._order[at]

    def place(self, waiting: Waiting) -> int:
        """The place of one in line, from 1 on."""
        at = self._index(waiting)
        return 0 if at is None else at + 1

    def accepted(self, now: float, ticket: float | None) -> None:
        """A task of this model runs, and is waited for here.

        :param ticket: that of its create, if that was in line.
        """
        self._running += 1
        out = known = None
        if ticket is not None:
            out = self._out.pop(ticket, None)
            known = out or self._silent.pop(ticket, None)
        if out:
            self._heard_of(out, now)
        if known and known.place in self._places:
            self._places.remove(known.place)
        elif self._places:  # whoever has let it out, it takes room that an end has left
            self._places.remove(min(self._places, key=_looked_for))
        elif out and not out.place:
            self._change_pause(ACCEPTED)

    def ended(self, now: float) -> None:
        """Such a task has ended."""
        self._running -= 1
        self._places.append(_Place(now, now))

    def lost(self) -> None:
        """Such a task is no longer waited for here, and may go on."""
        self._running -= 1

    def hint(self) -> None:
        """A task has ended that may be of this model: the next probe comes sooner."""
        self._hinted = True

    def due(self, now: float) -> list[Waiting]:
        """Let out whom there may be room for. To be asked at :meth:`next_at`, and after whatever else happens."""
        self._forget(now)
        while self._staying and self._staying[0][0] <= now:
            _, number, waiting = heapq.heappop(self._staying)
            heapq.heappush(self._ready, (*waiting.key, number, waiting))
        due = []
        while first := self._first():
            place = next((each for each in self._places if not each.looked_for and each.try_at <= now), None)
            if place:
                place.looked_for = True
            elif now >= self._probe_at(first):
                self._probed_at = now
                self._hinted = False
            else:
                break
            self.leave(first)
            self._out[first.ticket] = _Out(first, now, place)
            due.append(first)
        return due

    def next_at(self) -> float:
        """When :meth:`due` may let somebody out, if nothing else happens before."""
        times = [self._staying[0][0]] if self._staying else []
        if first := self._first():
            times += [self._probe_at(first), *(each.try_at for each in self._places if not each.looked_for)]
            if self._out:
                times.append(self._oldest_out().at + self._silence)
        return min(times, default=math.inf)

    def _index(self, waiting: Waiting) -> int | None:
        at = bisect.bisect_left(self._order, waiting.key, key=_key)
        while at < len(self._order) and self._order[at].key == waiting.key:
            if self._order[at] is waiting:
                return at
            at += 1
        return None

    def _first(self) -> Waiting | None:
        """The first of those that are ready."""
        # `leave` takes one out of the order only: its entry here is dropped when it comes first.
        while self._ready and self._index(self._ready[0][-1]) is None:
            heapq.heappop(self._ready)
        return self._ready[0][-1] if self._ready else None

    def _oldest_out(self) -> _Out:
        return next(iter(self._out.values()))

    def _heard_of(self, out: _Out, now: float) -> None:
        took = now - out.at
        self._round_trip = took if self._round_trip is None else max(0.7 * self._round_trip, took)

    def _refused(self, out: _Out, now: float, counted_as_accepted: bool) -> None:
        if out.place is None:
            self._probes = max(self._probes // 2, PROBES)
            if counted_as_accepted:
                # Takes back what its silence had changed: it was not accepted after all.
                self._change_pause(1 / SILENT)
            if out.at > self._slowed_at:  # those that were under way together count once
                self._slowed_at = now
                self._change_pause(REFUSED)
        elif out.place in self._places:
            self._try_again(out.place, now)
        for other in [each for each in self._out.values() if each.at < out.at and not each.waiting.waits]:
            self._not_refused(other)

    def _try_again(self, place: _Place, now: float) -> None:
        retries = self._patience.room_retries
        if place.refusals == len(retries) or now - place.ended_at > self._patience.room_late:
            self._places.remove(place)
            return
        place.looked_for = False
        place.try_at = now + retries[place.refusals]
        place.refusals += 1

    def _not_refused(self, out: _Out) -> None:
        """It was accepted, or is lost."""
        del self._out[out.waiting.ticket]
        self._silent[out.waiting.ticket] = out
        if len(self._silent) > REMEMBERED:
            del self._silent[next(iter(self._silent))]
        if out.place in self._places:
            self._places.remove(out.place)
        elif not out.place and not out.waiting.waits:
            self._change_pause(SILENT)

    def _forget(self, now: float) -> None:
        """Give up what is too old."""
        late = self._patience.room_late
        # One that is looked for is kept: the create that was let out for it is still to be heard of.
        self._places = [
            each for each in self._places if each.looked_for or now - max(each.ended_at, each.try_at) <= late
        ]
        while self._out and self._oldest_out().at + self._silence <= now:
            self._probes += 1
            self._not_refused(self._oldest_out())

    @property
    def _silence(self) -> float:
        """Seconds after which one that was let out counts as not refused."""
        limit = self._patience.room_backoff_limit
        longest = LONGEST_SILENCE * limit
        return longest if self._round_trip is None else min(max(ROUND_TRIPS * self._round_trip, limit), longest)

    def _probe_at(self, first: Waiting) -> float:
        """When the first in line may be let out as a probe."""
        limit = self._patience.room_backoff_limit
        pause = self._pause * HINTED if self._hinted else self._pause
        if first.waits and not self._running and not self._places:  # nothing but a probe finds room then
            pause = min(pause, limit)
        under_way = sum(not out.place for out in self._out.values())
        if under_way >= (1 if first.waits else self._probes):
            pause = max(pause, limit / 2)
        return self._probed_at + pause

    def _change_pause(self, factor: float) -> None:
        shortest, longest = (share * self._patience.room_backoff for share in (SHORTEST_PAUSE, LONGEST_PAUSE))
        self._pause = min(max(self._pause * factor, shortest), longest)


def _key(waiting: Waiting) -> tuple[float, float]:
    return waiting.key


def _looked_for(place: _Place) -> bool:
    return place.looked_for
