"""Emulators of MPS whose tasks end soon, and connections that lead to them."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from tests.doubles.logs import forget_secrets

CREATE = "CreateAigcAudioTask"
DESCRIBE = "DescribeAigcAudioTask"


@contextmanager
def emulated(conn_id: str, *, timeout: float = 30, memory: str = "", **arguments: Any) -> Iterator[MpsEmulator]:
    """An emulator whose tasks take a fifth of a second, and the connection ``conn_id`` to it.

    :param timeout: seconds that the client gives to one attempt of a call.
    :param memory: the connection's ``memory``; empty: it has none.
    :param arguments: of the emulator.
    """
    told: dict[str, Any] = {"wait_seconds": 0.1, "run_seconds": 0.1, "requests_per_second": None}
    with MpsEmulator(**told | arguments) as emulator:
        connection = emulator.connection
        connection["extra"] |= {"timeout": timeout} | ({"memory": memory} if memory else {})
        name = f"AIRFLOW_CONN_{conn_id.upper()}"
        os.environ[name] = json.dumps(connection)
        try:
            yield emulator
        finally:
            del os.environ[name]
            forget_secrets()


@pytest.fixture
def emulator_rules() -> str:
    """The rules of the fixture ``emulator``; a module whose requests are about single fields has its own."""
    return "service"


@pytest.fixture
def emulator(emulator_rules: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MpsEmulator]:
    """An emulator whose tasks end in a moment, without a limit; the default connection leads to it."""
    with MpsEmulator(rules=emulator_rules, wait_seconds=0.1, run_seconds=0.1, requests_per_second=None) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(emulator.connection))
        yield emulator


@pytest.fixture
def connect(emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change the default connection: its own fields by name, all else in Extra."""

    def change(**fields: Any) -> None:
        connection = dict(emulator.connection)
        own = {name: fields.pop(name) for name in ("login", "password", "host", "port", "schema") if name in fields}
        connection |= own | {"extra": connection["extra"] | fields}
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(connection))

    return change
