"""EditMedia: its fields, and the film or sound that it makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_provider_mps.emulator.media import synth
from airflow_provider_mps.emulator.media.synth import MediaFile, Sound
from airflow_provider_mps.emulator.service.errors import ApiError
from airflow_provider_mps.emulator.service.families.media import (
    INPUT,
    JOB,
    MediaFamily,
    Params,
    check_format,
    check_input,
    failed,
    key_of,
    measures_of,
)
from airflow_provider_mps.emulator.service.shapes import Field, Shape, leaves, require
from airflow_provider_mps.emulator.service.tasks import EmulatedTask, FindInput

_MAX_TIME = 1e6  # seconds or percent
_MAX_SECONDS = 30.0  # what is longer would cost too much to make
_SOURCE: Shape = {"FileId": str, "StartTime": str, "EndTime": str}
_TRACK_TIME: Shape = {"Start": str, "Duration": str}
_AUDIO_OPERATIONS: Field = [{"Type": str, "Volume": float}]
_PICTURE: Shape = {
    "SourceMedia": _SOURCE,
    "TrackTime": _TRACK_TIME,
    "XPos": str,
    "YPos": str,
    "Width": str,
    "Height": str,
    "ImageOperations": [{"Type": str, "RotateAngle": float, "FlipType": str}],
}

_ITEMS = ("Video", "Audio", "Image", "Transition", "Subtitle", "Empty")
_SECONDS = r"\d+(\.\d+)?s"
_SECONDS_OR_PERCENT = r"\d+(\.\d+)?[s%]"
_TIMES = {
    "Start": _SECONDS,
    "Duration": _SECONDS,
    "StartTime": _SECONDS_OR_PERCENT,
    "EndTime": _SECONDS_OR_PERCENT,
}


class EditMedia(MediaFamily):
    """Cutting, joining, composing."""

    create = "EditMedia"
    word = "EditMedia"
    task_type = "EditMediaTask"
    required = ("FileInfos", "OutputStorage", "OutputObjectPath")
    shape: ClassVar[Shape] = {
        **JOB,
        "FileInfos": [{"InputInfo": INPUT, "StartTimeOffset": float, "EndTimeOffset": float, "Id": str}],
        "OutputObjectPath": str,
        "OutputConfig": {"Container": str, "Type": str},
        "ComposeConfig": {
            "TargetInfo": {
                "Container": str,
                "RemoveVideo": int,
                "RemoveAudio": int,
                "VideoStream": {"Codec": str, "Fps": int, "Bitrate": int},
                "AudioStream": {"Codec": str, "SampleRate": int, "AudioChannel": int, "Bitrate": int},
            },
            "Canvas": {"Color": str, "Width": int, "Height": int},
            "Styles": [{"Id": str, "Type": str, "Subtitle": dict}],
            "Tracks": [
                {
                    "Type": str,
                    "Items": [
                        {
                            "Type": str,
                            "Video": {**_PICTURE, "AudioOperations": _AUDIO_OPERATIONS},
                            "Audio": {
                                "SourceMedia": _SOURCE,
                                "TrackTime": _TRACK_TIME,
                                "AudioOperations": _AUDIO_OPERATIONS,
                            },
                            "Image": _PICTURE,
                            "Transition": {"Duration": str, "Transitions": [{"Type": str}]},
                            "Subtitle": {"StyleId": str, "Text": str, "TrackTime": _TRACK_TIME},
                            "Empty": {"Duration": str},
                        }
                    ],
                }
            ],
        },
    }

    def check(self, params: Params) -> None:
        super().check(params)
        for index, file in enumerate(params["FileInfos"]):
            require(file, "InputInfo", f"FileInfos.{index}.")
            check_input(file["InputInfo"], f"FileInfos.{index}.InputInfo")
        if "ComposeConfig" not in params:
            return
        name = params["OutputObjectPath"].rpartition("/")[2].partition(".")[0]
        if not re.fullmatch(r"[\w-]{0,64}", name, re.ASCII):  # none: a folder, as in the reference's samples
            raise ApiError(
                "InvalidParameterValue",
                "The file name in `OutputObjectPath` may have letters, digits, `-` and `_` only, 64 at most.",
            )
        ids = [file.get("Id") for file in params["FileInfos"]]
        for track in params["ComposeConfig"].get("Tracks", []):
            for item in track.get("Items", []):
                _check_item(item, ids)

    def output_files(self, task: EmulatedTask, find_input: FindInput) -> list[MediaFile]:
        return [_edited(task, find_input)]

    def own(self, task: EmulatedTask, *, ended: bool, null_results: bool) -> Params:
        answer: Params = {"Input": {"FileInfoSet": task.params["FileInfos"]}, "Output": None}
        if ended and task.failure is not None:
            return answer | failed(task.failure)
        if ended and not null_results:
            [file] = task.files
            meta_data = {"Container": file.suffix, **measures_of(file)}
            answer["Output"] = {
                "OutputStorage": task.params["OutputStorage"],
                "Path": _edited_path(task),
                "MetaData": meta_data,
            }
        return answer


def _check_item(item: dict[str, Any], ids: list[str | None]) -> None:
    """Check an element of a track; ``ids`` are those of the input files."""
    kind = item.get("Type")
    if kind not in _ITEMS:
        raise ApiError("InvalidParameterValue", f"An item's `Type` must be one of {', '.join(_ITEMS)}.")
    file_id = item.get(kind, {}).get("SourceMedia", {}).get("FileId")
    if kind in ("Video", "Audio", "Image") and (file_id is None or file_id not in ids):
        raise ApiError("InvalidParameterValue", f"`FileId` {file_id!r} is not the Id of any of `FileInfos`.")
    for name, value in leaves(item):
        if name in _TIMES and not re.fullmatch(_TIMES[name], value):
            raise ApiError("InvalidParameterValue", f"`{name}` {value!r} is not a time such as 3.5s.")
        if name == "Volume" and not 0 <= value <= 5:
            raise ApiError("InvalidParameterValue", "`Volume` must be from 0 to 5.")


def _edited_path(task: EmulatedTask) -> str:
    """Where an EditMedia puts its file; in a folder under a name of the emulator's."""
    params, path = task.params, str(task.params["OutputObjectPath"])
    target = params.get("ComposeConfig", {}).get("TargetInfo", {})
    container = target.get("Container") or params.get("OutputConfig", {}).get("Container") or "mp4"
    suffix = "wav" if container == "mp3" and not synth.can_encode_mp3() else container
    path = (path + task.task_id if path.endswith("/") else path).replace("{format}", suffix)
    return path if "." in path.rpartition("/")[2] else f"{path}.{suffix}"


def _edited(task: EmulatedTask, find_input: FindInput) -> MediaFile:
    params, path = task.params, _edited_path(task)
    check_format(path, ("mp4", "mp3", "wav"))
    inputs = [find_input(file["InputInfo"]) for file in params["FileInfos"]]
    config = params.get("ComposeConfig")
    if config is None:
        parts = list(_spliced(params["FileInfos"], inputs))
    else:
        ids = [file.get("Id") for file in params["FileInfos"]]
        parts = list(_composed(config, dict(zip(ids, inputs, strict=True))))
    sounds = tuple(part.sound for part in parts if part.heard and part.sound.source.sounds != ())
    target = (config or {}).get("TargetInfo", {})
    if target.get("RemoveAudio"):
        sounds = ()
    seen = [part.sound.source.seed for part in parts if part.seen]
    seconds = min(max((part.sound.at + part.sound.seconds for part in parts), default=1.0), _MAX_SECONDS)
    key = key_of(params["OutputStorage"], path)
    return MediaFile(key, seen[0] if seen else inputs[0].seed, seconds, sounds, not target.get("RemoveVideo"))


@dataclass(frozen=True)
class _Part:
    """A part of an input in the edited movie."""

    sound: Sound
    seen: bool
    heard: bool


def _spliced(files: list[Params], inputs: list[MediaFile]) -> Iterator[_Part]:
    """The inputs one after the other."""
    at = 0.0
    for file, source in zip(files, inputs, strict=True):
        begin = file.get("StartTimeOffset", 0.0)
        seconds = max(0.0, (file.get("EndTimeOffset") or source.seconds) - begin)
        yield _Part(Sound(source, begin, at, seconds), seen=True, heard=True)
        at += seconds


def _composed(config: Params, inputs: dict[str | None, MediaFile]) -> Iterator[_Part]:
    """The inputs where the tracks place them; text and the effects of transitions are left out."""
    for track in config.get("Tracks", []):
        at = 0.0
        for item in track.get("Items", []):
            kind = item["Type"]
            element = item.get(kind, {})
            if kind == "Empty":
                at += _seconds(element.get("Duration", "0s"))
            elif kind == "Transition":  # the next element begins that much earlier
                at = max(0.0, at - _seconds(element.get("Duration", "1s")))
            elif kind in ("Video", "Audio", "Image"):
                part = _part(element, inputs[element["SourceMedia"]["FileId"]], kind, at)
                yield part
                at = part.sound.at + part.sound.seconds


def _part(element: Params, source: MediaFile, kind: str, at: float) -> _Part:
    cut, place = element["SourceMedia"], element.get("TrackTime", {})
    whole = source.seconds or 1.0  # the reference: a source without a length counts as one second
    skip = _seconds(cut.get("StartTime", "0s"), whole)
    end = _seconds(cut["EndTime"], whole) if "EndTime" in cut else whole
    seconds = _seconds(place["Duration"]) if "Duration" in place else max(0.0, end - skip)
    volume = next((step["Volume"] for step in element.get("AudioOperations", []) if "Volume" in step), 1.0)
    sound = Sound(source, skip, _seconds(place["Start"]) if "Start" in place else at, seconds, volume)
    return _Part(sound, seen=kind != "Audio", heard=kind != "Image")


def _seconds(text: str, whole: float = 0.0) -> float:
    """A time such as ``3.5s``, or ``10%`` of the whole."""
    number = min(float(text[:-1]), _MAX_TIME)
    return number if text.endswith("s") else whole * number / 100
