"""ProcessMedia: its fields, and what the tasks in MediaProcessTask make; the AI tasks end without results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from airflow_provider_mps.emulator.media.synth import MediaFile
from airflow_provider_mps.emulator.service.errors import ApiError
from airflow_provider_mps.emulator.service.families.media import (
    INPUT,
    JOB,
    STORAGE,
    STREAMS,
    MediaFamily,
    Params,
    check_format,
    check_input,
    failed,
    key_of,
    measures_of,
)
from airflow_provider_mps.emulator.service.shapes import Shape, require
from airflow_provider_mps.emulator.service.tasks import EmulatedTask, FindInput

_SUB_TASK: Shape = {"Definition": int, "OutputStorage": STORAGE, "OutputObjectPath": str}


@dataclass(frozen=True)
class _SubTask:
    """One of the lists in MediaProcessTask: how its results are called, and its files' formats, the usual first."""

    inputs: str
    type: str
    result: str
    suffixes: tuple[str, ...]


_STILL = ("png", "jpg", "jpeg")
_SUB_TASKS = (
    _SubTask("TranscodeTaskSet", "Transcode", "TranscodeTask", ("mp4", "mp3", "wav")),
    _SubTask("AnimatedGraphicTaskSet", "AnimatedGraphics", "AnimatedGraphicTask", ("gif",)),
    _SubTask("SnapshotByTimeOffsetTaskSet", "SnapshotByTimeOffset", "SnapshotByTimeOffsetTask", _STILL),
    _SubTask("SampleSnapshotTaskSet", "SampleSnapshot", "SampleSnapshotTask", _STILL),
    _SubTask("ImageSpriteTaskSet", "ImageSprites", "ImageSpriteTask", _STILL),
    _SubTask("AdaptiveDynamicStreamingTaskSet", "AdaptiveDynamicStreaming", "AdaptiveDynamicStreamingTask", STREAMS),
)


@dataclass(frozen=True)
class _Output:
    """What a task in MediaProcessTask makes.

    :ivar wish: the task as it was asked for.
    """

    kind: _SubTask
    wish: Params
    storage: Params
    path: str

    @property
    def suffix(self) -> str:
        return self.path.rpartition(".")[2].lower()

    def removes(self, stream: str) -> bool:
        """Whether Video or Audio is left out of a film."""
        return any(self.wish.get(name, {}).get(f"Remove{stream}") for name in ("RawParameter", "OverrideParameter"))


class ProcessMedia(MediaFamily):
    """Transcoding, snapshots, streams, and AI tasks."""

    create = "ProcessMedia"
    word = task_type = "WorkflowTask"
    required = ("InputInfo",)
    shape: ClassVar[Shape] = {
        **JOB,
        "InputInfo": INPUT,
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
    }

    sample: ClassVar[Params] = {
        "InputInfo": {"Type": "COS", "CosInputInfo": {"Bucket": "sample", "Region": "", "Object": "/in.mp4"}},
        "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100}]},
    }

    def check(self, params: Params) -> None:
        super().check(params)
        check_input(params["InputInfo"], "InputInfo")
        if "ScheduleId" in params or "Activities" in params:
            raise ApiError("UnsupportedOperation", "The emulator runs no schedules (ScheduleId, Activities).")
        if params["InputInfo"]["Type"] == "URL":
            require(params, "OutputStorage")
        directory = params.get("OutputDir", "/")
        if not (directory.startswith("/") and directory.endswith("/")):
            raise ApiError("InvalidParameterValue", "`OutputDir` must begin and end with a slash.")
        if not any(params.get(name) for name in self.shape if name.endswith("Task")):
            raise ApiError("MissingParameter", "No task is given: MediaProcessTask, SmartSubtitlesTask, ...")

    def output_files(self, task: EmulatedTask, find_input: FindInput) -> list[MediaFile]:
        """Streams are named, but not made.

        :raises ApiError: ``UnsupportedOperation``: a file's name says that it is what cannot be made here.
        """
        source = find_input(task.params["InputInfo"])
        files = []
        for output in _outputs(task.params):
            check_format(output.path, output.kind.suffixes)
            if output.suffix not in STREAMS:
                sounds = () if output.removes("Audio") else source.sounds
                key, seen = key_of(output.storage, output.path), source.seen and not output.removes("Video")
                files.append(MediaFile(key, source.seed, source.seconds, sounds, seen))
        return files

    def own(self, task: EmulatedTask, *, ended: bool, null_results: bool) -> Params:
        results: list[Params] = []
        failure = task.failure if ended else None
        files = {file.key: file for file in task.files}
        for output in _outputs(task.params):
            result: Params = {"Status": "PROCESSING", "ErrCodeExt": "", "ErrCode": 0, "Message": ""}
            if failure is not None and task.aborted_at is None and not results:
                result = {"Status": "FAIL", "ErrCodeExt": "InternalError", **failed(failure)}
            elif ended:
                result["Status"] = "SUCCESS"
            result |= {"Input": output.wish, "Output": None}
            if result["Status"] == "SUCCESS" and not null_results:
                result["Output"] = _described(output, files.get(key_of(output.storage, output.path)))
            others = {each.result: None for each in _SUB_TASKS}
            results.append({"Type": output.kind.type, **others, output.kind.result: result})
        answer: Params = {
            "InputInfo": task.params["InputInfo"],
            "MetaData": None,
            "MediaProcessResultSet": results,
            "AiContentReviewResultSet": [],
            "AiAnalysisResultSet": [],
            "AiRecognitionResultSet": [],
            "AiQualityControlTaskResult": None,
            "SmartSubtitlesTaskResult": [],
            "SmartEraseTaskResult": None,
            "AiDubbingTaskResult": None,
        }
        if failure is not None and (task.aborted_at is not None or not results):
            answer |= failed(failure)
        return answer

    def sub_task_types(self, task: EmulatedTask) -> list[str]:
        return [output.kind.type for output in _outputs(task.params)]


def _described(output: _Output, file: MediaFile | None) -> Params:
    """The ``Output`` of a task in MediaProcessTask; of a stream there is no file."""
    definition, storage, path = {"Definition": output.wish.get("Definition", 0)}, output.storage, output.path
    match output.kind.type:
        case "Transcode":
            measures = measures_of(file) if file else {}
            return definition | measures | {"OutputStorage": storage, "Path": path, "Container": output.suffix}
        case "SnapshotByTimeOffset":
            picture = {"TimeOffset": 0, "Path": path, "WaterMarkDefinition": []}
            return definition | {"Storage": storage, "PicInfoSet": [picture]}
        case "SampleSnapshot" | "ImageSprites":
            return definition | {"Storage": storage, "ImagePathSet": [path]}
        case _:
            return definition | {"Storage": storage, "Path": path}


def _outputs(params: Params) -> Iterator[_Output]:
    """What each task in MediaProcessTask makes."""
    info = params["InputInfo"]
    location = info.get("CosInputInfo", {})
    input_path = str(location.get("Object") or urlsplit(info.get("UrlInputInfo", {}).get("Url", "")).path)
    folder, _, name = input_path.rpartition("/")
    default_storage = {
        "Type": "COS",
        "CosOutputStorage": {"Bucket": location.get("Bucket", ""), "Region": location.get("Region", "")},
    }
    for kind in _SUB_TASKS:
        for wish in params.get("MediaProcessTask", {}).get(kind.inputs, []):
            path = wish.get("OutputObjectPath") or f"{{inputName}}_{kind.type}_{{definition}}.{{format}}"
            containers = (wish.get(each, {}).get("Container") for each in ("OverrideParameter", "RawParameter"))
            for variable, value in (
                ("{inputName}", name.partition(".")[0] or "input"),
                ("{definition}", str(wish.get("Definition", 0))),
                ("{format}", next(filter(None, containers), kind.suffixes[0])),
                ("{number}", "0"),
            ):
                path = path.replace(variable, value)
            if "." not in path.rpartition("/")[2]:
                path += f".{kind.suffixes[0]}"
            if not path.startswith("/"):
                path = params.get("OutputDir", f"{folder}/") + path
            yield _Output(kind, wish, wish.get("OutputStorage") or params.get("OutputStorage") or default_storage, path)
