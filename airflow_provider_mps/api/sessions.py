"""SessionId: what makes ProcessMedia and EditMedia safe to send again, and the way back to the first task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow_provider_mps.api.client import CreatedTask
from airflow_provider_mps.api.errors import MpsError
from airflow_provider_mps.api.redaction import without_queries
from airflow_provider_mps.api.tasks import MEDIA, TaskState

if TYPE_CHECKING:
    from airflow_provider_mps.api.client import MpsClient

DUPLICATE_CODE = "InvalidParameterValue.SessionId"
"""The SDK's list of error codes has this one for the field; no page says that it is the answer to a repeat."""
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
        "It runs once and is billed once, but which TaskId it has could not be found out. Look for it in the task list "
        "of the MPS console, and wait for it with MpsTaskSensor(mps_task_id=...)."
    )
