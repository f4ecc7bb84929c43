"""EditMedia's compose config for the usual case: a soundtrack under a video."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.redaction import shown
from airflow_provider_mps.api.request.convert import flag, seconds

_MOST_REPEATS = 1000
"""Each is an item of the request, which would grow without a limit."""

Media = str | Mapping[str, Any]
"""A URL, a ``cos://bucket/key``, a template of one, or an object in COS: ``{"Bucket", "Region", "Object"}``."""


def lay_soundtrack(
    video: Media,
    audio: Media,
    *,
    gain: float = 1.0,
    keep_original_sound: bool = False,
    length: float | timedelta | None = None,
    audio_length: float | timedelta | None = None,
    fade: int = 0,
) -> dict[str, Any]:
    """The arguments ``file_infos`` and ``compose_config`` of EditMedia for an audio under a video.

    With ``length`` the audio is cut to it. With ``audio_length`` too, it is repeated until then where it is shorter.
    EditMedia fades only between two parts of a track (SDK, ComposeTransitionItem), so ``fade`` is for the repeats.

    :param video: the video.
    :param audio: the soundtrack.
    :param gain: the soundtrack's volume: 0 is silence, 1 as it is, 5 at most.
    :param keep_original_sound: whether the video's own sound stays, under the soundtrack.
    :param length: seconds of the finished video; the longer of the two inputs where it is not given.
    :param audio_length: seconds of the soundtrack.
    :param fade: whole seconds of the cross-fade between two repeats.
    :raises InvalidArgumentError: names the argument that cannot be used.
    """
    numbers = {"gain": gain, "length": length, "audio_length": audio_length, "fade": fade}
    for name, value in {"video": video, "audio": audio, **numbers}.items():
        if _is_later(value, name in numbers):
            raise InvalidArgumentError(
                name,
                "is not known yet, and lay_soundtrack calculates at once: call it in an @task, and hand on the "
                "file_infos and compose_config that it returns",
            )
    for name, media in (("video", video), ("audio", audio)):
        if not media or not isinstance(media, (str, Mapping)):
            raise InvalidArgumentError(
                name, f"must be a URL, or a dict with Bucket, Region, Object, not {shown(media)}"
            )
    if isinstance(gain, bool) or not isinstance(gain, (int, float)) or not 0 <= gain <= 5:
        raise InvalidArgumentError("gain", f"must be from 0 to 5, not {shown(gain)}")
    if isinstance(fade, bool) or not isinstance(fade, int) or fade < 0:
        raise InvalidArgumentError("fade", f"must be whole seconds, 0 or more, not {shown(fade)}")
    flag("keep_original_sound", keep_original_sound)
    length = None if length is None else _length("length", length)
    if audio_length is not None:
        audio_length = _length("audio_length", audio_length)
        if length is None or audio_length <= fade:
            raise InvalidArgumentError("audio_length", "needs length beside it, and must be more than fade")
        if (length - fade) / (audio_length - fade) > _MOST_REPEATS:
            raise InvalidArgumentError("audio_length", f"would be repeated more than {_MOST_REPEATS:,} times")
    video_item: dict[str, Any] = {"SourceMedia": {"FileId": "video"}}
    if not keep_original_sound:
        video_item["AudioOperations"] = [{"Type": "Volume", "Volume": 0}]
    if length is not None:
        video_item["TrackTime"] = {"Start": "0s", "Duration": _seconds(length)}
    return {
        "file_infos": [{"Id": "video", "InputInfo": _input(video)}, {"Id": "audio", "InputInfo": _input(audio)}],
        "compose_config": {
            "TargetInfo": {"Container": "mp4"},
            "Tracks": [
                {"Type": "Video", "Items": [{"Type": "Video", "Video": video_item}]},
                {"Type": "Audio", "Items": _audio_items(gain, length, audio_length, fade)},
            ],
        },
    }


def _is_later(value: Any, is_number: bool) -> bool:
    """Whether this stands for a value: a template of a number, or what another task is to return, which has a map()."""
    template = is_number and isinstance(value, str) and ("{{" in value or "{%" in value)
    return template or hasattr(value, "map")


def _input(media: Media) -> dict[str, Any]:
    # Not checked here: a text may be a template still. EditMediaOperator makes a COS input of what is in COS.
    if isinstance(media, str):
        return {"Type": "URL", "UrlInputInfo": {"Url": media}}
    return {"Type": "COS", "CosInputInfo": dict(media)}


def _audio_items(gain: float, length: float | None, audio_length: float | None, fade: int) -> list[dict[str, Any]]:
    parts: list[float | None] = [length]
    if length is not None and audio_length is not None and audio_length < length:
        count = math.ceil((length - fade) / (audio_length - fade))
        last = length - (count - 1) * (audio_length - fade)
        parts = [*[audio_length] * (count - 1), last]
    items: list[dict[str, Any]] = []
    for part in parts:
        if items and fade:
            fading = {"Duration": _seconds(fade), "Transitions": [{"Type": "AudioFadeInFadeOut"}]}
            items.append({"Type": "Transition", "Transition": fading})
        source = {"FileId": "audio"} | ({"StartTime": "0s", "EndTime": _seconds(part)} if part else {})
        volume = {"Type": "Volume", "Volume": gain}
        items.append({"Type": "Audio", "Audio": {"SourceMedia": source, "AudioOperations": [volume]}})
    return items


def _length(argument: str, value: float | timedelta) -> float:
    length = seconds(argument, value)
    if length < 0.001:
        raise InvalidArgumentError(argument, f"must be a millisecond or more, not {shown(value)}")
    return length


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") + "s"
