"""CreateAigcAudioTask: its fields, and what its tasks make."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from airflow_provider_mps.emulator.media import synth
from airflow_provider_mps.emulator.media.synth import MediaFile
from airflow_provider_mps.emulator.service.families.aigc import AIGC, MAX_FILES, AigcFamily, made_file
from airflow_provider_mps.emulator.service.shapes import Shape
from airflow_provider_mps.emulator.service.tasks import EmulatedTask, FindInput, UrlOf


class AigcAudio(AigcFamily):
    """AI-generated audio."""

    kind = "aigc_audio"
    create = "CreateAigcAudioTask"
    describe = "DescribeAigcAudioTask"
    word = "AigcAudio"
    sources = ("Prompt", "VideoInfos", "AudioInfos")
    shape: ClassVar[Shape] = {
        **AIGC,
        "VideoInfos": [{"VideoUrl": str}],
        "AudioInfos": [{"AudioUrl": str}],
        "OutputAudioFormat": str,
        "ExtraParameters": {"ResourceId": str, "OutputAudioFormat": str},
    }

    def output_files(self, task: EmulatedTask, find_input: FindInput) -> list[MediaFile]:
        params = task.params
        suffix = "mp3" if _wanted_format(params) == "mp3" and synth.can_encode_mp3() else "wav"
        count = json.loads(params.get("AdditionalParameters") or "{}").get("n", 1)
        files = [made_file(task, index, suffix) for index in range(count if count in range(1, MAX_FILES + 1) else 1)]
        if params.get("VideoInfos"):  # dubbing gives the video back, too
            files.append(made_file(task, len(files), "mp4"))
        return files

    def results(self, task: EmulatedTask, files: list[MediaFile], url_of: UrlOf) -> dict[str, Any]:
        infos = [(file.suffix, {"Url": url_of(file), "Duration": int(file.seconds)}) for file in files]
        return {
            "AudioInfos": [info for suffix, info in infos if suffix != "mp4"] or None,
            "VideoInfos": [info for suffix, info in infos if suffix == "mp4"] or None,
        }

    def remark(self, task: EmulatedTask) -> str:
        if _wanted_format(task.params) == "mp3" and not synth.can_encode_mp3():
            return "The emulator made WAV: for MP3 it needs lameenc."
        return ""


def _wanted_format(params: dict[str, Any]) -> str:
    extra = params.get("ExtraParameters", {})
    return str(params.get("OutputAudioFormat") or extra.get("OutputAudioFormat") or "wav")
