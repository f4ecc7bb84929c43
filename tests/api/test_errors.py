"""The table of failures: what may have run, how often a read is repeated, and how often a create, by counting."""

import re
import socket
import threading

import pytest
from tencentcloud.mps.v20190612 import errorcodes

from airflow_provider_mps.api.codes import About, Failure, classify
from airflow_provider_mps.api.digest import digest
from airflow_provider_mps.api.errors import AmbiguousCreateError, ApiError, CallError, TaskFailedError
from airflow_provider_mps.api.tasks import AIGC_AUDIO, AIGC_IMAGE, AIGC_VIDEO, TaskFamily
from airflow_provider_mps.api.wire.client import MpsClient
from airflow_provider_mps.api.wire.settings import CredentialKind, CredentialSettings
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.errors import airflow_errors, airflows
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
    "ActionOffline",
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
    "UnsupportedProtocol",
    "UnsupportedRegion",
    "InvalidAction",
    "InvalidRequest",
    "NoSuchProduct",
    "NoSuchVersion",
    "FailedOperation.CosStatusInavlid",
    "FailedOperation.InvalidMpsUser",
    "FailedOperation.InvalidUser",
    "FailedOperation.UserArrears",
    "LimitExceeded.TooMuchDateToQuery",
    "IpInBlacklist",
    "IpNotInWhitelist",
    "RequestSizeLimitExceeded",
    "ResourceNotFound.CosBucketNotExist",
    "ResourceNotFound.UserUnregister",
    "ResourceNotFound.SomethingNew",
]
NOT_FOUND = [
    "ResourceNotFound",
    "ResourceNotFound.TaskNotFound",
    "ResourceNotFound.TaskId",
    "FailedOperation.TaskNotFound",
    "InvalidParameterValue.TaskId",
]

# Every code that is known, by kind of failure and reason; a star stands for the codes below, those written out aside.
REASONS = [
    (Failure.THROTTLED, "refused for now, before it ran", ["RequestLimitExceeded", "RequestLimitExceeded.*"]),
    (Failure.THROTTLED, "too many tasks at once: refused before it ran", ["LimitExceeded.CreateTask"]),
    (Failure.STALE, "a fresh time or token helps", CLOCK_OR_TOKEN),
    (Failure.SERVER_TROUBLE, "trouble inside of MPS, at any point", ["InternalError", "InternalError.*"]),
    (
        Failure.SERVER_TROUBLE,
        "MPS could not go on, at any point",
        ["ServiceUnavailable", "ResourceInsufficient", "ResourceUnavailable", "FailedOperation.NetWorkError"],
    ),
    (Failure.UNKNOWN, "says that something failed, and not when", ["FailedOperation"]),
    (Failure.UNKNOWN, "the task may exist although creating it failed", ["FailedOperation.CreateAIGCTaskFailed"]),
    (
        Failure.UNKNOWN,
        "a poll's trouble; nothing says that no other action has it",
        ["FailedOperation.QueryAIGCTaskFailed"],
    ),
    (
        Failure.UNKNOWN,
        "a step of a longer job failed; those before it have run",
        [
            "FailedOperation.GenerateResource",
            "FailedOperation.BucketNotifyAlreadyExist",
            "FailedOperation.GetSourceNotify",
            "FailedOperation.SetSourceNotify",
        ],
    ),
    (Failure.UNKNOWN, "the answer was too large: the call has run", ["ResponseSizeLimitExceeded"]),
    (Failure.UNKNOWN, "by whom the resource is used, it does not say: maybe by this very call", ["ResourceInUse"]),
    (Failure.UNKNOWN, "MPS has no DryRun field: where this comes, nothing is as it is known", ["DryRunOperation"]),
    (
        Failure.FINAL,
        "the keys or their rights: checked first",
        ["AuthFailure", "AuthFailure.*", "UnauthorizedOperation"],
    ),
    (Failure.FINAL, "the fields are checked before anything runs", ["InvalidParameter", "InvalidParameter.*"]),
    (
        Failure.FINAL,
        "the fields are checked before anything runs",
        ["InvalidParameterValue", "InvalidParameterValue.*"],
    ),
    (Failure.FINAL, "the fields are checked before anything runs", ["MissingParameter", "UnknownParameter"]),
    (Failure.FINAL, "the request as such is refused", ["InvalidRequest", "RequestSizeLimitExceeded"]),
    (
        Failure.FINAL,
        "there is no such thing to call",
        ["InvalidAction", "NoSuchProduct", "NoSuchVersion", "ActionOffline"],
    ),
    (Failure.FINAL, "there is no such thing to call here", ["UnsupportedRegion", "UnsupportedProtocol"]),
    (Failure.FINAL, "it is not done at all", ["UnsupportedOperation", "UnsupportedOperation.*"]),
    (Failure.FINAL, "the caller's address is refused", ["IpInBlacklist", "IpNotInWhitelist"]),
    (Failure.FINAL, "a quota of things that are kept, not of calls", ["LimitExceeded", "LimitExceeded.*"]),
    (
        Failure.FINAL,
        "the account, not the task",
        [
            "FailedOperation.UserArrears",
            "FailedOperation.InvalidMpsUser",
            "FailedOperation.InvalidUser",
            "FailedOperation.CosStatusInavlid",
        ],
    ),
    (Failure.FINAL, "names what is missing, which is not a task", ["ResourceNotFound.*"]),
    (Failure.NOT_FOUND, "the task is not known", NOT_FOUND),
]
# "Error codes" of the API reference, the part that all products share.
COMMON = [
    "ActionOffline",
    "AuthFailure.InvalidAuthorization",
    "AuthFailure.InvalidSecretId",
    "AuthFailure.MFAFailure",
    "AuthFailure.SecretIdNotFound",
    "AuthFailure.SignatureExpire",
    "AuthFailure.SignatureFailure",
    "AuthFailure.TokenFailure",
    "AuthFailure.UnauthorizedOperation",
    "DryRunOperation",
    "FailedOperation",
    "InternalError",
    "InvalidAction",
    "InvalidParameter",
    "InvalidParameterValue",
    "InvalidRequest",
    "IpInBlacklist",
    "IpNotInWhitelist",
    "LimitExceeded",
    "MissingParameter",
    "NoSuchProduct",
    "NoSuchVersion",
    "RequestLimitExceeded",
    "RequestLimitExceeded.GlobalRegionUinLimitExceeded",
    "RequestLimitExceeded.IPLimitExceeded",
    "RequestLimitExceeded.UinLimitExceeded",
    "RequestSizeLimitExceeded",
    "ResourceInUse",
    "ResourceInsufficient",
    "ResourceNotFound",
    "ResourceUnavailable",
    "ResponseSizeLimitExceeded",
    "ServiceUnavailable",
    "UnauthorizedOperation",
    "UnknownParameter",
    "UnsupportedOperation",
    "UnsupportedProtocol",
    "UnsupportedRegion",
]
OF_MPS = sorted(value for name, value in vars(errorcodes).items() if name.isupper())


def read(emulator: MpsEmulator, task_id: str) -> str:
    with MpsClient(settings(emulator.port, timeout=0.5)) as client:
        return str(client.call(DESCRIBE, {"TaskId": task_id})["Status"])


def create(emulator: MpsEmulator) -> str:
    with MpsClient(settings(emulator.port, timeout=0.5)) as client:
        return client.run(client.create(CREATE, PROMPT)).task_id


@pytest.mark.parametrize("code", sorted({*OF_MPS, *COMMON}))
def test_every_code_is_of_a_kind_with_a_reason(code: str) -> None:
    exactly = [failure for failure, _, codes in REASONS if code in codes]
    below = [failure for failure, _, codes in REASONS if f"{code.rpartition('.')[0]}.*" in codes]
    assert [classify(code).failure] == (exactly or below)


@pytest.mark.parametrize("code", ["ResourceNotFound.CosBucketNotExist", "ResourceNotFound.UserUnregister"])
def test_what_the_account_lacks_is_no_missing_task(code: str) -> None:
    assert classify(code).about is About.ACCOUNT


@pytest.mark.parametrize("code", NOT_FOUND)
def test_a_missing_task_is_one_under_each_of_its_codes(code: str) -> None:
    assert classify(code).about is About.TASK
    assert classify("ResourceNotFound.SomethingNew").about is About.OTHER


@pytest.mark.parametrize("code", REFUSED_BEFORE_IT_RAN + CLOCK_OR_TOKEN + IN_DOUBT + FINAL + NOT_FOUND)
def test_a_message_about_a_read_says_nothing_of_running_or_of_money(emulator: MpsEmulator, code: str) -> None:
    emulator.fault("error", code=code)
    with MpsClient(settings(emulator.port)) as client, pytest.raises(ApiError) as failed:
        client.run(client.attempt(DESCRIBE, {"TaskId": "any"}))
    told = str(failed.value)
    assert not re.search(r"\b(ran|run|billed|paid|cost)", told.partition("RequestId")[2])


@pytest.mark.parametrize(
    ("code", "action", "hint"),
    [
        ("UnauthorizedOperation", "CreateAigcAudioTask", "CAM action mps:CreateAigcAudioTask "),
        ("UnauthorizedOperation.CamNoAuth", "DescribeTaskDetail", "CAM action mps:DescribeTaskDetail "),
        ("AuthFailure.UnauthorizedOperation", "EditMedia", "CAM action mps:EditMedia "),
        ("FailedOperation.UserArrears", CREATE, "top it up"),
        ("ResourceNotFound.CosBucketNotExist", CREATE, "MPS_QcsRole"),
        ("UnsupportedRegion", CREATE, "Leave the connection's region empty"),
        ("FailedOperation.InvalidMpsUser", CREATE, "Activate MPS"),
        ("AuthFailure.SignatureExpire", CREATE, "clock"),
        ("InvalidParameter.ViolationContent", CREATE, "change it"),
    ],
)
def test_a_code_that_an_operator_meets_comes_with_what_to_do(
    emulator: MpsEmulator, code: str, action: str, hint: str
) -> None:
    emulator.fault("error", code=code)
    with MpsClient(settings(emulator.port)) as client, pytest.raises(ApiError) as failed:
        client.run(client.attempt(action, {}))
    assert hint in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("action", "cost", "look"),
    [
        ("CreateAigcVideoTask", "the seconds that it made", "AIGC Task Management"),
        ("CreateAigcImageTask", "the images that it made", "AIGC Task Management"),
        ("CreateAigcAudioTask", "music by the song", "that day's usage"),
        ("CreateSchedule", "pricing page", "task list"),
    ],
)
def test_a_create_in_doubt_says_what_it_may_cost_and_where_to_look(action: str, cost: str, look: str) -> None:
    doubt = AmbiguousCreateError(action, {}, 0.0, "no answer")
    for told, then in ((str(doubt), "create it again only if"), (str(airflows(doubt)), "clear the Airflow task")):
        places = [told.index(part) for part in ("not known whether it ran", "A paid task may exist", cost, look, then)]
        assert places == sorted(places)


def test_a_create_in_doubt_shows_no_value_but_the_prompts_beginning() -> None:
    params = {
        "Prompt": "rain https://host/a?sign=abc " + "x" * 100,
        "Operator": "me",
        "ExtraParameters": {"Key": "hush"},
    }
    told = str(AmbiguousCreateError(CREATE, params, 0.0, "no answer"))
    assert "Fields sent: Prompt, Operator, ExtraParameters; the prompt begins 'rain https://host/a?... xxx" in told
    for hidden in ("abc", "hush", "'me'", "x" * 61, "RequestId"):
        assert hidden not in told
    assert "support can look up RequestId r-1." in str(AmbiguousCreateError(CREATE, params, 0.0, "no answer", "r-1"))


@pytest.mark.parametrize("code", REFUSED_BEFORE_IT_RAN + CLOCK_OR_TOKEN + IN_DOUBT)
def test_a_read_is_repeated(emulator: MpsEmulator, code: str) -> None:
    emulator.fault("error", DESCRIBE, code=code)
    assert read(emulator, emulator.add_task(wait_seconds=60)) == "WAIT"
    assert emulator.count(DESCRIBE) == 2


@pytest.mark.parametrize("code", FINAL + NOT_FOUND)
def test_a_read_is_not_repeated(emulator: MpsEmulator, code: str) -> None:
    emulator.fault("error", DESCRIBE, code=code, message="the service's words")
    with pytest.raises(ApiError, match=f"{DESCRIBE}: {code}: the service's words. ") as failed:
        read(emulator, "any")
    assert f"RequestId {failed.value.request_id}." in str(failed.value)
    assert (failed.value.code, failed.value.action) == (code, DESCRIBE)
    assert len(failed.value.request_id) == 36
    assert not failed.value.retry_helps
    assert emulator.count(DESCRIBE) == 1


@pytest.mark.parametrize("code", REFUSED_BEFORE_IT_RAN + CLOCK_OR_TOKEN)
def test_a_create_is_repeated_where_it_certainly_did_not_run(emulator: MpsEmulator, code: str) -> None:
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
    assert told.endswith(
        f"Fields sent: {', '.join(PROMPT)}; the prompt begins 'rain'; digest {digest(CREATE, PROMPT)}."
    )
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


def test_a_create_in_doubt_is_said_to_be_whatever_was_sent(emulator: MpsEmulator) -> None:
    emulator.fault("cut_after", CREATE)
    with (
        MpsClient(settings(emulator.port)) as client,
        pytest.raises(AmbiguousCreateError, match=r"digest [0-9a-f]{32}"),
    ):
        client.run(client.create(CREATE, {"Prompt": "half of a pair: \ud800", "ExtraParameters": {1: "a", "b": "c"}}))


@pytest.mark.parametrize(
    ("family", "cost"),
    [
        (AIGC_VIDEO, "A task that failed costs nothing"),
        (AIGC_IMAGE, "A task that failed costs nothing"),
        (AIGC_AUDIO, "Whether a task that failed is billed is not known"),
    ],
)
def test_a_task_that_failed_costs_what_is_known_and_airflow_may_retry_it(family: TaskFamily, cost: str) -> None:
    failed = family.status("one", {"Status": "FAIL", "Message": "refused by review"})
    with pytest.raises(TaskFailedError, match=re.escape(f"FAIL after 21 s: refused by review. {cost}.")) as error:
        family.check(failed, "21 s")
    assert error.value.retry_helps


def test_content_that_review_refuses_at_the_create_is_not_retried_by_airflow(emulator: MpsEmulator) -> None:
    emulator.fault("error", CREATE, code="InvalidParameter.ViolationContent")
    with pytest.raises(AirflowFailException, match="review refused the prompt"), airflow_errors():
        create(emulator)
    assert (emulator.count(CREATE), len(emulator.tasks)) == (1, 0)
