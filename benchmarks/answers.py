"""What it costs to digest a hostile answer: CPU by size, and how it grows.

    PYTHONPATH=. python benchmarks/answers.py

One JSON line for each shape of answer: CPU to read it (large ones are read in a thread) and to judge it as the status
of a task, which an event loop waits for. ``growth`` is the time of the largest answer over that of one an eighth of its
size: 8 is linear, 64 quadratic. The largest is as large as the client takes.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from airflow_provider_mps.api.answers import read_answer
from airflow_provider_mps.api.client import ANSWER_LIMIT
from airflow_provider_mps.api.errors import MpsError
from airflow_provider_mps.api.tasks import AIGC_AUDIO, MEDIA

LARGEST = ANSWER_LIMIT - 1024


def error(**fields: str) -> dict[str, Any]:
    """The ``Response`` of a call that was refused."""
    return {"Error": {"Code": "InvalidParameter", "Message": "no", **fields}}


def finished(own: Any) -> dict[str, Any]:
    """The ``Response`` of a ProcessMedia task that has ended."""
    return {"Status": "FINISH", "TaskType": "WorkflowTask", "WorkflowTask": own}


SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "many https:// in a message": lambda size: error(Message="https://" * (size // 8)),
    "many encoded URLs in a message": lambda size: error(Message="%3A%2F%2Fx@" * (size // 11)),
    "many ? after a URL in a message": lambda size: error(Message="https://a" + '?"' * (size // 4)),
    "a code of dots": lambda size: error(Code="." * size),
    "a long URL": lambda size: {"Status": "DONE", "AudioInfos": ["https://a/" + "b" * size]},
    "many URLs": lambda size: {"Status": "DONE", "AudioInfos": ["https://a/b?c=d"] * (size // 20)},
    "many empty lists": lambda size: finished({"Results": [[]] * (size // 4)}),
    "many failures": lambda size: finished({"Results": [{"ErrCode": 1}] * (size // 16)}),
    "many numbers": lambda size: finished({"Results": [1] * (size // 3)}),
    "long names in each other": lambda size: finished({"K" * 90: {"K" * 90: {"K" * 90: [{}] * (size // 4)}}}),
}


def seconds(body: bytes) -> tuple[float, float]:
    """CPU to read an answer, and to see what it says of a task of the media family."""
    response: dict[str, Any] = {}
    began = time.process_time()
    with suppress(MpsError):
        response = read_answer(MEDIA.describe, 200, body)
    read = time.process_time()
    with suppress(MpsError):
        MEDIA.check(MEDIA.status("task", response))
        AIGC_AUDIO.check(AIGC_AUDIO.status("task", response))
    return read - began, time.process_time() - read


for name, shape in SHAPES.items():
    row: dict[str, str | float] = {"row": "answers", "shape": name}
    totals = []
    for name, size in (("48_KB", 48_000), ("eighth", LARGEST // 8), ("largest", LARGEST)):
        read, judged = seconds(json.dumps({"Response": shape(size)}).encode())
        row |= {f"{name}_read_ms": round(1000 * read, 1), f"{name}_judged_ms": round(1000 * judged, 1)}
        totals.append(read + judged)
    row["growth"] = round(totals[-1] / totals[-2], 1)
    print(json.dumps(row))
