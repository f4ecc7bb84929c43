"""What a task makes, and how a Describe call tells it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airflow_provider_mps.emulator import media
from airflow_provider_mps.emulator.media import MediaFile
from airflow_provider_mps.emulator.tasks import EmulatedTask, Phase

Answer = dict[str, Any]


def output_files(task: EmulatedTask) -> list[MediaFile]:
    """The files that a task makes when it succeeds, named after it and the bucket that was asked for."""
    return _OUTPUTS[task.action](task)


def describe(
    task: EmulatedTask, phase: Phase, url_of: Callable[[MediaFile], str], *, null_results: bool
) -> Answer:
    """The fields of a Describe answer.

    :param url_of: gives the address under which a file is served.
    :param null_results: leave all results out, as if the service had lost them.
    """
    files = [] if null_results or phase is not Phase.ENDED or task.failure is not None else output_files(task)
    if task.kind == "media":
        return _describe_media(task, phase, files)
    answer = {"Status": task.word(phase), "Message": _message(task, phase)}
    urls = {suffix: [url_of(file) for file in files if file.suffix == suffix] for suffix in ("png", "mp4")}
    if task.kind == "aigc_image":
        return answer | {"ImageUrls": urls["png"] or None}
    if task.kind == "aigc_video":
        return answer | {
            "VideoUrls": urls["mp4"] or None,
            "Resolution": f"{media.WIDTH}*{media.HEIGHT}" if files else "",
        }
    infos = [(file, {"Url": url_of(file), "Duration": file.seconds}) for file in files]
    return answer | {
        "AudioInfos": [info for file, info in infos if file.suffix != "mp4"] or None,
        "VideoInfos": [info for file, info in infos if file.suffix == "mp4"] or None,
    }


def _message(task: EmulatedTask, phase: Phase) -> str:
    if phase is not Phase.ENDED:
        return ""
    if task.failure is not None:
        return task.failure
    if _audio_format(task) == "mp3" and not media.can_encode_mp3():
        return "The emulator made WAV: for MP3 it needs lameenc."
    return ""


def _audio_format(task: EmulatedTask) -> str:
    extra = task.params.get("ExtraParameters", {})
    return str(task.params.get("OutputAudioFormat") or extra.get("OutputAudioFormat") or "wav")


def _audio_files(task: EmulatedTask) -> list[MediaFile]:
    suffix = "mp3" if _audio_format(task) == "mp3" and media.can_encode_mp3() else "wav"
    additional = json.loads(task.params.get("AdditionalParameters") or "{}")
    count = additional.get("n", 1)
    files = [_aigc_file(task, index, suffix) for index in range(count if count in range(1, 11) else 1)]
    if task.params.get("VideoInfos"):  # dubbing gives the video back, too
        files.append(_aigc_file(task, len(files), "mp4"))
    return files


def _video_files(task: EmulatedTask) -> list[MediaFile]:
    return [_aigc_file(task, 0, "mp4")]


def _image_files(task: EmulatedTask) -> list[MediaFile]:
    return [_aigc_file(task, index, "png") for index in range(task.params.get("OutputImageCount", 1))]


def _aigc_file(task: EmulatedTask, index: int, suffix: str) -> MediaFile:
    store = task.params.get("StoreCosParam", {})
    folder = [store.get("CosBucketName", ""), *store.get("CosBucketPath", "").split("/")]
    key = "/".join([part for part in folder if part] + [f"{task.task_id}-{index}.{suffix}"])
    sources = {name: value for name, value in task.params.items() if name != "StoreCosParam"}
    seed = json.dumps([sources, index], sort_keys=True)
    return MediaFile(key, seed, 0 if suffix == "png" else media.tune_seconds(seed))


_OUTPUTS: dict[str, Callable[[EmulatedTask], list[MediaFile]]] = {
    "CreateAigcAudioTask": _audio_files,
    "CreateAigcVideoTask": _video_files,
    "CreateAigcImageTask": _image_files,
    "ProcessMedia": lambda task: [],
    "EditMedia": lambda task: [],
}


def _describe_media(task: EmulatedTask, phase: Phase, files: list[MediaFile]) -> Answer:
    return {}
