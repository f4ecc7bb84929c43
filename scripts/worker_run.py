"""One run of a worker of each kind that a create takes: Airflow's own processes, with its API server played.

Run as a module it makes runs of the package that it imports; see :class:`Checkout`.
"""

import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import httpx

ROOT = Path(__file__).parents[1]
EMPTY = "an empty task"
KINDS = ("refused", "sent", "finished", EMPTY)
NOW = datetime.now(UTC).isoformat()
_MARK = "run: "
CREATE = "CreateAigcAudioTask"
CONN_ID = "tencent_mps_default"
DAG = """
from airflow.providers.common.compat.sdk import DAG, BaseOperator
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator

with DAG("dag", schedule=None):
    CreateAigcAudioTaskOperator.partial(
        task_id="create", model_name="MiniMaxMusic", model_version="2.6", scene_type="music",
        wait_for_completion=True, deferrable=True,
    ).expand(prompt=[f"Tune number {number}" for number in range(200)])
"""
EMPTY_DAG = """
from airflow.providers.common.compat.sdk import DAG, BaseOperator

class Empty(BaseOperator):
    def __init__(self, *, prompt, **kwargs):
        super().__init__(**kwargs)
        self.prompt = prompt

    def execute(self, context):
        return self.prompt

with DAG("dag", schedule=None):
    Empty.partial(task_id="create").expand(prompt=[f"Tune number {number}" for number in range(200)])
"""


@dataclass
class ApiServer:
    """Airflow's execution API for one task instance: what a task asks of it, and what it leaves.

    :param connections: by id, as ``AIRFLOW_CONN_...`` has them in JSON.
    :ivar asked: how often what was asked, such as ``GET connections``.
    :ivar state: the task instance's state, with what a deferral says.
    """

    connections: dict[str, dict[str, Any]]
    asked: Counter[str] = field(default_factory=Counter)
    state: dict[str, Any] = field(default_factory=dict)
    store: dict[str, Any] = field(default_factory=dict)
    next_method: str | None = None
    next_kwargs: dict[str, Any] | None = None

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Play one request."""
        parts = [unquote(part) for part in request.url.path.strip("/").split("/")]
        body: Any = json.loads(request.content) if request.content else None
        kind = f"{request.method} {parts[0]}"
        match request.method, parts:
            case _, ["task-instances", _, what]:
                kind += f" {what}"
                if what == "run":
                    self.asked[kind] += 1
                    return httpx.Response(200, json=self._context())
                if what == "state":
                    self.state = body
            case "GET", ["connections", conn_id]:
                self.asked[kind] += 1
                found = self.connections[conn_id]
                extra = found.get("extra")
                said = {
                    "conn_id": conn_id,
                    **{name: found.get(name) for name in ("conn_type", "host", "login", "password", "schema", "port")},
                    "extra": extra if extra is None or isinstance(extra, str) else json.dumps(extra),
                }
                return httpx.Response(200, json=said)
            case "POST", ["xcoms", *_, key]:
                kind += f" {key}"
            case "GET", ["store", "ti", _, key]:
                self.asked[kind] += 1
                if key in self.store:
                    return httpx.Response(200, json={"value": self.store[key]})
                return httpx.Response(404, json={"detail": {"reason": "not_found", "message": "no such key"}})
            case "PUT", ["store", "ti", _, key]:
                self.store[key] = body["value"]
            case "DELETE", ["store", "ti", _, key]:
                self.store.pop(key, None)
            case _:
                raise AssertionError(f"not played: {request.method} {request.url}")
        self.asked[kind] += 1
        return httpx.Response(200, json={"message": "", "ok": True})

    def _context(self) -> dict[str, Any]:
        run: dict[str, Any] = {
            **dict.fromkeys(("logical_date", "data_interval_start", "data_interval_end", "end_date", "partition_key")),
            "dag_id": "dag",
            "run_id": "run",
            "run_after": NOW,
            "start_date": NOW,
            "run_type": "manual",
            "state": "running",
            "consumed_asset_events": [],
        }
        return {
            "dag_run": run,
            "max_tries": 0,
            "should_retry": False,
            "next_method": self.next_method,
            "next_kwargs": self.next_kwargs,
        }

    def resume(self, event: dict[str, Any]) -> None:
        """As the triggerer's event does: the next run goes on where the last one deferred."""
        self.next_method = self.state["next_method"]
        self.next_kwargs = {**(self.state["next_kwargs"] or {}), "event": event}


@dataclass(frozen=True)
class Run:
    """What a run of a worker cost.

    :ivar state: in which state it left the task instance.
    :ivar task_cpu: seconds of CPU of the task's process.
    :ivar supervisor_cpu: of the process that started it, which asks the API server for it.
    :ivar asked: what it asked the API server.
    """

    state: str
    task_cpu: float
    supervisor_cpu: float
    asked: Counter[str]


def run_once(server: ApiServer, dag_file: Path, task_id: str, map_index: int, log: Path) -> Run:
    """Run a task instance of the DAG ``dag`` once, in a process of its own."""
    from airflow.executors.workloads.base import BundleInfo
    from airflow.executors.workloads.task import TaskInstanceDTO
    from airflow.sdk.api.client import Client
    from airflow.sdk.execution_time.supervisor import supervise_task

    # supervise_task asks for another class than executors hand it.
    ti: Any = TaskInstanceDTO(
        id=uuid.uuid4(),
        dag_id="dag",
        task_id=task_id,
        run_id="run",
        map_index=map_index,
        try_number=1,
        dag_version_id=uuid.uuid4(),
        queue="default",
        pool_slots=1,
        priority_weight=1,
    )
    server.asked, server.state = Counter(), {}
    transport = httpx.MockTransport(server.answer)
    before = _cpu()
    with Client(base_url="http://played", token="", transport=transport) as client:
        supervise_task(
            ti=ti,
            bundle_info=BundleInfo(name="dags-folder", version=None),
            dag_rel_path=dag_file.name,
            token="",
            log_path=str(log),
            client=client,
        )
    after = _cpu()
    return Run(str(server.state.get("state")), after[0] - before[0], after[1] - before[1], server.asked)


def _cpu() -> tuple[float, float]:
    """Seconds of CPU of this process's children, and of itself."""
    both = [resource.getrusage(whose) for whose in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    children, own = (each.ru_utime + each.ru_stime for each in both)
    return children, own


def main() -> None:
    """Make a run of each kind for each line on standard input: the connections to an account, and to a full one."""
    with tempfile.TemporaryDirectory(prefix="worker-run-") as folder:
        dags, log = Path(folder, "dags"), Path(folder, "log")
        dags.mkdir()
        (dags / "songs.py").write_text(DAG)
        (dags / "empty.py").write_text(EMPTY_DAG)
        os.environ |= {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            # How soon the supervisor notices the end of the task's process; else each run takes six seconds.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        }
        # What the process has whose workers LocalExecutor forks.
        import airflow.executors.local_executor
        import airflow.jobs.scheduler_job_runner  # noqa: F401

        gc.freeze()  # as it does before that
        for line in sys.stdin:
            free, full = json.loads(line)
            for kind, run in _of_each_kind(free, full, dags, log):
                if run.state != ("success" if kind in ("finished", EMPTY) else "deferred"):
                    raise RuntimeError(f"{kind} ended as {run.state}\n{log.read_text()}")
                print(f"{_MARK}{json.dumps({'kind': kind, **vars(run)})}", flush=True)


def _of_each_kind(free: dict[str, Any], full: dict[str, Any], dags: Path, log: Path) -> Iterator[tuple[str, Run]]:
    def run(server: ApiServer, file: str = "songs.py") -> Run:
        return run_once(server, dags / file, "create", 7, log)

    yield EMPTY, run(ApiServer({}), "empty.py")
    server = ApiServer({CONN_ID: full})
    yield "refused", run(server)
    waits = server.state["trigger_kwargs"]
    server.connections = {CONN_ID: free}
    server.resume({"status": "room", "ticket": waits["ticket"], "began": waits["began"], "message": ""})
    yield "sent", run(server)
    task_id = server.state["trigger_kwargs"]["mps_task_id"]
    server.resume({"status": "done", "mps_task_id": task_id, "message": ""})
    yield "finished", run(server)


class Checkout:
    """A checkout of this package, whose runs are made in a process of its own; MPS is this one's emulator.

    :param folder: of the checkout.
    :ivar runs: the :class:`Run` s of each kind, as dicts.
    """

    def __init__(self, folder: Path) -> None:
        self.runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self._folder = folder

    def __enter__(self) -> Self:
        from airflow_provider_mps.emulator import MpsEmulator  # here: the other process has none of it

        with ExitStack() as stack:
            free = stack.enter_context(MpsEmulator(wait_seconds=0, run_seconds=0))
            full = stack.enter_context(MpsEmulator())
            full.fault(
                "error",
                CREATE,
                code="RequestLimitExceeded",
                message="The task reached the maximum concurrency.",
                times=None,
            )
            self._accounts = json.dumps([free.connection, full.connection])
            env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
            # Byte code is written by the first run and read by the others, as where a worker runs.
            env.pop("PYTHONDONTWRITEBYTECODE", None)
            env["PYTHONPATH"] = f"{self._folder}{os.pathsep}{ROOT}"
            self._process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-P", "-m", "scripts.worker_run"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=env,
                    text=True,
                )
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def one_round(self) -> None:
        """One run of each kind."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{self._accounts}\n")
        self._process.stdin.flush()
        for _ in KINDS:
            while not (line := self._process.stdout.readline()).startswith(_MARK):
                if not line:
                    raise RuntimeError("the process of the runs has ended")
            run = json.loads(line.removeprefix(_MARK))
            self.runs[run["kind"]].append(run)

    def cpu(self, kind: str) -> float:
        """Milliseconds of CPU of a run, of the task's process and its supervisor: the least of all rounds.

        A process that has to share its core with others needs more, so the least says most about the code.
        """
        return 1000.0 * min(float(run["task_cpu"] + run["supervisor_cpu"]) for run in self.runs[kind])

    def asked(self, kind: str) -> Counter[str]:
        """What a run asked the API server, heartbeats left out: these are by the clock."""
        [*_, last] = self.runs[kind]
        return Counter({what: count for what, count in last["asked"].items() if not what.endswith("heartbeat")})


if __name__ == "__main__":
    main()
