"""What DescribeUsageData answers: how much of each kind of work an account's tasks did, by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_mps.emulator.marks import doc, guess
from airflow_provider_mps.emulator.tasks import EmulatedTask

_CHINA = timezone(timedelta(hours=8))

FACTS = (
    doc("DescribeUsageData counts seconds of Transcode and AIGCVideo and pictures of AIGCImage; it lists no audio."),
    guess("DescribeUsageData counts a task on the day on which it ended, and only if it succeeded."),
)


def usage(tasks: Iterable[EmulatedTask], types: Iterable[str], since: str, until: str) -> list[dict[str, Any]]:
    """The ``Data`` of the answer, one object for each of ``types``, with a day's line where there was work.

    :param since: the first day, as ``2026-08-01...``; ``until``: the last.
    """
    counts: Counter[tuple[str, str]] = Counter()
    amounts: Counter[tuple[str, str]] = Counter()
    for task in tasks:
        if task.succeeded and task.ended_at is not None:
            day = datetime.fromtimestamp(task.ended_at, _CHINA).strftime("%Y-%m-%d")
            for kind, amount in _work(task):
                counts[kind, day] += 1
                amounts[kind, day] += amount
    return [
        {
            "TaskType": kind,
            "Summary": [
                {"Time": f"{day}T00:00:00+08:00", "Count": counts[kind, day], "Usage": amounts[kind, day]}
                for counted, day in sorted(counts)
                if counted == kind and since[:10] <= day <= until[:10]
            ],
            "Details": [],
        }
        for kind in types
    ]


def _work(task: EmulatedTask) -> Iterator[tuple[str, int]]:
    match task.kind:
        case "aigc_video":
            yield "AIGCVideo", sum(round(file.seconds) for file in task.files)
        case "aigc_image":
            yield "AIGCImage", len(task.files)
        case "media":
            films = [file for file in task.files if file.suffix != "png"]
            if films:
                yield "Transcode", sum(round(file.seconds) for file in films)
