"""CreateAigcVideoTask: its fields, and what its tasks make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from airflow_provider_mps.emulator.media.synth import MediaFile
from airflow_provider_mps.emulator.service.families.aigc import AIGC, AigcFamily, made_file
from airflow_provider_mps.emulator.service.shapes import Shape
from airflow_provider_mps.emulator.service.tasks import EmulatedTask, FindInput, UrlOf

_MAX_VIDEO_SECONDS = 16
_RESOLUTIONS = {
    "540P": "960*540",
    "720P": "1280*720",
    "768P": "1366*768",
    "1080P": "1920*1080",
    "2K": "2560*1440",
    "4K": "3840*2160",
}


class AigcVideo(AigcFamily):
    """AI-generated video."""

    kind = "aigc_video"
    create = "CreateAigcVideoTask"
    describe = "DescribeAigcVideoTask"
    word = "AigcVideo"
    sources = ("Prompt", "ImageUrl", "LastImageUrl", "ImageInfos", "VideoInfos", "SubjectInfos")
    shape: ClassVar[Shape] = {
        **AIGC,
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
    }

    def output_files(self, task: EmulatedTask, find_input: FindInput) -> list[MediaFile]:
        seconds = max(1, min(task.made.get("Duration", 5), _MAX_VIDEO_SECONDS))
        silent = not task.params.get("ExtraParameters", {}).get("EnableAudio")
        return [made_file(task, 0, "mp4", seconds, () if silent else None)]

    def results(self, task: EmulatedTask, files: list[MediaFile], url_of: UrlOf) -> dict[str, Any]:
        asked = task.made.get("ExtraParameters", {}).get("Resolution", "720P")
        resolution = _RESOLUTIONS.get(asked, asked) if files else ""
        return {"VideoUrls": [url_of(file) for file in files] or None, "Resolution": resolution}

    def usage(self, task: EmulatedTask) -> Iterator[tuple[str, int]]:
        yield "AIGCVideo", sum(round(file.seconds) for file in task.files)
