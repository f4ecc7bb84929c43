"""Tasks of CreateAigcAudioTask."""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_mps.api.tasks.family import TaskFamily
from airflow_provider_mps.api.wire.answers import Response


class AigcAudio(TaskFamily):
    """AI-generated audio; dubbing gives the video back, too."""

    kind = "aigc_audio"
    title = "AIGC audio"
    describe = "DescribeAigcAudioTask"
    in_task_ids = ("-AigcAudio-",)  # seen on the live service, 2026-08
    outputs: ClassVar = {"audio": "AudioInfos", "video": "VideoInfos"}

    def made(self, response: Response) -> Response:
        # The video is the one that was given, with the sound in it.
        return {**response, "VideoInfos": []} if response.get("AudioInfos") else response


AIGC_AUDIO = AigcAudio()
