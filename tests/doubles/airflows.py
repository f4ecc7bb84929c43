"""What only tests need of Airflow, from where each version has it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_mps.compat import AirflowTaskTimeout

try:
    from airflow.sdk import DAG, task
    from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException, TaskDeferred
except ImportError:  # before Airflow 3.2
    from airflow import DAG
    from airflow.exceptions import (  # type: ignore[no-redef]
        AirflowRescheduleException,
        AirflowSkipException,
        TaskDeferred,
    )

    try:
        from airflow.sdk import task
    except ImportError:  # before Airflow 3
        from airflow.decorators import task  # type: ignore[no-redef, attr-defined]

__all__ = ["DAG", "AirflowRescheduleException", "AirflowSkipException", "TaskDeferred", "alarm", "task"]


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """End what runs within it as Airflow's task runner does at ``execution_timeout``: by a signal."""

    def ring(*_: object) -> None:
        raise AirflowTaskTimeout("Timeout")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
