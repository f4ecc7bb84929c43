"""A batch of creates in an account that takes only so many tasks at once, and an Airflow around it, in virtual time."""

import heapq
import itertools
import math
import random
import statistics
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from typing import Protocol

from airflow_provider_mps.api.patience import Patience
from airflow_provider_mps.api.waiting.line import Line, Waiting

STAY_SECONDS = 8.0


class LetsOut(Protocol):
    """What decides who is let out: ``Line``, or what it is compared with."""

    def join(self, now: float, ticket: float, *, age: float, stay: float, waits: bool) -> Waiting: ...
    def accepted(self, now: float, ticket: float | None) -> None: ...
    def ended(self, now: float) -> None: ...
    def hint(self) -> None: ...
    def due(self, now: float) -> list[Waiting]: ...
    def next_at(self) -> float: ...


def this_package() -> LetsOut:
    """The line of this package, as patient as it is outside of tests."""
    return Line(Patience())


@dataclass(frozen=True)
class Batch:
    """Creates of one model.

    :param waits: whether their tasks are waited for in the triggerer.
    :param sensors: where they are not, whether deferred sensors wait for them.
    :param begins: over how many seconds they begin.
    :param window: so many are under way at once.
    """

    creates: int
    cap: int
    seconds: float
    waits: bool = True
    sensors: bool = False
    model: str = "A"
    begins: float = 60.0
    triggerer: int = 0
    window: int | None = None


@dataclass
class Outcome:
    """What became of a batch; seconds from the start of all."""

    batch: Batch
    refused: int = 0
    refused_in_line: int = 0
    runs: int = 0
    begun: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    first: dict[float, float] = field(default_factory=dict)
    ends: list[float] = field(default_factory=list)
    unseen: list[float] = field(default_factory=list)

    @property
    def ended(self) -> float:
        """When the last end was seen."""
        return max(self.ends)

    @property
    def makespan(self) -> float:
        """As a multiple of the ideal."""
        return self.ended * self.batch.cap / self.batch.creates / self.batch.seconds

    @property
    def refused_each(self) -> float:
        """Creates refused for each one accepted."""
        return self.refused / self.batch.creates

    @property
    def in_order(self) -> float:
        """Of all pairs, the share that was accepted in the order in which they came."""
        came = [self.first[ticket] for ticket in sorted(self.first)]
        return statistics.mean(first <= second for first, second in combinations(came, 2))


class World:
    """Airflow and an account, until all batches have ended.

    :param slots: of the workers; None: without end.
    :param run_seconds: how long a run of a create lasts, from the slot on. Without slots: from the trigger's event on.
    :param room_late: how long after its end a task still counts.
    :param seen_late: how long after it an end is seen at most: the poll interval.
    :param capacity: of the one triggerer: what is more waits to be loaded, the oldest deferral first, as in Airflow.
    """

    def __init__(
        self,
        *batches: Batch,
        make: Callable[[], LetsOut] = this_package,
        slots: int | None = None,
        run_seconds: tuple[float, float] = (2.0, 6.0),
        room_late: float = 0.0,
        seen_late: float = 0.0,
        capacity: float = math.inf,
        seed: int = 0,
    ) -> None:
        self._random = random.Random(seed)
        self._make = make
        self._slots = slots
        self._run_seconds = run_seconds
        self._room_late = room_late
        self._seen_late = seen_late
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._waiting_runs: deque[tuple[float, Callable[[], None]]] = deque()
        self._running: Counter[str] = Counter()
        self._lines: dict[tuple[str, int], LetsOut] = {}
        self._woken: dict[tuple[str, int], float] = {}
        self._let_out: dict[tuple[str, int, float], Callable[[], None]] = {}
        self._free = slots or 0
        self._triggers_free = capacity
        self._not_loaded: deque[Callable[[], None]] = deque()
        self._behind: dict[int, deque[Callable[[], None]]] = {}
        self.now = 0.0
        self.busy = 0.0
        self.outcomes = [Outcome(batch) for batch in batches]
        self._left = sum(batch.creates for batch in batches)

    def run(self) -> list[Outcome]:
        """Play it to the end."""
        for outcome in self.outcomes:
            creates = [self._create(outcome, number) for number in range(outcome.batch.creates)]
            window = outcome.batch.window or len(creates)
            self._behind[id(outcome)] = deque(creates[window:])
            for create in creates[:window]:
                self._later(self._random.uniform(0, outcome.batch.begins), create)
        limit = 20 * sum(each.batch.creates * each.batch.seconds / each.batch.cap for each in self.outcomes) + 1000
        while self._left and self._events:
            self.now, _, happens = heapq.heappop(self._events)
            happens()
            assert self.now < limit, "it does not end"
        return self.outcomes

    @property
    def busy_share(self) -> float:
        """Of the workers' slots."""
        return self.busy / (self._slots or 1) / self.now

    def _later(self, seconds: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), happens))

    def _on_worker(self, happens: Callable[[], None]) -> None:
        if self._slots is None:
            self._later(self._random.uniform(*self._run_seconds), happens)
            return
        self._waiting_runs.append((self._random.uniform(*self._run_seconds), happens))
        self._serve()

    def _serve(self) -> None:
        while self._free and self._waiting_runs:
            self._free -= 1
            seconds, happens = self._waiting_runs.popleft()
            self.busy += seconds

            def done(happens: Callable[[], None] = happens) -> None:
                self._free += 1
                happens()
                self._serve()

            self._later(seconds, done)

    def _defer(self, begins: Callable[[], None]) -> None:
        self._not_loaded.append(begins)
        self._load()

    def _resume(self) -> None:
        self._triggers_free += 1
        self._load()

    def _load(self) -> None:
        while self._triggers_free and self._not_loaded:
            self._triggers_free -= 1
            self._not_loaded.popleft()()

    def _line(self, model: str, triggerer: int) -> LetsOut:
        if (model, triggerer) not in self._lines:
            self._lines[model, triggerer] = self._make()
        return self._lines[model, triggerer]

    def _pump(self, model: str, triggerer: int) -> None:
        key = model, triggerer
        line = self._line(*key)
        for waiting in line.due(self.now):
            self._let_out.pop((*key, waiting.ticket))()
        at = line.next_at()
        if at < float("inf") and not self.now < self._woken.get(key, 0.0) <= at:
            at = max(at, self.now + 0.001)
            self._woken[key] = at

            def wake() -> None:
                if self._woken.get(key) == self.now:
                    del self._woken[key]
                self._pump(*key)

            self._later(at - self.now, wake)

    def _create(self, outcome: Outcome, number: int) -> Callable[[], None]:
        batch = outcome.batch
        key = batch.model, batch.triggerer
        ticket: float | None = None

        def begins() -> None:
            outcome.begun.append(self.now)
            self._on_worker(sends)

        def sends() -> None:
            nonlocal ticket
            outcome.runs += 1
            if self._running[batch.model] < batch.cap:
                accepted()
                return
            outcome.refused += 1
            outcome.refused_in_line += ticket is not None
            if ticket is None:
                ticket = self.now + number * 1e-6
            self._defer(joins)

        def joins() -> None:
            assert ticket is not None
            age = max(0.0, self.now - ticket)
            self._line(*key).join(self.now, ticket, age=age, stay=STAY_SECONDS, waits=batch.waits)
            self._let_out[*key, ticket] = again
            self._pump(*key)

        def again() -> None:
            self._resume()
            self._on_worker(sends)

        def accepted() -> None:
            self._running[batch.model] += 1
            outcome.accepted.append(self.now)
            outcome.first[ticket if ticket is not None else outcome.begun[0]] = self.now
            self._later(batch.seconds + self._room_late, gives_room)
            ends_at = self.now + batch.seconds
            if batch.waits:
                self._defer(partial(waits, ends_at))
            else:
                if batch.sensors:
                    self._on_worker(lambda: None)
                self._later(batch.seconds, partial(seen, ends_at))

        def waits(ends_at: float) -> None:
            self._line(*key).accepted(self.now, ticket)
            self._pump(*key)
            poll = self._random.uniform(0, self._seen_late)
            self._later(max(0.0, ends_at - self.now) + poll, partial(seen, ends_at))

        def gives_room() -> None:
            self._running[batch.model] -= 1

        def seen(ends_at: float) -> None:
            self._left -= 1
            outcome.ends.append(self.now)
            outcome.unseen.append(self.now - ends_at)
            if self._behind[id(outcome)]:
                self._later(0.0, self._behind[id(outcome)].popleft())
            if batch.waits:
                self._line(*key).ended(self.now)
                self._pump(*key)
                self._resume()
            elif batch.sensors:
                for model, triggerer in list(self._lines):
                    if triggerer == batch.triggerer:
                        self._line(model, triggerer).hint()
                        self._pump(model, triggerer)
                self._on_worker(lambda: None)

        return begins
