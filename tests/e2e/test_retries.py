"""What Airflow does when execute() has returned may fail, and every retry of that costs nothing."""

import json
from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone

pytestmark = pytest.mark.e2e

DAG_ID = "retried"
DAG_FILE = """
from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator, MpsApiOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

SONG = {"model_name": "MiniMaxMusic", "model_version": "2.6", "scene_type": "music"}


def fail_twice(context, result):
    if context["ti"].try_number < 3:
        raise RuntimeError("the hook after execute() fails")


with DAG("retried", schedule=None, default_args={"retries": 2, "retry_delay": timedelta(0)}):
    waited = {"wait_for_completion": True, "deferrable": True, "poll_interval": 1}
    CreateAigcAudioTaskOperator(task_id="waited", prompt="waited", post_execute=fail_twice, **SONG, **waited)
    CreateAigcAudioTaskOperator(task_id="handed_over", prompt="handed_over", post_execute=fail_twice, **SONG)
    MpsApiOperator(
        task_id="any_action",
        action="CreateAigcAudioTask",
        mps_params={"Prompt": "any_action", "ModelName": "MiniMaxMusic", "ModelVersion": "2.6", "SceneType": "music"},
        post_execute=fail_twice,
    )
    CreateAigcAudioTaskOperator(task_id="xcom_is_down", prompt="xcom_is_down", **SONG)
    mapped_over = CreateAigcAudioTaskOperator(task_id="mapped_over", prompt="mapped_over", **SONG)
    MpsToObjectStorageOperator.partial(task_id="keep", destination="file:///tmp/never").expand(urls=mapped_over.output)
"""
XCOM_BACKEND = """
from airflow.sdk.bases.xcom import BaseXCom


class XComThatIsDown(BaseXCom):
    @staticmethod
    def serialize_value(value, *, key=None, task_id=None, **kwargs):
        if (task_id, key) == ("xcom_is_down", "return_value"):
            raise ConnectionError("the XCom backend is down")
        return BaseXCom.serialize_value(value, key=key, task_id=task_id, **kwargs)
"""


def test_each_request_is_paid_for_once_whatever_fails_after_execute(tmp_path: Path) -> None:
    dags, modules = tmp_path / "dags", tmp_path / "modules"
    for folder, name, text in ((dags, f"{DAG_ID}.py", DAG_FILE), (modules, "xcom_backend.py", XCOM_BACKEND)):
        folder.mkdir()
        (folder / name).write_text(text)
    with MpsEmulator(wait_seconds=1, run_seconds=3) as emulator:
        env = {
            "AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(emulator.connection),
            "AIRFLOW__CORE__XCOM_BACKEND": "xcom_backend.XComThatIsDown",
            "PYTHONPATH": str(modules),
        }
        with AirflowStandalone(tmp_path / "airflow", dags, env) as airflow:
            run_id = airflow.trigger(DAG_ID)
            assert airflow.wait_for_run(DAG_ID, run_id) == "failed"
            tasks = ("waited", "handed_over", "any_action", "xcom_is_down", "mapped_over")
            seen = {task_id: airflow.task(DAG_ID, run_id, task_id) for task_id in tasks}
            assert {task_id: task["try_number"] for task_id, task in seen.items()} == dict.fromkeys(tasks, 3)
            assert [task_id for task_id, task in seen.items() if task["state"] == "success"] == list(tasks[:3])
        paid = Counter(task.params["Prompt"] for task in emulator.tasks)
        assert paid == dict.fromkeys(tasks, 1)
