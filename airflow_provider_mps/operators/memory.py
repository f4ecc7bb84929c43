"""What a task instance remembers of the MPS task that it pays for, over retries and lost workers."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from airflow_provider_mps.api.errors import AmbiguousCreateError

KEY = "mps_task"
RETENTION = timedelta(days=7)


def digest(action: str, params: Mapping[str, Any]) -> str:
    """A short text that is the same for the same request alone, in whatever order its dicts were written.

    Tasks under way are found by it after an upgrade, so it stays as it is; fields that are not given do not count.
    """
    ordered = {name: _ordered(value) if name == "AdditionalParameters" else value for name, value in params.items()}
    text = json.dumps([action, ordered], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _ordered(value: Any) -> Any:
    """A JSON object in a text, its keys sorted."""
    try:
        return json.dumps(json.loads(value), sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError):
        return value


@dataclass(frozen=True)
class Remembered:
    """One entry of the task state store.

    :param digest: of the request that it was created for, or was about to be.
    :param at: POSIX time of the entry.
    :param task_id: the TaskId; empty from just before the create is sent until its answer is known.
    :param session_id: the SessionId that the create was sent with, where it has one: a repeat must have the same.
    """

    digest: str
    at: float
    task_id: str = ""
    session_id: str = ""

    def in_doubt(self, action: str, params: dict[str, Any]) -> AmbiguousCreateError:
        """What to raise for an entry without a TaskId."""
        cause = "the worker of an earlier try was lost before the answer came"
        return AmbiguousCreateError(action, params, self.at, cause)


class Memory:
    """The task state store of Airflow 3.3 and later, as far as this package uses it.

    It is kept by Airflow over retries, over a SIGKILL of the worker, and over a clear by the user. An entry is
    written before the create is sent, too: a worker that is killed while the answer is on its way leaves it, and the
    next try knows that a paid task may exist.

    :param store: ``context["task_state_store"]``, or None where there is none or it is not wanted.
    :param digest: of the request that this try is about.
    :param log: the task's log.
    """

    def __init__(self, store: Any, digest: str, log: Any) -> None:
        self._store = store
        self._digest = digest
        self._log = log

    @property
    def kept(self) -> bool:
        """Whether there is a store."""
        return self._store is not None

    def recall(self) -> Remembered | None:
        """What an earlier try left for the same request. What cannot be read raises, and nothing is created."""
        stored = self._store.get(KEY) if self._store is not None else None
        if not isinstance(stored, dict):
            return None
        entry = Remembered(
            digest=str(stored.get("digest") or ""),
            at=float(stored.get("at") or 0.0),
            task_id=str(stored.get("task_id") or ""),
            session_id=str(stored.get("session_id") or ""),
        )
        if entry.digest == self._digest:
            return entry
        self._log.warning(
            "%s belongs to another request of an earlier try (the arguments have changed since): not waited for.",
            f"Task {entry.task_id}" if entry.task_id else "A task that may exist",
        )
        return None

    def about_to_create(self, session_id: str = "") -> None:
        """Remember that a create is being sent. What cannot be written raises, and nothing is sent."""
        self._write(Remembered(self._digest, time.time(), session_id=session_id))

    def created(self, task_id: str) -> None:
        """Remember a task that exists. It exists whether or not this can be written."""
        try:
            self._write(Remembered(self._digest, time.time(), task_id))
        except Exception:
            self._log.exception("Task %s could not be remembered; it is waited for all the same.", task_id)

    def forget(self) -> None:
        """Leave nothing for a later try, so that it creates anew."""
        if self._store is None:
            return
        try:
            self._store.delete(KEY)
        except Exception:
            self._log.exception("The task state store could not be cleared; a later clear may find the old task.")

    def _write(self, entry: Remembered) -> None:
        if self._store is not None:
            self._store.set(KEY, asdict(entry), retention=RETENTION)
