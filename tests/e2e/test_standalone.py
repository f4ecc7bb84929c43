"""The examples in a whole Airflow: runs that wait in the triggerer, and leave files that play."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone
from tests.doubles.chromium import assert_plays

pytestmark = pytest.mark.e2e


@dataclass
class Running:
    """Airflow and the emulator, and the folder that the examples leave their files in."""

    airflow: AirflowStandalone
    emulator: MpsEmulator
    soundtracks: Path

    def run(self, dag_id: str) -> str:
        """Start a run through the REST API and wait until it has succeeded; its id."""
        run_id = self.airflow.trigger(dag_id)
        assert self.airflow.wait_for_run(dag_id, run_id) == "success"
        return run_id

    def kept_file(self, dag_id: str, run_id: str, task_id: str) -> Path:
        """The one file that a transfer has kept."""
        [uri] = self.airflow.xcom(dag_id, run_id, task_id)
        file = Path(uri.removeprefix("file://"))
        assert file.is_relative_to(self.soundtracks)
        return file


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("e2e")
    soundtracks = folder / "soundtracks"
    # The wait is longer than the triggerer takes to notice it: Airflow itself loses very short ones now and then.
    with (
        MpsEmulator(wait_seconds=1, run_seconds=3) as emulator,
        AirflowStandalone(
            folder / "airflow",
            env={
                "AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(emulator.connection),
                "SOUNDTRACKS_FOLDER": soundtracks.as_uri(),
            },
        ) as airflow,
    ):
        yield Running(airflow, emulator, soundtracks)


def test_a_run_started_through_the_rest_api_leaves_a_soundtrack_that_plays(running: Running) -> None:
    dag = "generate_soundtrack"
    run_id = running.run(dag)

    task_id = running.airflow.xcom(dag, run_id, "create_soundtrack")
    assert task_id in [task.task_id for task in running.emulator.tasks]
    assert task_id in running.airflow.task_log(dag, run_id, "create_soundtrack")
    assert_plays(running.kept_file(dag, run_id, "keep_file"))


def test_two_prompts_become_one_film_with_a_soundtrack(running: Running) -> None:
    dag = "soundtrack_for_a_video"
    run_id = running.run(dag)

    made = {task.task_id: task.action for task in running.emulator.tasks}
    for task_id, action in (
        ("make_video", "CreateAigcVideoTask"),
        ("make_music", "CreateAigcAudioTask"),
        ("lay_music_under_video", "EditMedia"),
    ):
        assert made[running.airflow.xcom(dag, run_id, task_id)] == action
        link = running.airflow.xcom(dag, run_id, task_id, key="_link_StoredInCosLink")
        assert link.startswith("https://console.tencentcloud.com/cos/bucket?")
    assert assert_plays(running.kept_file(dag, run_id, "keep_film"))["sound"] > 0
