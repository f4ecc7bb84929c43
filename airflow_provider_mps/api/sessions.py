"""Creating a task once: the other spelling of a field, the SessionId, and the way back to the first task."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_mps.api.answers import identifier
from airflow_provider_mps.api.client import CreatedTask, Notes, Sending
from airflow_provider_mps.api.cos import reachable_url
from airflow_provider_mps.api.errors import About, ApiError, CallError, Failure, MpsError
from airflow_provider_mps.api.redaction import without_queries
from airflow_provider_mps.api.tasks import MEDIA, TaskState

if TYPE_CHECKING:
    from airflow_provider_mps.api.auth import Keys
    from airflow_provider_mps.api.client import MpsClient
    from airflow_provider_mps.api.requests import RequestShape
    from airflow_provider_mps.api.tasks import TaskStatus

log = logging.getLogger(__name__)

_LOOK_BACK_SECONDS = (600, 3 * 24 * 3600)
"""Mostly the first sending was just now. MPS keeps a SessionId for three days (SDK, EditMediaRequest)."""
_PAGES, _PAGE = 10, 100
"""How many pages of each state are looked through, and their size, the largest one (SDK, DescribeTasksRequest)."""
_UNANSWERED_LIMIT = 3


class DuplicateSessionError(MpsError):
    """Raise when MPS has the task that a create asks for already, and which one it is could not be found out."""

    in_console = True

    def __init__(self, action: str, session: str, problem: str, *, retry_helps: bool) -> None:
        super().__init__(
            f"{action}: MPS has this task already, and its TaskId could not be found out: {problem}",
            cost="An earlier sending of it arrived: it runs once and is billed once",
            advice="Find it in the console, and wait for it with MpsTaskSensor",
            details=f"A retry creates no second task; it looks for this one again. SessionId {session}",
        )
        self.session_id = session
        self.retry_helps = retry_helps


class FirstTaskFailedError(MpsError):
    """Raise when MPS has the task that a create asks for, and it has failed: that SessionId makes no other one."""

    def __init__(self, action: str, task_id: str, reason: str) -> None:
        super().__init__(
            f"{action}: MPS has this task already, and it has failed: {without_queries(reason)}",
            cost="Nothing new was created",
            advice="Give another session_id to make a new one: a SessionId is for one task alone",
            details=f"It is task {task_id}",
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
    notes: Notes | None = None,
    in_line: bool = False,
) -> CreatedTask:
    """Create a task from a request that was built by its shape.

    :param next_session: whether to make another task under another SessionId, where the first one has failed.
    :param notes: what remembers the task; it is called from this coroutine, before anything else can fail.
    :param in_line: whether somebody waits in line for room, so that a refusal for now is raised at once.
    :raises NoRoomError: MPS refused it for now.
    :raises AmbiguousCreateError: it was sent, and a paid task may exist.
    :raises DuplicateSessionError: MPS has the task already, and which one it is could not be found out.
    :raises FirstTaskFailedError: MPS has the task already, and it has failed.
    """

    def prepare(params: dict[str, Any], keys: Keys) -> dict[str, Any]:
        return shape.with_references(params, partial(reachable_url, keys=keys, settings=client.settings))

    while True:
        sending = Sending(notes, params.get("SessionId", ""), prepare, in_line)
        try:
            created = await client.create(shape.action, params, "SessionId" in params, sending)
        except ApiError as error:
            if error.about is About.FIELD_NAME and (other := shape.other_spelling(params)) is not None:
                params = other
                continue
            if "SessionId" not in params or error.about is not About.SESSION:
                raise
            first = await find_first(client, shape.action, params["SessionId"])
            if first.state is TaskState.FAIL:
                if not next_session:
                    raise FirstTaskFailedError(shape.action, first.task_id, first.message) from error
                log.warning("Task %s of an earlier try has failed: creating a new one.", first.task_id)
                # Made from the failed task, so that all tries from now on share this one, too.
                params = params | {"SessionId": session_id(params["SessionId"], first.task_id)}
                continue
            created = CreatedTask(first.task_id, str(first.response.get("RequestId") or ""))
        log.info("Submitted %s: task %s (RequestId %s)", shape.action, created.task_id, created.request_id)
        if notes:
            notes.created(created.task_id)
        return created


async def find_first(client: MpsClient, action: str, session: str) -> TaskStatus:
    """The task that was created with a SessionId.

    :raises DuplicateSessionError: it was not found, whatever ended the search. The task exists nevertheless.
    """
    skipped: list[CallError] = []
    try:
        if (found := await _search(client, session, skipped)) is not None:
            return found
    except (Exception, asyncio.CancelledError) as error:
        problem = _cause(error) if isinstance(error, CallError) else f"{type(error).__name__} ended the search"
        retry_helps = not isinstance(error, MpsError) or error.retry_helps
        raise DuplicateSessionError(action, session, problem, retry_helps=retry_helps) from error
    problem = f"it is not among the tasks of the last three days ({_PAGES * _PAGE:,} of each state are looked through)"
    if skipped:
        problem += f", of which {len(skipped)} could not be read, the last one because: {_cause(skipped[-1])}"
    raise DuplicateSessionError(action, session, problem, retry_helps=any(error.retry_helps for error in skipped))


def _cause(error: CallError) -> str:
    """What happened, without what it means for money: that speaks of the search, and not of the task."""
    return error.what


async def _search(client: MpsClient, session: str, skipped: list[CallError]) -> TaskStatus | None:
    """Describe each task that is listed, for DescribeTasks itself does not give SessionIds.

    :param skipped: gets the failures for single tasks.
    :raises CallError: too many in a row could not be read.
    """
    seen: set[str] = set()
    unanswered = 0
    for seconds in _LOOK_BACK_SECONDS:
        async for task_id in _listed(client, seconds):
            if task_id in seen:
                continue
            seen.add(task_id)
            try:
                detail = await client.acall(MEDIA.describe, {"TaskId": task_id})
            except CallError as error:
                skipped.append(error)
                unanswered += error.failure is not Failure.NOT_FOUND
                if unanswered == _UNANSWERED_LIMIT:
                    raise
                continue
            unanswered = 0
            if detail.get("SessionId") == session:
                return MEDIA.status(task_id, detail)
    return None


async def _listed(client: MpsClient, seconds: float) -> AsyncIterator[str]:
    """The TaskIds of the last so many seconds, by state in the order in which a task passes through them."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))
    for state in ("WAITING", "PROCESSING", "FINISH"):
        params: dict[str, Any] = {"Status": state, "Limit": _PAGE, "StartTime": since}
        for _ in range(_PAGES):
            page = await client.acall("DescribeTasks", params)
            task_set = page.get("TaskSet")
            for task in task_set if isinstance(task_set, list) else ():
                if isinstance(task, dict) and (task_id := identifier(task.get("TaskId"))):
                    yield task_id
            token = page.get("ScrollToken")
            if not isinstance(token, str) or not token:
                break
            params = params | {"ScrollToken": token}
