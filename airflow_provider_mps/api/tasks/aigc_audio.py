"""Tasks of CreateAigcAudioTask."""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_mps.api.tasks.family import TaskFamily


class AigcAudio(TaskFamily):
    """AI-generated audio; dubbing gives the video back, too."""

    kind = "aigc_audio"
    title = "AIGC audio"
    describe = "DescribeAigcAudioTask"
    in_task_ids = ("-AigcAudio-",)  # seen on the live service, 2026-08
    outputs: ClassVar = {"audio": "AudioInfos", "video": "VideoInfos"}


AIGC_AUDIO = AigcAudio()
