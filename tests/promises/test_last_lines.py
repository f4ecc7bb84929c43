"""Every error that ends a task is said in short lines first, and retried or not, as docs/errors.md says: all played.

What happened, what it may have cost, what to do.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from tencentcloud.mps.v20190612 import errorcodes

from airflow_provider_mps.api.codes import classify
from airflow_provider_mps.api.errors import ApiError, MpsError
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import MpsApiOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator
from scripts.errors import PAGE, Ending, endings, page
from tests.doubles.error_classes import error_classes
from tests.doubles.logs import Lines, no_secret_in
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.servers import Handler, LoopbackServer, hang
from tests.doubles.task_instances import Outcome, State, TaskInstance
from tests.doubles.ways import SENSORS, WAITINGS, Waiting, Way

CONN_ID = "tencent_mps_default"
PLAIN, SESSION = (
    next(waiting for waiting in WAITINGS if waiting.way is Way.OPERATOR_SYNC and waiting.repeatable is repeatable)
    for repeatable in (False, True)
)
"""An operator whose creates are never sent again in doubt, and one whose are, under a SessionId."""
DEFERRABLE = Waiting(PLAIN.cls, Way.OPERATOR_DEFERRABLE)
SENSOR, DEFERRED_SENSOR = (Waiting(SENSORS[0], way) for way in (Way.SENSOR_POKE, Way.SENSOR_DEFERRABLE))
RETRIES = 1
SHOWN = 100
"""About so many characters of a line of log are seen on Airflow's page."""

Connect = Callable[..., None]
Play = Callable[[MpsEmulator, Connect, Path], Outcome]


def ended_by(fault: str, action: str, waiting: Waiting = PLAIN, **arguments: Any) -> Play:
    """A task that ends by a fault of the emulator's."""
    code, message = arguments.pop("code", ""), arguments.pop("message", "")

    def end(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
        mps.fault(fault, action, times=None, code=code, message=message)
        return waiting.task_instance(mps, CONN_ID, retries=RETRIES, **arguments).run()

    return end


def refused(code: str) -> Play:
    """A create that is refused with a code."""
    return ended_by("error", PLAIN.create, code=code)


def connected(waiting: Waiting = PLAIN, **fields: Any) -> Play:
    """A task that ends by its connection."""

    def end(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
        connect(**fields)
        return waiting.task_instance(mps, CONN_ID, retries=RETRIES).run()

    return end


def read(fault: str, **arguments: Any) -> Play:
    """A call that changes nothing, and fails so each time."""

    def end(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
        connect(timeout=0.3)
        mps.fault(fault, "DescribeTasks", times=None, **arguments)
        return TaskInstance(lambda: MpsApiOperator(task_id="call", action="DescribeTasks"), retries=RETRIES).run()

    return end


def answered(handler: Callable[[Handler], None]) -> Play:
    """A call that a server of its own answers."""

    def end(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
        with LoopbackServer(handler) as server:
            connect(port=server.server_port)
            return TaskInstance(lambda: MpsApiOperator(task_id="call", action="DescribeTasks"), retries=RETRIES).run()

    return end


def kept(handler: Callable[[Handler], None], connection: Mapping[str, Any] = {}, **arguments: Any) -> Play:
    """A transfer of a file that a server answers so."""

    def end(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
        (folder / "there.wav").write_bytes(b"other")
        with LoopbackServer(handler) as server:
            connect(**connection)
            given = {"urls": [f"{server.url}/files/there.wav?sign=secret"], "destination": folder.as_uri()} | arguments
            return TaskInstance(lambda: MpsToObjectStorageOperator(task_id="keep", **given), retries=RETRIES).run()

    return end


def gives(status: int, body: bytes = b"four", **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(body, status=status, **headers)


def cut_off(handler: Handler) -> None:
    handler.answer(b"half", Content_Length="8")
    handler.close_connection = True


def not_remembered(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
    instance = PLAIN.task_instance(mps, CONN_ID, retries=RETRIES)
    instance.failing_writes = repeat(True)
    return instance.run()


def of_other_keys(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
    instance = PLAIN.task_instance(mps, CONN_ID, retries=RETRIES, wait_for_completion=False)
    instance.run()
    entry = instance.remembered
    entry |= {"account": entry["account"].replace("127.0.0.1", "mps.intl.example"), "at": 0.0, "stage": "created"}
    instance.set("mps_task", entry)
    mps.fault("error", PLAIN.describe, code="ResourceNotFound.TaskNotFound", times=None)
    return instance.run()


def in_a_loop(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
    async def run() -> Outcome:
        return PLAIN.task_instance(mps, CONN_ID, retries=RETRIES).run()

    return asyncio.run(run())


def first_task_failed(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
    mps.fault("fail", SESSION.create, message="out of coffee")
    SESSION.task_instance(mps, CONN_ID, retries=0, session_id="mine-1").run()
    return SESSION.task_instance(mps, CONN_ID, retries=RETRIES, session_id="mine-1").run()


def duplicate(fault: str, code: str = "") -> Play:
    def end(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
        SESSION.task_instance(mps, CONN_ID, retries=0, session_id="mine-1", wait_for_completion=False).run()
        mps.fault(fault, "DescribeTasks", code=code, times=None)
        return SESSION.task_instance(mps, CONN_ID, retries=RETRIES, session_id="mine-1").run()

    return end


def interrupted(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
    mps.fault("never_done", PLAIN.create)
    for passes in (0, 2):  # in each try the trigger's poll, and not the one after it
        mps.fault("error", PLAIN.describe, code="UnauthorizedOperation", after=passes)
    return DEFERRABLE.task_instance(mps, CONN_ID, retries=RETRIES).run()


def sensed(fault: str, waiting: Waiting = SENSOR, **arguments: Any) -> Play:
    """A sensor on a task that ends so."""
    message = arguments.pop("message", "")

    def end(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
        mps.fault(fault, PLAIN.create, message=message)
        arguments.setdefault("mps_task_id", MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS))
        return waiting.task_instance(mps, CONN_ID, retries=RETRIES, **arguments).run()

    return end


PLAYS: dict[tuple[str, bool], Play] = {
    ("… (nothing was sent to MPS)", False): ended_by("fail", PLAIN.create, prompt="la " * 1000),
    ("Connection …: must be one of", False): connected(site="mars"),
    ("Airflow has none of this id, or cannot read it", True): ended_by("fail", PLAIN.create, mps_conn_id="not_there"),
    ("must be printable ASCII without spaces; was a line break pasted with it?", False): connected(region="a\nb"),
    ("is empty or has spaces around it", False): connected(password=""),
    ("plain http is only for loopback hosts", False): connected(host="mps.example"),
    ("the international site takes no calls for …", False): connected(region="ap-guangzhou"),
    ("no CA bundle at …", False): connected(schema="https", verify="/nowhere/ca.pem"),
    ("credential=… gave no keys: …", True): connected(
        credential="assume_role", role_arn="qcs::cam::uin/1:roleName/r", sts_endpoint="127.0.0.1:1"
    ),
    ("credential=… gave no keys: …", False): connected(credential="tke_oidc", login="", password=""),
    ("a sync method was called inside of a running event loop: await … instead", False): in_a_loop,
    ("Airflow's task state store could not be written", True): not_remembered,
    ("The memory folder … could not be", True): connected(memory="file:///dev/null/memory"),
    ("there is no such storage here", False): connected(memory="nothing://bucket/memory"),
    ("it is not known whether it ran", False): ended_by("cut_after", PLAIN.create),
    ("it is not known whether it ran", True): ended_by("cut_after", PLAIN.create, retry_ambiguous_create=True),
    ("it was created under another connection", False): of_other_keys,
    ("MPS has this task already, and its TaskId could not be found out", True): duplicate("http_502"),
    ("MPS has this task already, and its TaskId could not be found out", False): duplicate(
        "error", "UnauthorizedOperation"
    ),
    ("MPS has this task already, and it has failed", False): first_task_failed,
    ("no room for …", True): ended_by("error", PLAIN.create, code="RequestLimitExceeded", timeout=0.5),
    ("MPS refuses further calls of this account for the moment", True): read("error", code="RequestLimitExceeded"),
    ("MPS refused the signature's time or token", True): read("error", code="AuthFailure.SignatureExpire"),
    ("The call never left this machine", True): connected(port=1),
    ("no answer within …", True): read("hang"),
    ("the answer is not a JSON object with Response", True): read("http_502"),
    ("the answer is compressed", True): answered(gives(200, Content_Encoding="gzip")),
    ("MPS does not know the task", False): sensed("fail", DEFERRED_SENSOR, mps_task_id="gone"),
    ("Have the CAM action … allowed to these keys", False): refused("UnauthorizedOperation"),
    ("Activate MPS for this account in its console", False): refused("FailedOperation.InvalidMpsUser"),
    ("MPS_QcsRole, which the MPS console creates and authorizes", False): refused("ResourceNotFound.CosBucketNotExist"),
    ("top it up in the console's Billing Center", False): refused("FailedOperation.UserArrears"),
    ("MPS's review refused the prompt or a reference", False): refused("InvalidParameter.ViolationContent"),
    ("Not ended …", True): ended_by("never_done", PLAIN.create, timeout=1),
    ("Not ended …", False): sensed("never_done", timeout=1),
    ("The triggerer stopped waiting: …", True): interrupted,
    ("FAIL after …", True): ended_by("fail", PLAIN.create, message="It names a person."),
    ("FAIL after …", False): sensed("fail", message="It names a person."),
    ("gives no URL of a file", True): ended_by("done_without_url", PLAIN.describe),
    ("the URL has expired, or never was good", True): kept(gives(404)),
    ("the URL has expired, or never was good", False): kept(gives(410)),
    ("there is no storage for …", False): kept(gives(200), destination="nothing://bucket/songs"),
    ("is relative: give the path from / on", False): kept(gives(200), destination="songs"),
    ("plain http is taken only where the MPS connection itself leads to this machine", False): kept(
        gives(200), {"host": "mps.example", "schema": "https"}
    ),
    ("is a list or dict rendered to text", False): kept(gives(200), urls="[1, "),
    ("holds other content already", False): kept(gives(200)),
    ("and max_bytes allows …", False): kept(gives(200), max_bytes=3),
    ("the server sent a web page", True): kept(gives(200, Content_Type="text/html")),
    ("not whole within …", True): kept(hang, download_timeout=0.3),
    ("cut off … times in a row without a new byte", True): kept(cut_off),
}
"""How a task comes to each of its ends."""


def known_codes() -> list[str]:
    """Every code in the SDK's list, and one that nobody knows."""
    return ["New.One", *sorted({code for code in vars(errorcodes).values() if isinstance(code, str) and "." in code})]


def test_each_error_ends_a_task_somewhere() -> None:
    """But the bases, and what becomes an AmbiguousCreateError."""
    classes = {kind.__name__ for kind in error_classes()}
    assert classes - {"MpsError", "CallError", "MissingTaskIdError"} < {ending.error for ending in endings()}


def test_the_page_is_made_of_this() -> None:
    assert PAGE.read_text() == page(PAGE.read_text()), "python -m scripts.errors"


@pytest.mark.parametrize("ending", endings(), ids=lambda ending: f"{ending.error}-{ending.says}")
def test_a_task_ends_as_the_page_says(
    ending: Ending, emulator: MpsEmulator, connect: Connect, tmp_path: Path, logged: Lines
) -> None:
    outcome = PLAYS[ending.says, ending.retried](emulator, connect, tmp_path)
    assert outcome.state is State.FAILED
    assert outcome.tries == (1 + RETRIES if ending.retried else 1)
    error = outcome.errors[-1]
    assert type(error).__name__ == ending.error
    words = [part.strip() for part in ending.says.split("…") if part.strip()]
    assert re.search(".*".join(map(re.escape, words)), str(error))
    # What happened, what it may have cost, and what to do, each where Airflow's page shows it.
    what, cost, advice = logged.errors[-3:]
    said = what.find(words[0])
    assert said < SHOWN
    assert what.removesuffix(".") in str(error)
    advice, _, link = advice.partition(": http")
    if isinstance(error, MpsError):
        # Of the server that the connection leads to, which may be another one than the emulator.
        assert re.fullmatch(r"://127\.0\.0\.1:\d+/" if error.in_console else "", link)
    assert max(len(cost), len(advice)) <= SHOWN
    assert no_secret_in(logged.lines)


@pytest.mark.parametrize("code", known_codes())
def test_what_is_said_of_a_code_is_short(code: str) -> None:
    for action in ("CreateAigcAudioTask", "DescribeAigcAudioTask"):
        error = ApiError("-", failure=classify(code).failure, action=action, code=code)
        assert max(len(error.cost), len(error.advice)) <= SHOWN
