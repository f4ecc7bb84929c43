"""CreateAigcImageTask: its fields, and what its tasks make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from airflow_provider_mps.emulator.media.synth import MediaFile
from airflow_provider_mps.emulator.service.families.aigc import AIGC, MAX_FILES, AigcFamily, made_file
from airflow_provider_mps.emulator.service.shapes import Shape
from airflow_provider_mps.emulator.service.tasks import EmulatedTask, FindInput, UrlOf


class AigcImage(AigcFamily):
    """AI-generated image."""

    kind = "aigc_image"
    create = "CreateAigcImageTask"
    describe = "DescribeAigcImageTask"
    word = "AigcImage"
    sources = ("Prompt", "ImageInfos")
    shape: ClassVar[Shape] = {
        **AIGC,
        "NegativePrompt": str,
        "EnhancePrompt": bool,
        "ImageInfos": [{"ImageUrl": str, "ReferenceType": str}],
        "OutputImageCount": int,
        "ExtraParameters": {"AspectRatio": str, "Resolution": str, "LogoAdd": int, "OutputFormat": str},
    }

    def output_files(self, task: EmulatedTask, find_input: FindInput) -> list[MediaFile]:
        count = max(1, min(task.made.get("OutputImageCount", 1), MAX_FILES))
        return [made_file(task, index, "png") for index in range(count)]

    def results(self, task: EmulatedTask, files: list[MediaFile], url_of: UrlOf) -> dict[str, Any]:
        return {"ImageUrls": [url_of(file) for file in files] or None}

    def usage(self, task: EmulatedTask) -> Iterator[tuple[str, int]]:
        yield "AIGCImage", len(task.files)
