"""A scheduler and a triggerer of this version of Airflow: what a task that is paid for survives."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone, wait_for
from tests.compat.versions import AIRFLOW

pytestmark = pytest.mark.compat

DAGS = Path(__file__).parent / "dags"


class WatchedAirflow(AirflowStandalone):
    """One that is only watched from outside, by its database: the API is another one in each version."""

    def __enter__(self) -> "WatchedAirflow":
        self.home.mkdir(parents=True)
        if AIRFLOW >= (3,):
            self.start("standalone")
        else:
            self.start("db", "migrate")
            assert self._started[-1].wait() == 0
            self.start("scheduler")
            self.start("triggerer")
        return self

    def state(self, dag_id: str) -> str:
        """The state of a DAG's only run; empty before there is one."""
        with closing(sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=60)) as database:
            try:
                row = database.execute("SELECT state FROM dag_run WHERE dag_id = ?", (dag_id,)).fetchone()
            except sqlite3.OperationalError:  # there is no table yet
                row = None
        return str(row[0]) if row else ""


@dataclass
class Ended:
    """How the only run of a DAG has ended.

    :ivar creates: how many tasks were paid for.
    :ivar files: how many files it left.
    """

    state: str
    creates: int
    files: int


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Ended]]:
    """All DAGs run at once; the triggerer is killed while they wait, and another one started."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "kept").mkdir()
    with MpsEmulator(run_seconds=12) as emulator:
        env = {
            "AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(emulator.connection),
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
            "KEPT_FILES": str(folder / "kept"),
        }
        with WatchedAirflow(folder / "airflow", DAGS, env) as airflow:
            wait_for("the triggerer polls", lambda: polls(emulator, "in_the_triggerer") > 1, seconds=240)
            airflow.kill_triggerer()
            airflow.start("triggerer")

            def end(dag_id: str) -> Ended:
                state = wait_for(
                    f"{dag_id} has ended",
                    lambda: state if (state := airflow.state(dag_id)) in ("success", "failed") else None,
                    seconds=240,
                )
                creates = [task for task in emulator.tasks if task.params["Prompt"] == dag_id]
                return Ended(state, len(creates), len(list((folder / "kept" / dag_id).glob("*"))))

            yield end


def polls(emulator: MpsEmulator, dag_id: str) -> int:
    """How often the task that a DAG made was asked for."""
    ids = [task.task_id for task in emulator.tasks if task.params["Prompt"] == dag_id]
    return sum(request.params.get("TaskId") in ids for request in emulator.requests)


def test_a_wait_survives_the_triggerer(ended: Callable[[str], Ended], record_property: Callable[..., None]) -> None:
    assert ended("in_the_triggerer") == Ended("success", creates=1, files=1)


def test_a_sensor_waits_without_a_worker(ended: Callable[[str], Ended]) -> None:
    assert ended("by_a_sensor") == Ended("success", creates=1, files=1)


def told(found: Ended) -> str:
    if found.state != "success":
        return "the task fails; no retry"
    return "goes on with the task" if found.creates == 1 else "pays again, and says so"


def test_a_killed_process(ended: Callable[[str], Ended], record_property: Callable[..., None]) -> None:
    found = ended("process_killed")
    record_property("retry after the task's process was killed", told(found))
    # Airflow 3.0 does not retry it.
    assert found == (Ended("failed", 1, 0) if AIRFLOW[:2] == (3, 0) else Ended("success", 1, 1))


def test_a_failure_after_execute(ended: Callable[[str], Ended], record_property: Callable[..., None]) -> None:
    found = ended("fails_after_execute")
    record_property("retry after what follows execute() failed", told(found))
    assert found == Ended("success", 1, 1)
