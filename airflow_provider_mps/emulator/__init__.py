"""MPS on this machine: a server that answers like the API, for demos, tests and users' own DAG tests.

It judges every request for itself and shares no code with the rest of the package. It needs
``pip install 'airflow-provider-mps[emulator]'``; importing this module does not load that yet.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_mps.emulator.faults import Fault, FaultKind
    from airflow_provider_mps.emulator.service.mps import RecordedRequest
    from airflow_provider_mps.emulator.service.tasks import EmulatedTask
    from airflow_provider_mps.emulator.web.server import MpsEmulator

__all__ = ["EmulatedTask", "Fault", "FaultKind", "MpsEmulator", "RecordedRequest"]

_MODULES = {
    "EmulatedTask": "service.tasks",
    "Fault": "faults",
    "FaultKind": "faults",
    "MpsEmulator": "web.server",
    "RecordedRequest": "service.mps",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
