"""The events of the triggers: what is in them, written and read here and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar, cast

from airflow.triggers.base import TriggerEvent

from airflow_provider_mps.api.errors import InterruptedWaitError, MpsError
from airflow_provider_mps.api.redaction import shown
from airflow_provider_mps.api.tasks.usage import Usage

_Error = TypeVar("_Error", bound=MpsError)

VERSION = 1
"""Of what is written here. An event from before there was one may wait for a worker over an upgrade: its message has a
line for each part of its error."""

_PARTS = ("what", "cost", "advice", "details")
_IDS = ("action", "code", "request_id")


class _Event:
    """Its attributes are an event's fields, by name.

    :cvar statuses: what its status can be.
    :cvar cost: what it may cost where an event cannot be read.
    """

    statuses: ClassVar[tuple[str, ...]]
    cost: ClassVar[str]

    def written(self) -> TriggerEvent:
        """The event as Airflow keeps it until a worker reads it; what is None is left out."""
        fields = {name: value for name, value in vars(self).items() if value is not None}
        return TriggerEvent({"version": VERSION, **fields})

    @classmethod
    def _fields(cls, event: Any) -> Mapping[str, Any]:
        if not isinstance(event, dict):
            raise cls._foreign(f"it is {shown(event)}")
        if event.get("status") not in cls.statuses:
            raise cls._foreign(f"its status is {shown(event.get('status'))}, and not one of {', '.join(cls.statuses)}")
        return event

    @classmethod
    def _foreign(cls, problem: str) -> InterruptedWaitError:
        return InterruptedWaitError(f"The trigger's event was not written by this package: {problem}", cost=cls.cost)


class WaitEnded(_Event):
    """How the wait for a task ended. It holds no URL, for Airflow keeps events in its database, and logs them.

    :param status: ``done``, ``failed``, ``timeout``, ``error`` where the wait could not go on, or ``overdue`` where no
        trigger said anything before Airflow's own timeout.
    :param mps_task_id: the TaskId.
    :param message: what happened, as plain text.
    :param error: the error that ended the wait, if any: its ``what``, ``cost``, ``advice`` and ``details``, and its ids
        ``action``, ``code`` and ``request_id``, each where there is one.
    :param usage: what a task made that failed.
    """

    statuses = ("done", "failed", "timeout", "error", "overdue")
    cost = InterruptedWaitError.cost

    def __init__(
        self,
        status: str,
        mps_task_id: str,
        message: str,
        error: Mapping[str, str] | None = None,
        usage: Usage | None = None,
    ) -> None:
        self.status = status
        self.mps_task_id = mps_task_id
        self.message = message
        self.error = error
        self.usage = usage

    @classmethod
    def by(cls, error: MpsError, status: str, mps_task_id: str, usage: Usage | None = None) -> Self:
        """That of a wait that ended with an error."""
        parts = {part: getattr(error, part) for part in (*_PARTS, *_IDS)}
        return cls(status, mps_task_id, str(error), {name: part for name, part in parts.items() if part}, usage)

    def part(self, name: str) -> str:
        """A part of the error; empty where there is none."""
        return (self.error or {}).get(name, "")

    @property
    def ids(self) -> dict[str, Any]:
        """What the error is about, for an error made of it."""
        return {"task_id": self.mps_task_id, **{name: self.part(name) for name in _IDS}}

    def raised(self, kind: type[_Error]) -> _Error:
        """The error of the wait, as one of a class."""
        parts: dict[str, Any] = {name: self.part(name) for name in _PARTS[1:] if self.part(name)}
        return kind(self.part("what") or self.message, **parts, **self.ids)

    @classmethod
    def read(cls, event: Any) -> Self:
        """What an event says.

        :raises InterruptedWaitError: it is no such event; the message says what is wrong with it.
        """
        fields = cls._fields(event)
        mps_task_id = fields.get("mps_task_id")
        if not isinstance(mps_task_id, str) or not mps_task_id:
            raise cls._foreign(f"its mps_task_id is {shown(mps_task_id)}")
        message, error, made = str(fields.get("message") or "no reason given"), fields.get("error"), fields.get("usage")
        if "version" not in fields:
            error = dict(zip(_PARTS, message.split("\n"), strict=False))
        return cls(
            fields["status"],
            mps_task_id,
            message,
            {str(name): str(part) for name, part in error.items()} if isinstance(error, dict) else None,
            cast("Usage", made) if isinstance(made, dict) else None,
        )


class RoomWaitEnded(_Event):
    """How a create's wait for room ended.

    :param status: ``room``, ``timeout``, or ``error`` where the wait could not go on.
    :param ticket: POSIX time of the first refusal, by which the line is ordered.
    :param began: POSIX time at which the Airflow task's try began.
    :param message: what happened, as plain text.
    """

    statuses = ("room", "timeout", "error")
    cost = "Nothing is sent while a create waits for room"

    def __init__(self, status: str, ticket: float, began: float, message: str) -> None:
        self.status = status
        self.ticket = ticket
        self.began = began
        self.message = message

    @classmethod
    def read(cls, event: Any) -> Self:
        """What an event says.

        :raises InterruptedWaitError: it is no such event; the message says what is wrong with it.
        """
        fields = cls._fields(event)
        for name in ("ticket", "began"):
            at = fields.get(name)
            if isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at):
                raise cls._foreign(f"its {name} is {shown(at)}, and no time")
        return cls(fields["status"], fields["ticket"], fields["began"], str(fields.get("message") or ""))
