"""Very many waits over several triggerers that share one account's limit and know nothing of each other, on paper.

    PYTHONPATH=. python benchmarks/scale.py [--plot docs/scale.svg]

In virtual time: the pace of this package (airflow_provider_mps.api.waiting.pace), the emulator's rolling limit of 20
status calls a second, and waits that are polled in turn. Tasks end at any time; each that was seen to have ended is
replaced by another, so that as many wait all the time. What is measured begins after each wait was polled once.

Columns: the mean delay from an end to its being seen, and its ratio to that of one even round robin at the limit; the
99th percentile; throttled calls; calls a second that MPS answered; polls of the slowest triggerer, as a share of an
equal part.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from plot_polling import BOTTOM, COLOURS, HEIGHT, TOP, WIDTH, line, text

from airflow_provider_mps.api.waiting.pace import Pace
from airflow_provider_mps.emulator.service.limits import RollingLimit

LIMIT = 20.0
INTERVAL = 5.0
NETWORK_SECONDS = 0.03, 0.05
WAITS = (1_000, 10_000, 100_000)
TRIGGERERS = (1, 2, 5, 10, 20, 50)
LEAST_SECONDS = 900.0
"""For how long is measured at least: the pace settles in minutes."""


@dataclass
class Row:
    """What was seen of so many waits in so many triggerers."""

    waits: int
    triggerers: int
    delay: float
    p99: float
    throttled: float
    answered: float
    slowest: float

    @property
    def ratio(self) -> float:
        """To the mean delay of one even round robin."""
        return self.delay / (max(INTERVAL, self.waits / LIMIT) / 2)


class Triggerer:
    """Polls its waits in turn, none more often than each interval."""

    def __init__(self, waits: int, chance: random.Random, horizon: float) -> None:
        self.pace = Pace(LIMIT)
        self._chance = chance
        self._horizon = horizon
        self._turn = deque((chance.uniform(0, INTERVAL), self._end(0.0)) for _ in range(waits))
        self.polls = 0

    def _end(self, now: float) -> float:
        return now + self._chance.uniform(0, self._horizon)

    def next_call(self) -> float:
        """When its next poll may leave."""
        return max(self._turn[0][0], self.pace.next_call)

    def poll(self, now: float, arrives: float, allowed: bool) -> float | None:
        """Poll the first one; the delay of an end that is seen."""
        self.pace.leaves(now)
        _, ends = self._turn.popleft()
        if not allowed:
            self.pace.throttled(now, arrives)
        self.polls += allowed
        seen = allowed and ends <= arrives
        self._turn.append((now + INTERVAL, self._end(arrives) if seen else ends))
        return arrives - ends if seen else None


def measure(waits: int, triggerers: int, seed: int = 0) -> Row:
    """Play it."""
    chance = random.Random(seed)
    around = max(waits / LIMIT, INTERVAL)
    horizon = 2 * max(around, LEAST_SECONDS)
    limit = RollingLimit(LIMIT)
    each = [Triggerer(len(range(number, waits, triggerers)), chance, horizon) for number in range(triggerers)]
    events = [(chance.uniform(0, 1), number) for number in range(triggerers)]
    heapq.heapify(events)
    begins, ends = around + 120, around + 120 + horizon
    delays: list[float] = []
    calls = refused = 0
    before = [0] * triggerers
    now = 0.0
    while now < ends:
        now, number = heapq.heappop(events)
        triggerer = each[number]
        if triggerer.next_call() <= now:
            arrives = now + chance.uniform(*NETWORK_SECONDS)
            allowed = limit.allows("account", "describe", arrives)
            delay = triggerer.poll(now, arrives, allowed)
            if now >= begins:
                calls += 1
                refused += not allowed
                if delay is not None:
                    delays.append(delay)
            else:
                before[number] = triggerer.polls
        heapq.heappush(events, (max(triggerer.next_call(), now + 1e-6), number))
    polls = [triggerer.polls - earlier for triggerer, earlier in zip(each, before, strict=True)]
    return Row(
        waits,
        triggerers,
        statistics.mean(delays),
        statistics.quantiles(delays, n=100)[-1],
        refused / calls,
        (calls - refused) / (ends - begins),
        min(polls) * triggerers / sum(polls),
    )


def plot(rows: list[Row]) -> str:
    """Delay and throttled calls over the number of triggerers, of the most waits."""
    most = [row for row in rows if row.waits == max(WAITS)]
    drawn = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    highest = {"delay": 2.0, "throttled": 0.1}
    panels = (
        ("Mean delay, of one even round robin's", [row.ratio for row in most], highest["delay"], "", 80),
        ("Throttled calls", [row.throttled for row in most], highest["throttled"], " %", 500),
    )
    for title, values, top, unit, left in panels:
        right = left + 320
        drawn.append(text((left + right) / 2, TOP - 25, title))
        for step in range(5):
            y = BOTTOM - step / 4 * (BOTTOM - TOP)
            drawn.append(line([(left, y), (right, y)], "#dddddd"))
            label = f"{100 * top * step / 4:.0f}{unit}" if unit else f"{top * step / 4:.1f}"
            drawn.append(text(left - 6, y + 4, label, "end"))
        points = []
        for place, (row, value) in enumerate(zip(most, values, strict=True)):
            x = left + place / (len(most) - 1) * (right - left)
            points.append((x, BOTTOM - min(value / top, 1.0) * (BOTTOM - TOP)))
            drawn.append(text(x, BOTTOM + 18, str(row.triggerers)))
        drawn.append(text((left + right) / 2, BOTTOM + 36, f"triggerers that share {max(WAITS):,} waits"))
        drawn.append(line(points, COLOURS["poller"]))
    size = f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="13"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n' + "\n".join(drawn) + "\n</svg>\n"


def main() -> None:
    """Print the table, and draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, help="where to draw the plot")
    arguments = parser.parse_args()
    rows = []
    print("| waits | triggerers | mean delay | of ideal | p99 | throttled | answered a second | slowest |")
    print("|---|---|---|---|---|---|---|---|")
    for waits in WAITS:
        for triggerers in TRIGGERERS:
            row = measure(waits, triggerers)
            rows.append(row)
            print(
                f"| {waits:,} | {triggerers} | {row.delay:,.0f} s | {row.ratio:.2f} | {row.p99:,.0f} s "
                f"| {100 * row.throttled:.1f} % | {row.answered:.1f} | {row.slowest:.2f} |",
                flush=True,
            )
    if arguments.plot:
        arguments.plot.write_text(plot(rows))


if __name__ == "__main__":
    main()
