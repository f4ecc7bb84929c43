"""This package's errors as Airflow's: what no retry can mend makes a task fail at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_mps.api.errors import MpsError
from airflow_provider_mps.compat import AirflowException, AirflowFailException


@contextmanager
def airflow_errors(retryable: type[AirflowException] | None = AirflowException) -> Iterator[None]:
    """Raise this package's errors as Airflow's too: one that no retry can mend makes the task fail at once.

    The error raised is both, the class that says what happened and AirflowFailException or ``retryable``.
    """
    try:
        yield
    except MpsError as error:
        base = retryable if error.retry_helps else AirflowFailException
        if base is None or isinstance(error, base):
            raise
        both = _both(type(error), base)
        raised = both.__new__(both)
        raised.__dict__.update(error.__dict__)
        raised.args = error.args
        raise raised from error.__cause__


def _both(error: type[MpsError], base: type[AirflowException]) -> type[MpsError]:
    return type(error.__name__, (error, base), {"__module__": error.__module__, "__doc__": error.__doc__})
