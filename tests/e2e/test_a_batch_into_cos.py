"""A batch of songs into COS, in a whole Airflow: what can be had is kept, what cannot turns the run red."""

import json
from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone
from tests.doubles.cos import BUCKET, Cos

pytestmark = pytest.mark.e2e

DAG_ID = "songs_into_cos"
SONGS = 12
DAG_FILE = f"""
from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task_group

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

with DAG("{DAG_ID}", schedule=None, default_args={{"retries": 1, "retry_delay": timedelta(0)}}):

    @task_group
    def song(prompt):
        create = CreateAigcAudioTaskOperator(
            task_id="create", model_name="MiniMaxMusic", model_version="2.6", scene_type="music", prompt=prompt,
            wait_for_completion=True, deferrable=True, end_from_trigger=True, poll_interval=1,
        )
        MpsToObjectStorageOperator(
            task_id="keep", mps_task_ids=create.output, destination="cos://cos@{BUCKET}/night"
        )

    song.expand(prompt=[f"Song number {{number}}" for number in range({SONGS})])
"""


def test_all_but_the_refused_one_are_kept_and_the_run_is_red(tmp_path: Path, cos: Cos) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / f"{DAG_ID}.py").write_text(DAG_FILE)
    with MpsEmulator(wait_seconds=1, run_seconds=1) as emulator:
        emulator.fault("error", "CreateAigcAudioTask", code="InvalidParameter.ViolationContent")
        emulator.fault("file_expired", times=2)  # a fresh URL is asked for by the next try
        env = {"AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(emulator.connection)}
        with AirflowStandalone(tmp_path / "airflow", dags, env) as airflow:
            run_id = airflow.trigger(DAG_ID)
            assert airflow.wait_for_run(DAG_ID, run_id) == "failed"
            creates = airflow.mapped(DAG_ID, run_id, "song.create")
            keeps = airflow.mapped(DAG_ID, run_id, "song.keep")
        assert Counter(ti["state"] for ti in creates) == {"success": SONGS - 1, "failed": 1}
        assert Counter(ti["state"] for ti in keeps) == {"success": SONGS - 1, "upstream_failed": 1}
        assert Counter(ti["try_number"] for ti in keeps if ti["state"] == "success") == {1: SONGS - 3, 2: 2}
        paid = Counter(task.params["Prompt"] for task in emulator.tasks)
        made = {f"night/{task.task_id}-0.wav" for task in emulator.tasks}
    assert (len(paid), set(paid.values())) == (SONGS - 1, {1})
    kept = cos.objects()
    assert kept.keys() == made, "and no part, and no record"
    assert {content[:4] for content in kept.values()} == {b"RIFF"}
    assert cos.uploads() == []
