"""How many creates to let out of the line for each task that ends, in virtual time.

    PYTHONPATH=. python benchmarks/room.py

A service that takes ``cap`` tasks at once, and an Airflow that takes 2 to 6 seconds from a trigger's event to the
worker's create. 200 creates, or 60 with a cap of 1, come within a minute; each number is the mean of five seeds.

Ways to let out:

``this package``  the line of airflow_provider_mps.api.room
``1 for an end``, ``2 for an end``  so many of the first in line as soon as a task has ended, and no one otherwise
``by time``       each create comes back after 5 s, then after pauses that grow by half, up to 60 s

Columns: makespan / (creates x seconds / cap); refused creates for each accepted one; pairs accepted in the order in
which they first came.
"""

import asyncio
import bisect
import random
import selectors
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Any

from airflow_provider_mps.api.room import line, takes_room
from airflow_provider_mps.api.settings import ClientSettings, CredentialSettings
from airflow_provider_mps.api.tasks import AIGC_AUDIO

TRIP_SECONDS = 2.0, 6.0
SCENARIOS = ((200, 10, 20.0), (200, 10, 120.0), (200, 3, 60.0), (60, 1, 60.0))
SEEDS = 5


class VirtualTime(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer."""

    def __init__(self) -> None:
        loop = self
        self.now = 0.0

        class Jumps(selectors.SelectSelector):
            def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
                loop.now += timeout or 0.0
                return super().select(0)

        super().__init__(Jumps())

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now


class ThisPackage:
    """The line of this package."""

    def __init__(self) -> None:
        keys = CredentialSettings(secret_id="benchmark-id", secret_key="benchmark-key")
        self._settings = ClientSettings(host="127.0.0.1", scheme="http", credential=keys)

    async def wait(self, ticket: float, tried: int) -> None:
        """Wait in line after a refusal."""
        await line(self._settings, AIGC_AUDIO, "A").wait(ticket, waits=True, on_place=lambda place, of: None)

    @contextmanager
    def running(self, ticket: float, tried: int) -> Iterator[None]:
        """While a task runs."""
        with takes_room(self._settings, AIGC_AUDIO, "A", ticket if tried else None):
            yield


class ForEachEnd:
    """So many are let out for each end."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._queue: list[tuple[float, asyncio.Future[None]]] = []

    async def wait(self, ticket: float, tried: int) -> None:
        """Wait in line after a refusal."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        bisect.insort(self._queue, (ticket, future), key=lambda turn: turn[0])
        await future

    @contextmanager
    def running(self, ticket: float, tried: int) -> Iterator[None]:
        """While a task runs."""
        yield
        for _, future in self._queue[: self._number]:
            future.set_result(None)
        del self._queue[: self._number]


class ByTime:
    """Each for itself."""

    async def wait(self, ticket: float, tried: int) -> None:
        """Wait after a refusal."""
        await asyncio.sleep(random.uniform(0.5, 1) * min(60.0, 5.0 * 1.5**tried))

    @contextmanager
    def running(self, ticket: float, tried: int) -> Iterator[None]:
        """While a task runs."""
        yield


WAYS: dict[str, Callable[[], Any]] = {
    "this package": ThisPackage,
    "1 for an end": lambda: ForEachEnd(1),
    "2 for an end": lambda: ForEachEnd(2),
    "by time": ByTime,
}


async def batch(way: Any, creates: int, cap: int, seconds: float) -> tuple[float, float, float]:
    """Run a batch; return its makespan, the refusals and the share of pairs in order."""
    loop = asyncio.get_running_loop()
    running = refused = 0
    accepted: dict[float, float] = {}

    async def one(comes: float) -> None:
        nonlocal running, refused
        await asyncio.sleep(comes)
        tried = 0
        while running >= cap:
            refused += 1
            await way.wait(comes, tried)
            tried += 1
            await asyncio.sleep(random.uniform(*TRIP_SECONDS))
        running += 1
        accepted[comes] = loop.time()
        with way.running(comes, tried):
            await asyncio.sleep(seconds)
            running -= 1

    await asyncio.gather(*(one(random.uniform(0, 60)) for _ in range(creates)))
    pairs = [accepted[first] <= accepted[second] for first, second in combinations(sorted(accepted), 2)]
    return loop.time(), refused, statistics.mean(pairs)


def measure(make: Callable[[], Any], creates: int, cap: int, seconds: float) -> str:
    """A row of the table, without the way's name."""
    rows = []
    for seed in range(SEEDS):
        random.seed(seed)
        with asyncio.Runner(loop_factory=VirtualTime) as runner:
            rows.append(
                runner.run(asyncio.wait_for(batch(make(), creates, cap, seconds), 50 * creates * seconds / cap))
            )
    makespan, refused, order = (statistics.mean(column) for column in zip(*rows, strict=True))
    return f"{makespan * cap / creates / seconds:.2f} | {refused / creates:.2f} | {100 * order:.0f} %"


def main() -> None:
    """Print the table."""
    print("| creates, cap, seconds | way | makespan / ideal | refused | in order |", "|---|---|---|---|---|", sep="\n")
    for scenario in SCENARIOS:
        for name, make in WAYS.items():
            print(
                f"| {', '.join(f'{each:g}' for each in scenario)} | {name} | {measure(make, *scenario)} |", flush=True
            )


if __name__ == "__main__":
    main()
