"""A whole Airflow as users run it, on this machine: PostgreSQL, Redis, Celery workers and several triggerers."""

import base64
import os
import pwd
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import psutil

from scripts.standalone import Airflow, free_ports, wait_for

WORKERS = ("worker1", "worker2")
TRIGGERERS = ("triggerer1", "triggerer2")

_API_PATIENCE_SECONDS = 120


@dataclass
class Component:
    """A program of the cluster, in a session of its own.

    :ivar command: its command line.
    :ivar user: who runs it; None: who runs this, with Airflow's environment.
    :ivar stop_signal: what asks it to end.
    :ivar wanted: whether it is to be started again when it ends.
    :ivar log: the output since its last start.
    """

    command: list[str]
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    wanted: bool = False
    starts: int = 0
    log: Path = Path()
    process: subprocess.Popen[bytes] | None = None


class AirflowCluster(Airflow):
    """
    Scheduler, DAG processor, API server, two Celery workers and two triggerers; PostgreSQL and Redis behind them.

    A component that ends without being asked to is started again, as a container platform does. As root, PostgreSQL
    and Redis run as the users that their Debian packages made, who must be let into ``home``.

    :param home: the AIRFLOW_HOME, which does not exist yet
    :param dags_folder: the folder of the DAGs
    :param env: environment variables for Airflow beside the process's own
    :ivar home: the AIRFLOW_HOME
    :ivar fernet_key: with which the metadata database is encrypted
    :ivar unasked_ends: the names of the components that ended without being asked to
    """

    def __init__(self, home: Path, dags_folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.fernet_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        self.unasked_ends: list[str] = []
        database_port, redis_port = free_ports(2)
        database = f"postgresql+psycopg2://airflow@127.0.0.1:{database_port}/airflow"
        own = {
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{redis_port}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "4",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__FERNET_KEY": self.fernet_key,
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
            # Two more than the workers' slots: what waits at a worker that is killed is found late.
            "AIRFLOW__CORE__PARALLELISM": "10",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            # The loss of a running task's worker is found within 40 s (Airflow's default: 5 minutes), of one that has
            # not begun within 75 s (12 minutes), of a triggerer within 20 s (30), of a scheduler within a minute (5).
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "15",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "20",
        }
        super().__init__(home, dags_folder, own | dict(env or {}))
        self._database_port = database_port
        self._postgres_data, self._redis_data = home / "postgres", home / "redis"
        as_root = os.geteuid() == 0
        self._components = {
            "postgres": Component(
                [_postgres("postgres"), "-D", str(self._postgres_data)],
                "postgres" if as_root else pwd.getpwuid(os.geteuid()).pw_name,
                stop_signal=signal.SIGINT,  # ends its clients' sessions, where SIGTERM waits for them
            ),
            "redis": Component(
                [
                    *f"redis-server --bind 127.0.0.1 --port {redis_port} --appendonly yes --dir".split(),
                    str(self._redis_data),
                ],
                "redis" if as_root else pwd.getpwuid(os.geteuid()).pw_name,
            ),
            "api-server": Component(["airflow", "api-server"]),
            "scheduler": Component(["airflow", "scheduler", "--skip-serve-logs"]),
            "dag-processor": Component(["airflow", "dag-processor"]),
        }
        for name in TRIGGERERS:
            self._components[name] = Component(["airflow", "triggerer", "--skip-serve-logs"])
        for name in WORKERS:
            ids = ["--celery-hostname", f"{name}@%h", "--pid", str(home / f"{name}.pid")]
            self._components[name] = Component(["airflow", "celery", "worker", "--skip-serve-logs", *ids])
        self._leaving = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def _start_all(self) -> None:
        for folder, server in ((self._postgres_data, "postgres"), (self._redis_data, "redis")):
            folder.mkdir(mode=0o700)
            if os.geteuid() == 0:
                user = pwd.getpwnam(self._components[server].user or "")
                os.chown(folder, user.pw_uid, user.pw_gid)
        initdb = [_postgres("initdb"), "-D", str(self._postgres_data), "-U", "airflow", "-A", "trust", "--no-sync"]
        self._run(initdb, self._components["postgres"].user)
        with (self._postgres_data / "postgresql.conf").open("a") as conf:
            conf.write(f"\nport = {self._database_port}\nlisten_addresses = '127.0.0.1'\nmax_connections = 200\n")
            conf.write("unix_socket_directories = ''\nfsync = off\n")
        for name in self._components:
            if name == "api-server":
                self._wait_for_database()
                self._run([_postgres("createdb"), *self._database_arguments, "airflow"])
                self._run(["airflow", "db", "migrate"])
            self.start_component(name)
        self._watcher.start()
        wait_for("the workers are ready", lambda: all(map(self._worker_is_ready, WORKERS)), seconds=300)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leaving.set()
        if self._watcher.is_alive():
            self._watcher.join()
        # What Airflow would still do is of no use to anybody; its servers end in order, when nobody is connected.
        for name in reversed(self._components):
            if name in ("postgres", "redis"):
                self.stop(name)
            else:
                self.kill(name)
        super().__exit__(kind, error, traceback)

    # Its components

    def start_component(self, name: str) -> None:
        """Start a component (again)."""
        component = self._components[name]
        component.starts += 1
        component.log = self.home / f"{name}.{component.starts}.log"
        component.process = self._launch(component.command, component.log, **self._options(component.user))
        component.wanted = True

    def stop(self, name: str, seconds: float = 120) -> None:
        """Ask a component to end and wait until it has; after so many seconds kill it."""
        component = self._components[name]
        component.wanted = False
        if component.process is not None:
            component.process.send_signal(component.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                component.process.wait(seconds)
        self.kill(name)

    def kill(self, name: str) -> None:
        """End a component and all that it started by SIGKILL, as a machine does that is lost."""
        self._components[name].wanted = False
        members = list(self._members(name))
        for process in members:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(members, timeout=20)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a component and all that it started."""
        for process in self._members(name):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def restart(self, name: str) -> None:
        """Stop a component, start it again, and wait until it works."""
        jobs = {"scheduler": "SchedulerJob", **dict.fromkeys(TRIGGERERS, "TriggererJob")}
        before = self._count_jobs(jobs[name]) if name in jobs else 0
        self.stop(name)
        self.start_component(name)
        if name in jobs:
            wait_for(f"{name} is back", lambda: self._count_jobs(jobs[name]) > before, seconds=180)
        elif name in WORKERS:
            wait_for(f"{name} is back", lambda: self._worker_is_ready(name), seconds=180)
        elif name == "postgres":
            self._wait_for_database()

    def _members(self, name: str) -> Iterator[psutil.Process]:
        process = self._components[name].process
        for member in self.processes() if process else ():
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                if process and os.getsid(member.pid) == process.pid:
                    yield member

    def _watch(self) -> None:
        while not self._leaving.wait(1):
            for name, component in self._components.items():
                if component.wanted and component.process and component.process.poll() is not None:
                    self.unasked_ends.append(name)
                    self.kill(name)
                    self.start_component(name)

    def _worker_is_ready(self, name: str) -> bool:
        return b" ready." in self._components[name].log.read_bytes()

    def _count_jobs(self, kind: str) -> int:
        return int(self.api("GET", f"/jobs?job_type={kind}&limit=1")["total_entries"])

    # What it knows

    def api(self, method: str, path: str, json: Any = None) -> Any:
        """Call Airflow's REST API, again and again while it does not answer: the API server may be restarting."""
        deadline = time.monotonic() + _API_PATIENCE_SECONDS
        while True:
            try:
                return super().api(method, path, json)
            except (httpx.TransportError, httpx.HTTPStatusError) as error:
                refused = isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error
                if refused or time.monotonic() > deadline:
                    raise
            time.sleep(1)

    def dump(self, *without: str) -> str:
        """The metadata database as SQL, but for the content of some tables."""
        excluded = [f"--exclude-table-data={table}" for table in without]
        return self._run([_postgres("pg_dump"), *self._database_arguments, *excluded, "airflow"]).decode()

    def sql(self, statement: str) -> None:
        """Have the metadata database carry out a statement."""
        self._run([_postgres("psql"), *self._database_arguments, "-v", "ON_ERROR_STOP=1", "-c", statement, "airflow"])

    def files(self) -> list[Path]:
        """All logs of Airflow and its servers, and what Redis keeps."""
        return [path for path in self.home.rglob("*") if path.suffix in (".log", ".aof") and path.is_file()]

    @property
    def _database_arguments(self) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(self._database_port), "-U", "airflow"]

    def _wait_for_database(self) -> None:
        ready = [_postgres("pg_isready"), *self._database_arguments, "-q"]
        wait_for("PostgreSQL answers", lambda: subprocess.run(ready).returncode == 0, seconds=60)

    def _run(self, command: list[str], user: str | None = None) -> bytes:
        options = self._options(user)
        done = subprocess.run(command, **options, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"{command} ended with code {done.returncode}: {done.stderr.decode(errors='replace')}")
        return bytes(done.stdout)

    def _options(self, user: str | None) -> dict[str, Any]:
        if user is None:
            return {"env": self.env, "cwd": self.home}
        plain = {"env": {"PATH": self.env["PATH"], "LC_ALL": "C.UTF-8"}, "cwd": self.home}
        as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        return plain | as_user

    def _logs(self) -> list[Path]:
        return sorted(self.home.glob("*.log"))


def _postgres(program: str) -> str:
    """A program of the newest PostgreSQL that is installed, where Debian's packages put it."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise RuntimeError("PostgreSQL is not installed: `make servers`")
    return str(found[-1])
