"""MpsHook's calls: any action, the typed ones, and the SDK's own client."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.api.errors import AmbiguousCreateError, ApiError, InvalidArgumentError
from airflow_provider_mps.api.tasks import TaskState
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.servers import LoopbackServer, hang
from tests.hooks.conftest import CALLS, acall


@CALLS
def test_call_gives_the_response_as_it_came(emulator: MpsEmulator, call: Any) -> None:
    created = call(CREATE, {"Prompt": "rain"})
    assert set(created) == {"TaskId", "RequestId"}
    task_id = emulator.add_task(wait_seconds=600)
    assert call(DESCRIBE, {"TaskId": task_id})["Status"] == "WAIT"
    assert [request.params for request in emulator.requests] == [{"Prompt": "rain"}, {"TaskId": task_id}]


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
    task_id = hook.create_aigc_audio_task(prompt="rain", model_name="GL", additional_parameters={"n": 2})
    assert task_id == emulator.tasks[0].task_id
    assert emulator.requests[0].params == {"ModelName": "GL", "Prompt": "rain", "AdditionalParameters": '{"n": 2}'}

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
    request.Prompt = "rain"
    answer = MpsHook().get_conn().CreateAigcAudioTask(request)
    assert answer.TaskId == emulator.tasks[0].task_id
    assert emulator.requests[0].headers["x-tc-language"] == "en-US"


def test_get_conn_takes_no_redirect_no_netrc_and_no_proxy_of_the_environment(
    emulator: MpsEmulator, connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with LoopbackServer(hang) as elsewhere:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, elsewhere.url)
        assert MpsHook().get_conn().call_json(CREATE, {"Prompt": "rain"})
        assert emulator.requests[0].headers["authorization"].startswith("TC3-HMAC-SHA256 ")
        emulator.fault("redirect", message=elsewhere.url)
        with pytest.raises(TencentCloudSDKException, match="redirects"):
            MpsHook().get_conn().call_json(CREATE, {"Prompt": "rain"})
        assert elsewhere.requests == []
        connect(proxy=elsewhere.url)
        client = MpsHook().get_conn()
        assert client.request.conn.proxy == {"http": elsewhere.url, "https": elsewhere.url}


def test_calls_make_no_warnings(emulator: MpsEmulator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MpsHook().create_aigc_audio_task(prompt="rain")
        acall(CREATE, {"Prompt": "rain"})
    assert emulator.count(CREATE) == 2
