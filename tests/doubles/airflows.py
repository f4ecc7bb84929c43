"""What only tests need of Airflow, from where each version has it."""

import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread

from airflow_provider_mps.compat import AirflowTaskTimeout
from tests.compat.versions import AIRFLOW

try:
    from airflow.sdk import DAG, task
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task  # type: ignore[no-redef, attr-defined]
    from airflow.io.store import attach  # type: ignore[no-redef, import-not-found]

try:
    from airflow.sdk.exceptions import (
        AirflowRescheduleException,
        AirflowSkipException,
        TaskDeferred,
    )
except ImportError:  # before Airflow 3.2
    from airflow.exceptions import (  # type: ignore[no-redef]
        AirflowRescheduleException,
        AirflowSkipException,
        TaskDeferred,
    )

if AIRFLOW >= (3, 2):
    from airflow.sdk.exceptions import TaskDeferralTimeout
elif AIRFLOW >= (3,):
    from airflow.exceptions import TaskDeferralTimeout  # type: ignore[no-redef]
else:  # one class for whatever ends a deferral
    from airflow.exceptions import TaskDeferralError as TaskDeferralTimeout  # type: ignore[no-redef]

if AIRFLOW >= (3, 1):
    GET_FS = "airflow.sdk.io.get_fs"
else:
    GET_FS = "airflow.io.get_fs" if AIRFLOW >= (3,) else "airflow.io.store.get_fs"
"""Where a path looks for the code that serves its storage."""

try:
    from airflow.sdk.execution_time.context import OutletEventAccessors
except ImportError:  # before Airflow 3
    from airflow.utils.context import OutletEventAccessors

__all__ = [
    "DAG",
    "GET_FS",
    "AirflowRescheduleException",
    "AirflowSkipException",
    "OutletEventAccessors",
    "TaskDeferralTimeout",
    "TaskDeferred",
    "alarm",
    "attach",
    "let_execute",
    "task",
]


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """End what runs within it as Airflow's task runner does at ``execution_timeout``: by a signal, in a main thread."""
    if current_thread() is not main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise AirflowTaskTimeout("Timeout")

    before = signal.signal(signal.SIGALRM, ring)
    gc.disable()  # what is raised in a callback of the collector, such as hypothesis has, is lost
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.enable()
        signal.signal(signal.SIGALRM, before)


def let_execute() -> None:
    """Airflow 2 keeps who calls ``execute()`` only for the thread that has imported it; tests have other threads."""
    try:
        from airflow.models.baseoperator import ExecutorSafeguard  # type: ignore[import-not-found]
    except ImportError:  # Airflow 3
        return
    here = getattr(ExecutorSafeguard, "_sentinel", None)
    if here is not None and not hasattr(here, "callers"):
        here.callers = {}
