"""What MPS does with a request, HTTP aside: check it, limit it, carry it out."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from airflow_provider_mps.emulator import aigc_tasks, media_tasks
from airflow_provider_mps.emulator.errors import ApiError
from airflow_provider_mps.emulator.faults import FaultKind, FaultPlan, Scope
from airflow_provider_mps.emulator.limits import RollingLimit
from airflow_provider_mps.emulator.schema import SHAPES, check_request
from airflow_provider_mps.emulator.signature import Credential, verify
from airflow_provider_mps.emulator.synth import MediaFile
from airflow_provider_mps.emulator.tasks import FAMILIES, EmulatedTask, Family, Phase

Answer: TypeAlias = dict[str, Any]
"""The fields of ``Response``, without the RequestId."""

_VERSION = "2019-06-12"
_FOREIGN_SECONDS = 4.0

# The reference allows letters, digits and -_,;. ; the SDK joins its own name and the caller's with "; ".
_REQUEST_CLIENT = re.compile(r"[\w\-,;. ]{1,128}", re.ASCII)


@dataclass
class RecordedRequest:
    """A request as it arrived.

    :ivar action: what X-TC-Action named, or ``file`` for the download of a result.
    :ivar params: the JSON body, {} where it was none.
    :ivar headers: names in lower case; the signature's value is left out.
    :ivar at: monotonic seconds, comparable between the processes of one machine.
    :ivar answer: ``ok``, an API error code, or the kind of the fault that struck; "" until it is answered.
    """

    action: str
    params: dict[str, Any]
    headers: dict[str, str]
    at: float
    answer: str = ""


class MpsService:
    """The state of one account at MPS. Not safe for threads: its server guards it.

    :ivar url: where the files are served from.
    """

    def __init__(
        self,
        credential: Credential,
        *,
        wait_seconds: float,
        run_seconds: float,
        requests_per_second: float | None,
        output_audio_format_at_top_level: bool,
    ) -> None:
        self.url = ""
        self.credentials = {credential.secret_id: credential}
        self.requests: list[RecordedRequest] = []
        self.tasks: dict[str, EmulatedTask] = {}
        self.faults = FaultPlan()
        self._files: dict[str, tuple[EmulatedTask, MediaFile]] = {}
        self._wait_seconds = wait_seconds
        self._run_seconds = run_seconds
        self._limit = RollingLimit(requests_per_second)
        self._output_audio_format_at_top_level = output_audio_format_at_top_level

    def reset(self) -> None:
        """Forget all requests, tasks, files and faults."""
        self.requests.clear()
        self.tasks.clear()
        self._files.clear()
        self.faults.clear()

    def record(self, action: str, params: dict[str, Any], headers: Mapping[str, str]) -> RecordedRequest:
        """Remember a request that has just arrived."""
        kept = dict(headers)
        if "authorization" in kept:
            kept["authorization"] = re.sub(r"Signature=\w+", "Signature=...", kept["authorization"])
        request = RecordedRequest(action, params, kept, time.monotonic())
        self.requests.append(request)
        return request

    def answer(
        self,
        headers: Mapping[str, str],
        query: str,
        body: bytes,
        params: dict[str, Any] | None,
        fault: FaultKind | None,
    ) -> Answer:
        """Carry a request out.

        :param params: what :func:`parse_object` gave for ``body``.
        :param fault: the fault that strikes this request; some show in the answer's fields.
        :raises ApiError: where the request is refused.
        """
        verify(headers, query, body, self.credentials, time.time())
        action = _check_headers(headers)
        if not self._limit.allows(action, time.monotonic()):
            raise ApiError("RequestLimitExceeded", f"Too many requests to {action} in a second.")
        if params is None:
            raise ApiError("InvalidParameter", "The body is not a JSON object.")
        check_request(action, params, output_audio_format_at_top_level=self._output_audio_format_at_top_level)
        if action in FAMILIES:
            task = self._create(FAMILIES[action], params)
            return {} if fault is FaultKind.NO_TASK_ID else {"TaskId": task.task_id}
        if action == "ManageTask":
            return self._manage(params)
        if action == "DescribeTasks":
            return self._list(params)
        return self._describe(action, params["TaskId"], fault)

    def add_task(
        self, family: Family, params: dict[str, Any], wait_seconds: float | None, run_seconds: float | None
    ) -> EmulatedTask:
        """Make a task; seconds that are None are the account's own."""
        task = EmulatedTask(
            family,
            params,
            self._wait_seconds if wait_seconds is None else wait_seconds,
            self._run_seconds if run_seconds is None else run_seconds,
        )
        if task.kind == "media":
            task.files = media_tasks.output_files(task, self._find_input)
        else:
            task.files = aigc_tasks.output_files(task)
        self.tasks[task.task_id] = task
        self._files.update({file.key: (task, file) for file in task.files})
        return task

    def file(self, key: str, sign: str) -> MediaFile | None:
        """The file at an address, if there is one and the address was signed by this service."""
        task, file = self._files.get(key, (None, None))
        return file if task is not None and task.sign == sign else None

    def stored_object(self, key: str) -> MediaFile:
        """The file at ``bucket/key``.

        :raises ApiError: ``NoSuchKey``: no task has made it yet.
        """
        task, file = self._files.get(key, (None, None))
        if file is None or task is None or not task.succeeded:
            raise ApiError("NoSuchKey", "The specified key does not exist.")
        return file

    def _create(self, family: Family, params: dict[str, Any]) -> EmulatedTask:
        session_id = params.get("SessionId")
        if session_id and any(task.session_id == session_id for task in self.tasks.values()):
            # The reference promises an error and names none; this is the code the SDK lists for the field.
            raise ApiError("InvalidParameterValue.SessionId", "This SessionId was used already.")
        task = self.add_task(family, params, None, None)
        fault = self.faults.take(family.create, Scope.TASK)
        if fault is not None and fault.kind is FaultKind.NEVER_DONE:
            task.never_done = True
        elif fault is not None:
            task.failure = fault.message or "The task failed."
        return task

    def _describe(self, action: str, task_id: str, fault: FaultKind | None) -> Answer:
        task = self.tasks.get(task_id)
        if task is None or task.family.describe != action:
            raise _unknown_task(action)
        done = fault is FaultKind.DONE_WITHOUT_URL
        phase = Phase.ENDED if done else Phase.RUNNING if fault is FaultKind.UNKNOWN_STATUS else task.phase
        if task.kind == "media":
            answer = media_tasks.describe(task, phase, null_results=done)
        else:
            answer = aigc_tasks.describe(task, phase, lambda file: self._url(task, file), null_results=done)
        if fault is FaultKind.UNKNOWN_STATUS:
            answer["Status"] = "PAUSED"
        return answer

    def _manage(self, params: dict[str, Any]) -> Answer:
        if params["OperationType"] != "Abort":
            raise ApiError("InvalidParameterValue.InvalidOperationType", "`OperationType` must be Abort.")
        task = self.tasks.get(params["TaskId"])
        if task is None or task.kind != "media":
            raise _unknown_task("ManageTask")
        if task.phase is not Phase.WAITING:
            raise ApiError("FailedOperation", f"Only a WAITING task can be aborted, not {task.state}.")
        task.abort()
        return {}

    def _list(self, params: dict[str, Any]) -> Answer:
        """The tasks of ProcessMedia and EditMedia in one state, the newest first: in which order, no page says."""
        failed = params.get("SubTaskHasFailed")
        tasks = [
            media_tasks.summary(task)
            for task in reversed(self.tasks.values())
            if task.kind == "media" and task.state == params["Status"] and failed in (None, task.failure is not None)
        ]
        since, until = params.get("StartTime", ""), params.get("EndTime", "9")
        tasks = [task for task in tasks if since <= task["CreateTime"] <= until]
        begin = int(params.get("ScrollToken") or 0)
        end = begin + params.get("Limit", 10)
        return {
            "TaskSet": tasks[begin:end],
            "ScrollToken": str(end) if end < len(tasks) else "",
            "TotalCount": len(tasks),
        }

    def _find_input(self, info: dict[str, Any]) -> MediaFile:
        """The file that a task is given; one that is not the emulator's own is made up from its address."""
        if info["Type"] == "COS":
            cos = info["CosInputInfo"]
            key = f"{cos.get('Bucket', '')}/{cos.get('Object', '').strip('/')}"
        else:
            key = unquote(urlsplit(info.get("UrlInputInfo", {}).get("Url", "")).path).removeprefix("/files/")
        _, file = self._files.get(key, (None, None))
        return file or MediaFile(key, seed=json.dumps(info, sort_keys=True), seconds=_FOREIGN_SECONDS)

    def _url(self, task: EmulatedTask, file: MediaFile) -> str:
        return f"{self.url}/files/{quote(file.key)}?sign={task.sign}"


def parse_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object in ``body``; None where it holds something else."""
    try:
        params = json.loads(body)
    except ValueError:
        return None
    return params if isinstance(params, dict) else None


def _check_headers(headers: Mapping[str, str]) -> str:
    """Check what is not the signature's, and return the action."""
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise ApiError("InvalidParameter", "Content-Type must be application/json.")
    if headers.get("x-tc-version") != _VERSION:
        raise ApiError("NoSuchVersion", f"X-TC-Version must be {_VERSION}.")
    action = headers.get("x-tc-action", "")
    if action not in SHAPES:
        raise ApiError("InvalidAction", f"The action {action[:64]!r} is not known.")
    if not _REQUEST_CLIENT.fullmatch(headers.get("x-tc-requestclient", "none")):
        raise ApiError("InvalidParameter", "X-TC-RequestClient: 128 letters, digits and -_,;. at most.")
    if headers.get("x-tc-language", "en-US") not in ("en-US", "zh-CN"):
        raise ApiError("InvalidParameter", "X-TC-Language must be en-US or zh-CN.")
    return action


def _unknown_task(action: str) -> ApiError:
    # The codes that the SDK lists for a task that is not there, each where its name fits.
    if action in ("DescribeTaskDetail", "ManageTask"):
        return ApiError("InvalidParameterValue.TaskId", "There is no such task.")
    return ApiError("ResourceNotFound.TaskNotFound", "There is no such task.")


def response(answer: Answer | ApiError) -> dict[str, Any]:
    """The body of an answer, good or bad."""
    if isinstance(answer, ApiError):
        answer = {"Error": {"Code": answer.code, "Message": answer.message}}
    return {"Response": {**answer, "RequestId": str(uuid.uuid4())}}
