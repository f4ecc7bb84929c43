"""Voices: what they are asked for, what they give, and what is said before they are paid for."""

import wave
from io import BytesIO
from typing import Any

import httpx
import pytest

from airflow_provider_mps.api.digest import digest
from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.request.advice import advice
from airflow_provider_mps.api.request.fields import DESIGN_VOICE_REQUEST, TEXT_TO_SPEECH_REQUEST
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import DesignVoiceAsyncOperator, TextToSpeechAsyncOperator
from tests.doubles.task_instances import run_task

WAITS: dict[str, Any] = {"wait_for_completion": True, "poll_interval": 0.05}


def test_a_voice_is_designed_and_speaks(emulator: MpsEmulator) -> None:
    design = DesignVoiceAsyncOperator(task_id="design", prompt="A low voice", voice_profile={"Gender": "male"}, **WAITS)
    _, designed = run_task(design)
    assert designed["audio_urls"] == []
    assert set(designed["result"]) == {"TaskId", "Status", "VoiceId", "AudioUrl"}

    voice = designed["result"]["VoiceId"]
    speak = TextToSpeechAsyncOperator(
        task_id="speak", text="It rains.", voice_id=voice, ext_param={"synExt": {"duration": 2.5}}, **WAITS
    )
    task_id, spoken = run_task(speak)
    [url] = spoken["audio_urls"]
    assert spoken["result"] == {"TaskId": task_id, "Status": "DONE", "AudioUrl": url, "VoiceId": voice}
    assert spoken["usage"]["seconds"] == 2.5
    with wave.open(BytesIO(httpx.get(url, timeout=60).content)) as sound:
        assert sound.getnframes() / sound.getframerate() == pytest.approx(2.5)
    assert emulator.tasks[-1].params == {
        "Text": "It rains.",
        "VoiceId": voice,
        "ExtParam": '{"synExt": {"duration": 2.5}}',
    }


@pytest.mark.parametrize(("arguments", "missing"), [({"voice_id": "v"}, "text"), ({"text": "It rains."}, "voice_id")])
def test_what_the_reference_requires_is_asked_for_by_name(arguments: dict[str, Any], missing: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^{missing}: is missing: TextToSpeechAsync needs it"):
        TEXT_TO_SPEECH_REQUEST.build(arguments)


def test_the_order_of_its_further_parameters_makes_no_other_request() -> None:
    one, other = (
        TEXT_TO_SPEECH_REQUEST.build({"text": "rain", "voice_id": "v", "ext_param": dict(order)})
        for order in ([("a", 1), ("b", 2)], [("b", 2), ("a", 1)])
    )
    assert one != other
    assert digest("TextToSpeechAsync", one) == digest("TextToSpeechAsync", other)


@pytest.mark.parametrize(
    ("ext", "said"),
    [({"pitch": 13}, "ExtParam.synExt.pitch -12 to 12 only"), ({"sampleRate": 48000}, "sampleRate 8000 or 16000")],
)
def test_what_a_voice_is_known_not_to_take_is_said_before(ext: dict[str, Any], said: str) -> None:
    params = TEXT_TO_SPEECH_REQUEST.build({"text": "rain", "voice_id": "v", "ext_param": {"synExt": ext}})
    [sentence] = advice("TextToSpeechAsync", params)
    assert said in sentence


def test_so_is_a_text_that_is_too_long_to_hear_a_voice_by() -> None:
    [sentence] = advice("DesignVoiceAsync", DESIGN_VOICE_REQUEST.build({"prompt": "low", "text": "x" * 501}))
    assert "takes a Text of 500 characters at most" in sentence
