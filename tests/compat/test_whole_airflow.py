"""A scheduler and a triggerer of this version of Airflow: what a task that is paid for survives."""

import json
import platform
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from scripts.standalone import EXAMPLES, AirflowStandalone, wait_for
from tests.compat.versions import AIRFLOW, REMEMBERS
from tests.doubles.recipes import BY_A_POLICY, RECIPES

# One Airflow for all of them, in one process.
pytestmark = [pytest.mark.compat, pytest.mark.xdist_group("whole Airflow")]

Tell = Callable[[str, object], None]
"""A cell of the table in docs/versions.md."""

DAGS = Path(__file__).parent / "dags"
IN_A_LOOP = "make_until_it_pleases"

BOTH = {"": "", "_with_memory": " with `memory`"}
"""With the connection's `memory` and without: what a DAG's id ends with, and a cell's name."""
with_and_without = pytest.mark.parametrize("with_memory", BOTH, ids=lambda value: value[1:] or "without_memory")


class WatchedAirflow(AirflowStandalone):
    """One that is watched by its database: the API is another one in each version."""

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

    def one(self, query: str, *values: str) -> Any:
        """The only value that a query finds; None where it finds nothing."""
        with closing(sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=60)) as database:
            try:
                row = database.execute(query, values).fetchone()
            except sqlite3.OperationalError:  # there is no table yet
                row = None
        return row[0] if row else None

    def wait_for_end(self, dag_id: str) -> str:
        """The state in which a DAG's only run ends."""

        def ended() -> str | None:
            state = self.one("SELECT state FROM dag_run WHERE dag_id = ?", dag_id)
            return state if state in ("success", "failed") else None

        return wait_for(f"{dag_id} has ended", ended, seconds=1200)

    def wait_for_deferral(self, dag_id: str, try_number: int) -> None:
        """Wait until a DAG's create waits in the triggerer, in this try."""
        # 3.4 keeps earlier tries in this table.
        query = "SELECT MAX(try_number) FROM task_instance WHERE state = 'deferred' AND dag_id = ?"
        wait_for(f"try {try_number} of {dag_id} waits", lambda: self.one(query, dag_id) == try_number, seconds=1200)

    def clear(self, dag_id: str, task_id: str = "create") -> None:
        """Clear a DAG's task and what follows it, as the page does where it has an API for that."""
        if AIRFLOW < (3,):
            command = ["airflow", "tasks", "clear", "--yes", "--downstream", "--task-regex", f"^{task_id}$", dag_id]
            subprocess.run(command, env=self.env, check=True, capture_output=True)
            return
        run_id = self.one("SELECT run_id FROM dag_run WHERE dag_id = ?", dag_id)
        which = {"dag_run_id": run_id, "task_ids": [task_id], "only_failed": False, "include_downstream": True}
        self.api("POST", f"/dags/{dag_id}/clearTaskInstances", which | {"dry_run": False})

    def log_in(self) -> None:
        """Take a token for the API, and have it ready for tasks: building that part takes longer than they wait."""

        def token() -> str | None:
            try:
                self._http.get("/execution/health").raise_for_status()
                return str(self._http.get("/auth/token").raise_for_status().json()["access_token"])
            except httpx.HTTPError:
                return None

        self._http.headers["Authorization"] = f"Bearer {wait_for('the API is there', token, seconds=300)}"

    def results(self, path: str, **params: Any) -> httpx.Response:
        """What the results page's own address answers."""
        return self._http.get(f"/mps/{path}", params=params)

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


@dataclass
class Running:
    """An Airflow in which all DAGs run, each once.

    :ivar emulator: most DAGs' MPS.
    :ivar held: one whose tasks go on until they are let go.
    :ivar full: one that has room for a single task, which is there.
    :ivar waiting: one whose tasks do not begin, and so can be aborted.
    """

    airflow: WatchedAirflow
    emulator: MpsEmulator
    held: MpsEmulator
    full: MpsEmulator
    waiting: MpsEmulator
    folder: Path

    def ended(self, dag_id: str) -> Ended:
        """How a DAG's run has ended, when it has."""
        state = self.airflow.wait_for_end(dag_id)
        files = len(list((self.folder / "kept" / dag_id).glob("*")))
        creates = len(created(self.emulator, dag_id)) + len(created(self.held, dag_id))
        return Ended(state, creates, files, partial(self.airflow.log, dag_id))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """All DAGs run at once; the triggerer is killed while two of them wait, and another one started."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("kept", "dags", "memory"):
        (folder / name).mkdir()
    with (
        MpsEmulator(run_seconds=12) as emulator,
        MpsEmulator(run_seconds=2) as held,
        MpsEmulator(running_tasks=1, run_seconds=2) as full,
        MpsEmulator(wait_seconds=3600) as waiting,
    ):
        held.fault("never_done", "CreateAigcAudioTask", times=None)
        full.fault("never_done", "CreateAigcAudioTask")
        connections = {
            "AIRFLOW_CONN_TENCENT_MPS_DEFAULT": emulator.connection,
            "AIRFLOW_CONN_HELD_MPS": held.connection,
            "AIRFLOW_CONN_FULL_MPS": full.connection,
            "AIRFLOW_CONN_WAITING_MPS": waiting.connection,
        }
        for name in ("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", "AIRFLOW_CONN_HELD_MPS"):
            extra = connections[name]["extra"] | {"memory": f"file://{folder}/memory"}
            connections[f"{name}_WITH_MEMORY"] = connections[name] | {"extra": extra}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AIRFLOW_CONN_FULL_MPS", json.dumps(full.connection))
            MpsHook("full_mps").create_aigc_audio_task(
                model_name="MiniMaxMusic", model_version="2.6", scene_type="music", prompt="It takes the room"
            )
        env = {name: json.dumps(connection) for name, connection in connections.items()} | {
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
            "KEPT_FILES": str(folder / "kept"),
            "SOUNDTRACKS_FOLDER": f"file://{folder}/kept",
        }
        with WatchedAirflow(folder / "airflow", folder / "dags", env) as airflow:
            if AIRFLOW >= (3,):  # a task that begins before that fails
                airflow.log_in()
            put_dags(folder / "dags")
            in_the_triggerer = [f"in_the_triggerer{with_memory}" for with_memory in BOTH]
            for dag_id in in_the_triggerer:
                wait_for(f"{dag_id} is polled", partial(polled, held, dag_id), seconds=1200)
            airflow.kill_triggerer()
            airflow.start("triggerer")
            for dag_id in in_the_triggerer:
                let_go(held, dag_id)
            yield Running(airflow, emulator, held, full, waiting, folder)


@pytest.fixture(scope="module")
def ended(running: Running) -> Callable[[str], Ended]:
    """How a DAG's run has ended, before anything else happens to it."""
    return cache(running.ended)


def put_dags(folder: Path) -> None:
    """Put the DAGs where Airflow reads them: those of this folder, and what the docs and examples show."""
    for path in (DAGS / "under_fire.py", EXAMPLES / f"{IN_A_LOOP}.py"):
        (folder / path.name).symlink_to(path)
    if AIRFLOW >= (3, 3):
        recipe = RECIPES[BY_A_POLICY].replace("seconds=30", "seconds=1").replace("minutes=2", "seconds=2")
        (folder / "recipe.py").write_text(recipe.replace('task_id="', 'mps_conn_id="full_mps", task_id="'))


def created(emulator: MpsEmulator, dag_id: str) -> list[str]:
    """The tasks that a DAG made."""
    return [task.task_id for task in emulator.tasks if f'"{dag_id}"' in json.dumps(task.params)]


def polled(emulator: MpsEmulator, dag_id: str) -> bool:
    """Whether the task that a DAG made was asked for more than once."""
    ids = created(emulator, dag_id)
    return sum(request.params.get("TaskId") in ids for request in emulator.requests) > 1


def let_go(emulator: MpsEmulator, dag_id: str) -> None:
    """Have the tasks end that a DAG made."""
    for task in emulator.tasks:
        if task.params["Prompt"] == dag_id:
            task.never_done = False


def told(found: Ended) -> str:
    if found.state != "success":
        return "the Airflow task fails"
    return "goes on" if found.creates == 1 else "pays again"


@with_and_without
def test_a_wait_survives_the_triggerer(ended: Callable[[str], Ended], with_memory: str, record_property: Tell) -> None:
    found = ended(f"in_the_triggerer{with_memory}")
    record_property("Python", ".".join(platform.python_version_tuple()[:2]))
    record_property(f"A triggerer is killed{BOTH[with_memory]}", told(found))
    assert found == Ended("success", creates=1, files=1)


def test_a_sensor_waits_without_a_worker(ended: Callable[[str], Ended]) -> None:
    assert ended("by_a_sensor") == Ended("success", creates=1, files=1)


@with_and_without
def test_a_killed_process(
    running: Running, ended: Callable[[str], Ended], with_memory: str, record_property: Tell
) -> None:
    dag_id = f"process_killed{with_memory}"
    found = ended(dag_id)
    cell = told(found)
    if AIRFLOW[:2] == (3, 0):  # which does not retry it
        assert found == Ended("failed", creates=1, files=0)
        if with_memory:
            running.airflow.clear(dag_id)
            cleared = running.ended(dag_id)
            cell += f"; cleared, it {told(cleared)}"
            assert cleared == Ended("success", creates=1, files=1)
    else:
        assert found == Ended("success", creates=1 if REMEMBERS or with_memory else 2, files=1)
    record_property(f"The task's process is killed{BOTH[with_memory]}", cell)


@with_and_without
def test_a_failure_after_execute(ended: Callable[[str], Ended], with_memory: str, record_property: Tell) -> None:
    found = ended(f"fails_after_execute{with_memory}")
    record_property(f"What follows `execute()` fails{BOTH[with_memory]}", told(found))
    assert found == Ended("success", creates=1 if REMEMBERS or with_memory else 2, files=1)


def test_a_retry_that_pays_again_says_so(ended: Callable[[str], Ended]) -> None:
    warned = "this try sends, and may pay for, its request anew" in ended("fails_after_execute").log("create")
    assert warned is not REMEMBERS
    assert "may pay for, its request anew" not in ended("fails_after_execute_with_memory").log("create")


@with_and_without
def test_a_clear(running: Running, with_memory: str, record_property: Tell) -> None:
    """Of a create that is under way, and then of the same when it is done."""
    dag_id = f"cleared{with_memory}"
    airflow, held = running.airflow, running.held
    airflow.wait_for_deferral(dag_id, try_number=1)
    airflow.clear(dag_id)
    airflow.wait_for_deferral(dag_id, try_number=2)
    let_go(held, dag_id)
    under_way = running.ended(dag_id)
    record_property(f"A create under way is cleared{BOTH[with_memory]}", told(under_way))
    goes_on = AIRFLOW[:2] == (3, 3) or bool(with_memory)
    assert under_way == Ended("success", creates=1 if goes_on else 2, files=0)
    discarded = "an earlier task may be under way and paid for" in under_way.log("create")
    assert discarded is (AIRFLOW >= (3, 4) and not with_memory)

    airflow.clear(dag_id)
    airflow.wait_for_deferral(dag_id, try_number=3)
    let_go(held, dag_id)
    done = running.ended(dag_id)
    anew = done.creates - under_way.creates
    record_property(f"A create that is done is cleared{BOTH[with_memory]}", "makes a new one" if anew else "goes on")
    assert (done.state, anew) == ("success", 1)


def test_a_deferral_says_where_a_kill_does_not_abort(ended: Callable[[str], Ended], record_property: Tell) -> None:
    found = ended("film")
    assert found == Ended("success", creates=1, files=0)
    goes_on = "If you end this Airflow task while it is deferred" in found.log("transcode")
    record_property("A deferred ProcessMedia is ended by a user", "goes on at MPS" if goes_on else "is aborted")
    assert goes_on is (AIRFLOW < (3, 3))


@pytest.mark.skipif(AIRFLOW < (3, 4), reason="a clear discards nothing before 3.4; on 3.3 `make e2e` plays it")
def test_a_clear_aborts_a_film_that_nothing_goes_on_with(running: Running) -> None:
    airflow, mps, dag_id = running.airflow, running.waiting, "film_cleared"
    wait_for("the triggerer polls", partial(polled, mps, dag_id), seconds=1200)
    airflow.clear(dag_id, "transcode")
    airflow.wait_for_deferral(dag_id, try_number=2)
    wait_for("MPS was asked to abort it", lambda: mps.tasks[0].aborted_at is not None, seconds=120)
    assert [task.aborted_at is not None for task in mps.tasks] == [True, False]


@pytest.mark.skipif(AIRFLOW < (3, 4), reason="Airflow has loops from 3.4 on")
class TestALoop:
    def test_each_iteration_makes_a_film_and_a_song_and_its_retry_no_other(self, ended: Callable[[str], Ended]) -> None:
        assert ended("loop") == Ended("success", creates=4, files=0)

    def test_the_example_makes_takes_until_one_pleases(self, running: Running) -> None:
        airflow = running.airflow
        run_id = airflow.trigger(IN_A_LOOP, prompt="a jingle")
        path = f"/dags/{IN_A_LOOP}/dagRuns/{run_id}"
        asked = f"{path}/hitlDetails?state=awaiting_input&response_received=false"
        answers = (("Another one", "a slower jingle"), ("Another one", ""), ("Publish", ""))
        for number, (answer, prompt) in enumerate(answers):
            [question] = wait_for(
                "the next take is there", lambda: airflow.api("GET", asked)["hitl_details"], seconds=300
            )
            # Each answer so far has made a process of its own.
            airflow.wait_for_process_end(IN_A_LOOP, run_id, "takes.verdict", times=2 * number + 1)
            where = {name: question["task_instance"][name] for name in ("region_id", "region_index")}
            answered = {"chosen_options": [answer], "params_input": {"prompt": prompt}}
            airflow.api("PATCH", f"{path}/taskInstances/takes.verdict/-1/hitlDetails?{urlencode(where)}", answered)
        assert airflow.wait_for_run(IN_A_LOOP, run_id) == "success"
        takes = sorted((running.folder / "kept" / "takes").glob("*/*/*/*"))
        [published] = (running.folder / "kept" / "published").glob("*/*/*")
        assert [take.parent.name for take in takes] == ["1", "2", "3"]
        assert published.read_bytes() == takes[-1].read_bytes()
        made = [task.params["Prompt"] for task in running.emulator.tasks if "jingle" in task.params.get("Prompt", "")]
        assert made == ["a jingle", "a slower jingle", "a jingle"]
        of_run = {"dag_id": IN_A_LOOP, "run_id": run_id}
        heard = set()
        for each in airflow.results("takes", **of_run).raise_for_status().json()["takes"]:
            place = {name: each[name] for name in ("task_id", "map_index", "region_id")}
            if each["files"]:
                heard.add(airflow.results("file", **of_run, **place).headers["Location"])
        assert len(heard) == 3, "the results page has the take of each iteration"


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="Airflow has retry policies from 3.3 on")
def test_a_create_without_room_comes_back_by_a_retry_policy(running: Running) -> None:
    """Without a worker and without a triggerer, and from 3.4 on without using up a retry."""
    airflow, full = running.airflow, running.full
    run_id = airflow.trigger(BY_A_POLICY)
    away = "SELECT 1 FROM task_instance WHERE dag_id = ? AND state = ?"
    state = "up_for_reschedule" if AIRFLOW >= (3, 4) else "up_for_retry"
    wait_for("it has left", lambda: airflow.one(away, BY_A_POLICY, state), seconds=1200)
    assert full.refused_for_room
    full.tasks[0].never_done = False
    assert airflow.wait_for_run(BY_A_POLICY, run_id) == "success"
    assert len(full.tasks) == 2
    assert (airflow.task(BY_A_POLICY, run_id, "create")["try_number"] == 1) is (AIRFLOW >= (3, 4))
