"""What ProcessMedia and EditMedia tasks make, and how DescribeTaskDetail describes it.

Of the tasks of ProcessMedia, those in MediaProcessTask have results here; the AI tasks end without any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_mps.emulator import synth
from airflow_provider_mps.emulator.synth import MediaFile, Sound
from airflow_provider_mps.emulator.tasks import EmulatedTask, Phase, posix

Params = dict[str, Any]
FindInput = Callable[[Params], MediaFile]

_NEVER = "0000-00-00T00:00:00Z"
_FAILED = 70000  # the ErrCode of a failure inside the service
_MAX_TIME = 1e6  # seconds or percent
_MAX_SECONDS = 30.0  # what is longer would cost too much to make


@dataclass(frozen=True)
class _SubTask:
    """One of the lists in MediaProcessTask: how its results are called, and the format of its files."""

    inputs: str
    type: str
    result: str
    suffix: str


_SUB_TASKS = (
    _SubTask("TranscodeTaskSet", "Transcode", "TranscodeTask", "mp4"),
    _SubTask("AnimatedGraphicTaskSet", "AnimatedGraphics", "AnimatedGraphicTask", "gif"),
    _SubTask("SnapshotByTimeOffsetTaskSet", "SnapshotByTimeOffset", "SnapshotByTimeOffsetTask", "png"),
    _SubTask("SampleSnapshotTaskSet", "SampleSnapshot", "SampleSnapshotTask", "png"),
    _SubTask("ImageSpriteTaskSet", "ImageSprites", "ImageSpriteTask", "png"),
    _SubTask("AdaptiveDynamicStreamingTaskSet", "AdaptiveDynamicStreaming", "AdaptiveDynamicStreamingTask", "m3u8"),
)


def output_files(task: EmulatedTask, find_input: FindInput) -> list[MediaFile]:
    """The files that a task makes when it succeeds; animated pictures and streams are named, but not made."""
    if task.action == "EditMedia":
        return [_edited(task.params, find_input)]
    source = find_input(task.params["InputInfo"])
    return [
        MediaFile(_key(storage, path), source.seed, source.seconds, source.sounds)
        for kind, _, storage, path in _wishes(task.params)
        if kind.suffix in ("mp4", "png")
    ]


def describe(task: EmulatedTask, phase: Phase, *, null_results: bool) -> Params:
    """The fields of the answer; ``null_results`` leaves all outputs out, as if the service had lost them."""
    ended = phase is Phase.ENDED
    own = _edit_media_task if task.action == "EditMedia" else _workflow_task
    return {
        "TaskType": task.family.word,
        "Status": task.word(phase),
        "CreateTime": _iso(task.created_at),
        "BeginProcessTime": "" if phase is Phase.WAITING else _iso(task.started_at),
        "FinishTime": _iso(task.done_at) if ended and task.done_at is not None else "",
        "WorkflowTask": None,
        "EditMediaTask": None,
        "LiveStreamProcessTask": None,
        "ExtractBlindWatermarkTask": None,
        "ScheduleTask": None,
        "LiveScheduleTask": None,
        "TaskNotifyConfig": task.params.get("TaskNotifyConfig"),
        "TasksPriority": task.params.get("TasksPriority", 0),
        "SessionId": task.session_id,
        "SessionContext": task.params.get("SessionContext", ""),
        "ExtInfo": "",
        task.family.word: {
            "TaskId": task.task_id,
            "Status": "FINISH" if ended else "PROCESSING",
            "ErrCode": 0,
            "Message": "",
        }
        | own(task, ended=ended, null_results=null_results),
    }


def summary(task: EmulatedTask) -> Params:
    """The task as DescribeTasks lists it; SessionId is not among the fields."""
    waiting, ended = task.phase is Phase.WAITING, task.phase is Phase.ENDED
    return {
        "TaskId": task.task_id,
        "TaskType": task.family.word,
        "CreateTime": _iso(task.created_at),
        "BeginProcessTime": _NEVER if waiting else _iso(task.started_at),
        "FinishTime": _iso(task.done_at) if ended and task.done_at is not None else _NEVER,
        "SubTaskTypes": [kind.type for kind, *_ in _wishes(task.params)] if task.action == "ProcessMedia" else [],
    }


def _edit_media_task(task: EmulatedTask, *, ended: bool, null_results: bool) -> Params:
    answer: Params = {"Input": {"FileInfoSet": task.params["FileInfos"]}, "Output": None}
    if ended and task.failure is not None:
        return answer | _failure(task.failure)
    if ended and not null_results:
        [file] = task.files
        meta_data = {"Container": file.suffix, "Duration": file.seconds, **_SIZE}
        answer["Output"] = {
            "OutputStorage": task.params["OutputStorage"],
            "Path": _edited_path(task.params),
            "MetaData": meta_data,
        }
    return answer


def _workflow_task(task: EmulatedTask, *, ended: bool, null_results: bool) -> Params:
    results: list[Params] = []
    failure = task.failure if ended else None
    for kind, wish, storage, path in _wishes(task.params):
        result: Params = {"Status": "PROCESSING", "ErrCodeExt": "", "ErrCode": 0, "Message": ""}
        if failure is not None and task.aborted_at is None and not results:
            result = {"Status": "FAIL", "ErrCodeExt": "InternalError", **_failure(failure)}
        elif ended:
            result["Status"] = "SUCCESS"
        fine = result["Status"] == "SUCCESS" and not null_results
        result |= {"Input": wish, "Output": _output(kind, wish, storage, path) if fine else None}
        results.append({"Type": kind.type, **{each.result: None for each in _SUB_TASKS}, kind.result: result})
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
        answer |= _failure(failure)
    return answer


_SIZE = {"Width": synth.WIDTH, "Height": synth.HEIGHT}


def _failure(message: str) -> Params:
    return {"ErrCode": _FAILED, "Message": message}


def _output(kind: _SubTask, wish: Params, storage: Params, path: str) -> Params:
    definition = {"Definition": wish.get("Definition", 0)}
    match kind.type:
        case "Transcode":
            return definition | _SIZE | {"OutputStorage": storage, "Path": path, "Container": kind.suffix}
        case "SnapshotByTimeOffset":
            picture = {"TimeOffset": 0, "Path": path, "WaterMarkDefinition": []}
            return definition | {"Storage": storage, "PicInfoSet": [picture]}
        case "SampleSnapshot" | "ImageSprites":
            return definition | {"Storage": storage, "ImagePathSet": [path]}
        case _:
            return definition | {"Storage": storage, "Path": path}


def _wishes(params: Params) -> Iterator[tuple[_SubTask, Params, Params, str]]:
    """Each task in MediaProcessTask, with the storage and the path of its output."""
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
            for variable, value in (
                ("{inputName}", name.partition(".")[0] or "input"),
                ("{definition}", str(wish.get("Definition", 0))),
                ("{format}", kind.suffix),
                ("{number}", "0"),
            ):
                path = path.replace(variable, value)
            if not path.startswith("/"):
                path = params.get("OutputDir", f"{folder}/") + path
            yield kind, wish, wish.get("OutputStorage") or params.get("OutputStorage") or default_storage, path


def _edited_path(params: Params) -> str:
    path = str(params["OutputObjectPath"])
    if "." in path.rpartition("/")[2]:
        return path
    target = params.get("ComposeConfig", {}).get("TargetInfo", {})
    container = target.get("Container") or params.get("OutputConfig", {}).get("Container") or "mp4"
    return f"{path}.{'wav' if container == 'mp3' and not synth.can_encode_mp3() else container}"


def _edited(params: Params, find_input: FindInput) -> MediaFile:
    inputs = [find_input(file["InputInfo"]) for file in params["FileInfos"]]
    config = params.get("ComposeConfig")
    if config is None:
        parts = list(_spliced(params["FileInfos"], inputs))
    else:
        ids = [file.get("Id") for file in params["FileInfos"]]
        parts = list(_composed(config, dict(zip(ids, inputs, strict=True))))
    sounds = tuple(part.sound for part in parts if part.heard and part.sound.source.sounds != ())
    if (config or {}).get("TargetInfo", {}).get("RemoveAudio"):
        sounds = ()
    seen = [part.sound.source.seed for part in parts if part.seen]
    seconds = min(max((part.sound.at + part.sound.seconds for part in parts), default=1.0), _MAX_SECONDS)
    key = _key(params["OutputStorage"], _edited_path(params))
    return MediaFile(key, seen[0] if seen else inputs[0].seed, seconds, sounds)


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


def _key(storage: Params, path: str) -> str:
    bucket = storage.get("CosOutputStorage", {}).get("Bucket", "")
    return "/".join(filter(None, [bucket, path.strip("/")]))


def _iso(moment: float) -> str:
    """A moment of the monotonic clock as MPS writes times."""
    return datetime.fromtimestamp(posix(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
