"""What a task instance remembers of the MPS task that it pays for, over retries, clears and lost workers."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from airflow_provider_mps.api.errors import AmbiguousCreateError, MpsError
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.tasks import in_seconds

KEY = "mps_task"
RETENTION = timedelta(days=7)
_WRITES = 5
"""How often an entry is written at most: the TaskId in it is paid for, and stands nowhere else but in the log."""


class OtherAccountError(MpsError):
    """Raise when the task of an earlier try is not known under the connection's present keys, host or region."""


class NotRememberedError(MpsError):
    """Raise when the task state store cannot be written before a create is sent. Nothing was sent."""

    retry_helps = True


class Stage(StrEnum):
    """How far a task has got."""

    SENDING = "sending"
    """The create has left this machine, and no answer is known: a paid task may exist."""
    CREATED = "created"
    UNFOUND = "unfound"
    """It was created, and is not known under what the connection has now. An error has said so."""
    DONE = "done"
    """It ended well, or its TaskId was handed over."""
    FAILED = "failed"


@dataclass(frozen=True)
class Remembered:
    """One entry of the task state store.

    :param digest: of the request.
    :param max_tries: ``ti.max_tries`` of the try: a clear by the user changes it, a retry does not.
    :param at: POSIX time of the entry.
    :param stage: how far the task has got.
    :param task_id: the TaskId, once it is known.
    :param session_id: the SessionId that the create was sent with, where it has one: a repeat must have the same.
    :param account: whose task it is, and where.
    :param response: what an action without a TaskId of ours answered.
    """

    digest: str
    max_tries: int
    at: float
    stage: Stage
    task_id: str = ""
    session_id: str = ""
    account: str = ""
    response: dict[str, Any] | None = None

    def in_doubt(self, action: str, params: dict[str, Any]) -> AmbiguousCreateError:
        """What to raise for a create whose answer is not known."""
        return AmbiguousCreateError(action, params, self.at, "the answer did not reach the earlier try of this task")


class Memory:
    """The task state store of Airflow 3.3 and later, as far as this package uses it.

    Airflow keeps it over retries, over a SIGKILL of the worker, and over a clear by the user. An entry is never just
    deleted, for Airflow may fail the try after ``execute()`` has returned, and run it again.

    :param store: ``context["task_state_store"]``, or None where there is none or it is not wanted.
    :param request_digest: of the request that this try is about.
    :param max_tries: ``ti.max_tries``.
    :param account: whose task it is, and where.
    :param log: the task's log.
    """

    def __init__(self, store: Any, request_digest: str, max_tries: int, account: str, log: Any) -> None:
        self._store = store
        self._digest = request_digest
        self._max_tries = max_tries
        self._account = account
        self._log = log
        self._before: Remembered | None = None
        self.task_id = ""
        """The TaskId that this try has created, or goes on with."""
        self.accepted_at: float | None = None
        """When MPS accepted it, as a POSIX time, if that is known."""
        self.in_doubt = False
        """Whether a create was sent, in this try or an earlier one, and no answer says whether it ran."""
        self._was_in_doubt = False

    @property
    def age(self) -> str:
        """How long ago MPS accepted the task, for people; empty if that is not known."""
        return "" if self.accepted_at is None else in_seconds(time.time() - self.accepted_at, True)

    def recall(self) -> Remembered | None:
        """What an earlier try left for the same request. What cannot be read raises, and nothing is created."""
        entry = self._before = self._read()
        if entry is None or entry.digest == self._digest:
            self.in_doubt = self._was_in_doubt = entry is not None and entry.stage is Stage.SENDING
            return entry
        if entry.stage in (Stage.SENDING, Stage.CREATED):
            self._log.warning(
                "%s belongs to another request of an earlier try (the arguments have changed since): not waited for.",
                f"Task {entry.task_id}" if entry.task_id else "A task that may exist",
            )
        return None

    def cleared_since(self, entry: Remembered) -> bool:
        """Whether a user has cleared the Airflow task since an entry was written; else this is a retry."""
        return entry.max_tries != self._max_tries

    def elsewhere(self, entry: Remembered) -> str:
        """Where an entry's task was created, if that is not where the connection leads now; else empty."""
        return entry.account if entry.account and entry.account != self._account else ""

    def sending(self, session_id: str = "") -> None:
        """A create is about to leave.

        :raises NotRememberedError: this cannot be written, and nothing is to be sent.
        """
        try:
            self._write_repeatedly(self._new(Stage.SENDING, session_id=session_id))
        except Exception as error:
            raise NotRememberedError(
                f"Airflow's task state store could not be written ({type(error).__name__})",
                cost="Nothing was sent, and nothing is billed: without the store a retry could pay twice",
                advice="See why it cannot be written; a retry of this Airflow task tries again",
            ) from error
        self.in_doubt = True

    def refused(self) -> None:
        """It did not run: all is as it was before."""
        self.in_doubt = self._was_in_doubt
        try:
            if self._before is not None:
                self._write(self._before)
            elif self._store is not None:
                self._store.delete(KEY)
        except Exception:
            self._log.exception("The task state store could not be changed: a retry takes the create to be in doubt.")

    def created(self, task_id: str) -> None:
        """A task exists. It does so whether or not this can be written."""
        self.task_id, self.accepted_at = task_id, time.time()
        self.in_doubt = False
        self._write_or_log(self._new(Stage.CREATED, task_id=task_id))

    def answered(self, response: dict[str, Any]) -> None:
        """An action without a TaskId of ours has run."""
        self._write_or_log(self._new(Stage.DONE, response=response))

    def adopted(self, entry: Remembered) -> None:
        """This try goes on with an entry's task."""
        self.task_id, self.accepted_at = entry.task_id, entry.at or None
        if self.cleared_since(entry):
            self._write_or_log(replace(entry, max_tries=self._max_tries, stage=Stage.CREATED))

    def unfound(self, entry: Remembered) -> None:
        """An error is about to say that an entry's task is not known under what the connection has now."""
        self._write_or_log(replace(entry, max_tries=self._max_tries, stage=Stage.UNFOUND))

    def reached(self, stage: Stage) -> None:
        """The remembered task has got so far."""
        try:
            entry = self._read()
        except Exception:
            self._log.exception("The task state store could not be read: a clear may find the old task.")
            return
        if entry is not None:
            self._write_or_log(replace(entry, stage=stage))

    def _new(self, stage: Stage, **fields: Any) -> Remembered:
        return Remembered(self._digest, self._max_tries, time.time(), stage, account=self._account, **fields)

    def _read(self) -> Remembered | None:
        stored = self._store.get(KEY) if self._store is not None else None
        if not isinstance(stored, dict):
            return None
        task_id = str(stored.get("task_id") or "")
        response = stored.get("response")
        stage = stored.get("stage")
        if stage not in list(Stage):  # another version of this package wrote it
            stage = Stage.CREATED if task_id else Stage.SENDING
        return Remembered(
            digest=str(stored.get("digest") or ""),
            max_tries=int(stored.get("max_tries", self._max_tries)),
            stage=Stage(stage),
            at=float(stored.get("at") or 0.0),
            task_id=task_id,
            session_id=str(stored.get("session_id") or ""),
            account=str(stored.get("account") or ""),
            response=response if isinstance(response, dict) else None,
        )

    def _write(self, entry: Remembered) -> None:
        if self._store is not None:
            self._store.set(KEY, asdict(entry), retention=RETENTION)

    def _write_repeatedly(self, entry: Remembered) -> None:
        import tenacity

        bearing = patience()
        writing = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(_WRITES),
            wait=tenacity.wait_exponential(multiplier=bearing.backoff, max=bearing.backoff_limit),
            reraise=True,
        )
        writing(self._write, entry)

    def _write_or_log(self, entry: Remembered) -> None:
        try:
            self._write_repeatedly(entry)
        except Exception:
            self._log.exception("Task %s could not be remembered; this try goes on all the same.", entry.task_id)
