"""MpsHook in a task of a DAG author's own, with Airflow's retries."""

from pathlib import Path
from typing import Any

import pytest
from airflow import settings

from airflow_provider_mps.emulator import MpsEmulator
from tests.doubles.emulators import CREATE
from tests.hooks.dags import hook_in_a_task

ROOT = Path(__file__).parents[2]


@pytest.fixture
def dags_folder(airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Airflow 3, dag.test() only runs a DAG that it finds in the DAGs folder."""
    monkeypatch.setattr(settings, "DAGS_FOLDER", str(Path(hook_in_a_task.__file__).parent))


def run_dag(way: str) -> Any:
    """The task instance of the DAG that creates in this way, once it has run."""
    run = getattr(hook_in_a_task, way).test()
    [instance] = run.get_task_instances()
    return instance


@pytest.mark.usefixtures("dags_folder")
@pytest.mark.parametrize("way", hook_in_a_task.WAYS)
class TestRetries:
    def test_one_lost_reply_is_one_paid_task(self, way: str, emulator: MpsEmulator) -> None:
        emulator.fault("cut_after", CREATE)
        instance = run_dag(way)
        assert len(emulator.tasks) == emulator.count(CREATE) == 1
        assert (instance.state, instance.try_number) == ("failed", 1)

    def test_a_create_that_certainly_did_not_run_is_tried_again(self, way: str, emulator: MpsEmulator) -> None:
        emulator.fault("error", CREATE, code="AuthFailure.SignatureExpire", times=2)  # the hook itself repeats it once
        instance = run_dag(way)
        assert (instance.state, instance.try_number) == ("success", 2)
        assert len(emulator.tasks) == 1
