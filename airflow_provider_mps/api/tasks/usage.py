"""What a task made, and what it was asked for: small, and without a URL, for cost reports."""

from __future__ import annotations

import re
from typing import Any, NotRequired, TypedDict, cast

from airflow_provider_mps.api.prices import Price, Prices
from airflow_provider_mps.api.tasks import TaskFamily, TaskState, TaskStatus

REFUSED = "REFUSED"
"""The state of a create that made no task."""
_WORD = r"[A-Za-z0-9_ .*+-]{1,64}"
"""What the names of models and sizes look like, and a URL does not."""


class Asked(TypedDict, total=False):
    """What the request tells of a task's cost; what it does not tell is left out.

    :ivar model: its ModelName; ``version``: its ModelVersion.
    :ivar requested_seconds: its Duration. A model may make another length.
    :ivar requested_resolution: the Resolution in its ExtraParameters, such as ``1080P``.
    :ivar requested_files: how many images or songs (OutputImageCount, or ``n`` of Mureka), where it says that.
    """

    model: str
    version: str
    requested_seconds: int
    requested_resolution: str
    requested_files: int


class Usage(Asked):
    """What a task that has ended made; what neither request nor answer tells is left out.

    :ivar mps_task_id: its TaskId; empty where there is none.
    :ivar kind: its family: such as ``aigc_audio`` or ``media``.
    :ivar state: ``DONE`` or ``FAIL``; ``REFUSED`` where MPS refused the create, and there is no task.
    :ivar files: how many files the answer names.
    :ivar seconds: the length in all of what was made, as far as the answer gives it: AIGC video tasks give none. A
        video with the sound that was made for it is not counted beside that.
    :ivar resolution: of the files, such as ``1920x1080``, where all of them have the same.
    :ivar billed: False for a video or image task in FAIL, for MPS's pricing pages bill successful ones, and for a
        create that was refused. Nothing is
        known of other tasks in FAIL, and of one that is DONE its price depends on your contract.
    :ivar estimated_cost: by the connection's ``prices``, in ``currency``; an estimate, and nothing that MPS says.
    """

    mps_task_id: str
    kind: str
    state: str
    files: int
    seconds: NotRequired[float]
    resolution: NotRequired[str]
    billed: NotRequired[bool]
    estimated_cost: NotRequired[float]
    currency: NotRequired[str]


def usage_of(family: TaskFamily, status: TaskStatus, asked: Asked, prices: Prices) -> Usage:
    """What a task that has ended made.

    :param asked: what it was asked for; empty where that is not known.
    :param prices: the user's own.
    """
    of_task = {"mps_task_id": status.task_id, "kind": family.kind, "state": status.state.value}
    found = cast("Usage", {**of_task, **asked, "files": len(status.urls)})
    made = family.status(status.task_id, family.made(status.response))
    if made.durations:
        found["seconds"] = round(sum(made.durations), 3)
    if resolution := word(family.resolution(status.response)):
        found["resolution"] = resolution
    if status.state is TaskState.FAIL and family.failures_are_free:
        found["billed"] = False
    price = price_of(asked, prices)
    quantity = _made(found, price.unit, len(made.urls)) if price else None
    if price and quantity is not None:
        found["estimated_cost"], found["currency"] = round(price.amount * quantity, 6), price.currency
    return found


def price_of(asked: Asked, prices: Prices) -> Price | None:
    """What the user pays for what was asked for, if the connection says that."""
    return prices.of(asked.get("model", ""), asked.get("version", ""))


def estimate(asked: Asked, prices: Prices) -> str:
    """What a create will cost, in words; empty where the connection has no price for its model."""
    if (price := price_of(asked, prices)) is None:
        return ""
    quantity = asked.get("requested_seconds") if price.unit == "second" else asked.get("requested_files", 1)
    of = " ".join(filter(None, (asked.get("model", ""), asked.get("version", ""))))
    return f"{price.about(quantity)}, by the connection's prices for {of}: an estimate, not a bill"


def _made(made: Usage, unit: str, pieces: int) -> float | None:
    """How many units of a price a task made that has ended; None where that, or whether it is billed, is not known."""
    if made.get("billed") is False:
        return 0.0
    if made["state"] != TaskState.DONE:
        return None
    return made.get("seconds", made.get("requested_seconds")) if unit == "second" else pieces


def refused(family: TaskFamily, asked: Asked) -> Usage:
    """What a create that MPS refused has made: nothing, and nothing is billed."""
    of_none = {"mps_task_id": "", "kind": family.kind, "state": REFUSED}
    return cast("Usage", {**of_none, **asked, "files": 0, "billed": False})


def word(value: Any) -> str:
    """A name of a model or a size; empty for anything else, such as a URL."""
    return value if isinstance(value, str) and re.fullmatch(_WORD, value) else ""
