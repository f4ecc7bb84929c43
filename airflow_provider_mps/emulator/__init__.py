"""MPS on this machine: a server that answers like the API, for demos, tests and users' own DAG tests.

It judges every request for itself and shares no code with the rest of the package. It needs
``pip install 'airflow-provider-mps[emulator]'``; importing this module does not load that yet.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_mps.emulator.faults import Fault, FaultKind
    from airflow_provider_mps.emulator.server import MpsEmulator
    from airflow_provider_mps.emulator.service import RecordedRequest
    from airflow_provider_mps.emulator.tasks import EmulatedTask

__all__ = ["EmulatedTask", "Fault", "FaultKind", "MpsEmulator", "RecordedRequest"]

_MODULES = {
    "EmulatedTask": "tasks",
    "Fault": "faults",
    "FaultKind": "faults",
    "MpsEmulator": "server",
    "RecordedRequest": "service",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
