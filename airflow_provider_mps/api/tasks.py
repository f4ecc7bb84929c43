"""The task families of MPS: the actions that describe them, their states and their results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_mps.api.answers import Response, is_file_url
from airflow_provider_mps.api.cos import CosObject
from airflow_provider_mps.api.errors import (
    InvalidArgumentError,
    NoResultError,
    TaskFailedError,
    WaitTimeoutError,
    sentences,
)
from airflow_provider_mps.api.redaction import plain, without_queries
from airflow_provider_mps.api.settings import Site
from airflow_provider_mps.api.trouble import Trouble

CONSOLE_XCOM = "cos_console_url"
MPS_CONSOLE_XCOM = "_link_MpsConsoleLink"
"""Where Airflow 3 keeps the link when a try ends, and looks for it at any time."""
_BUCKET_OR_REGION = re.compile(r"[a-z0-9-]{1,100}")
_FORMAT = re.compile(r"\.(\w{1,5})(?:;.*)?$", re.ASCII)
_NAMED_PARTS = 10
_VALUES = 100_000
_ENTRIES = 10_000
"""How many values of an answer, and entries of one list of files, are looked at: far more than real ones have, and no
more than a moment's work for an event loop that others wait on."""

_Way = tuple[()] | tuple["_Way", str | int]
"""The way to a part of an answer: the way to what it is in, and its key there. Many parts share it."""


class TaskState(StrEnum):
    """A task's state, in the words of the AIGC actions; ``UNKNOWN`` is any other word."""

    WAIT = "WAIT"
    RUN = "RUN"
    FAIL = "FAIL"
    DONE = "DONE"
    UNKNOWN = "UNKNOWN"

    @property
    def ended(self) -> bool:
        """Whether the task will not change any more."""
        return self in (TaskState.FAIL, TaskState.DONE)


@dataclass(frozen=True)
class TaskStatus:
    """What MPS says of a task.

    :param task_id: the TaskId.
    :param state: the state.
    :param message: why, where the task failed.
    :param response: the ``Response`` object as it came. Holds result URLs: not for logs.
    :param files: the files' URLs or ``cos://`` URIs by XCom key; the keys alone where there are none yet. Whoever has
        a URL may have the file: not for logs.
    :param in_cos: those of the files that are in COS, with their bucket's region.
    :param durations: seconds of each file, as far as the service gives them.
    """

    task_id: str
    state: TaskState
    message: str
    response: Response = field(repr=False)
    files: Mapping[str, list[str]] = field(default_factory=dict, repr=False)
    in_cos: tuple[CosObject, ...] = ()
    durations: tuple[float, ...] = ()

    @property
    def urls(self) -> tuple[str, ...]:
        """Where all of the files are: not for logs."""
        return tuple(url for urls in self.files.values() for url in urls)

    def files_to_push(self, site: Site, store_cos_param: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Where the files are, by XCom key; those in COS as ``cos_uris`` and, with the region, as ``cos_urls``.

        :param site: whose console shows the bucket.
        :param store_cos_param: where MPS was to store them.
        """
        files: dict[str, Any] = dict(self.files)
        in_cos = self.in_cos or [found for url in self.urls if (found := CosObject.from_url(url, store_cos_param))]
        if in_cos:
            files["cos_uris"] = [file.uri for file in in_cos]
            urls = [file.url for file in in_cos]
            # Bucket and region come from an answer: what does not make an address of COS names no file.
            if [CosObject.from_url(url) for url in urls] == list(in_cos):
                files["cos_urls"] = urls
            files[CONSOLE_XCOM] = in_cos[0].console_url(site)
        return files

    @property
    def word(self) -> str:
        """The service's own word for the state, for logs."""
        return plain(self.response.get("Status"))[:40] or "without a Status"

    @property
    def formats(self) -> list[str]:
        """The suffix of each file's name, such as ``mp3``; ``file`` where it has none."""
        found = (_FORMAT.search(urlsplit(url).path.rpartition("/")[2]) for url in self.urls)
        return [suffix[1] if suffix else "file" for suffix in found]


# Guide to the console of the international site: "AIGC Task Management", which speaks of images and videos, and
# "VOD Task Management" (2025-12). That China's console has the same paths is a guess.
_AIGC_TASKS = "/mps/aigc/tasks"
_MEDIA_TASKS = "/mps/tasks/vod-list"

_NOT_KNOWN = "Whether a task that failed is billed is not known"
_COSTS_NOTHING = "A task that failed costs nothing"


def in_seconds(seconds: float, accepted: bool) -> str:
    """How long a task took so far: since MPS accepted it, or, where nobody knows when that was, since a wait began."""
    return f"{max(0.0, seconds):.0f} s" if accepted else f"{max(0.0, seconds):.0f} s of waiting"


@dataclass(frozen=True)
class TaskFamily:
    """What one kind of task needs to be waited for.

    :param kind: the word that triggers carry.
    :param title: the name for logs and errors.
    :param describe: the action that describes a task.
    :param console_page: the path of the page that lists such tasks, in the console of the account's site.
    :param read_state: state, and message of a failure, from a ``Response``.
    :param read_result: the fields of the result, beside the TaskId, from a ``Response``.
    :param read_files: the files' URLs or ``cos://`` URIs by XCom key; the keys alone where there are none yet.
    :param read_cos: the files in COS that a ``Response`` itself names.
    :param must_have_files: whether a task that is DONE without files is an error.
    :param can_abort: whether ManageTask can stop it while it still waits.
    :param read_durations: seconds of each file, as far as a ``Response`` gives them.
    :param read_resolution: the size of the files' pictures, where a ``Response`` gives one for all; else empty.
    :param failures_are_free: whether MPS says that a task which failed is not billed (its pricing pages).
    """

    kind: str
    title: str
    describe: str
    console_page: str
    read_state: Callable[[Response], tuple[TaskState, str]]
    read_result: Callable[[Response], dict[str, Any]]
    read_files: Callable[[Response], dict[str, list[str]]]
    read_cos: Callable[[Response], list[CosObject]] = lambda response: []
    must_have_files: Callable[[Response], bool] = lambda response: True
    can_abort: bool = False
    read_durations: Callable[[Response], Iterable[float]] = lambda response: ()
    read_resolution: Callable[[Response], str] = lambda response: ""
    failures_are_free: bool = False

    def console_url(self, site: Site) -> str:
        """The page of the console that lists such tasks."""
        return f"{site.console}{self.console_page}"

    def status(self, task_id: str, response: Response) -> TaskStatus:
        """The status that a ``Response`` of the describe action gives."""
        state, message = self.read_state(response)
        files = self.read_files(response)
        in_cos = self.read_cos(response) or [
            found for urls in files.values() for url in urls if (found := CosObject.from_url(url))
        ]
        return TaskStatus(task_id, state, message, response, files, tuple(in_cos), tuple(self.read_durations(response)))

    def lacks_files(self, status: TaskStatus) -> bool:
        """Whether a task is DONE, should have files, and has none: they may come a moment later."""
        return status.state is TaskState.DONE and not status.urls and self.must_have_files(status.response)

    def settled(self, status: TaskStatus) -> bool:
        """Whether there is nothing more to wait for."""
        return status.state.ended and not self.lacks_files(status)

    def check(self, status: TaskStatus, after: str = "") -> None:
        """Make sure that a task which has ended ended well.

        :param after: after how long it ended, as :func:`in_seconds` says it, if that is known.
        :raises TaskFailedError: it failed; the message is the service's own.
        :raises NoResultError: it is DONE, and there is no file.
        """
        task = f"{self.title} task {status.task_id}"
        if status.state is TaskState.FAIL:
            reason = without_queries(status.message)
            raise TaskFailedError(
                f"FAIL{f' after {after}' if after else ''}: {reason}",
                cost=_COSTS_NOTHING if self.failures_are_free else _NOT_KNOWN,
                details=f"It is {task}. Some requests fail each time",
            )
        if self.lacks_files(status):
            raise NoResultError(
                f"{status.word}, and MPS gives no URL of a file: {task}",
                cost="It may be billed",
                advice="A retry polls it again, and creates no new task",
                details="If none comes, ask Tencent Cloud support about this TaskId",
            )

    def still_running(
        self, task_id: str, waited: str, *, known: bool = True, trouble: Trouble | None = None
    ) -> WaitTimeoutError:
        """The error for a user whose wait ended before the task did.

        :param waited: for how long, as :func:`in_seconds` says it.
        :param known: False: MPS has said that it does not know the task, and nothing else of it.
        :param trouble: what went wrong with the polls, and the state that they last found.
        """
        task = f"{self.title} task {task_id}"
        if not known:
            return WaitTimeoutError(
                f"MPS does not know {task}, after {waited}",
                cost="If it does exist, it may be billed",
                advice="Check the TaskId, and that the connection leads to the account and region that created it",
            )
        error = WaitTimeoutError(f"Not ended{f' after {waited}' if waited else ''}: {task}")
        if trouble:
            error.details = sentences(
                f"It was last known as {trouble.known}" if trouble.known else "",
                f"The last {trouble.row_in_words()}" if trouble.row_in_words() else "",
            )
        return error

    def result(self, status: TaskStatus) -> dict[str, Any]:
        """The result of a task that is DONE; its lists are never null."""
        return {"TaskId": status.task_id, **self.read_result(status.response)}


def aigc_family(
    kind: str, title: str, describe: str, outputs: dict[str, str], *details: str, failures_are_free: bool = False
) -> TaskFamily:
    """A family of AIGC tasks.

    :param outputs: from the XCom's key to the field of the ``Response`` that holds its URLs; the first always is one.
    :param details: further fields that belong to the result.
    """
    main_key = next(iter(outputs))

    def read_state(response: Response) -> tuple[TaskState, str]:
        try:
            state = TaskState(_text(response.get("Status")))
        except ValueError:
            state = TaskState.UNKNOWN
        return state, _text(response.get("Message"))

    def read_result(response: Response) -> dict[str, Any]:
        lists = {name: _entries(response.get(name)) for name in outputs.values()}
        return {"Status": "DONE", **lists, **{name: response[name] for name in details if response.get(name)}}

    def read_files(response: Response) -> dict[str, list[str]]:
        found = {key: [_url(item) for item in _entries(response.get(name))] for key, name in outputs.items()}
        return {key: urls for key, urls in found.items() if urls or key == main_key}

    def read_durations(response: Response) -> Iterator[float]:
        for name in outputs.values():
            for item in _entries(response.get(name)):
                if isinstance(item, dict) and item.get("Duration") is not None:
                    yield item["Duration"]

    return TaskFamily(
        kind,
        title,
        describe,
        _AIGC_TASKS,
        read_state,
        read_result,
        read_files,
        read_durations=read_durations,
        read_resolution=lambda response: _text(response.get("Resolution")),
        failures_are_free=failures_are_free,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value[:_ENTRIES] if isinstance(value, list) else []


def _entries(value: Any) -> list[Any]:
    """The entries of a list of files that have a URL, without a Duration that is not a number."""
    return [
        {name: part for name, part in item.items() if name != "Duration" or type(part) in (int, float)}
        if isinstance(item, dict)
        else item
        for item in _list(value)
        if _url(item)
    ]


def _url(item: Any) -> str:
    """The URL in an entry, a string or a ``{"Url"}`` object; empty for null and for strange entries."""
    url = item.get("Url") if isinstance(item, dict) else item
    return str(url) if is_file_url(url) else ""


AIGC_AUDIO = aigc_family(
    "aigc_audio",
    "AIGC audio",
    "DescribeAigcAudioTask",
    {"audio_urls": "AudioInfos", "video_urls": "VideoInfos"},
)
AIGC_VIDEO = aigc_family(
    "aigc_video",
    "AIGC video",
    "DescribeAigcVideoTask",
    {"video_urls": "VideoUrls"},
    "Resolution",
    failures_are_free=True,
)
AIGC_IMAGE = aigc_family(
    "aigc_image",
    "AIGC image",
    "DescribeAigcImageTask",
    {"image_urls": "ImageUrls"},
    failures_are_free=True,
)


def _own_object(response: Response) -> dict[str, Any]:
    """The task's own object in an answer of DescribeTaskDetail, such as ``WorkflowTask``."""
    own = response.get(_text(response.get("TaskType")))
    return own if isinstance(own, dict) else {}


def _media_state(response: Response) -> tuple[TaskState, str]:
    """FINISH does not mean success: the task's ErrCode, and each result in it, does."""
    word, kind = _text(response.get("Status")), plain(response.get("TaskType"))
    if word != "FINISH":
        return {"WAITING": TaskState.WAIT, "PROCESSING": TaskState.RUN}.get(word, TaskState.UNKNOWN), ""
    own = _own_object(response)
    if not own:
        return TaskState.FAIL, f"it is FINISH without a {kind or 'TaskType'} that would say how it ended"
    failures: list[str] = []
    done: list[str] = []
    for way, part in _objects(own):
        code = _code(part.get("ErrCode"))
        if code or part.get("Status") == "FAIL":
            code = plain(part.get("ErrCodeExt")) or code or "none"
            failures.append(f"{kind}{_written(way)}: {without_queries(part.get('Message'))} (ErrCode {code})")
        elif part.get("Status") == "SUCCESS":
            done.append(f"{kind}{_written(way)}")
    if not failures:
        return TaskState.DONE, ""
    message = failures[:_NAMED_PARTS]
    if done:
        message.append(
            f"these parts are done, and a new task would make, and bill, them again: {', '.join(done[:_NAMED_PARTS])}"
        )
    return TaskState.FAIL, "; ".join(message)


def _objects(own: dict[str, Any]) -> Iterator[tuple[_Way, dict[str, Any]]]:
    """A task's own object and each one in it, at any depth, with the way to it; not the request that it repeats."""
    yield (), own
    # A stack of iterators: nothing is made of what is not reached.
    stack: list[tuple[_Way, Iterator[tuple[str | int, Any]]]] = [((), iter(own.items()))]
    for _ in range(_VALUES):
        while (found := next(stack[-1][1], None)) is None:
            stack.pop()
            if not stack:
                return
        key, part = found
        if key in ("Input", "InputInfo") or not isinstance(part, (dict, list)):
            continue
        way = (stack[-1][0], key)
        if isinstance(part, dict):
            yield way, part
        stack.append((way, iter(part.items() if isinstance(part, dict) else enumerate(part))))


def _written(way: _Way) -> str:
    steps: list[str] = []
    while way:
        way, key = way
        steps.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    return plain("".join(reversed(steps)))


def _code(value: Any) -> str:
    """An ErrCode as text; empty where it says that nothing is wrong, or is of another type than a code."""
    return str(value) if value and isinstance(value, int) else plain(value)


def _media_files(response: Response) -> dict[str, list[str]]:
    return {"cos_uris": [file.uri for file in _media_cos(response)]}


def _media_cos(response: Response) -> list[CosObject]:
    return list(_media_outputs(response))


def _media_durations(response: Response) -> Iterator[float]:
    for described in _media_outputs(response).values():
        length = described.get("Duration")
        if isinstance(length, (int, float)) and not isinstance(length, bool):
            yield length


def _media_resolution(response: Response) -> str:
    sizes = [(each.get("Width"), each.get("Height")) for each in _media_outputs(response).values()]
    of_all = {f"{width}x{height}" for width, height in sizes if type(width) is type(height) is int and width and height}
    return of_all.pop() if len(of_all) == 1 else ""


def _media_outputs(response: Response) -> dict[CosObject, dict[str, Any]]:
    """Each output file in COS, wherever in a task's own object it is named beside its storage, and what is said of it:
    there, or in a ``MetaData`` there (the SDK's MediaTranscodeItem and EditMediaTaskOutput)."""
    found: dict[CosObject, dict[str, Any]] = {}
    for _, part in _objects(_own_object(response)):
        storage = part.get("OutputStorage") or part.get("Storage")
        cos = storage.get("CosOutputStorage") if isinstance(storage, dict) else None
        bucket, region = (_name(cos.get(name)) for name in ("Bucket", "Region")) if isinstance(cos, dict) else ("", "")
        if bucket:
            described = part["MetaData"] if isinstance(part.get("MetaData"), dict) else part
            pictures = [picture.get("Path") for picture in _list(part.get("PicInfoSet")) if isinstance(picture, dict)]
            for path in (part.get("Path"), *_list(part.get("ImagePathSet")), *pictures):
                if isinstance(path, str) and path and path.isprintable():
                    found.setdefault(CosObject(bucket, path.lstrip("/"), region), described)
    return found


def _name(value: Any) -> str:
    """A bucket's or a region's name, which becomes a part of a host's; empty where it cannot be one."""
    return value if isinstance(value, str) and _BUCKET_OR_REGION.fullmatch(value) else ""


MEDIA = TaskFamily(
    kind="media",
    title="media processing",
    describe="DescribeTaskDetail",
    console_page=_MEDIA_TASKS,
    read_state=_media_state,
    read_result=_own_object,
    read_files=_media_files,
    read_cos=_media_cos,
    read_durations=_media_durations,
    read_resolution=_media_resolution,
    # What ProcessMedia makes is not always a file: a review or an analysis is not.
    must_have_files=lambda response: response.get("TaskType") == "EditMediaTask",
    can_abort=True,
)

FAMILIES = {family.kind: family for family in (AIGC_AUDIO, AIGC_VIDEO, AIGC_IMAGE, MEDIA)}

# What the TaskIds of a family have in them (seen on the live service, 2026-08).
_IN_TASK_IDS = {
    "-AigcAudio-": AIGC_AUDIO,
    "-AigcVideo-": AIGC_VIDEO,
    "-AigcImage-": AIGC_IMAGE,
    "-WorkflowTask-": MEDIA,
    "-EditMediaTask-": MEDIA,
}


def check_family(argument: str, task_id: str, family: TaskFamily) -> None:
    """Make sure that a TaskId is not of another family: asked by the wrong action, MPS does not know the task.

    :raises InvalidArgumentError: it is.
    """
    named = next((other for part, other in _IN_TASK_IDS.items() if part in task_id), family)
    if named.describe != family.describe:
        raise InvalidArgumentError(
            argument, f"{task_id} is of the kind {named.title}, and this waits for tasks of the kind {family.title}"
        )
