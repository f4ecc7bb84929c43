"""What a create operator says of its request: without sending it, before sending it, and once it is done."""

import json
import re
from typing import Any

import pytest

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    CreateAigcImageTaskOperator,
    ProcessMediaOperator,
)
from tests.doubles.logs import Lines
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.servers import Handler, LoopbackServer
from tests.doubles.task_instances import run_task

ADVICE = "MPS refuses another request (seen, 2026-08). It is sent as it is."
# The API reference's own sample request. (Tme takes no version, it was seen.)
SAMPLE: dict[str, Any] = {
    "model_name": "Tme",
    "model_version": "1.0",
    "scene_type": "music",
    "prompt": "Cheerful",
    "extra_parameters": {"ResourceId": "song-1"},
    "audio_infos": [{"AudioUrl": "https://host.example/a.mp3"}],
}


def one_image(handler: Handler) -> None:
    """A service that accepts any create and makes one image of it."""
    answer: dict[str, Any] = {"TaskId": "24000145-AigcImage-1", "RequestId": "r"}
    if handler.headers["X-TC-Action"].startswith("Describe"):
        answer = {"Status": "DONE", "ImageUrls": ["https://host.example/a.png"], "RequestId": "r"}
    handler.answer({"Response": answer})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    with LoopbackServer(one_image) as server:
        connection: dict[str, Any] = {
            "conn_type": "tencent_mps",
            "login": "id",
            "password": "the-key",
            "schema": "http",
        }
        connection |= {"host": "127.0.0.1", "port": server.server_port}
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(connection))
        yield server


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(server: LoopbackServer, logged: Lines) -> None:
    CreateAigcAudioTaskOperator(task_id="create", **SAMPLE).dry_run()
    told = "\n".join(logged.lines)
    assert server.requests == []
    for part in ("CreateAigcAudioTask would be sent with", '"ModelName": "Tme"', '"Prompt": "Cheerful"', ADVICE):
        assert part in told
    assert re.search(r"Digest: [0-9a-f]{32}\b", told)


def test_a_dry_run_shows_no_secret(server: LoopbackServer, logged: Lines) -> None:
    ProcessMediaOperator(
        task_id="process",
        input_url="https://host.example/a.mp4?q-signature=hush",
        media_process_task={"Definition": 1, "AwsS3SecretKey": "hush", "Parts": [{"access_token": "hush"}]},
        task_notify_config={"NotifyType": "URL", "NotifyUrl": "https://me.example/hooks/hush", "NotifyKey": "hush"},
    ).dry_run()
    aes = {"Uri": "https://keys.example/1?t=hush", "Key": "hush", "Vector": "hush"}
    speke = {"ResourceId": "film-1", "KeyServerUrl": "https://keys.example/hush", "Vector": "hush"}
    for drm in ({"Type": "simpleaes", "SimpleAesDrm": aes}, {"Type": "fairplay", "SpekeDrm": speke}):
        ProcessMediaOperator(
            task_id="process",
            input_url="https://host.example/a.mp4",
            output_cos={"Bucket": "films-1250000000", "Region": "ap-singapore"},
            media_process_task={"AdaptiveDynamicStreamingTaskSet": [{"Definition": 10, "DrmInfo": drm}]},
        ).dry_run()
    CreateAigcAudioTaskOperator(
        task_id="create", prompt="rain", scene_type="music", additional_parameters='{"password": "hush", "n": 2}'
    ).dry_run()
    told = "\n".join(logged.lines)
    assert "hush" not in told
    for part in (
        '"Url": "https://host.example/a.mp4?..."',
        '"NotifyUrl": "https://me.example/..."',
        '"NotifyKey": "***"',
        '"Definition": 1',
        'n\\": 2',
        '"Uri": "https://keys.example/1?..."',
        '"Vector": "***"',
        '"ResourceId": "film-1"',
    ):
        assert part in told


def test_a_dry_run_names_the_argument_that_cannot_be_sent() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^audio_infos: "):
        CreateAigcAudioTaskOperator(task_id="create", audio_infos="no url").dry_run()


def test_a_create_goes_out_as_it_is_whatever_is_advised_and_the_advice_is_logged(
    server: LoopbackServer, logged: Lines
) -> None:
    run_task(CreateAigcAudioTaskOperator(task_id="create", **SAMPLE))
    [sent] = server.requests
    assert json.loads(sent.body) == {
        "ModelName": "Tme",
        "ModelVersion": "1.0",
        "SceneType": "music",
        "Prompt": "Cheerful",
        "ExtraParameters": {"ResourceId": "song-1"},
        "AudioInfos": [{"AudioUrl": "https://host.example/a.mp3"}],
    }
    [line] = logged.of(ADVICE)
    assert "Tme takes no ModelVersion" in line


@pytest.mark.parametrize("deferrable", [False, True])
def test_fewer_images_than_were_asked_for_are_warned_about(
    server: LoopbackServer, logged: Lines, deferrable: bool
) -> None:
    _, xcoms = run_task(
        CreateAigcImageTaskOperator(
            task_id="create",
            model_name="Qwen",
            prompt="rain",
            output_image_count=4,
            wait_for_completion=True,
            deferrable=deferrable,
            poll_interval=0.05,
        )
    )
    assert xcoms["image_urls"] == ["https://host.example/a.png"]
    assert len(logged.of("Task 24000145-AigcImage-1: asked for 4 images, got 1")) == 1


WILL_NOT_WAIT = "wait_for_completion=False that this Airflow task does not wait"


@pytest.mark.parametrize(
    ("arguments", "by_default", "warned"),
    [
        ({"deferrable": True}, "False", True),
        ({"deferrable": True, "wait_for_completion": True}, "False", False),
        ({}, "False", False),
        ({"deferrable": True}, "True", False),  # by Airflow's configuration; nobody has asked for a wait
    ],
)
def test_a_create_that_was_asked_how_to_wait_and_not_to_wait_says_so_before_it_pays(
    emulator: MpsEmulator,
    logged: Lines,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    by_default: str,
    warned: bool,
) -> None:
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", by_default)
    run_task(CreateAigcAudioTaskOperator(task_id="create", poll_interval=0.1, **MUSIC_ARGUMENTS, **arguments))
    [submitted] = [number for number, line in enumerate(logged.lines) if "Submitted CreateAigcAudioTask" in line]
    assert any(WILL_NOT_WAIT in line for line in logged.lines[:submitted]) is warned
    assert any(WILL_NOT_WAIT in line for line in logged.warnings) is warned
