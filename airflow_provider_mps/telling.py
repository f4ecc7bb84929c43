"""What is said where an Airflow task ends with an error: short lines, for Airflow's page shows no more of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_mps.api.errors import MpsError
from airflow_provider_mps.compat import AirflowException
from airflow_provider_mps.errors import airflow_errors
from airflow_provider_mps.hooks.mps import MpsHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator


@contextmanager
def told_errors(task: BaseOperator, retryable: type[AirflowException] | None = AirflowException) -> Iterator[None]:
    """Say an error of this package in the task's log, and raise it as Airflow's, too.

    :param retryable: see :func:`airflow_provider_mps.errors.airflow_errors`.
    """
    with airflow_errors(retryable):
        try:
            yield
        except MpsError as error:
            tell(task, error)
            raise


def tell(task: Any, error: MpsError) -> None:
    """Say in up to three lines of the task's log what happened, what it may have cost, and what to do."""
    for line in error.lines(_console(task) if error.in_console else ""):
        task.log.error("%s", line)


def _console(task: Any) -> str:
    """The page of MPS's console that may show more; empty where the account's site is not known."""
    try:
        site = MpsHook(task.mps_conn_id).settings.site
    except Exception:  # the error that is told comes first
        return ""
    family = getattr(task, "family", None)
    return family.console_url(site) if family else f"{site.console}/mps"
