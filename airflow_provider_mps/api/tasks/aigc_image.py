"""Tasks of CreateAigcImageTask."""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_mps.api.tasks.family import TaskFamily


class AigcImage(TaskFamily):
    """AI-generated image."""

    kind = "aigc_image"
    title = "AIGC image"
    describe = "DescribeAigcImageTask"
    in_task_ids = ("-AigcImage-",)  # seen on the live service, 2026-08
    outputs: ClassVar = {"image": "ImageUrls"}
    failures_are_free = True


AIGC_IMAGE = AigcImage()
