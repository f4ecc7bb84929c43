"""The families of tasks that the emulator knows, by the action that makes one; a file each."""

from airflow_provider_mps.emulator.service.families.aigc_audio import AigcAudio
from airflow_provider_mps.emulator.service.families.aigc_image import AigcImage
from airflow_provider_mps.emulator.service.families.aigc_video import AigcVideo
from airflow_provider_mps.emulator.service.families.edit_media import EditMedia
from airflow_provider_mps.emulator.service.families.experimental import (
    AiDrama,
    AiFission,
    CloneViral,
    DocToVideo,
    Hunyuan3D,
    VideoRedraw,
)
from airflow_provider_mps.emulator.service.families.process_image import ProcessImage
from airflow_provider_mps.emulator.service.families.process_media import ProcessMedia
from airflow_provider_mps.emulator.service.families.voices import DesignVoice, TextToSpeech
from airflow_provider_mps.emulator.service.tasks import Family

FAMILIES: dict[str, Family] = {
    family.create: family
    for family in (
        *(AigcAudio(), AigcVideo(), AigcImage(), ProcessMedia(), EditMedia()),
        *(TextToSpeech(), DesignVoice(), ProcessImage()),
        *(VideoRedraw(), AiDrama(), AiFission(), DocToVideo(), CloneViral(), Hunyuan3D()),
    )
}
