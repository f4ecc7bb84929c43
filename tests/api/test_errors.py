"""The table of failures: what may have run, how often a read is repeated, and how often a create, by counting."""

import socket
import threading

import pytest

from airflow_provider_mps.api.client import MpsClient
from airflow_provider_mps.api.errors import AmbiguousCreateError, ApiError, CallError
from airflow_provider_mps.api.settings import CredentialKind, CredentialSettings
from airflow_provider_mps.emulator import MpsEmulator
from tests.api.conftest import settings
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.seen import MUSIC as PROMPT

# The rows of the table: the codes, and whether a create and a read are sent again after one.
REFUSED_BEFORE_IT_RAN = [
    "RequestLimitExceeded",
    "RequestLimitExceeded.UinLimitExceeded",
    "RequestLimitExceeded.IPLimitExceeded",
    "RequestLimitExceeded.GlobalRegionUinLimitExceeded",
    "LimitExceeded.CreateTask",
]
CLOCK_OR_TOKEN = ["AuthFailure.SignatureExpire", "AuthFailure.TokenFailure"]
IN_DOUBT = [
    "InternalError",
    "InternalError.Timeout",
    "ServiceUnavailable",
    "ResourceInsufficient",
    "ResourceUnavailable",
    "FailedOperation.NetWorkError",
    "FailedOperation",
    "FailedOperation.CreateAIGCTaskFailed",
    "SomethingNew",
    "SomethingNew.Entirely",
]
FINAL = [
    "AuthFailure.SecretIdNotFound",
    "AuthFailure.SignatureFailure",
    "AuthFailure.UnauthorizedOperation",
    "UnauthorizedOperation",
    "UnauthorizedOperation.CamNoAuth",
    "InvalidParameter",
    "InvalidParameter.ViolationContent",
    "InvalidParameterValue",
    "InvalidParameterValue.Prompt",
    "MissingParameter",
    "UnknownParameter",
    "UnsupportedOperation",
    "InvalidAction",
    "NoSuchVersion",
    "FailedOperation.UserArrears",
    "LimitExceeded.TooMuchDateToQuery",
    "IpNotInWhitelist",
]
NOT_FOUND = ["ResourceNotFound", "ResourceNotFound.TaskNotFound", "InvalidParameterValue.TaskId"]


def read(emulator: MpsEmulator, task_id: str) -> str:
    with MpsClient(settings(emulator.port, timeout=0.5)) as client:
        return str(client.call(DESCRIBE, {"TaskId": task_id})["Status"])


def create(emulator: MpsEmulator) -> str:
    with MpsClient(settings(emulator.port, timeout=0.5)) as client:
        return client.run(client.create(CREATE, PROMPT)).task_id


@pytest.mark.parametrize("code", REFUSED_BEFORE_IT_RAN + CLOCK_OR_TOKEN + IN_DOUBT)
def test_a_read_is_repeated(emulator: MpsEmulator, code: str) -> None:
    emulator.fault("error", DESCRIBE, code=code)
    assert read(emulator, emulator.add_task(wait_seconds=60)) == "WAIT"
    assert emulator.count(DESCRIBE) == 2


@pytest.mark.parametrize("code", FINAL + NOT_FOUND)
def test_a_read_is_not_repeated(emulator: MpsEmulator, code: str) -> None:
    emulator.fault("error", DESCRIBE, code=code, message="the service's words")
    with pytest.raises(ApiError, match=f"{DESCRIBE}: {code}: the service's words .RequestId ") as failed:
        read(emulator, "any")
    assert (failed.value.code, failed.value.action) == (code, DESCRIBE)
    assert len(failed.value.request_id) == 36
    assert not failed.value.retry_helps
    assert emulator.count(DESCRIBE) == 1


@pytest.mark.parametrize("code", REFUSED_BEFORE_IT_RAN + CLOCK_OR_TOKEN)
def test_a_create_is_repeated_where_it_surely_did_not_run(emulator: MpsEmulator, code: str) -> None:
    emulator.fault("error", CREATE, code=code)
    assert create(emulator) == emulator.tasks[0].task_id
    assert (emulator.count(CREATE), len(emulator.tasks)) == (2, 1)


@pytest.mark.parametrize("code", CLOCK_OR_TOKEN)
def test_a_second_refusal_of_clock_or_token_is_final(emulator: MpsEmulator, code: str) -> None:
    emulator.fault("error", code=code, times=None)
    with pytest.raises(ApiError, match=code):
        read(emulator, "any")
    with pytest.raises(ApiError, match=code):
        create(emulator)
    assert (emulator.count(DESCRIBE), emulator.count(CREATE)) == (2, 2)


@pytest.mark.parametrize("code", IN_DOUBT)
def test_a_create_is_not_repeated_where_it_may_have_run(emulator: MpsEmulator, code: str) -> None:
    emulator.fault("error_after", CREATE, code=code)
    with pytest.raises(AmbiguousCreateError, match="A paid task may exist") as doubt:
        create(emulator)
    told = str(doubt.value)
    assert code in told
    assert doubt.value.request_id in told
    assert '"Prompt": "rain"' in told
    assert (emulator.count(CREATE), len(emulator.tasks)) == (1, 1)


@pytest.mark.parametrize("code", FINAL + NOT_FOUND)
def test_a_create_that_was_refused_is_no_doubt(emulator: MpsEmulator, code: str) -> None:
    emulator.fault("error", CREATE, code=code)
    with pytest.raises(ApiError, match=code) as refused:
        create(emulator)
    assert not refused.value.retry_helps
    assert emulator.count(CREATE) == 1


TROUBLE_ON_THE_WAY = ["cut_before", "cut_after", "cut_mid", "hang", "hang_after", "http_502", "not_json"]


@pytest.mark.parametrize("kind", TROUBLE_ON_THE_WAY)
def test_trouble_on_the_way_repeats_a_read_alone(emulator: MpsEmulator, kind: str) -> None:
    emulator.fault(kind, DESCRIBE)
    assert read(emulator, emulator.add_task(wait_seconds=60)) == "WAIT"
    assert emulator.count(DESCRIBE) == 2

    emulator.fault(kind, CREATE)
    with pytest.raises(AmbiguousCreateError):
        create(emulator)
    assert emulator.count(CREATE) == 1


@pytest.mark.parametrize("trouble", ["connection", "name", "tls", "credential"])
def test_what_was_never_sent_is_known_to_be(
    trouble: str, emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = settings(emulator.port, scheme="https")  # which the emulator does not speak
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if trouble == "connection":
            there = settings(taken.getsockname()[1])  # where nobody listens
        elif trouble == "name":
            there = settings(emulator.port, host="localhost")
            monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
        elif trouble == "credential":
            there = settings(emulator.port, credential=CredentialSettings(kind=CredentialKind.TKE_OIDC))
            monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
        # One attempt; a call repeats it.
        with MpsClient(there) as client, pytest.raises(CallError, match="nothing is billed") as failed:
            client.run(client.attempt(CREATE, PROMPT))
    assert not failed.value.failure.may_have_run
    assert emulator.requests == []


def no_such_name(*arguments: object, **options: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_a_create_waits_for_a_server_that_is_not_there_yet() -> None:
    with MpsEmulator() as emulator:
        port = emulator.port
    late = MpsEmulator(port=port)
    timer = threading.Timer(0.3, late.start)
    timer.start()
    try:
        assert create(emulator) == late.tasks[0].task_id
        assert len(late.tasks) == 1
    finally:
        timer.join()
        late.stop()
