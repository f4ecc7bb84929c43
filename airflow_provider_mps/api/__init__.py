"""MPS as it is on the wire, usable by any program: the classes of errors, states and usage, and the client.

What it offers is loaded when it is first used: importing this loads no HTTP library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_mps.api import errors
    from airflow_provider_mps.api.request.soundtrack import lay_soundtrack
    from airflow_provider_mps.api.tasks import TaskFamily, TaskState
    from airflow_provider_mps.api.tasks.usage import Usage
    from airflow_provider_mps.api.wire.client import MpsClient

__all__ = ["MpsClient", "TaskFamily", "TaskState", "Usage", "errors", "lay_soundtrack"]

_MODULES = {
    "MpsClient": "wire.client",
    "TaskFamily": "tasks",
    "TaskState": "tasks",
    "Usage": "tasks.usage",
    "lay_soundtrack": "request.soundtrack",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module(f"{__name__}.errors")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
