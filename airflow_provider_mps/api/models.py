"""What is known of the service's models: advice before money is spent, and a comparison with what came.

Dated facts, for lists of allowed values go out of date: they are said in the log, and nothing is refused for them.
What the API reference itself forbids is refused by ``requests.py``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.requests import AUDIO_REQUEST, IMAGE_REQUEST, VIDEO_REQUEST

if TYPE_CHECKING:
    from airflow_provider_mps.api.requests import RequestShape
    from airflow_provider_mps.api.tasks import TaskStatus

Params = Mapping[str, Any]
AUDIO, VIDEO, IMAGE = AUDIO_REQUEST.action, VIDEO_REQUEST.action, IMAGE_REQUEST.action


class Mark(StrEnum):
    """The kind of source that a fact comes from."""

    DOC = "doc"
    """The API reference, or the data models of the SDK (3.1.194)."""
    SEEN = "seen"
    """Measured on the live service by somebody who published it."""


class Check(Protocol):
    """What a rule asks of a request."""

    def broken_by(self, params: Params) -> bool:
        """Whether a request is not as the rule wants it."""

    def __str__(self) -> str:
        """What it wants, to follow the model's name."""


@dataclass(frozen=True)
class OneOf:
    """A field has one of these values; one that is not given is as good as any, unless it is needed."""

    name: str
    values: Collection[Any]
    needed: bool = False

    def broken_by(self, params: Params) -> bool:
        value = _field(params, self.name)
        return self.needed if value is None else value not in self.values

    def __str__(self) -> str:
        if isinstance(self.values, range):
            return f"takes {self.name} {self.values[0]} to {self.values[-1]} alone"
        return f"takes {self.name} {' or '.join(map(str, self.values))} alone"


@dataclass(frozen=True)
class Needs:
    """Fields that must be given."""

    names: tuple[str, ...]

    def broken_by(self, params: Params) -> bool:
        return any(not _field(params, name) for name in self.names)

    def __str__(self) -> str:
        return f"needs {' and '.join(self.names)}"


@dataclass(frozen=True)
class TakesNo:
    """A field that must not be given."""

    name: str

    def broken_by(self, params: Params) -> bool:
        return bool(_field(params, self.name))

    def __str__(self) -> str:
        return f"takes no {self.name}"


@dataclass(frozen=True)
class NotBoth:
    """Fields of which one excludes the other."""

    first: str
    second: str

    def broken_by(self, params: Params) -> bool:
        return bool(_field(params, self.first) and _field(params, self.second))

    def __str__(self) -> str:
        return f"takes {self.first} or {self.second}, not both"


@dataclass(frozen=True)
class OnlyWith:
    """A value of a field that one model has."""

    name: str
    value: str
    model: str

    def broken_by(self, params: Params) -> bool:
        return bool(_field(params, self.name) == self.value and _model(params) != self.model)

    def __str__(self) -> str:
        return f"takes {self.name} {self.value} with {self.model} alone"


@dataclass(frozen=True)
class MostPictures:
    """How many reference pictures there may be."""

    most: int

    def broken_by(self, params: Params) -> bool:
        frames = sum(name in params for name in ("ImageUrl", "LastImageUrl"))
        return frames + len(params.get("ImageInfos", ())) > self.most

    def __str__(self) -> str:
        return f"takes {self.most} reference pictures at most"


@dataclass(frozen=True)
class LongestPrompt:
    """How many characters a prompt may have."""

    most: int

    def broken_by(self, params: Params) -> bool:
        return len(str(params.get("Prompt") or "")) > self.most

    def __str__(self) -> str:
        return f"takes a Prompt of {self.most:,} characters at most"


@dataclass(frozen=True)
class NoPictureAsVideo:
    """VideoInfos are videos."""

    def broken_by(self, params: Params) -> bool:
        paths = (urlsplit(video["VideoUrl"]).path for video in params.get("VideoInfos", ()))
        return any(os.path.splitext(path)[1].lower() in _PICTURES for path in paths)

    def __str__(self) -> str:
        return "takes videos in VideoInfos, no pictures"


@dataclass(frozen=True)
class Rule:
    """What is known of a model.

    :param action: the create action.
    :param model: its ModelName; empty: any.
    :param check: what it asks of a request.
    :param otherwise: what MPS does with another request.
    :param mark: the kind of source.
    :param versions: the ModelVersions that it is about; none: all. An empty one stands for a request without.
    :param since: the month of the source.
    """

    action: str
    model: str
    check: Check
    otherwise: str
    mark: Mark = Mark.SEEN
    versions: Collection[str] = ()
    since: str = "2026-08"

    def broken_by(self, action: str, params: Params) -> bool:
        """Whether it is about this create, which is not as it asks."""
        about = action == self.action and self.model in ("", _model(params))
        version = str(params.get("ModelVersion") or "")
        return about and (not self.versions or version in self.versions) and self.check.broken_by(params)

    def __str__(self) -> str:
        model = " ".join(filter(None, (self.model or self.action, "/".join(filter(None, self.versions)))))
        return f"{model} {self.check}; {self.otherwise} ({self.mark}, {self.since})"


_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_REFUSED = "MPS refuses another request"
_FAILS = "with another request the task ends in FAIL"
_NO_OR_FAIL = "MPS refuses another request, or lets its task FAIL"
_IGNORED = "MPS makes something else without saying so"
_NOT_KNOWN = "what MPS does with another request is not known"

MODELS: Mapping[str, tuple[str, ...]] = {
    AUDIO: ("GL", "MiniMaxMusic", "Tme", "EL", "Mureka", "Kling"),
    VIDEO: ("Hunyuan", "wand-vega-video", "Hailuo", "Kling", "Vidu", "PixVerse", "Mingmou", "H2", "OS", "GV"),
    IMAGE: ("Hunyuan", "Qwen", "Vidu", "Kling", "wand-vega-image", "GEM", "MJ"),
}
"""The models that are known, from the reference, the SDK and what was seen, as of 2026-08."""
_SPELLINGS = {"MinimaxMusic": "MiniMaxMusic"}  # the reference has both

_KLING_3 = ("3.0", "3.0-Omni")
_VIDU_Q2 = ("q2", "q2-pro", "q2-turbo")
_VIDU_Q3 = ("q3", "q3-pro", "q3-turbo", "q3-mix")

RULES = (
    *(Rule(action, "", OneOf("ModelName", names), _REFUSED) for action, names in MODELS.items()),
    # Audio
    Rule(AUDIO, "", OneOf("SceneType", ("tts", "music", "sfx"), needed=True), _REFUSED),
    Rule(AUDIO, "Kling", OneOf("SceneType", ("sfx",)), _REFUSED),
    *(Rule(AUDIO, model, OneOf("SceneType", ("music",)), _REFUSED) for model in ("MiniMaxMusic", "GL", "Tme")),
    *(Rule(AUDIO, model, Needs(("ModelVersion",)), _REFUSED) for model in ("MiniMaxMusic", "GL")),
    *(Rule(AUDIO, model, TakesNo("ModelVersion"), _REFUSED) for model in ("Kling", "Tme")),
    Rule(AUDIO, "GL", Needs(("AdditionalParameters.lyric",)), _FAILS, versions=("3.0-pro",)),
    Rule(AUDIO, "", NotBoth("AdditionalParameters.lyric", "AdditionalParameters.is_instrumental"), _NOT_KNOWN),
    Rule(AUDIO, "Tme", Needs(("ExtraParameters.ResourceId", "AudioInfos")), _REFUSED),
    *(Rule(AUDIO, model, TakesNo("VideoInfos"), _NOT_KNOWN) for model in ("MiniMaxMusic", "GL", "Tme", "Mureka")),
    Rule(AUDIO, "Kling", NoPictureAsVideo(), _FAILS),
    # Video
    Rule(VIDEO, "", LongestPrompt(2000), _NOT_KNOWN),
    Rule(VIDEO, "", MostPictures(20), _REFUSED),
    *(
        Rule(VIDEO, "", OnlyWith("SceneType", scene, model), _NOT_KNOWN)
        for scene, model in (
            ("motion_control", "Kling"),
            ("land2port", "Mingmou"),
            ("template_effect", "Vidu"),
            ("3d_scene", "Hunyuan"),
        )
    ),
    Rule(VIDEO, "Hailuo", Needs(("ImageUrl",)), _NO_OR_FAIL, versions=("2.3-fast",)),
    Rule(VIDEO, "Hailuo", OneOf("Duration", (6, 10)), f"{_IGNORED}: about 5.9 s", versions=("02", "2.3")),
    Rule(VIDEO, "Hailuo", OneOf("Duration", range(4, 16)), f"{_IGNORED}: about 5.2 s", versions=("H3",)),
    Rule(
        VIDEO,
        "Hailuo",
        OneOf("ExtraParameters.Resolution", ("4K",)),
        f"{_IGNORED}: 2560x1440",
        versions=("H3",),
    ),
    *(
        Rule(VIDEO, model, OneOf("Duration", seconds), _NO_OR_FAIL, Mark.DOC, versions)
        for model, versions, seconds in (
            ("Kling", ("O1",), range(3, 11)),
            ("Kling", _KLING_3, range(3, 16)),
            ("Kling", ("1.6", "2.0", "2.1", "2.5", "2.6"), (5, 10)),
            ("Vidu", _VIDU_Q2, range(1, 11)),
            ("Vidu", _VIDU_Q3, range(3, 17)),
            ("PixVerse", ("v5.6",), (5, 8, 10)),
            ("PixVerse", ("v6", "c1"), range(1, 16)),
            ("H2", (), range(3, 16)),
            ("wand-vega-video", ("1.0-lite",), range(4, 16)),
        )
    ),
    *(
        Rule(VIDEO, model, MostPictures(most), _NO_OR_FAIL, Mark.DOC, versions)
        for model, versions, most in (
            ("Kling", ("1.6",), 4),
            ("Kling", ("O1", "3.0-Omni"), 7),
            ("Vidu", ("q2", "q2-pro", "q3-turbo", "q3", "q3-mix"), 7),
            ("PixVerse", (), 7),
            ("H2", (), 9),
            ("wand-vega-video", (), 9),
        )
    ),
    # Images
    Rule(IMAGE, "", LongestPrompt(1000), _NOT_KNOWN),
    Rule(IMAGE, "", MostPictures(20), _REFUSED),
    *(
        Rule(IMAGE, model, MostPictures(most), _FAILS, versions=versions)
        for model, versions, most in (
            ("Hunyuan", ("", "3.0"), 3),
            ("Vidu", ("q2",), 7),
            ("Qwen", (), 9),
            ("Kling", ("2.1", "3.0"), 4),
            ("Kling", ("O1",), 10),
        )
    ),
    Rule(IMAGE, "Hunyuan", MostPictures(5), _FAILS, Mark.DOC, ("3.5-preview",)),
    Rule(IMAGE, "Kling", MostPictures(10), _FAILS, Mark.DOC, ("3.0-Omni",)),
    *(Rule(IMAGE, model, OneOf("OutputImageCount", (1,)), f"{_IGNORED}: 1 picture") for model in ("GEM", "Hunyuan")),
    Rule(IMAGE, "MJ", OneOf("OutputImageCount", (4,)), f"{_IGNORED}: 4 pictures"),
)


def advice(action: str, params: Params) -> list[str]:
    """What is known to go wrong with a create, a sentence each.

    :param params: a request that was built by its shape.
    """
    return [f"{rule}. It is sent as it is." for rule in RULES if rule.broken_by(action, params)]


def differences(shape: RequestShape, arguments: Mapping[str, Any], status: TaskStatus) -> list[str]:
    """Where the result of a finished task differs from its request, as far as the answer shows it; a sentence each.

    :param shape: of the request that it was created by.
    :param arguments: those of that request. They may be rendered anew since, so nothing is raised for them.
    """
    params: Params = {}
    with suppress(InvalidArgumentError):
        params = shape.build(arguments)
    return list(_differences(params, status))


def _differences(params: Params, status: TaskStatus) -> Iterator[str]:
    task = f"Task {status.task_id}:"
    count = params.get("OutputImageCount", len(status.urls))
    if count != len(status.urls):
        yield f"{task} asked for {count} images, got {len(status.urls)}"
    asked, came = _field(params, "ExtraParameters.Resolution"), status.response.get("Resolution")
    short, sides = _short_side(asked), re.findall(r"\d+", str(came)[:40])
    if short and len(sides) == 2 and abs(min(map(int, sides)) - short) > short * _ROUNDING:
        yield f"{task} asked for Resolution {asked}, got {'x'.join(sides)}"


_ROUNDING = 0.1
"""Models round the sides of a picture to what they can compute with, such as 1088 for 1080."""


def _short_side(resolution: Any) -> int:
    """Pixels of the shorter side of such as ``1080P`` or ``4K``; 0 where that is not known."""
    named = {"2K": 1440, "4K": 2160}
    lines = re.fullmatch(r"(\d{3,4})P", str(resolution).upper())
    return int(lines[1]) if lines else named.get(str(resolution).upper(), 0)


def _model(params: Params) -> str:
    name = str(params.get("ModelName") or "")
    return _SPELLINGS.get(name, name)


def _field(params: Params, name: str) -> Any:
    """A field of a request, also one inside an object: ``ExtraParameters.Resolution``; None where there is none."""
    if name == "ModelName":
        return _model(params) or None
    outer, _, inner = name.partition(".")
    value = params.get(outer)
    if not inner:
        return value
    if isinstance(value, str):  # AdditionalParameters are an object as text
        with suppress(ValueError):
            value = json.loads(value)
    return value.get(inner) if isinstance(value, Mapping) else None
