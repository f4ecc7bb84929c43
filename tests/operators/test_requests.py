"""What an operator's arguments become on the wire, and which of them never get there."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_mps.api.errors import ApiError, InvalidArgumentError
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from tests.doubles.emulators import CREATE
from tests.doubles.task_instances import run_task

STORE = {"CosBucketName": "bucket-1", "CosBucketRegion": "ap-singapore", "CosBucketPath": "/music/"}
EXTRA = {"ResourceId": "r-1", "OutputAudioFormat": "mp3"}

# Each field of the reference: the argument, what is given, and what is to arrive.
FIELDS: dict[str, tuple[str, Any, Any]] = {
    "ModelName": ("model_name", "MiniMaxMusic", "MiniMaxMusic"),
    "ModelVersion": ("model_version", "2.6", "2.6"),
    "SceneType": ("scene_type", "music", "music"),
    "Prompt": ("prompt", "Regen über Berlin 雨 “soft”", "Regen über Berlin 雨 “soft”"),
    "VideoInfos": (
        "video_infos",
        ["https://a.example/1.mp4?sign=x%20y", {"VideoUrl": "https://a.example/2.mp4"}],
        [{"VideoUrl": "https://a.example/1.mp4?sign=x%20y"}, {"VideoUrl": "https://a.example/2.mp4"}],
    ),
    "AudioInfos": ("audio_infos", "https://a.example/1.mp3", [{"AudioUrl": "https://a.example/1.mp3"}]),
    "OutputAudioFormat": ("output_audio_format", "wav", "wav"),
    "StoreCosParam": ("store_cos_param", STORE, STORE),
    "ExtraParameters": ("extra_parameters", EXTRA, EXTRA),
    "AdditionalParameters": ("additional_parameters", {"lyrics": "la\nlä", "n": 2}, '{"lyrics": "la\\nlä", "n": 2}'),
    "Operator": ("mps_operator", "airflow", "airflow"),
}
ALL = {argument: given for argument, given, _ in FIELDS.values()}
EXPECTED = {name: expected for name, (_, _, expected) in FIELDS.items()}


@pytest.fixture
def emulator_rules() -> str:
    """The reference's: these requests are about fields, not about what a model takes."""
    return "reference"


def create(**arguments: Any) -> Any:
    return run_task(CreateAigcAudioTaskOperator(task_id="create", **arguments))


def test_every_field_arrives_as_the_reference_writes_it(emulator: MpsEmulator) -> None:
    create(**ALL)
    [request] = emulator.requests
    assert request.params == EXPECTED
    assert request.answer == "ok"


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_arrives_alone(emulator: MpsEmulator, name: str) -> None:
    argument, given, expected = FIELDS[name]
    create(**{"prompt": "rain", argument: given})
    assert emulator.requests[0].params == {"Prompt": "rain", name: expected}


def test_what_is_not_given_is_not_sent(emulator: MpsEmulator) -> None:
    create(**dict.fromkeys(ALL) | {"video_infos": [], "store_cos_param": {}, "model_name": "", "prompt": "rain"})
    assert emulator.requests[0].params == {"Prompt": "rain"}


def test_additional_parameters_as_text_arrive_as_written(emulator: MpsEmulator) -> None:
    create(prompt="rain", additional_parameters=' {"is_instrumental" : true}')
    assert emulator.requests[0].params["AdditionalParameters"] == ' {"is_instrumental" : true}'


@pytest.mark.parametrize("extra", [None, {"ResourceId": "r-1"}])
def test_a_server_that_knows_the_format_only_as_an_extra_parameter(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, str] | None
) -> None:
    with MpsEmulator(rules="reference", output_audio_format_at_top_level=False) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(emulator.connection))
        create(prompt="rain", output_audio_format="wav", extra_parameters=extra)
        assert [request.answer for request in emulator.requests] == ["UnknownParameter", "ok"]
        [task] = emulator.tasks
        assert task.params == {"Prompt": "rain", "ExtraParameters": {"OutputAudioFormat": "wav", **(extra or {})}}


def test_another_unknown_parameter_is_refused_once(emulator: MpsEmulator) -> None:
    emulator.fault("error", CREATE, code="UnknownParameter")
    with pytest.raises(AirflowFailException, match="UnknownParameter"):
        create(prompt="rain")
    assert emulator.count(CREATE) == 1


def without(key: str) -> dict[str, str]:
    return {name: value for name, value in STORE.items() if name != key}


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("prompt", {"prompt": "x" * 2001}),
        ("prompt", {"prompt": ["rain"]}),
        ("prompt", {"prompt": None}),
        ("prompt", {"prompt": "", "model_name": "GL"}),
        ("model_name", {"model_name": {"a": 1}}),
        ("model_version", {"model_version": True}),
        ("model_version", {"model_version": ["2.0"]}),
        ("mps_operator", {"mps_operator": {"name": "me"}}),
        ("additional_parameters", {"additional_parameters": "no JSON"}),
        ("additional_parameters", {"additional_parameters": "[1]"}),
        ("additional_parameters", {"additional_parameters": 7}),
        ("additional_parameters", {"additional_parameters": {"when": datetime(2026, 1, 1)}}),
        ("additional_parameters", {"additional_parameters": {"n": float("nan")}}),
        ("store_cos_param", {"store_cos_param": without("CosBucketName")}),
        ("store_cos_param", {"store_cos_param": without("CosBucketRegion")}),
        ("store_cos_param", {"store_cos_param": "cos://bucket"}),
        ("store_cos_param", {"store_cos_param": STORE | {"When": datetime(2026, 1, 1)}}),
        ("extra_parameters", {"extra_parameters": "wav"}),
        ("extra_parameters", {"extra_parameters": {"when": datetime(2026, 1, 1)}}),
        ("video_infos", {"video_infos": ["not a url"]}),
        ("video_infos", {"video_infos": ["cos://bucket"]}),
        ("video_infos", {"video_infos": ["https://"]}),
        ("video_infos", {"video_infos": ["https://[half"]}),
        ("video_infos", {"video_infos": ["https://a.example/1.mp4", None]}),
        ("video_infos", {"video_infos": [{"Url": "https://a.example/1.mp4"}]}),
        ("audio_infos", {"audio_infos": [{"VideoUrl": "https://a.example/1.mp3"}]}),
        ("audio_infos", {"audio_infos": 7}),
        ("poll_interval", {"poll_interval": 0}),
        ("poll_interval", {"poll_interval": "5"}),
        ("poll_interval", {"poll_interval": timedelta(0)}),
        ("wait_timeout", {"wait_timeout": -1}),
        ("wait_timeout", {"wait_timeout": True}),
        ("wait_timeout", {"wait_timeout": float("inf")}),
    ],
)
def test_a_bad_argument_is_named_before_anything_is_sent(
    emulator: MpsEmulator, argument: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(AirflowFailException, match=rf"\b{argument}\b.*nothing was sent to MPS") as failed:
        create(**{"prompt": "rain"} | arguments)
    assert isinstance(failed.value, InvalidArgumentError)
    assert argument in failed.value.argument
    assert "sign=" not in str(failed.value)
    assert emulator.requests == []


@pytest.mark.parametrize("length", [1, 2000])
def test_a_prompt_of_2000_characters_is_taken(emulator: MpsEmulator, length: int) -> None:
    create(prompt="雨" * length)
    assert emulator.tasks[0].params == {"Prompt": "雨" * length}


def test_a_bad_connection_fails_without_a_retry(emulator: MpsEmulator, connect: Callable[..., None]) -> None:
    connect(password="")
    with pytest.raises(AirflowFailException, match="password"):
        create(prompt="rain")
    assert emulator.requests == []


def test_content_that_mps_refuses_fails_without_a_retry(emulator: MpsEmulator) -> None:
    emulator.fault("error", CREATE, code="InvalidParameter.ViolationContent", message="not that")
    with pytest.raises(AirflowFailException, match=r"InvalidParameter.ViolationContent: not that \(RequestId ") as no:
        create(prompt="rain")
    assert isinstance(no.value, ApiError)
    assert emulator.count(CREATE) == 1
