"""How creates that wait for room are let out, in virtual time; and how long 10,000 at once stop an event loop.

    PYTHONPATH=. python benchmarks/room.py

A service that takes ``cap`` tasks at once, and counts a task until 0 or 30 s after its end. An Airflow that takes 2
to 6 seconds from a trigger's event to the worker's create, or workers with so many slots. Numbers are the means of
five seeds. Columns: makespan / (creates x seconds / cap); refused creates for each accepted one, the first try
included; pairs accepted in the order in which they first came; share of the workers' time.

Ways to let out, in the first table, of 200 creates (60 with a cap of 1) that come within a minute:

``this package``  the line of airflow_provider_mps.api.waiting.line
``1 for an end``  the first in line as soon as a task has ended, and no one otherwise
``by time``       each create comes back after 5 s, then after pauses that grow by half, up to 60 s

The second table is of creates that all begin at once, whose worker runs last 4 s: waited for in the triggerer by
themselves, handed over to deferred sensors, or handed over to nobody who waits there. The third is of two batches.
"""

import asyncio
import gc
import heapq
import json
import math
import os
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

from airflow_provider_mps.api.waiting.line import Waiting
from tests.doubles.full_account import Batch, LetsOut, Outcome, World, this_package

SEEDS = 5
AT_ONCE = 10_000


class ForEachEnd:
    """One is let out for each end."""

    def __init__(self) -> None:
        self._queue: list[tuple[float, float, Waiting]] = []
        self._ends = 0

    def join(self, now: float, ticket: float, *, age: float, stay: float, waits: bool) -> Waiting:
        """A create was refused."""
        waiting = Waiting(ticket, now - age, now, waits)
        heapq.heappush(self._queue, (ticket, now, waiting))
        return waiting

    def accepted(self, now: float, ticket: float | None) -> None:
        """A task runs."""

    def ended(self, now: float) -> None:
        """A task has ended."""
        self._ends += bool(self._queue)

    def hint(self) -> None:
        """A task has ended somewhere."""

    def due(self, now: float) -> list[Waiting]:
        """Who is let out."""
        due = [heapq.heappop(self._queue)[2] for _ in range(min(self._ends, len(self._queue)))]
        self._ends = 0
        return due

    def next_at(self) -> float:
        """Only an end lets out."""
        return math.inf


class ByTime(ForEachEnd):
    """Each for itself."""

    def join(self, now: float, ticket: float, *, age: float, stay: float, waits: bool) -> Waiting:
        """A create was refused."""
        pause = random.uniform(0.5, 1) * min(60.0, max(5.0, age / 2))
        waiting = Waiting(ticket, now - age, now + pause, waits)
        heapq.heappush(self._queue, (waiting.ready_at, ticket, waiting))
        return waiting

    def due(self, now: float) -> list[Waiting]:
        """Who is let out."""
        due = []
        while self._queue and self._queue[0][0] <= now:
            due.append(heapq.heappop(self._queue)[2])
        return due

    def next_at(self) -> float:
        """When the next one is back."""
        return self._queue[0][0] if self._queue else math.inf


WAYS: dict[str, Callable[[], LetsOut]] = {"this package": this_package, "1 for an end": ForEachEnd, "by time": ByTime}


def worlds(*batches: Batch, **around: object) -> list[tuple[World, list[Outcome]]]:
    """The same with each seed."""
    found = []
    for seed in range(SEEDS):
        random.seed(seed)
        world = World(*batches, seed=seed, **around)  # type: ignore[arg-type]
        found.append((world, world.run()))
    return found


def means(outcomes: list[Outcome]) -> tuple[float, float, float]:
    """Makespan, refused and in order."""
    columns = zip(*((each.makespan, each.refused_each, each.in_order) for each in outcomes), strict=True)
    makespan, refused, in_order = (statistics.mean(column) for column in columns)
    return makespan, refused, in_order


def head(row: str) -> None:
    """The head of a table."""
    print(f"\n{row}\n{'|---' * (row.count('|') - 1)}|", flush=True)


def ways() -> None:
    """The first table."""
    head("| creates, cap, seconds | way | at once: makespan, refused, in order | 30 s late |")
    for creates, cap, seconds in ((200, 10, 20.0), (200, 10, 120.0), (200, 3, 60.0), (60, 1, 60.0)):
        for name, make in WAYS.items():
            cells = []
            for late in (0.0, 30.0):
                found = worlds(Batch(creates, cap, seconds), make=make, room_late=late)
                if any(len(outcome.accepted) < creates for _, [outcome] in found):
                    cells.append("stands still")
                    continue
                makespan, refused, in_order = means([outcome for _, [outcome] in found])
                cells.append(f"{makespan:.2f}, {refused:.2f}, {100 * in_order:.0f} %")
            print(f"| {creates}, {cap}, {seconds:g} | {name} | {' | '.join(cells)} |", flush=True)


def handed_over() -> None:
    """The second table."""
    head("| creates, cap, seconds, slots | who waits | makespan | refused | workers |")
    who = {"the create": (True, False), "a sensor": (False, True), "nobody": (False, False)}
    scenarios = ((200, 1, 120, 4), (200, 3, 120, 4), (200, 10, 240, 4), (60, 1, 240, 2), (200, 1, 240, 16))
    for creates, cap, seconds, slots in scenarios:
        for name, (waits, sensors) in who.items():
            batch = Batch(creates, cap, float(seconds), waits, sensors, begins=0.0)
            found = worlds(batch, slots=slots, run_seconds=(4.0, 4.0))
            makespan, refused, _ = means([outcome for _, [outcome] in found])
            busy = 100 * statistics.mean(world.busy_share for world, _ in found)
            row = f"| {creates}, {cap}, {seconds}, {slots} | {name} | {makespan:.2f} | {refused:.2f} | {busy:.0f} % |"
            print(row, flush=True)


def together() -> None:
    """The third table."""
    song = Batch(100, 10, 60.0)
    slow, busy = Batch(60, 1, 120.0, begins=0.0), Batch(1000, 10, 20.0, False, True, "B", begins=0.0)
    pairs = {
        "two triggerers": (song, replace(song, triggerer=1)),
        "two triggerers, handed over": (replace(song, waits=False), replace(song, waits=False, triggerer=1)),
        "one waited for, one handed over": (song, replace(song, waits=False)),
        "two models, the second with sensors": (slow, busy),
        "two models with sensors": (replace(slow, waits=False, sensors=True), busy),
    }
    head("| batches | makespan of all | refused | the first ends / the last |")
    for name, batches in pairs.items():
        around = {"slots": 16, "run_seconds": (3.0, 5.0)} if batches[1].model == "B" else {}
        found = worlds(*batches, **around)
        one_room = len({batch.model for batch in batches}) == 1
        ideals = [batch.creates * batch.seconds / batch.cap for batch in batches]
        ideal = sum(ideals) if one_room else max(ideals)
        makespan = statistics.mean(max(each.ended for each in outcomes) for _, outcomes in found) / ideal
        refused = [statistics.mean(outcomes[number].refused_each for _, outcomes in found) for number in range(2)]
        share = statistics.mean(
            min(each.ended for each in outcomes) / max(each.ended for each in outcomes) for _, outcomes in found
        )
        print(f"| {name} | {makespan:.2f} | {refused[0]:.2f}, {refused[1]:.2f} | {share:.2f} |", flush=True)


async def longest_stop() -> float:
    """Milliseconds for which 10,000 triggers stop their event loop at most, started as Airflow's triggerer does.

    Runs of Python's garbage collector over all objects are left out, as in benchmarks/polling.py.
    """
    from airflow_provider_mps.triggers.room import MpsRoomTrigger

    longest = 0.0
    gc.disable()

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)

    async def run(number: int) -> None:
        now = time.time()
        async for _ in MpsRoomTrigger("aigc_audio", "A", "tencent_mps_default", now - number, now, True).run():
            pass

    warm = asyncio.create_task(run(AT_ONCE))
    await asyncio.sleep(1)
    watching = asyncio.create_task(watch())
    tasks = []
    for number in range(AT_ONCE):
        tasks.append(asyncio.create_task(run(number)))
        await asyncio.sleep(0)
    await asyncio.sleep(20)
    watching.cancel()
    for task in (warm, *tasks):
        task.cancel()
    await asyncio.gather(warm, watching, *tasks, return_exceptions=True)
    return 1000 * longest


def main() -> None:
    """Print the tables."""
    ways()
    handed_over()
    together()
    connection = {"conn_type": "tencent_mps", "login": "benchmark-id", "password": "benchmark-key"}
    os.environ["AIRFLOW_CONN_TENCENT_MPS_DEFAULT"] = json.dumps(connection)
    print(f"\n{AT_ONCE} that start at once stop the event loop for {asyncio.run(longest_stop()):.0f} ms at most")


if __name__ == "__main__":
    main()
