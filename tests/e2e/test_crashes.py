"""Processes that are killed in a whole Airflow: the run ends in success all the same, and one task was paid for."""

import json
from pathlib import Path

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone, wait_for

pytestmark = pytest.mark.e2e

DAG = "soundtrack_of_a_crash"
TASK = "create_soundtrack"
# The task is still at work at MPS when Airflow has noticed the loss and tries again.
RUN_SECONDS = 20


def airflow_with_dag(tmp_path: Path, emulator: MpsEmulator, *, deferrable: bool) -> AirflowStandalone:
    """An Airflow that soon notices what it has lost, with a DAG of one task that waits for an audio file."""
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / f"{DAG}.py").write_text(
        f"""
from datetime import timedelta
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator

with DAG("{DAG}", schedule=None, default_args={{"retries": 2, "retry_delay": timedelta(seconds=1)}}):
    CreateAigcAudioTaskOperator(
        task_id="{TASK}", model_name="MiniMaxMusic", model_version="2.6", scene_type="music", prompt="rain",
        wait_for_completion=True, deferrable={deferrable}, poll_interval=1
    )
"""
    )
    return AirflowStandalone(
        tmp_path / "airflow",
        dags,
        {
            "AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(emulator.connection),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        },
    )


def test_a_task_process_killed_right_after_the_create_is_not_paid_for_twice(tmp_path: Path) -> None:
    with (
        MpsEmulator(run_seconds=RUN_SECONDS) as emulator,
        airflow_with_dag(tmp_path, emulator, deferrable=False) as airflow,
    ):
        run_id = airflow.trigger(DAG)
        wait_for("the task is submitted", lambda: "Submitted" in log_of_first_try(airflow, run_id), seconds=120)
        process = airflow.task_process(DAG, run_id, TASK)
        assert process is not None
        process.kill()

        assert airflow.wait_for_run(DAG, run_id) == "success"
        [task] = emulator.tasks
        assert airflow.xcom(DAG, run_id, TASK) == task.task_id
        assert emulator.count(task.action) == 1
        assert airflow.task(DAG, run_id, TASK)["try_number"] == 2
        assert "which an earlier try created" in airflow.task_log(DAG, run_id, TASK, try_number=2)


def test_a_triggerer_killed_during_the_wait_goes_on_with_the_same_task(tmp_path: Path) -> None:
    with (
        MpsEmulator(run_seconds=RUN_SECONDS) as emulator,
        airflow_with_dag(tmp_path, emulator, deferrable=True) as airflow,
    ):
        run_id = airflow.trigger(DAG)
        wait_for("the triggerer asks", lambda: emulator.count("DescribeAigcAudioTask") > 1, seconds=120)
        airflow.kill_triggerer()
        asked = emulator.count("DescribeAigcAudioTask")
        airflow.start("triggerer")

        assert airflow.wait_for_run(DAG, run_id) == "success"
        [task] = emulator.tasks
        assert airflow.xcom(DAG, run_id, TASK) == task.task_id
        assert emulator.count(task.action) == 1
        assert emulator.count("DescribeAigcAudioTask") > asked


def log_of_first_try(airflow: AirflowStandalone, run_id: str) -> str:
    """What the first try has logged, empty before it runs."""
    started = airflow.task(DAG, run_id, TASK)["try_number"]
    return airflow.task_log(DAG, run_id, TASK) if started else ""
