"""Five hundred creates from eight worker processes at once, as dynamic task mapping makes them: all get through.

    python benchmarks/mapped_creates.py

One JSON line: tasks made, calls throttled and seconds taken, beside the ideal of 20 creates a second.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from typing import Any

from service import Service

CREATES = 500
WORKERS = 8
LIMIT = 20.0


def _connect(connection: dict[str, Any], all_up: Any) -> None:
    os.environ["AIRFLOW_CONN_TENCENT_MPS_DEFAULT"] = json.dumps(connection)
    from airflow_provider_mps.hooks.mps import MpsHook

    _ = MpsHook().settings
    all_up.wait()


def _create(number: int) -> str:
    from airflow_provider_mps.hooks.mps import MpsHook

    return MpsHook().create_aigc_audio_task(
        model_name="GL", model_version="3.0-clip", scene_type="music", prompt=f"Tune number {number}"
    )


def main() -> None:
    """Make the tasks and print the row."""
    with Service() as service:
        spawn = multiprocessing.get_context("spawn")
        all_up = spawn.Barrier(WORKERS + 1)
        with spawn.Pool(WORKERS, _connect, (service.connection, all_up)) as workers:
            all_up.wait()
            began = time.monotonic()
            task_ids = workers.map(_create, range(CREATES), chunksize=1)
            seconds = time.monotonic() - began
        state = service.state()
    answers = state["answers"]["CreateAigcAudioTask"]
    row = {
        "row": "mapped_creates",
        "creates": CREATES,
        "workers": WORKERS,
        "task_ids": len(set(task_ids)),
        "tasks_made": len(state["tasks"]),
        "throttled": answers.get("RequestLimitExceeded", 0),
        "seconds": round(seconds, 1),
        "ideal_seconds": CREATES / LIMIT,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
