"""What AIGC tasks make, and how DescribeAigc...Task describes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airflow_provider_mps.emulator import synth
from airflow_provider_mps.emulator.synth import MediaFile
from airflow_provider_mps.emulator.tasks import EmulatedTask, Phase

_MAX_FILES = 10
_MAX_VIDEO_SECONDS = 16
_RESOLUTIONS = {
    "540P": "960*540",
    "720P": "1280*720",
    "768P": "1366*768",
    "1080P": "1920*1080",
    "2K": "2560*1440",
    "4K": "3840*2160",
}


def output_files(task: EmulatedTask) -> list[MediaFile]:
    """The files that a task makes when it succeeds, named after it and the bucket of the request."""
    params = task.params
    match task.kind:
        case "aigc_image":
            count = max(1, min(task.made.get("OutputImageCount", 1), _MAX_FILES))
            return [_file(task, index, "png") for index in range(count)]
        case "aigc_video":
            seconds = max(1, min(task.made.get("Duration", 5), _MAX_VIDEO_SECONDS))
            silent = not params.get("ExtraParameters", {}).get("EnableAudio")
            return [_file(task, 0, "mp4", seconds, () if silent else None)]
        case _:
            suffix = "mp3" if _wanted_format(params) == "mp3" and synth.can_encode_mp3() else "wav"
            count = json.loads(params.get("AdditionalParameters") or "{}").get("n", 1)
            files = [_file(task, index, suffix) for index in range(count if count in range(1, _MAX_FILES + 1) else 1)]
            if params.get("VideoInfos"):  # dubbing gives the video back, too
                files.append(_file(task, len(files), "mp4"))
            return files


def describe(
    task: EmulatedTask, phase: Phase, url_of: Callable[[MediaFile], str], *, null_results: bool
) -> dict[str, Any]:
    """The fields of the answer.

    :param url_of: gives the address under which a file is served.
    :param null_results: leave all results out, as if the service had lost them.
    """
    shown = phase is Phase.ENDED and task.failure is None and not null_results
    files = task.files if shown else []
    answer: dict[str, Any] = {"Status": task.word(phase), "Message": _message(task, phase)}
    match task.kind:
        case "aigc_image":
            answer["ImageUrls"] = [url_of(file) for file in files] or None
        case "aigc_video":
            answer["VideoUrls"] = [url_of(file) for file in files] or None
            asked = task.made.get("ExtraParameters", {}).get("Resolution", "720P")
            answer["Resolution"] = _RESOLUTIONS.get(asked, asked) if files else ""
        case _:
            infos = [(file.suffix, {"Url": url_of(file), "Duration": int(file.seconds)}) for file in files]
            answer["AudioInfos"] = [info for suffix, info in infos if suffix != "mp4"] or None
            answer["VideoInfos"] = [info for suffix, info in infos if suffix == "mp4"] or None
    return answer


def _file(
    task: EmulatedTask,
    index: int,
    suffix: str,
    seconds: float | None = None,
    sounds: tuple[synth.Sound, ...] | None = None,
) -> MediaFile:
    store = task.params.get("StoreCosParam", {})
    folders = [store.get("CosBucketName", ""), *store.get("CosBucketPath", "").split("/")]
    key = "/".join([*filter(None, folders), f"{task.task_id}-{index}.{suffix}"])
    # Where a file is kept does not change how it sounds.
    seed = json.dumps([{**task.params, "StoreCosParam": None}, index], sort_keys=True)
    return MediaFile(key, seed, synth.tune_seconds(seed) if seconds is None else seconds, sounds)


def _wanted_format(params: dict[str, Any]) -> str:
    extra = params.get("ExtraParameters", {})
    return str(params.get("OutputAudioFormat") or extra.get("OutputAudioFormat") or "wav")


def _message(task: EmulatedTask, phase: Phase) -> str:
    if phase is not Phase.ENDED:
        return ""
    if task.failure is not None:
        return task.failure
    if task.kind == "aigc_audio" and _wanted_format(task.params) == "mp3" and not synth.can_encode_mp3():
        return "The emulator made WAV: for MP3 it needs lameenc."
    return ""
