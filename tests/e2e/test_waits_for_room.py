"""Processes killed while creates wait for room, in a whole Airflow: nothing lost, nothing paid twice.

A create whose worker is killed as it is sent may end as one of which nobody knows whether it ran, and says so.
"""

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone, wait_for

pytestmark = pytest.mark.e2e

DAG = "more_than_there_is_room_for"
TASK = "create"
CREATES = 50
CAP = 5
DAG_FILE = f"""
from datetime import timedelta
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator

with DAG("{DAG}", schedule=None, default_args={{"retries": 3, "retry_delay": timedelta(seconds=1)}}):
    CreateAigcAudioTaskOperator.partial(
        task_id="{TASK}", model_name="MiniMaxMusic", model_version="2.6", scene_type="music",
        wait_for_completion=True, deferrable=True, poll_interval=1,
    ).expand(prompt=[f"Tune number {{number}}" for number in range({CREATES})])
"""
# Airflow soon notices what it has lost.
SOON = {
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
}


def test_kills_while_creates_wait_for_room_lose_nothing_and_pay_nothing_twice(tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / f"{DAG}.py").write_text(DAG_FILE)
    with MpsEmulator(wait_seconds=1, run_seconds=7, running_tasks=CAP) as emulator:
        emulator.fault("error", "CreateAigcAudioTask", times=None, code="RequestLimitExceeded")  # as if full already
        env = SOON | {"AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(emulator.connection)}
        with AirflowStandalone(tmp_path / "airflow", dags, env) as airflow:
            run_id = airflow.trigger(DAG)

            def waiting(number: int) -> bool:
                return states(airflow, run_id)["deferred"] >= number

            wait_for("all creates wait for room", lambda: waiting(CREATES - 2), seconds=600)  # some look for room
            airflow.kill_triggerer()
            airflow.start("triggerer")
            # A create is run for a moment, and seldom while all are refused.
            wait_for("a worker runs a create", lambda: kill_a_worker(airflow), seconds=600, every=0.02)
            emulator.clear_faults()
            wait_for("the batch flows", lambda: len(emulator.tasks) > 2 * CAP, seconds=600)
            assert len(emulator.tasks) < CREATES // 2, "the others want room still"
            airflow.kill_scheduler()
            airflow.start("scheduler")

            airflow.wait_for_run(DAG, run_id, seconds=900)
            in_doubt = [ti for ti in airflow.mapped(DAG, run_id, TASK) if ti["state"] != "success"]
            for ti in in_doubt:
                said = airflow.task_log(DAG, run_id, TASK, ti["try_number"], ti["map_index"])
                assert "CreateAigcAudioTask was sent, and it is not known whether it ran" in said
        assert len(in_doubt) < CREATES // 5
        paid = Counter(task.params["Prompt"] for task in emulator.tasks)
        assert set(paid.values()) == {1}
        wanted = {f"Tune number {number}" for number in range(CREATES)}
        assert paid.keys() >= wanted - {f"Tune number {ti['map_index']}" for ti in in_doubt}
        assert emulator.refused_for_room > 0


def states(airflow: AirflowStandalone, run_id: str) -> Counter[str]:
    return Counter(ti["state"] for ti in airflow.mapped(DAG, run_id, TASK))


def kill_a_worker(airflow: AirflowStandalone) -> bool:
    """End a process that runs a create now, if there is one."""
    # The title that the task runner gives itself (airflow.sdk.execution_time.task_runner). The executor's own workers
    # begin likewise: one that is killed while it is idle holds the lock of their queue for ever.
    for process in airflow.processes("airflow worker -- "):
        with suppress(psutil.NoSuchProcess):
            if "LocalExecutor" not in " ".join(process.cmdline()):
                process.kill()
                return True
    return False
