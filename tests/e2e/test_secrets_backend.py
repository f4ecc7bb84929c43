"""A whole Airflow whose connection is in Airflow's own file backend: its triggerer reads it as its workers do."""

import json
from pathlib import Path

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone

pytestmark = pytest.mark.e2e

DAG = "connection_in_a_file"
DAG_FILE = f"""
from datetime import timedelta
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator

with DAG("{DAG}", schedule=None):
    CreateAigcAudioTaskOperator(
        task_id="create", model_name="MiniMaxMusic", model_version="2.6", scene_type="music", prompt="rain",
        wait_for_completion=True, deferrable=True, poll_interval=1, retries=3, retry_delay=timedelta(seconds=1),
    )
"""


def test_a_create_waits_for_room_and_for_its_task_in_the_triggerer(tmp_path: Path) -> None:
    dags, connections = tmp_path / "dags", tmp_path / "connections.json"
    dags.mkdir()
    (dags / f"{DAG}.py").write_text(DAG_FILE)
    with MpsEmulator(wait_seconds=1, run_seconds=3) as emulator:
        emulator.fault("error", "CreateAigcAudioTask", code="RequestLimitExceeded")
        connections.write_text(json.dumps({"tencent_mps_default": emulator.connection}))
        env = {
            "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(connections)}),
        }
        with AirflowStandalone(tmp_path / "airflow", dags, env) as airflow:
            run_id = airflow.trigger(DAG)
            assert airflow.wait_for_run(DAG, run_id) == "success"
            made = airflow.xcom(DAG, run_id, "create")
        [task] = emulator.tasks  # within five minutes: a triggerer that cannot read the connection gives up after them
        assert task.task_id == made
