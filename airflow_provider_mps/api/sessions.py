"""Creating a task once: the other spelling of a field, the SessionId, and the way back to the first task."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_mps.api.client import CreatedTask
from airflow_provider_mps.api.errors import About, ApiError, MpsError
from airflow_provider_mps.api.redaction import without_queries
from airflow_provider_mps.api.tasks import MEDIA, TaskState

if TYPE_CHECKING:
    from airflow_provider_mps.api.client import MpsClient
    from airflow_provider_mps.api.requests import RequestShape

log = logging.getLogger(__name__)

_LOOK_BACK_SECONDS = 3 * 24 * 3600
"""For how long MPS keeps a SessionId (SDK, EditMediaRequest)."""


class DuplicateSessionError(MpsError):
    """Raise when MPS already has the task that a create asks for, and does not say which one it is."""


class FirstTaskFailedError(MpsError):
    """Raise when MPS has the task that a create asks for, and it has failed: that SessionId makes no other one."""

    def __init__(self, action: str, task_id: str, reason: str) -> None:
        super().__init__(
            f"{action}: MPS has this task already, {task_id}, and it has failed: {without_queries(reason)}. "
            "A SessionId is for one task alone: give another session_id to make a new one."
        )
        self.task_id = task_id


def session_id(*parts: object) -> str:
    """A SessionId (50 characters at most) that is the same for the same parts alone."""
    return "airflow-" + hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:40]


async def create_once(
    client: MpsClient,
    shape: RequestShape,
    params: dict[str, Any],
    *,
    next_session: bool = False,
    on_created: Callable[[str], None] | None = None,
) -> CreatedTask:
    """Create a task from a request that was built by its shape.

    :param next_session: whether to make another task under another SessionId, where the first one has failed.
    :param on_created: gets the TaskId at once, before anything else can fail.
    :raises AmbiguousCreateError: it was sent, and a paid task may exist.
    :raises DuplicateSessionError: MPS has the task already, and does not say which one it is.
    :raises FirstTaskFailedError: MPS has the task already, and it has failed.
    """
    while True:
        try:
            created = await client.create(shape.action, params, shape.repeatable)
        except ApiError as error:
            if error.about is About.FIELD_NAME and (other := shape.other_spelling(params)) is not None:
                params = other
                continue
            if not shape.repeatable or error.about is not About.SESSION:
                raise
            try:
                created = await find_first(client, shape.action, params["SessionId"])
            except FirstTaskFailedError as failed:
                if not next_session:
                    raise
                log.warning("Task %s of an earlier try has failed: creating a new one.", failed.task_id)
                # Made from the failed task, so that all tries from now on share this one, too.
                params = params | {"SessionId": session_id(params["SessionId"], failed.task_id)}
                continue
        if on_created:
            on_created(created.task_id)
        return created


async def find_first(client: MpsClient, action: str, session: str) -> CreatedTask:
    """The task that was created with a SessionId.

    DescribeTasks does not tell SessionIds, so each task that it lists (100 of each state at most) is asked for.

    :raises DuplicateSessionError: it is not among them.
    :raises FirstTaskFailedError: it is, and has failed.
    """
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - _LOOK_BACK_SECONDS))
    for status in ("WAITING", "PROCESSING", "FINISH"):
        listed = await client.acall("DescribeTasks", {"Status": status, "Limit": 100, "StartTime": since})
        for task in listed.get("TaskSet") or ():
            task_id = str(task.get("TaskId"))
            detail = await client.acall("DescribeTaskDetail", {"TaskId": task_id})
            if detail.get("SessionId") == session:
                first = MEDIA.status(task_id, detail)
                if first.state is TaskState.FAIL:
                    raise FirstTaskFailedError(action, task_id, first.message)
                return CreatedTask(task_id, str(detail.get("RequestId") or ""))
    raise DuplicateSessionError(
        f"{action}: MPS says that it has this task already (SessionId {session}): an earlier sending of it arrived. "
        "It runs once, but which TaskId it has could not be found out. Look for it in the task list "
        "of the MPS console, and wait for it with MpsTaskSensor(mps_task_id=...)."
    )
