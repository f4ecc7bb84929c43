"""The main job in a whole Airflow: a DAG run asks for a soundtrack, waits in the triggerer, and keeps the file."""

import json
import wave
from pathlib import Path

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from tests.e2e.standalone import AirflowStandalone

pytestmark = pytest.mark.e2e

DAG = "generate_soundtrack"


def test_a_run_started_through_the_rest_api_leaves_a_soundtrack_that_plays(tmp_path: Path) -> None:
    soundtracks = tmp_path / "soundtracks"
    # The wait is longer than the triggerer takes to notice it: Airflow itself loses very short ones now and then.
    with (
        MpsEmulator(wait_seconds=1, run_seconds=3) as emulator,
        AirflowStandalone(
            tmp_path / "airflow",
            env={
                "AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(emulator.connection),
                "SOUNDTRACKS_FOLDER": soundtracks.as_uri(),
            },
        ) as airflow,
    ):
        run_id = airflow.trigger(DAG)
        assert airflow.wait_for_run(DAG, run_id) == "success"

        task_id = airflow.xcom(DAG, run_id, "create_soundtrack")
        assert task_id in [task.task_id for task in emulator.tasks]
        assert task_id in airflow.task_log(DAG, run_id, "create_soundtrack")

        [uri] = airflow.xcom(DAG, run_id, "keep_file")
        file = Path(uri.removeprefix("file://"))
        assert file.is_relative_to(soundtracks)
        with wave.open(str(file)) as sound:
            assert sound.getnframes() > 0
