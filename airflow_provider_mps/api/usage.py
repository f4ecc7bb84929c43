"""What a task made, and what it was asked for: small, and without a URL, for cost reports."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.tasks import TaskFamily, TaskState, TaskStatus

if TYPE_CHECKING:
    from airflow_provider_mps.api.requests import RequestShape

USAGE_XCOM = "usage"
_WORD = re.compile(r"[\w .*+-]{1,64}", re.ASCII)
"""What the names of models and sizes look like, and a URL does not."""


class Asked(TypedDict, total=False):
    """What the request tells of a task's cost; what it does not tell is left out.

    :ivar model: its ModelName; ``version``: its ModelVersion.
    :ivar requested_seconds: its Duration. A model may make another length.
    :ivar requested_resolution: the Resolution in its ExtraParameters, such as ``1080P``.
    """

    model: str
    version: str
    requested_seconds: int
    requested_resolution: str


class Usage(Asked):
    """What a task that has ended made; what neither request nor answer tells is left out.

    :ivar mps_task_id: its TaskId.
    :ivar kind: its family: ``aigc_audio``, ``aigc_video``, ``aigc_image`` or ``media``.
    :ivar state: ``DONE`` or ``FAIL``.
    :ivar files: how many files the answer names.
    :ivar seconds: their length in all, as far as the answer gives it: AIGC video tasks give none.
    :ivar resolution: of the files, such as ``1920x1080``, where all of them have the same.
    :ivar billed: False for a video or image task in FAIL: MPS's pricing pages bill successful ones alone. Nothing is
        known of other tasks in FAIL, and of one that is DONE its price depends on your contract.
    """

    mps_task_id: str
    kind: str
    state: str
    files: int
    seconds: NotRequired[float]
    resolution: NotRequired[str]
    billed: NotRequired[bool]


def asked_for(shape: RequestShape, arguments: Callable[[], Mapping[str, Any]]) -> Asked:
    """What a request tells of its task's cost.

    :param arguments: gives those that it was created by. They may be rendered anew since, so an argument that cannot be
        sent any more is no error here.
    """
    found, params = Asked(), dict[str, Any]()
    with suppress(InvalidArgumentError):
        params = shape.build(arguments())
    if model := _text(params.get("ModelName")):
        found["model"] = model
    if version := _text(params.get("ModelVersion")):
        found["version"] = version
    if length := params.get("Duration"):
        found["requested_seconds"] = length
    extra = params.get("ExtraParameters")
    if resolution := _text(extra.get("Resolution")) if isinstance(extra, Mapping) else "":
        found["requested_resolution"] = resolution
    return found


def usage(family: TaskFamily, status: TaskStatus, asked: Asked) -> Usage:
    """What a task that has ended made.

    :param asked: what it was asked for; empty where that is not known.
    """
    of_task = {"mps_task_id": status.task_id, "kind": family.kind, "state": status.state.value}
    found = cast("Usage", {**of_task, **asked, "files": len(status.urls)})
    if status.durations:
        found["seconds"] = round(sum(status.durations), 3)
    if resolution := _text(family.read_resolution(status.response)):
        found["resolution"] = resolution
    if status.state is TaskState.FAIL and family.failures_are_free:
        found["billed"] = False
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""
