"""The operators' arguments as type checkers and editors see them; loaded by those alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_mps.airflow_arguments import AirflowArguments
from airflow_provider_mps.api.requests import (
    AudioFields,
    EditMediaFields,
    ImageFields,
    ProcessMediaFields,
    VideoFields,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import XComArg


class CreateArguments(AirflowArguments, total=False):
    """What CreateTaskOperator takes beside the request."""

    mps_conn_id: str | XComArg
    cos_region: str | XComArg | None
    wait_for_completion: bool
    deferrable: bool
    poll_interval: float | timedelta
    wait_timeout: float | timedelta | None
    room_timeout: float | timedelta | None
    durable: bool
    retry_ambiguous_create: bool
    max_poll_failures: int


class AudioArguments(AudioFields["XComArg"], CreateArguments, total=False):
    """Of CreateAigcAudioTaskOperator."""


class VideoArguments(VideoFields["XComArg"], CreateArguments, total=False):
    """Of CreateAigcVideoTaskOperator."""


class ImageArguments(ImageFields["XComArg"], CreateArguments, total=False):
    """Of CreateAigcImageTaskOperator."""


class ProcessMediaArguments(ProcessMediaFields["XComArg"], CreateArguments, total=False):
    """Of ProcessMediaOperator."""


class EditMediaArguments(EditMediaFields["XComArg"], CreateArguments, total=False):
    """Of EditMediaOperator."""
