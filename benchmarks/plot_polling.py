"""Draws ``docs/polling.svg`` from the rows of ``benchmarks/polling.py``.

    python benchmarks/plot_polling.py polling.jsonl > docs/polling.svg

Left: the mean delay from a task's end to its event, over the number of waits, beside the ideal of an even round robin.
Right: the share of status calls that were throttled, and of waits that failed.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 860, 360
TOP, BOTTOM = 60, 300
COLOURS = {"poller": "#1f77b4", "independent": "#ff7f0e", "dbt_cloud": "#d62728", "ideal": "#888888"}
TITLES = {"poller": "this package", "independent": "independent waits", "dbt_cloud": "dbt Cloud trigger"}

Row = dict[str, Any]


def text(x: float, y: float, words: str, anchor: str = "middle", colour: str = "#333333") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def line(points: list[tuple[float, float]], colour: str, dashes: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'


def delays(rows: list[Row], left: float, right: float) -> list[str]:
    """The plot of delays; both axes are logarithmic."""
    highest = max(max(row["delay_mean_s"], row["ideal_delay_mean_s"]) for row in rows)
    fewest, most = math.log10(min(row["n"] for row in rows)), math.log10(max(row["n"] for row in rows))
    ceiling = math.ceil(math.log10(highest))

    def at(number: float, seconds: float) -> tuple[float, float]:
        across = (math.log10(number) - fewest) / (most - fewest)
        return left + across * (right - left), BOTTOM - math.log10(max(seconds, 1.0)) / ceiling * (BOTTOM - TOP)

    drawn = [text((left + right) / 2, TOP - 25, "Mean delay from a task's end to its event")]
    for exponent in range(ceiling + 1):
        _, y = at(1, 10**exponent)
        drawn.append(line([(left, y), (right, y)], "#dddddd"))
        drawn.append(text(left - 6, y + 4, f"{10**exponent} s", "end"))
    ours = sorted((row for row in rows if row["row"] == "poller"), key=lambda row: row["n"])
    drawn.extend(text(at(row["n"], 1)[0], BOTTOM + 18, f"{row['n']:,}") for row in ours)
    drawn.append(text((left + right) / 2, BOTTOM + 36, "waits"))
    drawn.append(line([at(row["n"], row["ideal_delay_mean_s"]) for row in ours], COLOURS["ideal"], "4 4"))
    drawn.append(line([at(row["n"], row["delay_mean_s"]) for row in ours], COLOURS["poller"]))
    drawn.append(text(left + 10, TOP + 12, "this package", "start", COLOURS["poller"]))
    drawn.append(text(left + 10, TOP + 30, "ideal: even round robin", "start", COLOURS["ideal"]))
    return drawn


def shares(rows: list[Row], left: float, right: float) -> list[str]:
    """The bars of throttled calls and failed waits: pale and full."""
    drawn = [text((left + right) / 2, TOP - 25, "Calls throttled (pale) and waits failed (full)")]
    for percent in (0, 50, 100):
        y = BOTTOM - percent / 100 * (BOTTOM - TOP)
        drawn.append(line([(left, y), (right, y)], "#dddddd"))
        drawn.append(text(left - 6, y + 4, f"{percent} %", "end"))
    numbers = sorted({row["n"] for row in rows if row["row"] != "poller"})
    group = (right - left) / len(numbers)
    for place, number in enumerate(numbers):
        drawn.append(text(left + (place + 0.5) * group, BOTTOM + 18, f"{number:,}"))
        of_number = {row["row"]: row for row in rows if row["n"] == number}
        for bar, name in enumerate(TITLES):
            if name not in of_number:
                continue
            x = left + place * group + (0.1 + 0.27 * bar) * group
            values = (of_number[name]["throttled_share"], of_number[name]["failed"] / number)
            for half, (value, opacity) in enumerate(zip(values, (0.4, 1.0), strict=True)):
                high = max(1.0, value * (BOTTOM - TOP))
                drawn.append(
                    f'<rect x="{x + half * 0.12 * group:.1f}" y="{BOTTOM - high:.1f}" width="{0.11 * group:.1f}" '
                    f'height="{high:.1f}" fill="{COLOURS[name]}" fill-opacity="{opacity}"/>'
                )
    for place, (name, title) in enumerate(TITLES.items()):
        drawn.append(text(left + place * (right - left) / 3, BOTTOM + 42, title, "start", COLOURS[name]))
    return drawn


def main() -> None:
    """Read the rows and print the picture."""
    rows = [json.loads(row) for row in Path(sys.argv[1]).read_text().splitlines()]
    rows = [row for row in rows if row["row"] in TITLES and "skipped" not in row]
    drawn = delays([row for row in rows if row["row"] == "poller"], 60, 400) + shares(rows, 490, 840)
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"')
    print(f' font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>')
    print("\n".join(drawn))
    print("</svg>")


if __name__ == "__main__":
    main()
