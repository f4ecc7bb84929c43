"""MpsHook's calls: any action, the typed ones, and the SDK's own client."""

import dataclasses
import json
import warnings
from typing import Any

import pytest

from airflow_provider_mps.api.errors import AmbiguousCreateError, ApiError, InvalidArgumentError
from airflow_provider_mps.api.tasks import TaskState
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.seen import MUSIC, MUSIC_ARGUMENTS
from tests.hooks.conftest import CALLS, acall


@CALLS
def test_call_gives_the_response_as_it_came(emulator: MpsEmulator, call: Any) -> None:
    created = call(CREATE, MUSIC)
    assert set(created) == {"TaskId", "RequestId"}
    task_id = emulator.add_task(wait_seconds=600)
    assert call(DESCRIBE, {"TaskId": task_id})["Status"] == "WAIT"
    assert [request.params for request in emulator.requests] == [MUSIC, {"TaskId": task_id}]


@CALLS
def test_call_repeats_reads_and_only_reads(emulator: MpsEmulator, call: Any) -> None:
    emulator.fault("http_502", DESCRIBE)
    assert call(DESCRIBE, {"TaskId": emulator.add_task()})
    emulator.fault("http_502", "ManageTask")
    with pytest.raises(AmbiguousCreateError, match="may have run"):
        call("ManageTask", {"TaskId": "any", "OperationType": "Abort"})
    assert (emulator.count(DESCRIBE), emulator.count("ManageTask")) == (2, 1)


@CALLS
def test_an_unknown_action_is_the_services_to_refuse(emulator: MpsEmulator, call: Any) -> None:
    with pytest.raises(ApiError, match="InvalidAction"):
        call("CreateSomethingNew", {})


def test_create_and_describe(emulator: MpsEmulator) -> None:
    hook = MpsHook()
    task_id = hook.create_aigc_audio_task(**MUSIC_ARGUMENTS, additional_parameters={"n": 2})
    assert task_id == emulator.tasks[0].task_id
    assert emulator.requests[0].params == MUSIC | {"AdditionalParameters": '{"n": 2}'}

    done = emulator.add_task(wait_seconds=0, run_seconds=0)
    status = hook.describe_aigc_audio_task(done)
    assert (status.task_id, status.state, status.message) == (done, TaskState.DONE, "")
    assert status.state.value == "DONE"
    assert list(status.urls) == [info["Url"] for info in status.response["AudioInfos"]]
    assert status.response["RequestId"]
    assert status.urls[0] not in repr(status)
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.message = "changed"  # type: ignore[misc]


def test_create_checks_its_arguments(emulator: MpsEmulator) -> None:
    misspelt: Any = {"promt": "rain"}
    with pytest.raises(InvalidArgumentError, match="promt: is no argument of CreateAigcAudioTask"):
        MpsHook().create_aigc_audio_task(**misspelt)
    assert emulator.requests == []


def test_get_conn_is_the_sdks_typed_client(emulator: MpsEmulator) -> None:
    from tencentcloud.mps.v20190612.models import CreateAigcAudioTaskRequest

    request = CreateAigcAudioTaskRequest()
    request.from_json_string(json.dumps(MUSIC))
    answer = MpsHook().get_conn().CreateAigcAudioTask(request)
    assert answer.TaskId == emulator.tasks[0].task_id
    assert emulator.requests[0].headers["x-tc-language"] == "en-US"


def test_calls_make_no_warnings(emulator: MpsEmulator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS)
        acall(CREATE, MUSIC)
    assert emulator.count(CREATE) == 2
