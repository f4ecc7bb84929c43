"""MpsHook's calls: any action, the typed ones, and the SDK's own client."""

import asyncio
import dataclasses
import json
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest

from airflow_provider_mps.api.errors import (
    AmbiguousCreateError,
    ApiError,
    InvalidArgumentError,
    InvalidConnectionError,
    MpsError,
    RunningLoopError,
    UnreadableAnswerError,
)
from airflow_provider_mps.api.tasks import FAMILIES, TaskState
from airflow_provider_mps.compat import AirflowException, AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from tests.doubles.airflows import alarm
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.logs import Lines
from tests.doubles.seen import FILM, FILM_ARGUMENTS, MUSIC, MUSIC_ARGUMENTS, PICTURE, PICTURE_ARGUMENTS
from tests.doubles.servers import LoopbackServer, hang
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
    with pytest.raises(AmbiguousCreateError, match="not known whether it ran"):
        call("ManageTask", {"TaskId": "any", "OperationType": "Abort"})
    assert (emulator.count(DESCRIBE), emulator.count("ManageTask")) == (2, 1)


def acreate_task(kind: str, **fields: Any) -> str:
    return asyncio.run(MpsHook().acreate_task(kind, **fields))


def adescribe_task(kind: str, task_id: str) -> Any:
    return asyncio.run(MpsHook().adescribe_task(kind, task_id))


METHODS: dict[str, Callable[[], Any]] = {
    "call": lambda: MpsHook().call(CREATE, MUSIC),
    "acall": lambda: acall(CREATE, MUSIC),
    "create_aigc_audio_task": lambda: MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS),
    "create_task": lambda: MpsHook().create_task("aigc_audio", **MUSIC_ARGUMENTS),
    "acreate_task": lambda: acreate_task("aigc_audio", **MUSIC_ARGUMENTS),
    "describe_aigc_audio_task": lambda: MpsHook().describe_aigc_audio_task("one"),
    "describe_task": lambda: MpsHook().describe_task("aigc_audio", "one"),
    "adescribe_task": lambda: adescribe_task("aigc_audio", "one"),
}
EACH_METHOD = pytest.mark.parametrize("method", METHODS)


@EACH_METHOD
def test_airflow_does_not_retry_what_no_retry_can_mend(method: str, emulator: MpsEmulator) -> None:
    emulator.fault("error", code="AuthFailure.SecretIdNotFound")
    with pytest.raises(ApiError, match="SecretIdNotFound") as refused:
        METHODS[method]()
    assert isinstance(refused.value, AirflowFailException)


@EACH_METHOD
def test_airflow_does_not_retry_a_connection_that_cannot_be_used(
    method: str, emulator: MpsEmulator, connect: Callable[..., None]
) -> None:
    connect(site="moon")
    with pytest.raises(InvalidConnectionError, match="site") as refused:
        METHODS[method]()
    assert isinstance(refused.value, AirflowFailException)
    assert type(refused.value).__module__.startswith("airflow_provider_mps")
    assert emulator.requests == []


@EACH_METHOD
@pytest.mark.usefixtures("mps_short_waits")
def test_airflow_retries_a_read_without_an_answer_and_no_create(method: str, emulator: MpsEmulator) -> None:
    emulator.fault("http_502", times=None)
    with pytest.raises(MpsError) as unanswered:
        METHODS[method]()
    if "describe" in method:
        assert isinstance(unanswered.value, UnreadableAnswerError)
        assert isinstance(unanswered.value, AirflowException)
    else:
        assert isinstance(unanswered.value, AmbiguousCreateError)
    assert isinstance(unanswered.value, AirflowFailException) is ("describe" not in method)


@pytest.mark.parametrize("method", ["call", "create_aigc_audio_task"])
def test_an_execution_timeout_while_a_create_is_under_way_is_not_retried(method: str, emulator: MpsEmulator) -> None:
    emulator.fault("hang_after")
    with pytest.raises(AmbiguousCreateError, match="A paid task may exist") as doubt, alarm(1):
        METHODS[method]()
    assert isinstance(doubt.value, AirflowFailException)
    assert len(emulator.tasks) == 1


@pytest.mark.parametrize("method", ["acall", "acreate_task"])
def test_nor_is_a_timeout_of_asyncio(method: str, emulator: MpsEmulator) -> None:
    emulator.fault("hang_after")
    calls: dict[str, Callable[[], Any]] = {
        "acall": lambda: MpsHook().acall(CREATE, MUSIC),
        "acreate_task": lambda: MpsHook().acreate_task("aigc_audio", **MUSIC_ARGUMENTS),
    }

    async def create() -> None:
        async with asyncio.timeout(1):
            await calls[method]()

    with pytest.raises(AmbiguousCreateError, match="A paid task may exist") as doubt:
        asyncio.run(create())
    assert isinstance(doubt.value, AirflowFailException)


@pytest.mark.parametrize("method", [name for name in METHODS if not name.startswith("a")])
def test_a_sync_method_in_an_event_loop_names_its_async_twin(method: str, emulator: MpsEmulator) -> None:
    async def dag_author() -> None:
        METHODS[method]()

    twin = f"a{method.replace('aigc_audio_', '')}"
    with pytest.raises(RunningLoopError, match=rf"await MpsHook\.{twin} instead") as refused:
        asyncio.run(dag_author())
    assert isinstance(refused.value, AirflowFailException)
    assert emulator.requests == []


@CALLS
def test_an_unknown_action_is_the_services_to_refuse(emulator: MpsEmulator, call: Any) -> None:
    with pytest.raises(ApiError, match="InvalidAction"):
        call("CreateSomethingNew", {})


KINDS = {
    "aigc_audio": (MUSIC_ARGUMENTS, MUSIC),
    "aigc_video": (FILM_ARGUMENTS, FILM),
    "aigc_image": (PICTURE_ARGUMENTS, PICTURE),
}
CREATES: dict[str, Callable[..., str]] = {
    "create_task": lambda kind, **fields: MpsHook().create_task(kind, **fields),
    "acreate_task": acreate_task,
    "create_aigc_audio_task": lambda kind, **fields: MpsHook().create_aigc_audio_task(**cast("Any", fields)),
}
DESCRIBES: dict[str, Callable[..., Any]] = {
    "describe_task": lambda kind, task_id: MpsHook().describe_task(kind, task_id),
    "adescribe_task": adescribe_task,
    "describe_aigc_audio_task": lambda kind, task_id: MpsHook().describe_aigc_audio_task(task_id),
}


@pytest.mark.parametrize(
    ("method", "kind"), [*product(("create_task", "acreate_task"), KINDS), ("create_aigc_audio_task", "aigc_audio")]
)
def test_create(emulator: MpsEmulator, logged: Lines, method: str, kind: str) -> None:
    arguments, params = KINDS[kind]
    task_id = CREATES[method](kind, **arguments, additional_parameters={"n": 2})
    assert task_id == emulator.tasks[0].task_id
    assert len(logged.of(task_id)) == 1, "if the task fails afterwards, only the log has it"
    assert emulator.requests[0].params == params | {"AdditionalParameters": '{"n": 2}'}


@pytest.mark.parametrize(
    ("method", "kind"),
    [*product(("describe_task", "adescribe_task"), FAMILIES), ("describe_aigc_audio_task", "aigc_audio")],
)
def test_describe(emulator: MpsEmulator, method: str, kind: str) -> None:
    done = emulator.add_task(kind, wait_seconds=0, run_seconds=0)
    status = DESCRIBES[method](kind, done)
    assert (status.task_id, status.state, status.message) == (done, TaskState.DONE, "")
    assert status.state.value == "DONE"
    assert status.urls
    assert status.response["RequestId"]
    assert status.urls[0] not in repr(status)
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.message = "changed"


@pytest.mark.parametrize("method", CREATES)
def test_create_checks_its_arguments(emulator: MpsEmulator, method: str) -> None:
    with pytest.raises(InvalidArgumentError, match="promt: is not an argument of CreateAigcAudioTask") as refused:
        CREATES[method]("aigc_audio", promt="rain")
    assert isinstance(refused.value, AirflowFailException)
    assert emulator.requests == []


@pytest.mark.parametrize("kind", ["music", "", None, ["aigc_audio"]])
@pytest.mark.parametrize("method", ["create_task", "acreate_task", "describe_task", "adescribe_task"])
def test_an_unknown_kind_is_refused_by_name(emulator: MpsEmulator, method: str, kind: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"kind: must be one of aigc_audio, ") as refused:
        CREATES[method](kind, **MUSIC_ARGUMENTS) if method in CREATES else DESCRIBES[method](kind, "one")
    assert isinstance(refused.value, AirflowFailException)
    assert emulator.requests == []


@pytest.mark.parametrize("method", DESCRIBES)
def test_a_task_of_another_kind_is_not_asked_for(emulator: MpsEmulator, method: str) -> None:
    film = emulator.add_task("aigc_video")
    with pytest.raises(InvalidArgumentError, match=f"mps_task_id: {film} is of the kind AIGC video"):
        DESCRIBES[method]("aigc_audio", film)
    assert emulator.requests == []


def test_get_conn_is_the_sdks_typed_client(emulator: MpsEmulator) -> None:
    from tencentcloud.mps.v20190612.models import CreateAigcAudioTaskRequest

    request = CreateAigcAudioTaskRequest()
    request.from_json_string(json.dumps(MUSIC))
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
        assert MpsHook().get_conn().call_json(CREATE, MUSIC)
        assert emulator.requests[0].headers["authorization"].startswith("TC3-HMAC-SHA256 ")
        emulator.fault("redirect", message=elsewhere.url)
        with pytest.raises(TencentCloudSDKException, match="redirects"):
            MpsHook().get_conn().call_json(CREATE, MUSIC)
        assert elsewhere.requests == []
        connect(schema="https", proxy=elsewhere.url)
        client = MpsHook().get_conn()
        assert client.request.conn.proxy == {"http": elsewhere.url, "https": elsewhere.url}


def test_calls_make_no_warnings(emulator: MpsEmulator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS)
        acall(CREATE, MUSIC)
    assert emulator.count(CREATE) == 2
