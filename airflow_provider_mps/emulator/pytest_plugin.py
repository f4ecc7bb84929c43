"""Pytest fixtures: MPS on this machine, Airflow's default connection to it, and short waits when a call fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_mps.emulator import MpsEmulator


@pytest.fixture
def mps_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[MpsEmulator]:
    """A started :class:`MpsEmulator`; the connection ``tencent_mps_default`` leads to it."""
    # Loaded here, so that a test run that does not use the fixture does not pay for it.
    try:
        from airflow_provider_mps.emulator import MpsEmulator
    except ModuleNotFoundError as error:
        pytest.fail(f"{error}. The emulator needs: pip install 'airflow-provider-mps[emulator]'", pytrace=False)
    with MpsEmulator() as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(emulator.connection))
        yield emulator


@pytest.fixture
def mps_short_waits() -> Iterator[None]:
    """While the test runs, an outage of minutes takes seconds: same rules, same numbers of tries."""
    from airflow_provider_mps.api.patience import short_waits

    with short_waits():
        yield
