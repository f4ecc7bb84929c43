"""What DescribeUsageData answers: how much of each kind of work an account's tasks did, by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_mps.emulator.service.facts import doc, guess
from airflow_provider_mps.emulator.service.tasks import EmulatedTask

_CHINA = timezone(timedelta(hours=8))

FACTS = (
    doc("DescribeUsageData counts seconds of Transcode and AIGCVideo and pictures of AIGCImage; it lists no audio."),
    guess("DescribeUsageData counts a task on the day on which it ended, and only if it succeeded."),
)


def usage_data(tasks: Iterable[EmulatedTask], types: Iterable[str], since: str, until: str) -> list[dict[str, Any]]:
    """The ``Data`` of the answer, one object for each of ``types``, with a day's line where there was work.

    :param since: the first day, as ``2026-08-01...``; ``until``: the last.
    """
    counts: Counter[tuple[str, str]] = Counter()
    amounts: Counter[tuple[str, str]] = Counter()
    for task in tasks:
        if task.succeeded and task.ended_at is not None:
            day = datetime.fromtimestamp(task.ended_at, _CHINA).strftime("%Y-%m-%d")
            for kind, amount in task.family.usage(task):
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
