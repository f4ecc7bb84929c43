"""The task families of MPS: the actions that describe them, their states and their results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from airflow_provider_mps.api.cos import CosObject
from airflow_provider_mps.api.errors import NoResultError, TaskFailedError
from airflow_provider_mps.api.redaction import without_queries

Response = dict[str, Any]


class TaskState(StrEnum):
    """A task's state, in the words of the AIGC actions; ``UNKNOWN`` is any other word."""

    WAIT = "WAIT"
    RUN = "RUN"
    FAIL = "FAIL"
    DONE = "DONE"
    UNKNOWN = "UNKNOWN"

    @property
    def ended(self) -> bool:
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
    durations: tuple[Any, ...] = ()

    @property
    def urls(self) -> tuple[str, ...]:
        """Where all of the files are: not for logs."""
        return tuple(url for urls in self.files.values() for url in urls)

    @property
    def word(self) -> str:
        """The service's own word for the state, for logs."""
        return str(self.response.get("Status"))[:40]


@dataclass(frozen=True)
class TaskFamily:
    """What one kind of task needs to be waited for.

    :param kind: the word that triggers carry.
    :param title: the name for logs and errors.
    :param describe: the action that tells a task's state.
    :param read_state: state, and message of a failure, from a ``Response``.
    :param read_result: the fields of the result, beside the TaskId, from a ``Response``.
    :param read_files: the files' URLs or ``cos://`` URIs by XCom key; the keys alone where there are none yet.
    :param read_cos: the files in COS that a ``Response`` itself names.
    :param must_have_files: whether a task that is DONE without files is an error.
    :param can_abort: whether ManageTask can stop it while it still waits.
    """

    kind: str
    title: str
    describe: str
    read_state: Callable[[Response], tuple[TaskState, str]]
    read_result: Callable[[Response], dict[str, Any]]
    read_files: Callable[[Response], dict[str, list[str]]]
    read_cos: Callable[[Response], list[CosObject]] = lambda response: []
    must_have_files: Callable[[Response], bool] = lambda response: True
    can_abort: bool = False

    def status(self, task_id: str, response: Response) -> TaskStatus:
        """The status that a ``Response`` of the describe action gives."""
        state, message = self.read_state(response)
        files = self.read_files(response)
        in_cos = self.read_cos(response) or [
            found for urls in files.values() for url in urls if (found := CosObject.from_url(url))
        ]
        return TaskStatus(task_id, state, message, response, files, tuple(in_cos), tuple(_durations(response)))

    def check(self, status: TaskStatus) -> None:
        """Make sure that a task which has ended ended well.

        :raises TaskFailedError: it failed; the message is the service's own.
        :raises NoResultError: it is DONE, and there is no file.
        """
        task = f"{self.title} task {status.task_id}"
        if status.state is TaskState.FAIL:
            raise TaskFailedError(f"{task} failed at MPS: {without_queries(status.message)}")
        if not status.urls and self.must_have_files(status.response):
            raise NoResultError(
                f"{task} is {status.word} and MPS gives no URL of a file. The task ran and is billed as usual; "
                "ask Tencent Cloud support about this TaskId."
            )

    def goes_on(self, task_id: str, waited: float, known: bool = True) -> str:
        """What to tell a user whose wait ended, after so many seconds, before the task did.

        :param known: False: MPS has said that it does not know the task, and nothing else of it.
        """
        task = f"{self.title} task {task_id}"
        if not known:
            return (
                f"MPS does not know {task}, after {waited:.0f} s of asking. Check the TaskId, and that the connection "
                "leads to the account and region that created it. If it does exist, it is billed."
            )
        return (
            f"{task} had not ended after {waited:.0f} s of waiting. "
            "It goes on at MPS and is billed there; a retry of this Airflow task goes on waiting for it."
        )

    def result(self, status: TaskStatus) -> dict[str, Any]:
        """The result of a task that is DONE; its lists are never null."""
        return {"TaskId": status.task_id, **self.read_result(status.response)}


def _durations(response: Response) -> Iterator[Any]:
    for value in response.values():
        for item in _list(value):
            if isinstance(item, dict) and item.get("Duration") is not None:
                yield item["Duration"]


def aigc_family(kind: str, title: str, describe: str, outputs: dict[str, str], *details: str) -> TaskFamily:
    """A family of AIGC tasks.

    :param outputs: from the XCom's key to the field of the ``Response`` that holds its URLs; the first always is one.
    :param details: further fields that belong to the result.
    """
    main_key = next(iter(outputs))

    def read_state(response: Response) -> tuple[TaskState, str]:
        try:
            state = TaskState(str(response.get("Status")))
        except ValueError:
            state = TaskState.UNKNOWN
        return state, str(response.get("Message") or "")

    def read_result(response: Response) -> dict[str, Any]:
        lists = {name: _list(response.get(name)) for name in outputs.values()}
        return {"Status": "DONE", **lists, **{name: response[name] for name in details if response.get(name)}}

    def read_files(response: Response) -> dict[str, list[str]]:
        found = {key: _urls(response.get(name)) for key, name in outputs.items()}
        return {key: urls for key, urls in found.items() if urls or key == main_key}

    return TaskFamily(kind, title, describe, read_state, read_result, read_files)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _urls(value: Any) -> list[str]:
    """The URLs in a list of strings or of ``{"Url"}`` objects; null and strange entries count as none."""
    urls = [item.get("Url") if isinstance(item, dict) else item for item in _list(value)]
    return [url for url in urls if isinstance(url, str) and url]


AIGC_AUDIO = aigc_family(
    "aigc_audio",
    "AIGC audio",
    "DescribeAigcAudioTask",
    {"audio_urls": "AudioInfos", "video_urls": "VideoInfos"},
)
AIGC_VIDEO = aigc_family("aigc_video", "AIGC video", "DescribeAigcVideoTask", {"video_urls": "VideoUrls"}, "Resolution")
AIGC_IMAGE = aigc_family("aigc_image", "AIGC image", "DescribeAigcImageTask", {"image_urls": "ImageUrls"})


def _own_object(response: Response) -> dict[str, Any]:
    """The task's own object in an answer of DescribeTaskDetail, such as ``WorkflowTask``."""
    own = response.get(str(response.get("TaskType")))
    return own if isinstance(own, dict) else {}


def _media_state(response: Response) -> tuple[TaskState, str]:
    """FINISH says nothing of success: the task's ErrCode, and each result in it, does."""
    word = response.get("Status")
    if word != "FINISH":
        return {"WAITING": TaskState.WAIT, "PROCESSING": TaskState.RUN}.get(str(word), TaskState.UNKNOWN), ""
    own = _own_object(response)
    if not own:
        return TaskState.FAIL, f"it is FINISH without a {response.get('TaskType')} that would tell how it ended"
    failures = list(_failures(str(response.get("TaskType")), own))
    return (TaskState.FAIL, "; ".join(failures)) if failures else (TaskState.DONE, "")


def _failures(path: str, part: Any) -> Iterator[str]:
    """Each result in an object, at any depth, that says that it failed."""
    if isinstance(part, list):
        for number, item in enumerate(part):
            yield from _failures(f"{path}[{number}]", item)
    elif isinstance(part, dict):
        if part.get("ErrCode") or part.get("Status") == "FAIL":
            code = part.get("ErrCodeExt") or part.get("ErrCode")
            yield f"{path}: {part.get('Message') or 'no message'} (ErrCode {code})"
        for key, value in part.items():
            if key != "Input":
                yield from _failures(f"{path}.{key}", value)


def _media_files(response: Response) -> dict[str, list[str]]:
    return {"cos_uris": [file.uri for file in _media_cos(response)]}


def _media_cos(response: Response) -> list[CosObject]:
    return list(dict.fromkeys(_cos_objects(_own_object(response))))


def _cos_objects(part: Any) -> Iterator[CosObject]:
    """Each output file in COS, wherever in an object it is named beside its storage."""
    if isinstance(part, list):
        for item in part:
            yield from _cos_objects(item)
    elif isinstance(part, dict):
        storage = part.get("OutputStorage") or part.get("Storage")
        cos = storage.get("CosOutputStorage") if isinstance(storage, dict) else None
        if isinstance(cos, dict) and cos.get("Bucket"):
            pictures = [picture.get("Path") for picture in _list(part.get("PicInfoSet")) if isinstance(picture, dict)]
            for path in (part.get("Path"), *_list(part.get("ImagePathSet")), *pictures):
                if isinstance(path, str) and path:
                    yield CosObject(str(cos["Bucket"]), path.lstrip("/"), str(cos.get("Region") or ""))
        for key, value in part.items():
            if key not in ("Input", "InputInfo"):
                yield from _cos_objects(value)


MEDIA = TaskFamily(
    kind="media",
    title="media processing",
    describe="DescribeTaskDetail",
    read_state=_media_state,
    read_result=_own_object,
    read_files=_media_files,
    read_cos=_media_cos,
    # What ProcessMedia makes is not always a file: a review or an analysis is not.
    must_have_files=lambda response: response.get("TaskType") == "EditMediaTask",
    can_abort=True,
)

FAMILIES = {family.kind: family for family in (AIGC_AUDIO, AIGC_VIDEO, AIGC_IMAGE, MEDIA)}
