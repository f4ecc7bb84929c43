"""A connection from any kind of secrets backend: for a worker, and for what waits in the triggerer."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from tests.doubles.emulators import CREATE
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import State, TaskInstance

CONN_ID = "in_a_backend"
FILE_BACKEND = "airflow.secrets.local_filesystem.LocalFilesystemBackend"
OWN_BACKEND = "tests.doubles.secrets_backends.OwnBackend"
Configure = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Let Airflow's settings name a secrets backend."""
    from airflow.sdk.configuration import clear_secrets_backends_cache

    def change(path: str, **arguments: Any) -> None:
        monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", path)
        monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND_KWARGS", json.dumps(arguments))

    yield change
    clear_secrets_backends_cache()


@pytest.fixture(params=[False, True], ids=["no-cache", "cache"])
def secrets_cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without and with Airflow's own cache of what a backend gave."""
    from airflow.sdk.execution_time.cache import SecretCache

    monkeypatch.setenv("AIRFLOW__SECRETS__USE_CACHE", str(request.param))
    monkeypatch.setattr("multiprocessing.Manager", lambda: SimpleNamespace(dict=dict))  # without a process of its own
    SecretCache.init()
    yield
    SecretCache.reset()


@pytest.mark.usefixtures("secrets_cache", "mps_short_waits")
@pytest.mark.parametrize("kind", ["file", "environment", "database", "own-sdk", "own-models", "own-async"])
def test_a_create_waits_for_room_and_for_its_task(
    kind: str,
    emulator: MpsEmulator,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    fields = emulator.connection
    own = {"connections": {CONN_ID: fields}}
    match kind:
        case "file":
            (tmp_path / "connections.json").write_text(json.dumps({CONN_ID: fields}))
            configure(FILE_BACKEND, connections_file_path=str(tmp_path / "connections.json"))
        case "environment":
            monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(fields))
        case "database":
            request.getfixturevalue("airflow_db")
            monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
            request.addfinalizer(in_the_database(fields))
        case "own-sdk":
            configure(OWN_BACKEND, module="airflow.sdk", **own)
        case "own-models":
            configure(OWN_BACKEND, module="airflow.models", **own)
        case "own-async":
            configure(OWN_BACKEND.replace("Own", "OwnAsync"), module="airflow.models", **own)
    emulator.fault(
        "error",
        CREATE,
        code="RequestLimitExceeded",
    )

    outcome = TaskInstance(
        lambda: CreateAigcAudioTaskOperator(
            task_id="create",
            mps_conn_id=CONN_ID,
            wait_for_completion=True,
            deferrable=True,
            poll_interval=0.1,
            **MUSIC_ARGUMENTS,
        ),
        retries=0,
    ).run()

    assert outcome.state is State.SUCCESS, outcome.errors
    assert {event["status"] for event in outcome.events[:-1]} == {"room"}
    assert outcome.events[-1]["status"] == "done"


def in_the_database(fields: dict[str, Any]) -> Callable[[], None]:
    """Put a connection into Airflow's database; what removes it again."""
    from airflow.models import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(Connection(conn_id=CONN_ID, **fields | {"extra": json.dumps(fields["extra"])}))

    def remove() -> None:
        with create_session() as session:
            session.query(Connection).filter(Connection.conn_id == CONN_ID).delete()

    return remove
