"""Which fields a request may have, as data, and what MPS answers to a request that does not fit.

Field names and types are those of the API reference (2026-07) and of tencentcloud-sdk-python-mps 3.1.194.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from airflow_provider_mps.emulator.errors import ApiError
from airflow_provider_mps.emulator.marks import doc, guess

# A field is a Python type, a list of one field (an array of those), or a dict (an object with these fields).
# ``dict`` itself is an object that the emulator does not look into.
Field: TypeAlias = "type | list[Field] | dict[str, Field]"
Shape: TypeAlias = dict[str, Field]

_INPUT: Shape = {
    "Type": str,
    "CosInputInfo": {"Bucket": str, "Region": str, "Object": str},
    "UrlInputInfo": {"Url": str},
    "S3InputInfo": dict,
    "VODInputInfo": dict,
}
_STORAGE: Shape = {
    "Type": str,
    "CosOutputStorage": {"Bucket": str, "Region": str},
    "S3OutputStorage": dict,
    "VODOutputStorage": dict,
}
_JOB: Shape = {
    "OutputStorage": _STORAGE,
    "TaskNotifyConfig": dict,
    "TasksPriority": int,
    "SessionId": str,
    "SessionContext": str,
    "ResourceId": str,
}
_AIGC: Shape = {
    "ModelName": str,
    "ModelVersion": str,
    "SceneType": str,
    "Prompt": str,
    "StoreCosParam": {"CosBucketName": str, "CosBucketRegion": str, "CosBucketPath": str},
    "AdditionalParameters": str,
    "Operator": str,
}
_SUB_TASK: Shape = {"Definition": int, "OutputStorage": _STORAGE, "OutputObjectPath": str}
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

SHAPES: dict[str, Shape] = {
    "CreateAigcAudioTask": {
        **_AIGC,
        "VideoInfos": [{"VideoUrl": str}],
        "AudioInfos": [{"AudioUrl": str}],
        "OutputAudioFormat": str,
        "ExtraParameters": {"ResourceId": str, "OutputAudioFormat": str},
    },
    "CreateAigcVideoTask": {
        **_AIGC,
        "NegativePrompt": str,
        "EnhancePrompt": bool,
        "ImageUrl": str,
        "LastImageUrl": str,
        "ImageInfos": [{"ImageUrl": str, "ReferenceType": str, "Text": str}],
        "VideoInfos": [{"VideoUrl": str, "ReferType": str, "KeepOriginalSound": str}],
        "AudioInfos": [{"AudioUrl": str}],
        "SubjectInfos": [
            {"Id": str, "Name": str, "VoiceId": str, "ImageUrls": [str], "VideoUrls": [str]},
        ],
        "Duration": int,
        "ExtraParameters": {
            "Resolution": str,
            "Quality": str,
            "AspectRatio": str,
            "LogoAdd": int,
            "EnableAudio": bool,
            "OffPeak": bool,
            "EnableBgm": bool,
        },
    },
    "CreateAigcImageTask": {
        **_AIGC,
        "NegativePrompt": str,
        "EnhancePrompt": bool,
        "ImageInfos": [{"ImageUrl": str, "ReferenceType": str}],
        "OutputImageCount": int,
        "ExtraParameters": {"AspectRatio": str, "Resolution": str, "LogoAdd": int, "OutputFormat": str},
    },
    "ProcessMedia": {
        **_JOB,
        "InputInfo": _INPUT,
        "OutputDir": str,
        "ScheduleId": int,
        "MediaProcessTask": {
            "TranscodeTaskSet": [
                {
                    **_SUB_TASK,
                    "RawParameter": dict,
                    "OverrideParameter": dict,
                    "WatermarkSet": [dict],
                    "BlindWatermark": dict,
                    "MosaicSet": [dict],
                    "StartTimeOffset": float,
                    "EndTimeOffset": float,
                    "SegmentObjectName": str,
                    "ObjectNumberFormat": dict,
                    "HeadTailParameter": dict,
                }
            ],
            "AnimatedGraphicTaskSet": [{**_SUB_TASK, "StartTimeOffset": float, "EndTimeOffset": float, "ExtInfo": str}],
            "SnapshotByTimeOffsetTaskSet": [
                {
                    **_SUB_TASK,
                    "ExtTimeOffsetSet": [str],
                    "TimeOffsetSet": [float],
                    "WatermarkSet": [dict],
                    "ObjectNumberFormat": dict,
                    "ExtInfo": str,
                }
            ],
            "SampleSnapshotTaskSet": [
                {**_SUB_TASK, "WatermarkSet": [dict], "ObjectNumberFormat": dict, "ExtInfo": str}
            ],
            "ImageSpriteTaskSet": [{**_SUB_TASK, "WebVttObjectName": str, "ObjectNumberFormat": dict, "ExtInfo": str}],
            "AdaptiveDynamicStreamingTaskSet": [
                {
                    **_SUB_TASK,
                    "WatermarkSet": [dict],
                    "BlindWatermark": dict,
                    "SubStreamObjectName": str,
                    "SegmentObjectName": str,
                    "AddOnSubtitles": [dict],
                    "DrmInfo": dict,
                    "DefinitionType": str,
                    "SubtitleTemplate": dict,
                    "StdExtInfo": str,
                    "KeyPTSList": [int],
                    "AddOnAudios": [dict],
                    "StdExtStreamInfos": [dict],
                }
            ],
        },
        "AiContentReviewTask": dict,
        "AiAnalysisTask": dict,
        "AiRecognitionTask": dict,
        "AiQualityControlTask": dict,
        "SmartSubtitlesTask": dict,
        "SmartEraseTask": dict,
        "AIDubbingTask": dict,
        "TaskType": str,
        "Activities": [dict],
        "SkipMateData": int,  # the API's own spelling
    },
    "EditMedia": {
        **_JOB,
        "FileInfos": [{"InputInfo": _INPUT, "StartTimeOffset": float, "EndTimeOffset": float, "Id": str}],
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
    },
    "DescribeAigcAudioTask": {"TaskId": str},
    "DescribeAigcVideoTask": {"TaskId": str},
    "DescribeAigcImageTask": {"TaskId": str},
    "DescribeTaskDetail": {"TaskId": str},
    "DescribeTasks": {
        "Status": str,
        "SubTaskHasFailed": bool,
        "Limit": int,
        "ScrollToken": str,
        "StartTime": str,
        "EndTime": str,
    },
    "DescribeUsageData": {"StartTime": str, "EndTime": str, "Types": [str], "ProcessRegions": [str]},
    "ManageTask": {"OperationType": str, "TaskId": str},
}

_REQUIRED = {
    "ProcessMedia": ("InputInfo",),
    "EditMedia": ("FileInfos", "OutputStorage", "OutputObjectPath"),
    "DescribeAigcAudioTask": ("TaskId",),
    "DescribeAigcVideoTask": ("TaskId",),
    "DescribeAigcImageTask": ("TaskId",),
    "DescribeTaskDetail": ("TaskId",),
    "DescribeTasks": ("Status",),
    "DescribeUsageData": ("StartTime", "EndTime"),
    "ManageTask": ("OperationType", "TaskId"),
}

FACTS = (
    doc("Field names and types; a field that is not known is UnknownParameter, one of another type InvalidParameter."),
    doc("A prompt is needed where nothing else is given to make something from."),
    doc("StoreCosParam needs CosBucketName and CosBucketRegion; AdditionalParameters is a serialised JSON object."),
    doc("OutputAudioFormat is at the top level in the reference; the newest SDK has it in ExtraParameters alone."),
    doc("SessionId has 50 characters at most, SessionContext 1,000."),
    guess("Numbers beyond 64 bits are InvalidParameter."),
)

# What an AIGC task can be generated from; the reference requires a Prompt where none of the others is given.
_SOURCES = {
    "CreateAigcAudioTask": ("Prompt", "VideoInfos", "AudioInfos"),
    "CreateAigcVideoTask": ("Prompt", "ImageUrl", "LastImageUrl", "ImageInfos", "VideoInfos", "SubjectInfos"),
    "CreateAigcImageTask": ("Prompt", "ImageInfos"),
}

_MAX_NUMBER = 2**63 - 1
_MAX_SESSION_ID = 50
_MAX_SESSION_CONTEXT = 1000

_TYPE_WORDS: dict[type, str] = {
    str: "String",
    int: "Integer",
    float: "Float",
    bool: "Boolean",
    dict: "Object",
}


def parse_object(text: str | bytes) -> dict[str, Any] | None:
    """The JSON object in ``text``; None where it holds something else.

    :raises RecursionError: it is nested too deeply.
    """
    try:
        params = json.loads(text)
    except ValueError:
        return None
    return params if isinstance(params, dict) else None


def check_request(action: str, params: dict[str, Any], *, output_audio_format_at_top_level: bool) -> None:
    """Check the body of a request.

    :param output_audio_format_at_top_level: whether OutputAudioFormat is known outside ExtraParameters: the
        reference has it there, the SDK's newest model has not.
    :raises ApiError: ``UnknownParameter``, ``InvalidParameter``, ``InvalidParameterValue`` or
        ``MissingParameter``.
    """
    if "OutputAudioFormat" in params and not output_audio_format_at_top_level:
        raise ApiError("UnknownParameter", "The parameter `OutputAudioFormat` is not recognized.")
    _check_shape(params, SHAPES[action], "")
    for name in _REQUIRED.get(action, ()):
        _require(params, name)
    if action in _SOURCES:
        _check_aigc(action, params)
    if action == "DescribeTasks":
        _check_listing(params)
    if action in _JOB_CHECKS:
        _check_session(params)
        _JOB_CHECKS[action](params)


def _check_shape(value: Any, field: Field, path: str) -> None:
    if isinstance(field, dict):
        _check_type(value, dict, path)
        for name, item in value.items():
            item_path = f"{path}.{name}" if path else name
            if name not in field:
                raise ApiError("UnknownParameter", f"The parameter `{item_path}` is not recognized.")
            _check_shape(item, field[name], item_path)
    elif isinstance(field, list):
        if not isinstance(value, list):
            raise ApiError("InvalidParameter", f"The value type of parameter `{path}` must be Array.")
        for index, item in enumerate(value):
            _check_shape(item, field[0], f"{path}.{index}")
    else:
        _check_type(value, field, path)


def _check_type(value: Any, expected: type, path: str) -> None:
    # A whole number is a Float too; True is an int in Python, but not in JSON.
    fits = type(value) is expected or (expected is float and type(value) is int)
    if fits and isinstance(value, int | float) and not -_MAX_NUMBER <= value <= _MAX_NUMBER:
        raise ApiError("InvalidParameter", f"The value of parameter `{path}` is out of range.")
    if not fits:
        raise ApiError("InvalidParameter", f"The type of parameter `{path}` must be {_TYPE_WORDS[expected]}.")


def _require(params: dict[str, Any], name: str, path: str = "") -> None:
    if not params.get(name):
        raise ApiError("MissingParameter", f"The request is missing a required parameter `{path}{name}`.")


def _check_aigc(action: str, params: dict[str, Any]) -> None:
    if not any(params.get(name) for name in _SOURCES[action]):
        raise ApiError("MissingParameter", f"One of {', '.join(_SOURCES[action])} must be given.")
    if "StoreCosParam" in params:
        for name in ("CosBucketName", "CosBucketRegion"):
            _require(params["StoreCosParam"], name, "StoreCosParam.")
    if params.get("AdditionalParameters") and parse_object(params["AdditionalParameters"]) is None:
        raise ApiError("InvalidParameterValue", "`AdditionalParameters` is not a serialized JSON object.")


def _check_session(params: dict[str, Any]) -> None:
    if len(params.get("SessionId", "")) > _MAX_SESSION_ID:
        raise ApiError("InvalidParameterValue.SessionIdTooLong", f"`SessionId` is over {_MAX_SESSION_ID} long.")
    if len(params.get("SessionContext", "")) > _MAX_SESSION_CONTEXT:
        raise ApiError(
            "InvalidParameterValue.SessionContextTooLong",
            f"`SessionContext` is over {_MAX_SESSION_CONTEXT} characters.",
        )


def _check_listing(params: dict[str, Any]) -> None:
    if params["Status"] not in ("WAITING", "PROCESSING", "FINISH"):
        raise ApiError("InvalidParameterValue.Status", "`Status` must be WAITING, PROCESSING or FINISH.")
    if not 1 <= params.get("Limit", 10) <= 100:
        raise ApiError("InvalidParameterValue.Limit", "`Limit` must be from 1 to 100.")
    if not re.fullmatch(r"[0-9]{0,9}", params.get("ScrollToken", "")):
        raise ApiError("InvalidParameterValue", "This `ScrollToken` was never given out.")


def _check_input(info: dict[str, Any], path: str) -> None:
    _require(info, "Type", f"{path}.")
    needed = {"COS": "CosInputInfo", "URL": "UrlInputInfo", "AWS-S3": "S3InputInfo", "VOD": "VODInputInfo"}
    if info["Type"] not in needed:
        raise ApiError("InvalidParameterValue.InputInfo", f"`{path}.Type` must be one of {', '.join(needed)}.")
    _require(info, needed[info["Type"]], f"{path}.")
    try:
        urlsplit(info.get("UrlInputInfo", {}).get("Url", ""))
    except ValueError:
        raise ApiError("InvalidParameterValue.InputInfo", f"`{path}.UrlInputInfo.Url` is not a URL.") from None


def _check_process_media(params: dict[str, Any]) -> None:
    _check_input(params["InputInfo"], "InputInfo")
    if "ScheduleId" in params or "Activities" in params:
        raise ApiError("UnsupportedOperation", "The emulator runs no schedules (ScheduleId, Activities).")
    if params["InputInfo"]["Type"] == "URL":
        _require(params, "OutputStorage")
    directory = params.get("OutputDir", "/")
    if not (directory.startswith("/") and directory.endswith("/")):
        raise ApiError("InvalidParameterValue", "`OutputDir` must begin and end with a slash.")
    if not any(params.get(name) for name in SHAPES["ProcessMedia"] if name.endswith("Task")):
        raise ApiError("MissingParameter", "No task is given: MediaProcessTask, SmartSubtitlesTask, ...")


def _check_edit_media(params: dict[str, Any]) -> None:
    for index, file in enumerate(params["FileInfos"]):
        _require(file, "InputInfo", f"FileInfos.{index}.")
        _check_input(file["InputInfo"], f"FileInfos.{index}.InputInfo")
    if "ComposeConfig" not in params:
        return
    name = params["OutputObjectPath"].rpartition("/")[2].partition(".")[0]
    if not re.fullmatch(r"[\w-]{1,64}", name, re.ASCII):
        raise ApiError(
            "InvalidParameterValue",
            "The file name in `OutputObjectPath` may have letters, digits, `-` and `_` only, 64 at most.",
        )
    ids = [file.get("Id") for file in params["FileInfos"]]
    for track in params["ComposeConfig"].get("Tracks", []):
        for item in track.get("Items", []):
            _check_item(item, ids)


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


_ITEMS = ("Video", "Audio", "Image", "Transition", "Subtitle", "Empty")
_SECONDS = r"\d+(\.\d+)?s"
_SECONDS_OR_PERCENT = r"\d+(\.\d+)?[s%]"
_TIMES = {
    "Start": _SECONDS,
    "Duration": _SECONDS,
    "StartTime": _SECONDS_OR_PERCENT,
    "EndTime": _SECONDS_OR_PERCENT,
}


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All fields of an object, at any depth, that are neither objects nor arrays."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, name)
    else:
        yield name, value


_JOB_CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "ProcessMedia": _check_process_media,
    "EditMedia": _check_edit_media,
}
