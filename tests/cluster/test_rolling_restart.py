"""Waits go on, and nothing is paid for again, while scheduler, triggerers and workers are restarted one by one."""

import json
import time
from collections import Counter

import pytest

from scripts.cluster import TRIGGERERS, WORKERS
from scripts.standalone import wait_for
from tests.cluster.conftest import Fire

pytestmark = pytest.mark.cluster

WAITS = [f"wait {number}" for number in range(200)]
ASKS = [f"ask {number}" for number in range(30)]
ENDING_SECONDS = 30


def deferred(fire: Fire, run_id: str) -> int:
    """How many task instances of the DAG rolling wait in the triggerers."""
    url = f"/dags/rolling/dagRuns/{run_id}/taskInstances?state=deferred&limit=1"
    return int(fire.cluster.api("GET", url)["total_entries"])


def tries(fire: Fire, dag_id: str, run_id: str) -> list[tuple[str, int]]:
    """State and number of the last try of each task instance of a run."""
    found = fire.cluster.all(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances")
    return [(task["state"], task["try_number"]) for task in found]


def test_waits_and_creates_without_room_outlast_a_rolling_restart(
    fire: Fire, capfd: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    cluster, emulators = fire.cluster, fire.emulators
    waiting = cluster.trigger("rolling")
    wait_for("all waits are in the triggerers", lambda: deferred(fire, waiting) == len(WAITS), 420)
    creates = Counter(action for action, _ in emulators.answers("long"))["CreateAigcAudioTask"]
    asking = cluster.trigger("room")
    restarting = time.monotonic()
    for name in ("scheduler", *TRIGGERERS):
        cluster.restart(name)
    emulators.end_tasks("long", ENDING_SECONDS)
    for name in WORKERS:
        cluster.restart(name)
    restarted = time.monotonic()
    states = [cluster.wait_for_run("rolling", waiting, 420), cluster.wait_for_run("room", asking, 420)]

    waits, asks = tries(fire, "rolling", waiting), tries(fire, "room", asking)
    refused = Counter(emulators.answers("crowded"))["CreateAigcAudioTask", "RequestLimitExceeded"]
    line = {
        "test": "rolling restart",
        "seconds": round(time.monotonic() - began),
        "seconds_of_restarts": round(restarted - restarting),
        "waits": dict(Counter(state for state, _ in waits)),
        "creates": [creates, len(emulators.wishes("long"))],
        "without_room": dict(Counter(state for state, _ in asks)),
        "refused_for_room": refused,
        "tries": dict(Counter(number for _, number in waits + asks)),
    }
    with capfd.disabled():
        print(f"\n{json.dumps(line)}")
    assert states == ["success", "success"]
    for name, wanted in (("long", WAITS), ("crowded", ASKS)):
        assert Counter(emulators.wishes(name)) == dict.fromkeys(wanted, 1)
    assert Counter(action for action, _ in emulators.answers("long"))["CreateAigcAudioTask"] == creates == len(WAITS)
    assert refused
