"""EditMedia's compose config for the usual case: a soundtrack under a video."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from airflow_provider_mps.api.errors import InvalidArgumentError

Media = str | Mapping[str, Any]
"""A URL, a ``cos://bucket/key``, a template of one, or an object in COS: ``{"Bucket", "Region", "Object"}``."""


def lay_soundtrack(
    video: Media,
    audio: Media,
    *,
    gain: float = 1.0,
    keep_original_sound: bool = False,
    length: float | None = None,
    audio_length: float | None = None,
    fade: int = 0,
) -> dict[str, Any]:
    """The arguments ``file_infos`` and ``compose_config`` of EditMediaOperator for an audio under a video.

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
    if not 0 <= gain <= 5:
        raise InvalidArgumentError("gain", f"must be from 0 to 5, not {gain!r}")
    if length is not None and length <= 0:
        raise InvalidArgumentError("length", f"must be more than 0, not {length!r}")
    if audio_length is not None and (length is None or audio_length <= fade):
        raise InvalidArgumentError("audio_length", "needs length beside it, and must be more than fade")
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
    for seconds in parts:
        if items and fade:
            fading = {"Duration": _seconds(fade), "Transitions": [{"Type": "AudioFadeInFadeOut"}]}
            items.append({"Type": "Transition", "Transition": fading})
        source = {"FileId": "audio"} | ({"StartTime": "0s", "EndTime": _seconds(seconds)} if seconds else {})
        volume = {"Type": "Volume", "Volume": gain}
        items.append({"Type": "Audio", "Audio": {"SourceMedia": source, "AudioOperations": [volume]}})
    return items


def _seconds(value: float) -> str:
    return f"{value:g}s"
