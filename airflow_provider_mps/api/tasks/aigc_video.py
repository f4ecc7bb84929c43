"""Tasks of CreateAigcVideoTask."""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_mps.api.tasks.family import TaskFamily


class AigcVideo(TaskFamily):
    """AI-generated video."""

    kind = "aigc_video"
    title = "AIGC video"
    describe = "DescribeAigcVideoTask"
    in_task_ids = ("-AigcVideo-",)  # seen on the live service, 2026-08
    outputs: ClassVar = {"video": "VideoUrls"}
    details = ("Resolution",)
    failures_are_free = True


AIGC_VIDEO = AigcVideo()
