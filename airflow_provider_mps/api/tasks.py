"""The task families of MPS: the actions that create and describe them, their states and their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from airflow_provider_mps.api.errors import NoResultError, TaskFailedError
from airflow_provider_mps.api.redaction import without_queries

NOT_FOUND_GRACE_SECONDS = 30.0
"""A task just created may not be known everywhere at once; how long that takes, no page says."""


class TaskState(StrEnum):
    """A task's state, in the words of the AIGC actions; ``UNKNOWN`` is any word that no page explains."""

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
    :param urls: the result's URLs; whoever has one may have the file: not for logs.
    """

    task_id: str
    state: TaskState
    message: str
    response: dict[str, Any] = field(repr=False)
    urls: tuple[str, ...] = field(default=(), repr=False)

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
    :param read_state: state and message from a ``Response``.
    :param outputs: from the XCom's key to the field of the ``Response`` that holds its URLs.
    :param details: further fields of the ``Response`` that belong to the result.
    """

    kind: str
    title: str
    describe: str
    read_state: Callable[[dict[str, Any]], tuple[TaskState, str]]
    outputs: Mapping[str, str] = field(default_factory=dict)
    details: tuple[str, ...] = ()

    def status(self, task_id: str, response: dict[str, Any]) -> TaskStatus:
        """The status that a ``Response`` of the describe action tells."""
        state, message = self.read_state(response)
        urls = tuple(url for name in self.outputs.values() for url in _urls(response.get(name)))
        return TaskStatus(task_id, state, message, response, urls)

    def check(self, status: TaskStatus) -> None:
        """Make sure that a task which has ended ended well.

        :raises TaskFailedError: it failed; the message is the service's own.
        :raises NoResultError: it is DONE, and there is no file.
        """
        task = f"{self.title} task {status.task_id}"
        if status.state is TaskState.FAIL:
            raise TaskFailedError(f"{task} failed at MPS: {without_queries(status.message)}")
        if self.outputs and not status.urls:
            raise NoResultError(
                f"{task} is {status.word} and MPS gives no URL of a file. The task ran and is billed as usual; "
                "ask Tencent Cloud support about this TaskId."
            )

    def goes_on(self, task_id: str, waited: float) -> str:
        """What to tell a user whose wait ended, after so many seconds, before the task did."""
        return (
            f"{self.title} task {task_id} had not ended after {waited:.0f} s of waiting. "
            "It goes on at MPS and is billed there; a retry of this Airflow task goes on waiting for it."
        )

    def result(self, status: TaskStatus) -> dict[str, Any]:
        """The result of a task that is DONE: the TaskId, the state, and lists that are never null."""
        result: dict[str, Any] = {"TaskId": status.task_id, "Status": status.state.value}
        for name in self.outputs.values():
            value = status.response.get(name)
            result[name] = value if isinstance(value, list) else []
        return result | {name: status.response[name] for name in self.details if status.response.get(name)}

    def urls_by_xcom(self, status: TaskStatus) -> dict[str, list[str]]:
        """The result's URLs by XCom key; the first key is there even when it is empty."""
        found = {key: _urls(status.response.get(name)) for key, name in self.outputs.items()}
        first = next(iter(self.outputs), None)
        return {key: urls for key, urls in found.items() if urls or key == first}


def _urls(value: Any) -> list[str]:
    """The URLs in a list of strings or of ``{"Url"}`` objects; null and strange entries count as none."""
    if not isinstance(value, list):
        return []
    urls = [item.get("Url") if isinstance(item, dict) else item for item in value]
    return [url for url in urls if isinstance(url, str) and url]


def _aigc_state(response: dict[str, Any]) -> tuple[TaskState, str]:
    try:
        state = TaskState(str(response.get("Status")))
    except ValueError:
        state = TaskState.UNKNOWN
    return state, str(response.get("Message") or "")


AIGC_AUDIO = TaskFamily(
    kind="aigc_audio",
    title="AIGC audio",
    describe="DescribeAigcAudioTask",
    read_state=_aigc_state,
    outputs={"audio_urls": "AudioInfos", "video_urls": "VideoInfos"},
)
AIGC_VIDEO = TaskFamily(
    kind="aigc_video",
    title="AIGC video",
    describe="DescribeAigcVideoTask",
    read_state=_aigc_state,
    outputs={"video_urls": "VideoUrls"},
    details=("Resolution",),
)
AIGC_IMAGE = TaskFamily(
    kind="aigc_image",
    title="AIGC image",
    describe="DescribeAigcImageTask",
    read_state=_aigc_state,
    outputs={"image_urls": "ImageUrls"},
)

FAMILIES = {family.kind: family for family in (AIGC_AUDIO, AIGC_VIDEO, AIGC_IMAGE)}
