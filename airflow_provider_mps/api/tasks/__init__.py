"""What a task of MPS is: its family, its states, its result."""

from airflow_provider_mps.api.tasks.aigc_audio import AIGC_AUDIO
from airflow_provider_mps.api.tasks.aigc_image import AIGC_IMAGE
from airflow_provider_mps.api.tasks.aigc_video import AIGC_VIDEO
from airflow_provider_mps.api.tasks.family import TaskFamily
from airflow_provider_mps.api.tasks.known import FAMILIES, check_family, families_of, family_named
from airflow_provider_mps.api.tasks.media import MEDIA, PICTURES
from airflow_provider_mps.api.tasks.status import TaskState, TaskStatus, in_seconds
from airflow_provider_mps.api.tasks.voices import DESIGN_VOICE, TEXT_TO_SPEECH

__all__ = [
    "AIGC_AUDIO",
    "AIGC_IMAGE",
    "AIGC_VIDEO",
    "DESIGN_VOICE",
    "FAMILIES",
    "MEDIA",
    "PICTURES",
    "TEXT_TO_SPEECH",
    "TaskFamily",
    "TaskState",
    "TaskStatus",
    "check_family",
    "families_of",
    "family_named",
    "in_seconds",
]
