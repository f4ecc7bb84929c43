"""What is said where an Airflow task ends with an error: short lines, for Airflow's page shows no more of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_mps.api.errors import MpsError
from airflow_provider_mps.errors import airflows
from airflow_provider_mps.hooks.mps import MpsHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator


@contextmanager
def reported_errors(task: BaseOperator, *, soft: bool = False) -> Iterator[None]:
    """Say an error of this package in the task's log, and raise it as Airflow's, too.

    :param soft: see :func:`airflow_provider_mps.errors.airflows`.
    """
    try:
        yield
    except MpsError as error:
        raised = airflows(error, getattr(task, "mps_conn_id", ""), soft=soft)
        tell(task, raised)
        # Once the log says it: whoever clears the Airflow task after that has looked.
        if memory := getattr(task, "_memory", None):
            memory.reported(raised)
        if raised is error:
            raise
        raise raised from error.__cause__


def tell(task: Any, error: MpsError) -> None:
    """Say in up to three lines of the task's log what happened, what it may have cost, and what to do.

    Airflow's page shows about 100 characters of a line.
    """
    console = _console(task) if error.in_console else ""
    advice = f"{error.advice.removesuffix('.')}: {console}" if console else error.advice
    for line in filter(None, (error.what, error.cost, advice)):
        task.log.error("%s", line)


def _console(task: Any) -> str:
    """The page of MPS's console that may show more; empty where the account's site is not known."""
    try:
        settings = MpsHook(task.mps_conn_id).settings
    except Exception:  # the error that is reported comes first
        return ""
    family = getattr(task, "family", None)
    return family.console_url(settings) if family else settings.console_url("/mps")
