"""A whole Airflow on this machine, its processes started and ended together: `airflow standalone` on SQLite."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import httpx
import psutil

EXAMPLES = Path(__file__).parents[1] / "dags_examples"

T = TypeVar("T")


class Airflow:
    """
    An Airflow of several processes, ready when the context is entered.

    Leaving the context ends every process, those of running tasks included; left by an exception, it prints the
    end of Airflow's logs.

    :param home: the AIRFLOW_HOME, which may exist already
    :param dags_folder: the folder of the DAGs
    :param env: environment variables for Airflow beside the process's own
    :raises RuntimeError: when Airflow ends or is not ready within five minutes, or leaves a process behind
    """

    def __init__(self, home: Path, dags_folder: Path, env: Mapping[str, str]) -> None:
        [api_port] = free_ports(1)
        self.url = f"http://127.0.0.1:{api_port}"
        self.home = home
        self.env = {
            **os.environ,
            # Airflow starts its components as plain `airflow`.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(api_port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            **env,
        }
        self._started: list[subprocess.Popen[bytes]] = []
        self._http = httpx.Client(base_url=self.url, timeout=90, trust_env=False)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.push(self)
            self.home.mkdir(parents=True, exist_ok=True)
            self._start_all()
            self.wait_until_ready()
            token = self._http.get("/auth/token").raise_for_status().json()["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
            stack.pop_all()
        return self

    def _start_all(self) -> None:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()
        for stop in (signal.SIGTERM, signal.SIGKILL):
            processes = self.processes()
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(stop)
            psutil.wait_procs(processes, timeout=20)
        if isinstance(error, Exception):
            self._print_logs()
        if left := self.processes():
            raise RuntimeError(f"Airflow left processes behind: {left}")

    def start(self, *command: str) -> None:
        """Start ``airflow COMMAND`` beside what already runs; it ends with the rest."""
        self._launch(["airflow", *command], self._log)

    def _launch(
        self, command: list[str], log: Path, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command,
                env=env or self.env,
                **options,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def wait_until_ready(self) -> None:
        """Wait until the database, the scheduler, the DAG processor and the triggerer all say that they are well."""

        def healthy() -> bool:
            if self._started[0].poll() is not None:
                raise RuntimeError(f"{self._started[0].args!r} ended with code {self._started[0].returncode}")
            try:
                health = self._http.get("/api/v2/monitor/health").raise_for_status().json()
            except httpx.HTTPError:
                return False
            return all(component["status"] == "healthy" for component in health.values())

        wait_for("Airflow is ready", healthy, seconds=300)

    # What runs

    def processes(self, title: str = "") -> list[psutil.Process]:
        """Return all processes of this Airflow, or those whose command line has ``title`` in it."""
        sessions = {process.pid for process in self._started}
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                if (
                    # Tasks are in process groups of their own, but in the session.
                    os.getsid(process.pid) in sessions
                    and process.status() != psutil.STATUS_ZOMBIE
                    and title in " ".join(process.cmdline())
                ):
                    found.append(process)
        return found

    def task_process(self, dag_id: str, run_id: str, task_id: str) -> psutil.Process | None:
        """Return the process that runs the code of a task now, or None when it is not running."""
        # The title that the task runner gives itself (airflow.sdk.execution_time.task_runner).
        processes = self.processes(f"airflow worker -- {self.task(dag_id, run_id, task_id)['id']}")
        return processes[0] if processes else None

    # The REST API

    def api(self, method: str, path: str, json: Any = None) -> Any:
        """Call Airflow's REST API at ``/api/v2`` and return the decoded answer; httpx.HTTPStatusError if refused."""
        response = self._http.request(method, f"/api/v2{path}", json=json).raise_for_status()
        return response.json() if response.content else None

    def all(self, path: str, key: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield what a list of the REST API holds, under ``key`` on each of its pages."""
        offset = 0
        while page := self.api("GET", f"{path}?{urlencode({**params, 'limit': 100, 'offset': offset})}")[key]:
            yield from page
            offset += len(page)

    def unpause(self, dag_id: str) -> None:
        """Let a DAG run, as soon as it is known."""

        def known() -> bool:
            return any(dag["dag_id"] == dag_id for dag in self.api("GET", "/dags")["dags"])

        wait_for(f"DAG {dag_id} is known", known, seconds=120)
        self.api("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Unpause a DAG, as soon as it is known, and start a run with ``conf`` over its params; return the run's id."""
        self.unpause(dag_id)
        run = self.api("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float = 300) -> str:
        """Wait for the end of a run; return its state, ``success`` or ``failed``."""

        def ended() -> str | None:
            state = self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
            return state if state in ("success", "failed") else None

        return wait_for(f"run {run_id} of {dag_id} has ended", ended, seconds=seconds)

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return a task instance as the REST API gives it: ``id``, ``state``, ``try_number`` ..."""
        task: dict[str, Any] = self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}")
        return task

    def wait_for_process_end(self, dag_id: str, run_id: str, task_id: str, times: int = 1) -> None:
        """Wait until the scheduler has heard of the end of a task's process, for the n-th time.

        Airflow fails a task that a person answers before that, and asks again:
        github.com/apache/airflow/issues/72716. Only the scheduler's log tells.
        """
        of_task = f"TaskInstanceKey(dag_id={dag_id!r}, task_id={task_id!r}, run_id={run_id!r}"

        def heard() -> bool:
            lines = self._log.read_text(errors="replace").splitlines()
            return sum("Received executor event" in line and of_task in line for line in lines) >= times

        wait_for(f"a process of {task_id} has ended", heard, seconds=300)

    def mapped(self, dag_id: str, run_id: str, task_id: str) -> list[dict[str, Any]]:
        """Return the instances of a mapped task as the REST API gives them."""
        return list(self.all(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/listMapped", "task_instances"))

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task has pushed."""
        return self.api(
            "GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}?deserialize=true"
        )["value"]

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return what one try of a task has logged, a line for each event."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        log = self.api("GET", f"{path}?map_index={map_index}")
        return "\n".join(str(line["event"]) for line in log["content"])

    # The log files

    @property
    def _log(self) -> Path:
        return self.home / "standalone.log"

    def _logs(self) -> list[Path]:
        return [self._log, *sorted(self.home.glob("logs/dag_id=*/**/*.log"))]

    def _print_logs(self) -> None:
        for log in self._logs():
            if log.exists():
                lines = [line for line in log.read_text(errors="replace").splitlines() if "[http.access]" not in line]
                print(f"--- the end of {log.relative_to(self.home)}", *lines[-40:], sep="\n")


class AirflowStandalone(Airflow):
    """
    Scheduler, DAG processor, triggerer and API server with the web page, as `airflow standalone` starts them.

    :param home: the AIRFLOW_HOME, which may exist already
    :param dags_folder: the folder of the DAGs
    :param env: environment variables for Airflow beside the process's own
    """

    def __init__(self, home: Path, dags_folder: Path = EXAMPLES, env: Mapping[str, str] | None = None) -> None:
        worker_log_port, trigger_log_port = free_ports(2)
        own = {
            "AIRFLOW__CORE__PARALLELISM": "4",
            # The components share the file: wait for its lock for a minute rather than fail after 5 s.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=60",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
        }
        super().__init__(home, dags_folder, own | dict(env or {}))

    def _start_all(self) -> None:
        self.start("standalone")

    def kill_triggerer(self) -> None:
        """End the triggerer by SIGKILL, with the processes that it started."""
        [triggerer] = [
            process for process in self.processes("airflow triggerer") if "triggerer" not in process.parent().cmdline()
        ]
        killed = [triggerer, *triggerer.children(recursive=True)]
        for process in killed:
            process.kill()
        psutil.wait_procs(killed, timeout=20)

    def kill_scheduler(self) -> None:
        """End the scheduler by SIGKILL. Its workers go on."""
        [scheduler] = self.processes("airflow scheduler")
        killed = [scheduler, *(process for process in scheduler.children() if "serve-logs" in process.cmdline()[0])]
        for process in killed:
            process.kill()
        psutil.wait_procs(killed, timeout=20)


def wait_for(what: str, condition: Callable[[], T | None], seconds: float, every: float = 0.5) -> T:
    """Ask, at this interval, until ``condition`` gives something true; return that. RuntimeError after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"Waited {seconds} s in vain until {what}")
        time.sleep(every)
    return found


def free_ports(count: int) -> list[int]:
    """Find ports of this machine that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
