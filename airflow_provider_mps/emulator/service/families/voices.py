"""TextToSpeechAsync and DesignVoiceAsync: their fields, and the sound that they make. Nobody speaks in it."""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar

from airflow_provider_mps.emulator.media.synth import MediaFile
from airflow_provider_mps.emulator.service.errors import ApiError
from airflow_provider_mps.emulator.service.families.described import DescribedFamily
from airflow_provider_mps.emulator.service.shapes import Shape, parse_object
from airflow_provider_mps.emulator.service.tasks import EmulatedTask, FindInput, Phase, UrlOf

_FAILED, _WORKING = 1000, 100
_LETTERS_A_SECOND = 15
_MAX_SECONDS = 30.0


class Voices(DescribedFamily):
    """What voices have in common."""

    words = ("processing", "processing", "success", "fail")
    message_field = "Msg"
    output = "AudioUrl"
    suffix = "wav"
    accepted: ClassVar = {"ErrorCode": 0, "Msg": "success"}

    def check(self, params: dict[str, Any]) -> None:
        if params.get("ExtParam") and parse_object(params["ExtParam"]) is None:
            raise ApiError("InvalidParameterValue", "`ExtParam` is not a serialized JSON object.")

    def length(self, task: EmulatedTask) -> float:
        asked = (json.loads(task.params.get("ExtParam") or "{}").get("synExt") or {}).get("duration")
        spoken = len(task.params.get("Text", "")) / _LETTERS_A_SECOND
        return float(min(max(asked if isinstance(asked, int | float) else spoken, 1.0), _MAX_SECONDS))

    def answer(self, task: EmulatedTask, phase: Phase, url_of: UrlOf, *, null_results: bool) -> dict[str, Any]:
        code = 0 if phase is Phase.ENDED else _WORKING
        return {"ErrorCode": code, "Msg": "success"} | super().answer(task, phase, url_of, null_results=null_results)

    def failed(self, message: str) -> dict[str, Any]:
        return {"ErrorCode": _FAILED, "Msg": message}


class TextToSpeech(Voices):
    """A voice-over."""

    kind = "text_to_speech"
    create = "TextToSpeechAsync"
    describe = "DescribeTextToSpeechAsyncTask"
    word = "DubbingAsync"
    shape: ClassVar[Shape] = {"Text": str, "VoiceId": str, "TextLang": str, "ExtParam": str}
    required = ("Text", "VoiceId")
    sample: ClassVar = {"Text": "A sample.", "VoiceId": "sample"}

    def results(self, task: EmulatedTask, urls: list[str]) -> dict[str, Any]:
        lengths = {"ExtInfo": json.dumps({"duration": task.files[0].seconds})} if task.files else {}
        return super().results(task, urls) | {"VoiceId": task.params["VoiceId"], **lengths}


class DesignVoice(Voices):
    """A voice of one's own."""

    kind = "design_voice"
    create = "DesignVoiceAsync"
    describe = "DescribeDesignTask"
    word = "DesignVoiceAsync"
    shape: ClassVar[Shape] = {
        "Prompt": str,
        "VoiceProfile": {
            "Name": str,
            "Description": str,
            "Gender": str,
            "Age": str,
            "Languages": [str],
            "Labels": [str],
            "Scenes": [str],
        },
        "Text": str,
        "ExtParam": str,
    }
    required = ("Prompt",)
    sample: ClassVar = {"Prompt": "A sample.", "Text": "A sample."}

    def output_files(self, task: EmulatedTask, find_input: FindInput) -> list[MediaFile]:
        return super().output_files(task, find_input) if task.params.get("Text") else []

    def results(self, task: EmulatedTask, urls: list[str]) -> dict[str, Any]:
        voice = hashlib.sha256(task.task_id.encode()).hexdigest()[:40]
        return {"VoiceId": f"v1_{voice}/+=", **(super().results(task, urls) if urls else {})}
