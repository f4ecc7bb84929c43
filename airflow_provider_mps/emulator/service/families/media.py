"""What ProcessMedia and EditMedia have in common: their fields, checks, and how DescribeTaskDetail describes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_mps.emulator.media import synth
from airflow_provider_mps.emulator.media.synth import MediaFile
from airflow_provider_mps.emulator.service.errors import ApiError
from airflow_provider_mps.emulator.service.shapes import Shape, require
from airflow_provider_mps.emulator.service.tasks import EmulatedTask, Family, Phase, UrlOf, posix

Params = dict[str, Any]

_NEVER = "0000-00-00T00:00:00Z"
_FAILED = 70000  # the ErrCode of a failure inside the service
STREAMS = ("m3u8", "mpd")
_CODECS = {"mp3": "mp3", "wav": "pcm_s16le", "mp4": "pcm_s16le"}
_MAX_SESSION_ID = 50
_MAX_SESSION_CONTEXT = 1000

INPUT: Shape = {
    "Type": str,
    "CosInputInfo": {"Bucket": str, "Region": str, "Object": str},
    "UrlInputInfo": {"Url": str},
    "S3InputInfo": dict,
    "VODInputInfo": dict,
}
STORAGE: Shape = {
    "Type": str,
    "CosOutputStorage": {"Bucket": str, "Region": str},
    "S3OutputStorage": dict,
    "VODOutputStorage": dict,
}
JOB: Shape = {
    "OutputStorage": STORAGE,
    "TaskNotifyConfig": dict,
    "TasksPriority": int,
    "SessionId": str,
    "SessionContext": str,
    "ResourceId": str,
}


class MediaFamily(Family):
    """A task that DescribeTaskDetail describes.

    :cvar task_type: its TaskType, which is also the name of its own object in the answer.
    """

    task_type: str
    kind = "media"
    describe = "DescribeTaskDetail"
    manage = "ManageTask"
    needs_room = False
    words = ("WAITING", "PROCESSING", "FINISH", "FINISH")

    def check(self, params: Params) -> None:
        if len(params.get("SessionId", "")) > _MAX_SESSION_ID:
            raise ApiError("InvalidParameterValue.SessionIdTooLong", f"`SessionId` is over {_MAX_SESSION_ID} long.")
        if len(params.get("SessionContext", "")) > _MAX_SESSION_CONTEXT:
            raise ApiError(
                "InvalidParameterValue.SessionContextTooLong",
                f"`SessionContext` is over {_MAX_SESSION_CONTEXT} characters.",
            )

    def answer(self, task: EmulatedTask, phase: Phase, url_of: UrlOf, *, null_results: bool) -> Params:
        ended = phase is Phase.ENDED
        return {
            "TaskType": self.task_type,
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
            self.task_type: {
                "TaskId": task.task_id,
                "Status": "FINISH" if ended else "PROCESSING",
                "ErrCode": 0,
                "Message": "",
            }
            | self.own(task, ended=ended, null_results=null_results),
        }

    def own(self, task: EmulatedTask, *, ended: bool, null_results: bool) -> Params:
        """The fields of the task's own object that are not in every one."""
        raise NotImplementedError

    def summary(self, task: EmulatedTask) -> Params:
        """The task as DescribeTasks lists it; SessionId is not among the fields."""
        waiting, ended = task.phase is Phase.WAITING, task.phase is Phase.ENDED
        return {
            "TaskId": task.task_id,
            "TaskType": self.task_type,
            "CreateTime": _iso(task.created_at),
            "BeginProcessTime": _NEVER if waiting else _iso(task.started_at),
            "FinishTime": _iso(task.done_at) if ended and task.done_at is not None else _NEVER,
            "SubTaskTypes": self.sub_task_types(task),
        }

    def sub_task_types(self, task: EmulatedTask) -> list[str]:
        """What a list of tasks says of its parts."""
        return []

    def usage(self, task: EmulatedTask) -> Iterator[tuple[str, int]]:
        films = [file for file in task.files if file.suffix not in synth.PICTURES]
        if films:
            yield "Transcode", sum(round(file.seconds) for file in films)


def check_input(info: dict[str, Any], path: str) -> None:
    """Check a MediaInputInfo.

    :raises ApiError: it names no file.
    """
    require(info, "Type", f"{path}.")
    needed = {"COS": "CosInputInfo", "URL": "UrlInputInfo", "AWS-S3": "S3InputInfo", "VOD": "VODInputInfo"}
    if info["Type"] not in needed:
        raise ApiError("InvalidParameterValue.InputInfo", f"`{path}.Type` must be one of {', '.join(needed)}.")
    require(info, needed[info["Type"]], f"{path}.")
    try:
        urlsplit(info.get("UrlInputInfo", {}).get("Url", ""))
    except ValueError:
        raise ApiError("InvalidParameterValue.InputInfo", f"`{path}.UrlInputInfo.Url` is not a URL.") from None


def check_format(path: str, suffixes: tuple[str, ...]) -> None:
    """Make sure that a file can be what its name says.

    :raises ApiError: ``UnsupportedOperation``.
    """
    suffix = path.rpartition(".")[2].lower()
    if suffix not in suffixes or not (suffix in STREAMS or synth.can_make(suffix)):
        can = ", ".join(each for each in suffixes if each in STREAMS or synth.can_make(each))
        raise ApiError("UnsupportedOperation", f"The emulator makes no .{suffix:.10} here; it makes: {can}.")


def measures_of(file: MediaFile) -> Params:
    """Length and size of a film or a sound."""
    film = file.suffix == "mp4"
    size = (synth.WIDTH, synth.HEIGHT) if film and file.seen else (0, 0)
    return {"Duration": file.seconds, "Width": size[0], "Height": size[1]}


def meta_data(file: MediaFile) -> Params:
    """A MediaMetaData: what can be said of a file without making it."""
    measures = measures_of(file)
    seen, heard = measures["Height"] > 0, file.sounds != ()
    size = {"Height": measures["Height"], "Width": measures["Width"]}
    video = {"Bitrate": None, **size, "Codec": "h264", "Fps": synth.FRAMES_PER_SECOND}
    audio = {"Bitrate": None, "SamplingRate": synth.SAMPLE_RATE, "Codec": _CODECS.get(file.suffix), "Channel": 2}
    return {
        "Size": None,
        "Container": file.suffix,
        "Bitrate": None,
        "Rotate": 0,
        **measures,
        "VideoStreamSet": [video] if seen else [],
        "AudioStreamSet": [audio] if heard else [],
        "VideoDuration": file.seconds if seen else 0,
        "AudioDuration": file.seconds if heard else 0,
    }


def failed(message: str) -> Params:
    """The fields of a part that has failed."""
    return {"ErrCode": _FAILED, "Message": message}


def key_of(storage: Params, path: str) -> str:
    """Where a file is kept: bucket and path."""
    bucket = storage.get("CosOutputStorage", {}).get("Bucket", "")
    return "/".join(filter(None, [bucket, path.strip("/")]))


def _iso(moment: float) -> str:
    """A moment of the monotonic clock as MPS writes times."""
    return datetime.fromtimestamp(posix(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
