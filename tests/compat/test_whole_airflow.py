"""A scheduler and a triggerer of this version of Airflow: what a task that is paid for survives."""

import json
import platform
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone, wait_for
from tests.compat.versions import AIRFLOW, REMEMBERS

pytestmark = pytest.mark.compat

Tell = Callable[[str, object], None]
"""A cell of the table in docs/versions.md."""

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

    def log(self, dag_id: str, task_id: str) -> str:
        """All that the tries of a task of a DAG's only run have logged."""
        logs = (self.home / "logs" / f"dag_id={dag_id}").glob(f"*/task_id={task_id}/attempt=*")
        return "\n".join(path.read_text() for path in sorted(logs))


@dataclass
class Ended:
    """How the only run of a DAG has ended.

    :ivar creates: how many tasks were paid for.
    :ivar files: how many files it left.
    :ivar log: what its tasks have logged, by task id.
    """

    state: str
    creates: int
    files: int
    log: Callable[[str], str] = field(default=str, compare=False)


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
                files = len(list((folder / "kept" / dag_id).glob("*")))
                return Ended(state, len(created(emulator, dag_id)), files, partial(airflow.log, dag_id))

            yield end


def created(emulator: MpsEmulator, dag_id: str) -> list[str]:
    """The tasks that a DAG made."""
    return [task.task_id for task in emulator.tasks if dag_id in json.dumps(task.params)]


def polls(emulator: MpsEmulator, dag_id: str) -> int:
    """How often the task that a DAG made was asked for."""
    ids = created(emulator, dag_id)
    return sum(request.params.get("TaskId") in ids for request in emulator.requests)


def test_a_wait_survives_the_triggerer(ended: Callable[[str], Ended], record_property: Tell) -> None:
    found = ended("in_the_triggerer")
    record_property("Python", ".".join(platform.python_version_tuple()[:2]))
    record_property("A triggerer is killed", told(found))
    assert found == Ended("success", creates=1, files=1)


def test_a_sensor_waits_without_a_worker(ended: Callable[[str], Ended]) -> None:
    assert ended("by_a_sensor") == Ended("success", creates=1, files=1)


def told(found: Ended) -> str:
    if found.state != "success":
        return "the Airflow task fails"
    return "goes on" if found.creates == 1 else "pays again"


def test_a_killed_process(ended: Callable[[str], Ended], record_property: Tell) -> None:
    found = ended("process_killed")
    record_property("The task's process is killed", told(found))
    if AIRFLOW[:2] == (3, 0):  # which does not retry it
        assert found == Ended("failed", creates=1, files=0)
    else:
        assert found == Ended("success", creates=1 if REMEMBERS else 2, files=1)


def test_a_failure_after_execute(ended: Callable[[str], Ended], record_property: Tell) -> None:
    found = ended("fails_after_execute")
    record_property("What follows `execute()` fails", told(found))
    assert found == Ended("success", creates=1 if REMEMBERS else 2, files=1)


def test_a_retry_that_pays_again_says_so(ended: Callable[[str], Ended]) -> None:
    warned = "this try creates, and pays for, a new task" in ended("fails_after_execute").log("create")
    assert warned is not REMEMBERS


def test_a_deferral_says_where_a_kill_does_not_abort(ended: Callable[[str], Ended], record_property: Tell) -> None:
    found = ended("film")
    assert found == Ended("success", creates=1, files=0)
    goes_on = "If you end this Airflow task while it is deferred" in found.log("create")
    record_property("A deferred ProcessMedia is ended by a user", "goes on at MPS" if goes_on else "is aborted")
    assert goes_on is (AIRFLOW < (3, 3))
