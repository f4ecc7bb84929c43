"""What an operator's arguments become on the wire, and which of them never get there."""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_provider_mps.api.digest import digest
from airflow_provider_mps.api.errors import ApiError, InvalidArgumentError
from airflow_provider_mps.api.request.fields import (
    AUDIO_REQUEST,
    EDIT_MEDIA_REQUEST,
    IMAGE_REQUEST,
    PROCESS_MEDIA_REQUEST,
    VIDEO_REQUEST,
)
from airflow_provider_mps.api.request.shape import RequestShape
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator, MpsApiOperator
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


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


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
        ("prompt", {"prompt": b"rain"}),
        ("prompt", {"prompt": float("nan")}),
        ("prompt", {"prompt": "half a \ud83c"}),
        ("prompt", {"prompt": " None "}),
        ("prompt", {"prompt": "  \n", "model_name": "GL"}),
        ("model_version", {"model_version": float("inf")}),
        ("model_version", {"model_version": 10**5000}),
        ("additional_parameters", {"additional_parameters": b'{"lyrics": "la"}'}),
        ("additional_parameters", {"additional_parameters": '{"n": NaN}'}),
        ("additional_parameters", {"additional_parameters": '{"n": 1e400}'}),
        ("additional_parameters", {"additional_parameters": '{"n": ' + "9" * 5000 + "}"}),
        ("additional_parameters", {"additional_parameters": '{"a":' * 9999}),
        ("additional_parameters", {"additional_parameters": '{"lyrics": "\\ud83c"}'}),
        ("additional_parameters", {"additional_parameters": {1: "a", "b": 2}}),
        ("additional_parameters", {"additional_parameters": {"tags": {"rain", "snow"}}}),
        ("extra_parameters", {"extra_parameters": {"a": float("inf")}}),
        ("extra_parameters", {"extra_parameters": {"a": [b"x"]}}),
        ("extra_parameters", {"extra_parameters": deep(5000)}),
        ("extra_parameters", {"extra_parameters": {"a": 10**5000}}),
        ("store_cos_param", {"store_cos_param": STORE | {"CosBucketName": "None"}}),
        ("store_cos_param", {"store_cos_param": STORE | {1: 2}}),
        ("video_infos", {"video_infos": ["https://["]}),
        ("video_infos", {"video_infos": ["https://a.example:99999/1.mp4"]}),
        ("video_infos", {"video_infos": ["https://a.example/1.mp4\n"]}),
        ("video_infos", {"video_infos": "['https://a.example/1.mp4?sign=x']"}),
        ("poll_interval", {"poll_interval": 0}),
        ("poll_interval", {"poll_interval": 1e18}),
        ("wait_timeout", {"wait_timeout": 1e18}),
        ("wait_timeout", {"wait_timeout": 10**400}),
        ("wait_timeout", {"wait_timeout": timedelta.max}),
        ("execution_timeout", {"execution_timeout": timedelta(days=5000)}),
        ("max_poll_failures", {"max_poll_failures": None}),
        ("max_poll_failures", {"max_poll_failures": "3"}),
        ("max_poll_failures", {"max_poll_failures": 0}),
        ("max_poll_failures", {"max_poll_failures": True}),
        ("retry_ambiguous_create", {"retry_ambiguous_create": "false"}),
        ("wait_for_completion", {"wait_for_completion": "no"}),
        ("deferrable", {"deferrable": "no"}),
        ("durable", {"durable": None}),
        ("mps_conn_id", {"mps_conn_id": None}),
        ("mps_conn_id", {"mps_conn_id": "None"}),
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
    operator = CreateAigcAudioTaskOperator(task_id="create", prompt="rain")
    vars(operator).update(arguments)  # as rendering does, too late for what Airflow itself checks
    with pytest.raises(AirflowFailException, match=rf"\b{argument}\b.*nothing was sent to MPS") as failed:
        run_task(operator)
    assert isinstance(failed.value, InvalidArgumentError)
    assert argument in failed.value.field
    assert "sign=" not in str(failed.value)
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ({"video_infos": ["https://user:word@a.example/1?sign=x", 5]}, r"not 5 "),
        ({"video_infos": "ftp://user:word@a.example/1?sign=x"}, r"not str 'ftp:'\.\.\. "),
        ({"video_infos": "cos:/bucket/1.mp4?sign=x"}, r"not str 'cos'\.\.\. "),
        ({"video_infos": "ftp://a.example/1?sign=x"}, r"not str 'ftp://a\.example/1'\.\.\. "),
        (
            {"store_cos_param": '{"CosBucketName": "b", "Key": "word"}'},
            r"not str '\{\"CosBucketName\"'.*pass op\.output\[",
        ),
        ({"additional_parameters": "{'key': 'word'}"}, r"not str .*set render_template_as_native_obj=True"),
        ({"poll_interval": "5"}, r"not str '5' "),
        ({"wait_timeout": timedelta.max}, r"not datetime\.timedelta\(days=999999999"),
        ({"extra_parameters": {"a": [{"b": float("nan")}]}}, r"holds nan, which JSON cannot write \(at a\.0\.b\)"),
    ],
)
def test_an_error_shows_what_was_given_and_no_secret(arguments: dict[str, Any], shown: str) -> None:
    with pytest.raises(InvalidArgumentError, match=shown) as failed:
        create(**{"prompt": "rain"} | arguments)
    assert not re.search("sign=|word", str(failed.value))


@pytest.mark.parametrize(
    ("request_shape", "arguments", "expected"),
    [
        (
            AUDIO_REQUEST,
            {
                "prompt": "Regen über Berlin",
                "model_name": "MiniMaxMusic",
                "model_version": "2.6",
                "scene_type": "music",
                "store_cos_param": {"CosBucketName": "b", "CosBucketRegion": "ap-singapore"},
            },
            "50dc5fe77cb96320460e90dfe1622055",
        ),
        (
            AUDIO_REQUEST,
            {
                "prompt": "rain",
                "additional_parameters": {"lyrics": "la\nlä", "n": 2},
                "audio_infos": "https://a.example/1.mp3",
            },
            "42910a3c5803255b6ddaadd868c6108f",
        ),
        (
            VIDEO_REQUEST,
            {"prompt": "rain", "duration": 5, "enhance_prompt": True},
            "e6e6d1cf0b0d2b8f8e48bc5ab7178a28",
        ),
        (IMAGE_REQUEST, {"prompt": "a fox", "output_image_count": "2"}, "3336f3a7e13bf0730942c9f4bee3417b"),
        (
            PROCESS_MEDIA_REQUEST,
            {
                "input_url": "https://a.example/film.mp4",
                "output_cos": {"Bucket": "b", "Region": "r"},
                "media_process_task": {"TranscodeTaskSet": [{"Definition": 100010}]},
            },
            "42d9ec8c06cb31fdffe0005ecb5cc2ca",
        ),
        (
            EDIT_MEDIA_REQUEST,
            {"input_url": "https://a.example/film.mp4", "output_object_path": "/a.mp4"},
            "998b20f5917854cbc63d8cc5ab710ff1",
        ),
    ],
)
def test_digests_stay_as_they_are(request_shape: RequestShape, arguments: dict[str, Any], expected: str) -> None:
    """Tasks under way are found by them after an upgrade: fields that come with it must not change them."""
    assert digest(request_shape.action, request_shape.build(arguments)) == expected


def test_a_digest_does_not_depend_on_the_order_of_a_dict() -> None:
    orders = ({"lyrics": "la", "deep": {"a": 1, "b": 2}}, {"deep": {"b": 2, "a": 1}, "lyrics": "la"})
    built = [AUDIO_REQUEST.build({"additional_parameters": order}) for order in orders]
    written = [AUDIO_REQUEST.build({"additional_parameters": json.dumps(order, indent=1)}) for order in orders]
    digests = {digest("CreateAigcAudioTask", params) for params in built + written}
    assert len(digests) == 1
    assert (
        digest("CreateAigcAudioTask", AUDIO_REQUEST.build({"additional_parameters": {}, "prompt": "la"})) not in digests
    )
    assert built[0] != built[1], "what is sent keeps its order"


@pytest.mark.parametrize("lyrics", ["[Verse]\nThe harbour sleeps", 'She said "stay"', "a \\ b", "tab\there"])
def test_lyrics_that_a_template_puts_into_a_json_text(emulator: MpsEmulator, lyrics: str) -> None:
    with pytest.raises(InvalidArgumentError) as failed:
        create(prompt="rain", additional_parameters='{"lyric": "' + lyrics + '", "n": 1}')
    said = str(failed.value)
    assert re.search(
        r"^additional_parameters: is no JSON at line 1, column \d+ .* needs a dict, .* or the filter tojson", said
    )
    assert "op.output" not in said
    assert lyrics not in said
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
    with pytest.raises(AirflowFailException, match=r"InvalidParameter.ViolationContent: not that\. ") as no:
        create(prompt="rain")
    assert isinstance(no.value, ApiError)
    assert emulator.count(CREATE) == 1


def test_a_request_that_is_larger_than_mps_takes_is_refused_by_the_name_of_its_largest_argument(
    emulator: MpsEmulator,
) -> None:
    picture = "data:image/png;base64," + "A" * (11 * 1024**2)
    large = {"additional_parameters": {"picture": picture}}
    with pytest.raises(InvalidArgumentError, match=r"additional_parameters.* has 11.0 MB .* takes one of 10 MB"):
        AUDIO_REQUEST.build({"prompt": "rain", **large})
    call = MpsApiOperator(task_id="call", action="CreateAigcAudioTask", mps_params={"Prompt": "rain", "X": picture})
    with pytest.raises(AirflowFailException, match=r"mps_params.* has 11.0 MB"):
        run_task(call)
    with pytest.raises(InvalidArgumentError, match=r"params.* has 11.0 MB"):
        MpsHook().call("CreateAigcAudioTask", {"Prompt": "rain", "X": picture})
    assert emulator.requests == []
