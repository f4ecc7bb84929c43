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

from airflow_provider_mps.emulator.faults import FaultKind, FaultPlan, Scope
from airflow_provider_mps.emulator.media.synth import MediaFile
from airflow_provider_mps.emulator.service.errors import ApiError
from airflow_provider_mps.emulator.service.facts import doc, guess, seen
from airflow_provider_mps.emulator.service.families import FAMILIES
from airflow_provider_mps.emulator.service.families.experimental import scenario_list
from airflow_provider_mps.emulator.service.families.media import MediaFamily, meta_data
from airflow_provider_mps.emulator.service.limits import REFUSED_REGIONS, Rate, RollingLimit
from airflow_provider_mps.emulator.service.rules import Rules, model_of
from airflow_provider_mps.emulator.service.schema import SHAPES, check_request
from airflow_provider_mps.emulator.service.tasks import EmulatedTask, Family, Phase
from airflow_provider_mps.emulator.service.usage import usage_data
from airflow_provider_mps.emulator.signature import OWN_ACCOUNT, Credential, verify

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
    :ivar params: the JSON body, {} where it was not one.
    :ivar headers: names in lower case; the signature's value is left out.
    :ivar at: monotonic seconds, comparable between the processes of one machine.
    :ivar answer: ``ok``, an API error code, or the kind of the fault that struck; "" until it is answered.
    """

    action: str
    params: dict[str, Any]
    headers: dict[str, str]
    at: float
    answer: str = ""


SITES = ("intl", "cn")
OWN_BUCKET = "mps-results-1311402212"
"""MPS's own store, where its results are not signed."""
# BucketName-APPID.cos.REGION.myqcloud.com (COS reference, "Regions and access endpoints")
_COS_HOST = re.compile(r"(?P<bucket>[a-z0-9-]+)\.cos\.[a-z0-9-]+\.myqcloud\.com")

FACTS = (
    doc("A call is a POST of JSON, signed with TC3-HMAC-SHA256; success and failure are both HTTP 200."),
    doc("A clock that is off by more than 300 s is AuthFailure.SignatureExpire."),
    doc("Results in MPS's own store are kept for 12 hours."),
    seen("Results in the user's own bucket (StoreCosParam) come as bare COS URLs, to which a private one answers 403."),
    guess("Results in MPS's own store come as signed URLs; they answer 403 when their time is over."),
    doc("The reference's samples show them as bare COS URLs in a bucket of MPS's (results_signed=False)."),
    guess("Anybody may read that bucket, and a signature by other keys is refused."),
    guess("The account's service role may not, so a task to which it is given as CosInputInfo ends in FAIL."),
    doc("DescribeMediaMetaData gives length, size and streams of a film or a sound, also one that MPS did not make."),
    guess("Of a file that the emulator did not make, these are made up; Size and Bitrate are null of any."),
    guess("A bare URL of a private bucket is InvalidParameter.InvalidUrl there."),
    doc("Content that the review refuses is InvalidParameter.ViolationContent (the fault content_refused)."),
)


@dataclass(frozen=True)
class Behaviour:
    """How a service behaves: the arguments of that name of :class:`MpsEmulator`."""

    rules: str
    site: str
    wait_seconds: float
    run_seconds: float
    requests_per_second: Rate
    running_tasks: int | None
    room_late: float
    results_kept_seconds: float
    results_signed: bool
    tasks_kept_seconds: float
    output_audio_format_at_top_level: bool

    def __post_init__(self) -> None:
        if self.site not in SITES:
            raise ValueError(f"site must be one of {', '.join(SITES)}, not {self.site!r}")
        if self.running_tasks is not None and self.running_tasks < 1:
            raise ValueError(f"running_tasks must be 1 or more, or None for no cap, not {self.running_tasks}")
        if not self.room_late >= 0:
            raise ValueError(f"room_late must be 0 or more seconds, not {self.room_late}")


class MpsService:
    """The state of MPS. Not safe for threads: its server guards it.

    :ivar url: where the files are served from.
    :ivar refused_for_room: how many creates were refused because too many tasks of their model ran.
    """

    def __init__(self, credential: Credential, behaviour: Behaviour) -> None:
        self.url = ""
        self.credentials = {credential.secret_id: credential}
        self.requests: list[RecordedRequest] = []
        self.tasks: dict[str, EmulatedTask] = {}
        self.faults = FaultPlan()
        self.refused_for_room = 0
        self._files: dict[str, tuple[EmulatedTask, MediaFile]] = {}
        self._behaviour = behaviour
        self._rules = Rules(behaviour.rules)
        self._limit = RollingLimit(behaviour.requests_per_second)

    def reset(self) -> None:
        """Forget all requests, tasks, files and faults."""
        self.requests.clear()
        self.tasks.clear()
        self._files.clear()
        self.faults.clear()
        self.refused_for_room = 0

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

        :param params: what :func:`schema.parse_object` gave for ``body``.
        :param fault: the fault that strikes this request; some show in the answer's fields.
        :raises ApiError: where the request is refused.
        """
        account = verify(headers, query, body, self.credentials, time.time()).account
        action = _check_headers(headers)
        if self._rules.as_seen and headers.get("x-tc-region") in REFUSED_REGIONS.get(self._behaviour.site, []):
            raise ApiError("UnsupportedRegion", "This host does not serve the region in X-TC-Region.")
        if not self._limit.allows(account, action, time.monotonic()):
            raise ApiError(
                "RequestLimitExceeded",
                "Your requests in a second exceed the frequency limit.",
            )
        if params is None:
            raise ApiError("InvalidParameter", "The body is not a JSON object.")
        at_top_level = self._behaviour.output_audio_format_at_top_level
        as_text = not self._rules.as_seen
        check_request(action, params, output_audio_format_at_top_level=at_top_level, numbers_as_text=as_text)
        if action in FAMILIES:
            try:
                task = self._create(account, FAMILIES[action], params)
            except (AttributeError, TypeError) as error:  # of an object that the reference leaves free
                raise ApiError("InvalidParameter", f"A field is not of the type that it should be: {error}") from None
            task.request_client = headers.get("x-tc-requestclient", "")
            return {} if fault is FaultKind.NO_TASK_ID else {**task.family.accepted, "TaskId": task.task_id}
        if action == "ManageTask":
            return self._manage(account, params)
        if action == "DescribeTasks":
            return self._list(account, params)
        if action == "DescribeMediaMetaData":
            if unreadable := self._rules.failure(action, params):
                raise ApiError("InvalidParameter.InvalidUrl", unreadable)
            return {"MetaData": meta_data(self._find_input(params["InputInfo"]))}
        if action == "DescribeAigcTaskList":
            return scenario_list(self._tasks_of(account), params)
        if action == "DescribeUsageData":
            types = params.get("Types") or ["Transcode"]
            return {"Data": usage_data(self._tasks_of(account), types, params["StartTime"], params["EndTime"])}
        return self._describe(account, action, params["TaskId"], fault)

    def add_task(
        self,
        family: Family,
        params: dict[str, Any],
        wait_seconds: float | None = None,
        run_seconds: float | None = None,
        *,
        account: str = OWN_ACCOUNT,
    ) -> EmulatedTask:
        """Make a task; seconds that are None are the emulator's own.

        :raises ValueError: seconds that are not from 0 to 10**9.
        """
        task = EmulatedTask(
            family,
            params,
            self._behaviour.wait_seconds if wait_seconds is None else wait_seconds,
            self._behaviour.run_seconds if run_seconds is None else run_seconds,
            account,
            made=self._rules.made(family.create, params),
            failure=self._rules.failure(family.create, params),
        )
        task.files = family.output_files(task, self._find_input)
        self.tasks[task.task_id] = task
        self._files.update({file.key: (task, file) for file in task.files})
        return task

    def file(self, key: str, sign: str) -> MediaFile:
        """The file at an address that a Describe answer gave.

        :raises ApiError: ``AccessDenied``: this service did not sign the address, or its time is over.
        """
        task, file = self._files.get(key, (None, None))
        if file is None or task is None or task.sign != sign:
            raise ApiError("AccessDenied", "The URL is not signed.")
        return self._still_kept(task, file)

    def public_object(self, key: str, signed: bool) -> MediaFile:
        """The file at ``key`` in MPS's own store, where its results are not signed.

        :raises ApiError: ``NoSuchKey``: no task has made it; ``AccessDenied``: its time is over, or keys of somebody
            else's signed for it.
        """
        task, file = self._files.get(key, (None, None))
        if file is None or task is None or not task.succeeded or task.family.bucket(task.params):
            raise ApiError("NoSuchKey", "The specified key does not exist.")
        if signed:
            raise ApiError("AccessDenied", "The bucket belongs to another account.")
        return self._still_kept(task, file)

    def _still_kept(self, task: EmulatedTask, file: MediaFile) -> MediaFile:
        if task.done_at is not None and time.monotonic() > task.done_at + self._behaviour.results_kept_seconds:
            raise ApiError("AccessDenied", "Request has expired.")
        return file

    def stored_object(self, key: str, account: str) -> MediaFile:
        """The file at ``bucket/key``, for the keys of an account.

        :raises ApiError: ``NoSuchKey``: no task has made it yet; ``AccessDenied``: it is another account's.
        """
        task, file = self._files.get(key, (None, None))
        if file is None or task is None or not task.succeeded:
            raise ApiError("NoSuchKey", "The specified key does not exist.")
        if task.account != account:
            raise ApiError("AccessDenied", "The bucket belongs to another account.")
        return file

    def _create(self, account: str, family: Family, params: dict[str, Any]) -> EmulatedTask:
        self._rules.check(family.create, params)
        session_id = params.get("SessionId")
        if session_id and any(task.session_id == session_id for task in self._tasks_of(account)):
            raise ApiError("InvalidParameterValue.SessionId", "request is removed due to duplication")
        if not self._has_room(account, family, params):
            self.refused_for_room += 1
            raise ApiError("RequestLimitExceeded", "The task reached the maximum concurrency.")
        task = self.add_task(family, params, account=account)
        fault = self.faults.take(family.create, Scope.TASK)
        match None if fault is None else fault.kind:
            case FaultKind.NEVER_DONE:
                task.never_done = True
            case FaultKind.URL_LATE:
                task.url_late = True
            case FaultKind.FAIL:
                task.failure = (fault and fault.message) or "The task failed."
        if task.failure is None and f'"Bucket": "{OWN_BUCKET}"' in json.dumps(params):
            task.failure = "The role MPS_QcsRole may not read that bucket."
        return task

    def _has_room(self, account: str, family: Family, params: dict[str, Any]) -> bool:
        if self._behaviour.running_tasks is None or not family.needs_room:
            return True
        since = time.monotonic() - self._behaviour.room_late
        running = sum(
            task.family is family
            and model_of(task.params) == model_of(params)
            and (task.done_at is None or task.done_at > since)
            for task in self._tasks_of(account)
        )
        return running < self._behaviour.running_tasks

    def _tasks_of(self, account: str) -> list[EmulatedTask]:
        """The account's tasks that MPS still knows, in the order of creation."""
        return [task for task in self.tasks.values() if task.account == account and not self._is_forgotten(task)]

    def _find(self, account: str, action: str, task_id: str) -> EmulatedTask:
        """The account's task of that TaskId, requested through ``action``."""
        task = self.tasks.get(task_id)
        named = [task.family] if task else [each for each in FAMILIES.values() if f"-{each.word}-" in task_id]
        foreign = task is not None and task.account != account
        if foreign or (named and not any(action in (family.describe, family.manage) for family in named)):
            raise ApiError("ResourceNotFound", "The resource is not found.")
        if task is None or self._is_forgotten(task):
            raise _unknown_task(action)
        return task

    def _is_forgotten(self, task: EmulatedTask) -> bool:
        return task.done_at is not None and time.monotonic() > task.done_at + self._behaviour.tasks_kept_seconds

    def _describe(self, account: str, action: str, task_id: str, fault: FaultKind | None) -> Answer:
        try:
            task = self._find(account, action, task_id)
        except ApiError:
            found = next(family.not_found() for family in FAMILIES.values() if family.describe == action)
            if found is None:
                raise
            return found
        done = fault is FaultKind.DONE_WITHOUT_URL
        phase = Phase.ENDED if done else Phase.RUNNING if fault is FaultKind.UNKNOWN_STATUS else task.phase
        null_results = done
        if task.url_late and task.succeeded:
            task.url_late, null_results = False, True
        answer = task.family.answer(task, phase, lambda file: self._url(task, file), null_results=null_results)
        if fault is FaultKind.UNKNOWN_STATUS:
            answer[task.family.state_field] = "PAUSED"
        return answer

    def _manage(self, account: str, params: dict[str, Any]) -> Answer:
        if params["OperationType"] != "Abort":
            raise ApiError("InvalidParameterValue.InvalidOperationType", "`OperationType` must be Abort.")
        task = self._find(account, "ManageTask", params["TaskId"])
        if task.phase is not Phase.WAITING:
            raise ApiError("FailedOperation", f"Only a WAITING task can be aborted, not {task.state}.")
        task.abort()
        return {}

    def _list(self, account: str, params: dict[str, Any]) -> Answer:
        """The tasks of ProcessMedia and EditMedia in one state, the newest first."""
        failed = params.get("SubTaskHasFailed")
        tasks = [
            task.family.summary(task)
            for task in reversed(self._tasks_of(account))
            if isinstance(task.family, MediaFamily)
            and task.state == params["Status"]
            and failed in (None, task.failure is not None)
        ]
        since, until = params.get("StartTime", ""), params.get("EndTime", "9")
        tasks = [task for task in tasks if since <= task["CreateTime"] <= until]
        token = params.get("ScrollToken") or "0"
        begin = int(token) if re.fullmatch("[0-9]{1,9}", token) else len(tasks)
        end = begin + int(params.get("Limit", 10))
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
            url = urlsplit(info.get("UrlInputInfo", {}).get("Url", ""))
            key = unquote(url.path).removeprefix("/files/").strip("/")
            if found := _COS_HOST.fullmatch(url.netloc):
                key = f"{found['bucket']}/{key}"
        _, file = self._files.get(key, (None, None))
        return file or MediaFile(key, seed=json.dumps(info, sort_keys=True), seconds=_FOREIGN_SECONDS)

    def _url(self, task: EmulatedTask, file: MediaFile) -> str:
        if store := task.family.bucket(task.params):
            host = f"{store['CosBucketName']}.cos.{store['CosBucketRegion']}.myqcloud.com"
            return f"https://{host}/{quote(file.key.partition('/')[2])}"
        if not self._behaviour.results_signed:
            return f"https://{OWN_BUCKET}.cos.ap-guangzhou.myqcloud.com/{quote(file.key)}"
        return f"{self.url}/files/{quote(file.key)}?sign={task.sign}"


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
