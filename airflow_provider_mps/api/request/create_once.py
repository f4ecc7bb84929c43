"""Creating a task once: the other spelling of a field, the SessionId, and the way back to the first task."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_mps.api.codes import SCENARIOS, About, Failure
from airflow_provider_mps.api.errors import (
    AmbiguousCreateError,
    ApiError,
    CallError,
    DuplicateSessionError,
    FirstTaskFailedError,
    MpsError,
)
from airflow_provider_mps.api.files.cos import reachable_url
from airflow_provider_mps.api.paid_once import SESSION_SECONDS, Request
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.tasks import MEDIA, TaskState
from airflow_provider_mps.api.wire.answers import identifier
from airflow_provider_mps.api.wire.client import CreatedTask, Notes, Sending

if TYPE_CHECKING:
    from airflow_provider_mps.api.request.shape import RequestShape
    from airflow_provider_mps.api.tasks import TaskStatus
    from airflow_provider_mps.api.wire.client import MpsClient
    from airflow_provider_mps.api.wire.credentials import Keys

log = logging.getLogger(__name__)

_LOOK_BACK_SECONDS = (600, SESSION_SECONDS)
"""Mostly the first sending was just now."""
_PAGES, _PAGE = 10, 100
"""How many pages of each state are looked through, and their size, the largest one (SDK, DescribeTasksRequest)."""
_UNANSWERED_LIMIT = 3
_SCENARIO_PAGES, _SCENARIO_PAGE = 20, 50
_LOOKS = 3
"""A task may be listed a moment after its create."""


def session_id(*parts: object) -> str:
    """A SessionId (50 characters at most) that is the same only for the same parts."""
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

    # Noted as a SessionId is, for a later try; MPS makes a second task of it all the same.
    mark = f"airflow-{uuid.uuid4().hex}" if shape.action in SCENARIOS else ""
    while True:
        session = params.get("SessionId", "")
        request = Request(repeatable=shape.repeatable and bool(session))
        sending = Sending(request, notes, mark or session, prepare, in_line, mark)
        try:
            created = await client.create(shape.action, params, sending)
        except AmbiguousCreateError as error:
            # Not where something else ended the create, such as a kill: that does not wait for a search.
            if not mark or not isinstance(error.__cause__, CallError):
                raise
            try:
                found = await find_marked(client, mark)
            except (Exception, asyncio.CancelledError):
                # Whoever ends the search has to hear that a paid task may exist.
                raise error from error.__cause__
            if not found:
                raise
            created = CreatedTask(found, "")
        except ApiError as error:
            # Refused for its name, so nothing ran: the other spelling may be sent.
            if error.about is About.FIELD_NAME and (other := shape.other_spelling(params)) is not None:
                params = other
                continue
            if "SessionId" not in params or error.about is not About.SESSION:
                raise
            # The refusal proves that the task exists. The note of this sending may be taken back by now: a retry sends
            # the same SessionId, and comes here again.
            first = await find_first(client, shape.action, params["SessionId"])
            if first.state is TaskState.FAIL:
                if not next_session:
                    raise FirstTaskFailedError(shape.action, first.task_id, first.message) from error
                log.warning("Task %s of an earlier try has failed: creating a new one.", first.task_id)
                # Made from the failed task, so that all tries from now on share this one, too.
                params = params | {"SessionId": session_id(params["SessionId"], first.task_id)}
                continue
            created = CreatedTask(first.task_id, str(first.response.get("RequestId") or ""))
        # Before the memory, which may fail: then the log is the only place that has the TaskId.
        log.info("Submitted %s: task %s (RequestId %s)", shape.action, created.task_id, created.request_id)
        if notes:
            notes.created(created.task_id)
        return created


async def find_marked(client: MpsClient, mark: str) -> str:
    """The TaskId of a scenario film whose create had this mark in X-TC-RequestClient; empty: it is not found.

    Samples of DescribeAigcTaskList and of DescribeAigcTaskStatus show it in ``RequestBody`` (2026-10); nobody is known
    to have met it. So one that is found is the task, and one that is not says nothing.
    """
    try:
        for look in range(_LOOKS):
            if look:
                await asyncio.sleep(patience().backoff_limit)
            for number in range(1, _SCENARIO_PAGES + 1):
                page = await client.acall("DescribeAigcTaskList", {"PageNum": number, "PageSize": _SCENARIO_PAGE})
                tasks = page.get("Tasks")
                listed = [task for task in tasks if isinstance(task, dict)] if isinstance(tasks, list) else []
                for task in listed:
                    if mark in str(task.get("RequestBody")) and (task_id := identifier(task.get("TaskId"))):
                        return task_id
                if len(listed) < _SCENARIO_PAGE:
                    break
    except CallError as error:
        log.warning("The create in doubt could not be looked for: %s", error.what)
    return ""


async def find_first(client: MpsClient, action: str, session: str) -> TaskStatus:
    """The task that was created with a SessionId.

    :raises DuplicateSessionError: it was not found, whatever ended the search. The task exists nevertheless.
    """
    skipped: list[CallError] = []
    try:
        if (found := await _search(client, session, skipped)) is not None:
            return found
    except (Exception, asyncio.CancelledError) as error:
        # A cancellation, too: whoever ends the search has to hear that a paid task exists.
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
    # In this order a task that moves on between two lists is in a later one; in another it could be in none.
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
