"""This package's errors as Airflow's: which of them Airflow retries, and what to do about them in its words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from airflow_provider_mps.api import errors
from airflow_provider_mps.api.codes import Failure, trace_of
from airflow_provider_mps.api.errors import MpsError, sentences
from airflow_provider_mps.compat import AirflowException, AirflowFailException


class Retried:
    """Holds each class of :mod:`airflow_provider_mps.api.errors` as an AirflowException, too."""


class NotRetried:
    """Holds each of them as an AirflowFailException, too: Airflow fails the task at once, whatever ``retries`` says."""


def _classes(base: type[MpsError]) -> Iterator[type[MpsError]]:
    yield base
    for below in base.__subclasses__():
        yield from _classes(below)


_ERRORS = tuple(_classes(MpsError))


def _held(holder: type, base: type[AirflowException]) -> Mapping[type[MpsError], type[MpsError]]:
    """The classes that a holder gets: made once, so that another process finds them by their names.

    Airflow takes an error of another process, such as one of a ProcessPoolExecutor, for what its class says.
    """
    made = {}
    for error in _ERRORS:
        place = {"__module__": __name__, "__qualname__": f"{holder.__name__}.{error.__name__}"}
        made[error] = type(error.__name__, (error, base), {**place, "__doc__": error.__doc__})
        setattr(holder, error.__name__, made[error])
    return made


_RETRIED, _NOT_RETRIED = _held(Retried, AirflowException), _held(NotRetried, AirflowFailException)

_ADVICE = {
    errors.InvalidArgumentError.advice: "Change that argument and clear the Airflow task; Airflow does not retry this",
    errors.InvalidConnectionError.advice: (
        "Change that field of the Airflow connection and clear the Airflow task; Airflow does not retry this"
    ),
    errors.TaskFailedError.advice: "A retry makes, and may pay for, a new task",
    errors.NoResultError.advice: "A retry polls it again, and creates no new task",
    errors.DuplicateSessionError.advice: "Find it in the console, and wait for it with MpsTaskSensor",
    errors.FirstTaskFailedError.advice: "Give another session_id to make a new one: each makes one task",
    errors.DownloadError.advice: "A retry of the Airflow task downloads it again",
    errors.ExpiredUrlError.advice: (
        "mps_task_ids, or a sensor on the TaskId, gives a fresh URL at no cost, while MPS knows the task"
    ),
    errors.WAIT_AGAIN: "A retry of this Airflow task goes on waiting for it",
    Failure.THROTTLED.advice: "Try again later, or let fewer Airflow tasks call at the same time, by a pool",
    Failure.FINAL.advice: "Change what is named, and clear the Airflow task; Airflow does not retry this",
}
"""What to do, in the words of the API and in Airflow's."""


def airflows(error: MpsError, conn_id: object = "", *, soft: bool = False) -> MpsError:
    """The same error as one of Airflow's, whose advice is about Airflow tasks.

    :param conn_id: the connection of the hook or the task that raises it.
    :param soft: whether one that a retry may help is no AirflowException.
    """
    if isinstance(error, AirflowException):
        return error
    if not (soft and error.retry_helps):
        forms = _RETRIED if error.retry_helps else _NOT_RETRIED
        error = error.of_class(next(forms[kind] for kind in type(error).__mro__ if kind in forms))
    error.conn_id = error.conn_id or (conn_id if isinstance(conn_id, str) else "")
    error.advice = _ADVICE.get(error.advice, error.advice)
    if isinstance(error, errors.AmbiguousCreateError):
        error.advice = f"Look for it in {trace_of(error.action).look}, then clear the Airflow task to send it anew"
        error.details = sentences(
            error.details,
            "A create operator sends it anew by itself, at the risk of paying twice, with retry_ambiguous_create=True",
        )
    elif isinstance(error, errors.DownloadError) and not error.retry_helps:
        error.advice = f"{error.advice}, and clear the Airflow task"
    return error


@contextmanager
def airflow_errors(conn_id: str = "") -> Iterator[None]:
    """Raise this package's errors as Airflow's, too.

    :param conn_id: see :func:`airflows`.
    """
    try:
        yield
    except MpsError as error:
        raised = airflows(error, conn_id)
        if raised is error:
            raise
        raise raised from error.__cause__
