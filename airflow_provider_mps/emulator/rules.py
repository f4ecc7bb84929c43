"""What the service does with a create whose fields are well-formed: refuse it, let it fail, or make something else.

Which values each model takes, as data. A rule is in force by the mark of its fact: under ``rules="service"`` all are,
under ``rules="reference"`` only those that the reference itself states.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_mps.emulator.errors import ApiError
from airflow_provider_mps.emulator.marks import Fact, Mark, doc, guess, seen
from airflow_provider_mps.emulator.schema import leaves

Params = dict[str, Any]

AUDIO, VIDEO, IMAGE = "CreateAigcAudioTask", "CreateAigcVideoTask", "CreateAigcImageTask"
SERVICE, REFERENCE = "service", "reference"
_FAMILY = {AUDIO: "Audio", VIDEO: "Video", IMAGE: "Image"}


@dataclass(frozen=True)
class Rule:
    """What happens to a create of ``action`` that ``strikes`` describes.

    :param model: the ModelName that it is about; empty: any.
    :param code: the create is refused with this error code. Empty: it is accepted.
    :param message: the refusal's message; without a code, why the accepted task ends in FAIL.
    :param instead: without a message, the values by which the service silently replaces those of the request.
    """

    action: str
    model: str
    fact: Fact
    strikes: Callable[[Params], bool]
    code: str = ""
    message: str = ""
    instead: Params = field(default_factory=dict)

    def applies(self, action: str, params: Params) -> bool:
        return action == self.action and self.model in ("", model_of(params)) and self.strikes(params)


class Rules:
    """The rules in force.

    :param name: ``service`` or ``reference``.
    :raises ValueError: it is neither.
    """

    def __init__(self, name: str) -> None:
        if name not in (SERVICE, REFERENCE):
            raise ValueError(f"rules must be {SERVICE!r} or {REFERENCE!r}, not {name!r}")
        self.as_seen = name == SERVICE
        self._rules = [rule for rule in RULES if self.as_seen or rule.fact.mark is Mark.DOC]

    def check(self, action: str, params: Params) -> None:
        """Raise the :class:`ApiError` of the first rule that refuses this create."""
        for rule in self._applying(action, params):
            if rule.code:
                raise ApiError(rule.code, rule.message)

    def failure(self, action: str, params: Params) -> str | None:
        """Why a task that was accepted ends in FAIL; None: it does not."""
        return next((rule.message for rule in self._applying(action, params) if rule.message and not rule.code), None)

    def made(self, action: str, params: Params) -> Params:
        """The request that the service carries out in place of ``params``, without saying so."""
        made = dict(params)
        for rule in self._applying(action, params):
            made |= rule.instead
        return made

    def _applying(self, action: str, params: Params) -> Iterator[Rule]:
        return (rule for rule in self._rules if rule.applies(action, params))


def model_of(params: Params) -> str:
    """The model that a create names; the reference spells MiniMaxMusic in two ways."""
    name = str(params.get("ModelName", ""))
    return "MiniMaxMusic" if name == "MinimaxMusic" else name


def _version(params: Params) -> str:
    return str(params.get("ModelVersion", ""))


def _scene(params: Params) -> str:
    return str(params.get("SceneType", ""))


def _extra(params: Params, name: str) -> Any:
    return params.get("ExtraParameters", {}).get(name)


def _additional(params: Params, name: str) -> Any:
    return json.loads(params.get("AdditionalParameters") or "{}").get(name)


def _pictures(params: Params) -> int:
    return len(params.get("ImageInfos", [])) + sum(bool(params.get(name)) for name in ("ImageUrl", "LastImageUrl"))


def _is_picture(url: str) -> bool:
    return re.split("[?#]", url)[0].lower().endswith((".png", ".jpg", ".jpeg", ".webp", ".gif"))


MODELS: dict[str, dict[str, Fact]] = {
    AUDIO: {
        "GL": doc("GL makes music."),
        "MiniMaxMusic": doc("MiniMaxMusic, also spelt MinimaxMusic, makes music."),
        "Tme": doc("Tme makes covers: the reference's sample sends it."),
        "EL": doc("EL makes music: the SDK's model lists it."),
        "Mureka": doc("Mureka makes music: the SDK's model lists it."),
        "Kling": seen("Kling makes sound effects, also for a video."),
    },
    VIDEO: {
        **{
            name: doc(f"{name} makes videos.")
            for name in ("Hunyuan", "wand-vega-video", "Hailuo", "Kling", "Vidu", "PixVerse", "Mingmou", "H2")
        },
        **{name: seen(f"{name} makes videos.") for name in ("OS", "GV")},
    },
    IMAGE: {
        **{name: doc(f"{name} makes images.") for name in ("Hunyuan", "Qwen", "Vidu", "Kling", "wand-vega-image")},
        **{name: seen(f"{name} makes images.") for name in ("GEM", "MJ")},
    },
}


def _known_models(action: str, models: Collection[str]) -> Rule:
    return Rule(
        action,
        "",
        seen(f"{_FAMILY[action]}: an unknown ModelName is refused (that a missing one is, too, is a guess)."),
        lambda params: model_of(params) not in models,
        "InvalidParameter",
        "Not support model name.",
    )


def _scene_of_audio(model: str, scene: str) -> Rule:
    return Rule(
        AUDIO,
        model,
        seen(f"Audio: {model} takes the scene {scene} alone (the error's code is a guess)."),
        lambda params: _scene(params) != scene,
        "InvalidParameterValue",
        "Not support this SceneType",
    )


def _scene_of_video(scene: str, model: str) -> Rule:
    return Rule(
        VIDEO,
        "",
        seen(f"Video: the scene {scene} belongs to {model} alone (the error's code is a guess)."),
        lambda params: _scene(params) == scene and model_of(params) != model,
        "InvalidParameterValue",
        "Not support this SceneType",
    )


def _version_of(model: str, *, needed: bool) -> Rule:
    return Rule(
        AUDIO,
        model,
        seen(f"Audio: {model} {'needs a' if needed else 'takes no'} ModelVersion (the error's code is a guess)."),
        lambda params: bool(_version(params)) != needed,
        "InvalidParameter",
        "Not support this ModelVersion",
    )


def _longest_prompt(action: str, longest: int, mark: Callable[[str], Fact]) -> Rule:
    return Rule(
        action,
        "",
        mark(f"{_FAMILY[action]}: a prompt has {longest:,} characters at most."),
        lambda params: len(params.get("Prompt", "")) > longest,
        "InvalidParameterValue",
        f"`Prompt` is longer than {longest} characters.",
    )


def _most_pictures(action: str) -> Rule:
    return Rule(
        action,
        "",
        seen(f"{_FAMILY[action]}: more than {_MAX_PICTURES} reference pictures are refused (the code is a guess)."),
        lambda params: _pictures(params) > _MAX_PICTURES,
        "InvalidParameterValue",
        f"More than {_MAX_PICTURES} reference images.",
    )


def _pictures_of(model: str, versions: tuple[str, ...], most: int) -> Rule:
    return Rule(
        IMAGE,
        model,
        seen(
            f"Image: {_named(model, versions)} takes {most} reference pictures; with more, the create is accepted and "
            "the task ends in FAIL (its message is a guess)."
        ),
        lambda params: (not versions or _version(params) in versions) and _pictures(params) > most,
        message="too many reference images",
    )


def _durations_of(model: str, versions: tuple[str, ...], seconds: Collection[int]) -> Rule:
    return Rule(
        VIDEO,
        model,
        seen(
            f"Video: {_named(model, versions)} says no to a wrong Duration. The reference lists "
            f"{_listed(seconds)} s (that the create is refused, and does not FAIL later, is a guess)."
        ),
        lambda params: _version(params) in versions and params.get("Duration", 5) not in seconds,
        "InvalidParameterValue",
        "Not support this Duration",
    )


def _picture_count(model: str, count: int) -> Rule:
    return Rule(
        IMAGE,
        model,
        seen(f"Image: {model} ignores OutputImageCount and makes {count}."),
        lambda params: True,
        instead={"OutputImageCount": count},
    )


def _hailuo_seconds(versions: tuple[str, ...], seconds: Collection[int], otherwise: float) -> Rule:
    return Rule(
        VIDEO,
        "Hailuo",
        seen(
            f"Video: {_named('Hailuo', versions)} makes {_listed(seconds)} s; "
            f"any other Duration gives about {otherwise} s."
        ),
        lambda params: _version(params) in versions and params.get("Duration") not in seconds,
        instead={"Duration": otherwise},
    )


def _unsigned(action: str) -> Rule:
    return Rule(
        action,
        "",
        seen(f"{action}: a private bucket gives nothing to a bare COS URL (that the task then FAILs is a guess)."),
        lambda params: any(
            name.endswith(("Url", "Urls")) and _BARE_COS_URL.fullmatch(value) for name, value in leaves(params)
        ),
        message="the file cannot be downloaded: HTTP 403",
    )


def _listed(seconds: Collection[int]) -> str:
    between = " to " if isinstance(seconds, range) else " or "
    return between.join(map(str, (min(seconds), max(seconds)) if isinstance(seconds, range) else seconds))


def _named(model: str, versions: tuple[str, ...]) -> str:
    return f"{model} {', '.join(versions)}".strip()


_MAX_PICTURES = 20
# BucketName-APPID.cos.REGION.myqcloud.com (COS reference, "Regions and access endpoints"), and no signature
_BARE_COS_URL = re.compile(r"https?://[a-z0-9-]+\.cos\.[a-z0-9-]+\.myqcloud\.com/[^?]*")

RULES = (
    # The scene first, as the service was seen to.
    Rule(
        AUDIO,
        "",
        seen("Audio: SceneType is required: tts, music or sfx."),
        lambda params: _scene(params) not in ("tts", "music", "sfx"),
        "InvalidParameterValue",
        "Invalid SceneType. Supported: tts,music,sfx",
    ),
    *(_known_models(action, models) for action, models in MODELS.items()),
    Rule(
        AUDIO,
        "Kling",
        seen("Audio: Kling with the scene tts is refused."),
        lambda params: _scene(params) == "tts",
        "InvalidParameterValue",
        "Invalid model name for TTS",
    ),
    _scene_of_audio("Kling", "sfx"),
    _scene_of_audio("MiniMaxMusic", "music"),
    _scene_of_audio("GL", "music"),
    _scene_of_audio("Tme", "music"),
    _scene_of_video("motion_control", "Kling"),
    _scene_of_video("land2port", "Mingmou"),
    _scene_of_video("template_effect", "Vidu"),
    _scene_of_video("3d_scene", "Hunyuan"),
    _version_of("MiniMaxMusic", needed=True),
    _version_of("GL", needed=True),
    _version_of("Kling", needed=False),
    _version_of("Tme", needed=False),
    Rule(
        AUDIO,
        "GL",
        seen("Audio: GL 3.0-pro without `lyric` in AdditionalParameters is accepted, and the task ends in FAIL."),
        lambda params: _version(params) == "3.0-pro" and not _additional(params, "lyric"),
        message="no parts in response",
    ),
    Rule(
        AUDIO,
        "",
        seen("Audio: `lyric` and `is_instrumental` exclude each other (that the create is refused is a guess)."),
        lambda params: bool(_additional(params, "lyric") and _additional(params, "is_instrumental")),
        "InvalidParameterValue",
        "lyric and is_instrumental exclude each other.",
    ),
    Rule(
        AUDIO,
        "Tme",
        seen("Audio: Tme needs ExtraParameters.ResourceId and a reference audio (that it is refused is a guess)."),
        lambda params: not (_extra(params, "ResourceId") and params.get("AudioInfos")),
        "InvalidParameter",
        "Tme needs ExtraParameters.ResourceId and AudioInfos.",
    ),
    Rule(
        AUDIO,
        "Kling",
        seen("Audio: with a picture in VideoInfos the create is accepted, and the task ends in FAIL."),
        lambda params: any(_is_picture(info.get("VideoUrl", "")) for info in params.get("VideoInfos", [])),
        message="invalid video",
    ),
    _longest_prompt(AUDIO, 2000, doc),
    _longest_prompt(VIDEO, 2000, seen),
    _longest_prompt(IMAGE, 1000, seen),
    _most_pictures(VIDEO),
    _most_pictures(IMAGE),
    _pictures_of("Hunyuan", (), 3),
    _pictures_of("Vidu", ("q2",), 7),
    _pictures_of("Qwen", (), 9),
    _pictures_of("Kling", ("2.1", "3.0"), 4),
    _pictures_of("Kling", ("O1",), 10),
    Rule(
        VIDEO,
        "Hailuo",
        seen("Video: Hailuo 2.3-fast needs a first frame, ImageUrl (that the create is refused is a guess)."),
        lambda params: _version(params) == "2.3-fast" and not params.get("ImageUrl"),
        "InvalidParameter",
        "The model needs ImageUrl.",
    ),
    _durations_of("Kling", ("O1",), range(3, 11)),
    _durations_of("Kling", ("3.0", "3.0-Omni"), range(3, 16)),
    _durations_of("Kling", ("1.6", "2.0", "2.1", "2.5", "2.6"), (5, 10)),
    _durations_of("Vidu", ("q3", "q3-pro", "q3-turbo", "q3-mix"), range(3, 17)),
    _durations_of("Vidu", ("q2", "q2-pro", "q2-turbo"), range(1, 11)),
    _durations_of("PixVerse", ("v5.6",), (5, 8, 10)),
    _durations_of("PixVerse", ("v6", "c1"), range(1, 16)),
    *(_unsigned(action) for action in (*_FAMILY, "ProcessMedia", "EditMedia")),
    _picture_count("GEM", 1),
    _picture_count("Hunyuan", 1),
    _picture_count("MJ", 4),
    _hailuo_seconds(("02", "2.3"), (6, 10), 5.9),
    _hailuo_seconds(("H3",), range(4, 16), 5.2),
    Rule(
        VIDEO,
        "Hailuo",
        seen("Video: of Resolution, Hailuo H3 knows 4K alone; anything else gives 2560x1440."),
        lambda params: _version(params) == "H3" and _extra(params, "Resolution") != "4K",
        instead={"ExtraParameters": {"Resolution": "2K"}},
    ),
)

FACTS = (
    *(fact for models in MODELS.values() for fact in models.values()),
    *(rule.fact for rule in RULES),
    seen("Video: PixVerse takes ExtraParameters.Quality and ImageInfos.Text beside the documented fields."),
    guess("Models and versions of which nothing is written here take every well-formed value."),
)
