"""Tasks of TextToSpeechAsync and DesignVoiceAsync."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import ClassVar

from airflow_provider_mps.api.tasks import parts
from airflow_provider_mps.api.tasks.family import TaskFamily
from airflow_provider_mps.api.tasks.status import TaskState
from airflow_provider_mps.api.wire.answers import Response


class Voices(TaskFamily):
    """What voices have in common (SDK and samples, 2026-10)."""

    message_field = "Msg"
    words: ClassVar = {"processing": TaskState.RUN, "success": TaskState.DONE, "fail": TaskState.FAIL}
    outputs: ClassVar = {"audio": "AudioUrl"}
    details = ("VoiceId",)

    def state(self, response: Response) -> tuple[TaskState, str]:
        """Msg says ``success`` where nothing is wrong."""
        state, message = super().state(response)
        return state, message if state is TaskState.FAIL else ""

    def durations(self, response: Response) -> list[float]:
        """From ExtInfo, an object as text."""
        length = None
        with suppress(ValueError, RecursionError, AttributeError):
            length = json.loads(parts.text(response.get("ExtInfo"))).get("duration")
        return [length] if parts.is_length(length) else []


class TextToSpeech(Voices):
    """A text that is spoken."""

    kind = "text_to_speech"
    title = "voice-over"
    describe = "DescribeTextToSpeechAsyncTask"
    in_task_ids = ("-DubbingAsync-",)


class DesignVoice(Voices):
    """A new voice, whose id is what was made; a text to hear it by is an extra."""

    kind = "design_voice"
    title = "voice design"
    describe = "DescribeDesignTask"
    in_task_ids = ("-DesignVoiceAsync-",)
    needs = "VoiceId"


TEXT_TO_SPEECH, DESIGN_VOICE = TextToSpeech(), DesignVoice()
