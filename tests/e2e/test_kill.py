"""A user ends, or clears, a task that waits in the triggerer of a whole Airflow."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone, wait_for

pytestmark = pytest.mark.e2e

DAG_ID, TASK_ID = "ended_by_a_user", "transcode"
DAG_FILE = f"""
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mps.operators.mps import ProcessMediaOperator

with DAG("{DAG_ID}", schedule=None):
    ProcessMediaOperator(
        task_id="{TASK_ID}",
        input_url="https://example.com/film.mp4",
        output_cos={{"Bucket": "films-1250000000", "Region": "ap-singapore"}},
        media_process_task={{"TranscodeTaskSet": [{{"Definition": 100010}}]}},
        wait_for_completion=True,
        deferrable=True,
        poll_interval=1,
    )
"""


@pytest.fixture(scope="module")
def emulator() -> Iterator[MpsEmulator]:
    """Its tasks wait for ten minutes: until then MPS can abort them."""
    with MpsEmulator(wait_seconds=600) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, emulator: MpsEmulator) -> Iterator[AirflowStandalone]:
    folder = tmp_path_factory.mktemp("kill")
    dags: Path = folder / "dags"
    dags.mkdir()
    (dags / f"{DAG_ID}.py").write_text(DAG_FILE)
    env = {"AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(emulator.connection)}
    with AirflowStandalone(folder / "airflow", dags, env) as airflow:
        yield airflow


def wait_until_polled(airflow: AirflowStandalone, emulator: MpsEmulator) -> str:
    """Start a run and wait until its task is polled from the triggerer; the run's id."""
    emulator.reset()
    run_id = airflow.trigger(DAG_ID)
    wait_for("the triggerer polls", lambda: emulator.count("DescribeTaskDetail") > 1, seconds=120)
    return run_id


def test_a_task_marked_failed_is_aborted_at_mps(airflow: AirflowStandalone, emulator: MpsEmulator) -> None:
    run_id = wait_until_polled(airflow, emulator)
    airflow.api("PATCH", f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{TASK_ID}", {"new_state": "failed"})
    [task] = emulator.tasks
    wait_for("MPS was asked to abort it", lambda: task.aborted_at is not None, seconds=60)
    assert emulator.count("ManageTask") == 1


def test_a_task_that_is_cleared_goes_on_with_the_same_one(airflow: AirflowStandalone, emulator: MpsEmulator) -> None:
    run_id = wait_until_polled(airflow, emulator)
    clear = {"dry_run": False, "dag_run_id": run_id, "task_ids": [TASK_ID], "only_failed": False}
    airflow.api("POST", f"/dags/{DAG_ID}/clearTaskInstances", clear)
    wait_for("it runs again", lambda: airflow.task(DAG_ID, run_id, TASK_ID)["try_number"] == 2, seconds=120)
    polled = emulator.count("DescribeTaskDetail")
    wait_for("it is polled again", lambda: emulator.count("DescribeTaskDetail") > polled + 2, seconds=120)
    assert (len(emulator.tasks), emulator.count("ManageTask")) == (1, 0)
