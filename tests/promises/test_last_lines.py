"""Every error that ends a task is said in short lines first: what happened, what it may have cost, what to do."""

import asyncio
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from tencentcloud.mps.v20190612 import errorcodes

import airflow_provider_mps
from airflow_provider_mps.api.errors import ApiError, MpsError, classify
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import MpsApiOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator
from tests.doubles.logs import Lines, no_secret_in
from tests.doubles.servers import LoopbackServer
from tests.doubles.task_instances import Outcome, TaskInstance
from tests.doubles.ways import WAITINGS, Waiting, Way

CONN_ID = "tencent_mps_default"
PLAIN, SESSION = (
    next(waiting for waiting in WAITINGS if waiting.way is Way.OPERATOR_SYNC and waiting.repeatable is repeatable)
    for repeatable in (False, True)
)
"""An operator whose creates are never sent again in doubt, and one whose are, under a SessionId."""
DEFERRABLE = Waiting(PLAIN.cls, Way.OPERATOR_DEFERRABLE)
SHOWN = 100
"""About so many characters of a line of log are seen on Airflow's page."""

Connect = Callable[..., None]
Ending = Callable[[MpsEmulator, Connect, Path], Outcome]


def ended_by(fault: str, action: str, waiting: Waiting = PLAIN, **arguments: Any) -> Ending:
    """A task that ends by a fault of the emulator's."""
    code, message = arguments.pop("code", ""), arguments.pop("message", "")

    def end(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
        mps.fault(fault, action, times=None, code=code, message=message)
        return waiting.task_instance(mps, CONN_ID, retries=0, **arguments).run()

    return end


def connected(waiting: Waiting = PLAIN, **fields: Any) -> Ending:
    """A task that ends by its connection."""

    def end(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
        connect(**fields)
        return waiting.task_instance(mps, CONN_ID, retries=0).run()

    return end


def kept(status: int, body: bytes = b"", **arguments: Any) -> Ending:
    """A transfer of a file that a server answers so."""

    def end(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
        with LoopbackServer(lambda handler: handler.answer(body, status=status)) as server:
            urls = [f"{server.url}/files/a.wav?sign=secret"]
            transfer = MpsToObjectStorageOperator(task_id="keep", urls=urls, destination=folder.as_uri(), **arguments)
            return TaskInstance(lambda: transfer, retries=0).run()

    return end


def not_remembered(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
    instance = PLAIN.task_instance(mps, CONN_ID, retries=0)
    instance.failing_writes = repeat(True)
    return instance.run()


def of_other_keys(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
    instance = PLAIN.task_instance(mps, CONN_ID, retries=0, wait_for_completion=False)
    instance.run()
    entry = instance.remembered
    entry |= {"account": entry["account"].replace("127.0.0.1", "mps.intl.example"), "at": 0.0, "stage": "created"}
    instance.set("mps_task", entry)
    mps.fault("error", PLAIN.describe, code="ResourceNotFound.TaskNotFound", times=None)
    return instance.run()


def in_a_loop(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
    async def run() -> Outcome:
        return PLAIN.task_instance(mps, CONN_ID, retries=0).run()

    return asyncio.run(run())


def first_task_failed(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
    mps.fault("fail", SESSION.create, message="out of coffee")
    outcome = SESSION.task_instance(mps, CONN_ID, retries=1, session_id="mine-1").run()
    return Outcome(outcome.state, outcome.tries, errors=outcome.errors[1:])


def duplicate(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
    SESSION.task_instance(mps, CONN_ID, retries=0, session_id="mine-1", wait_for_completion=False).run()
    mps.fault("error", "DescribeTasks", code="UnauthorizedOperation", times=None)
    return SESSION.task_instance(mps, CONN_ID, retries=0, session_id="mine-1").run()


def interrupted(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
    mps.fault("never_done", PLAIN.create)
    mps.fault("error", PLAIN.describe, code="UnauthorizedOperation")
    return DEFERRABLE.task_instance(mps, CONN_ID, retries=0).run()


def read(mps: MpsEmulator, connect: Connect, folder: Path) -> Outcome:
    mps.fault("http_502", "DescribeTasks", times=None)
    return TaskInstance(lambda: MpsApiOperator(task_id="call", action="DescribeTasks"), retries=0).run()


ENDINGS: dict[str, tuple[Ending, str]] = {
    "InvalidArgumentError": (ended_by("fail", PLAIN.create, poll_interval=-1), "poll_interval: must be"),
    "InvalidConnectionError": (connected(site="mars"), "site: must be one of"),
    "CredentialError": (connected(credential="tke_oidc", login="", password=""), "credential=tke_oidc"),
    "ApiError": (
        ended_by("error", PLAIN.create, code="FailedOperation.UserArrears", message="No money."),
        "FailedOperation.UserArrears: No money.",
    ),
    "NoRoomError": (
        ended_by("error", PLAIN.create, code="RequestLimitExceeded", timeout=0.5),
        "CreateAigcAudioTask: no room for 0.",
    ),
    "TransportError": (connected(port=1), "All connection attempts failed"),
    "UnreadableAnswerError": (read, "HTTP 502"),
    "AmbiguousCreateError": (ended_by("cut_after", PLAIN.create), "was sent, and it is not known whether it ran"),
    "OtherAccountError": (of_other_keys, "created under another connection"),
    "NotRememberedError": (not_remembered, "task state store could not be written"),
    "RunningLoopError": (in_a_loop, "running event loop"),
    "DuplicateSessionError": (duplicate, "MPS has this task already, and its TaskId could not be found out"),
    "FirstTaskFailedError": (first_task_failed, "MPS has this task already, and it has failed"),
    "TaskFailedError": (ended_by("fail", PLAIN.create, message="It names a person."), "s: It names a person."),
    "NoResultError": (ended_by("done_without_url", PLAIN.describe), "DONE, and MPS gives no URL"),
    "WaitTimeoutError": (ended_by("never_done", PLAIN.create, timeout=2), "Not ended after 2 s"),
    "InterruptedWaitError": (interrupted, "The triggerer stopped waiting: "),
    "DownloadError": (kept(200, b"four", max_bytes=3), "max_bytes allows 3"),
    "ExpiredUrlError": (kept(404), "the URL has expired"),
}
"""How a task ends with each error, and what its first line says where it is seen."""
NEVER_THE_LAST = {"MpsError", "CallError", "MissingTaskIdError"}
"""Bases, and what becomes an AmbiguousCreateError."""


def known_codes() -> list[str]:
    """Every code in the SDK's list, and one that nobody knows."""
    return ["New.One", *sorted({code for code in vars(errorcodes).values() if isinstance(code, str) and "." in code})]


def classes(base: type[MpsError] = MpsError) -> Iterator[str]:
    yield base.__name__
    for below in base.__subclasses__():
        if below.__module__.startswith(airflow_provider_mps.__name__):
            yield from classes(below)


def test_there_is_an_ending_for_each_error() -> None:
    for module in pkgutil.walk_packages(airflow_provider_mps.__path__, f"{airflow_provider_mps.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert set(classes()) - NEVER_THE_LAST == set(ENDINGS)


@pytest.mark.parametrize("name", ENDINGS)
def test_an_error_that_ends_a_task_is_said_in_short_lines_first(
    name: str, emulator: MpsEmulator, connect: Connect, tmp_path: Path, logged: Lines
) -> None:
    end, seen = ENDINGS[name]
    [error] = end(emulator, connect, tmp_path).errors
    assert isinstance(error, MpsError)
    assert type(error).__name__ == name
    what, cost, advice = logged.errors[-3:]
    assert seen in what[:SHOWN]
    assert str(error).startswith(what.removesuffix("."))
    advice, _, link = advice.partition(": https://")
    assert link.removesuffix("/aigc/tasks").removesuffix("/tasks/vod-list") == (
        "console.tencentcloud.com/mps" if error.in_console else ""
    )
    assert max(len(cost), len(advice)) <= SHOWN
    assert no_secret_in(logged.lines)


@pytest.mark.parametrize("code", known_codes())
def test_what_is_said_of_a_code_is_short(code: str) -> None:
    for action in ("CreateAigcAudioTask", "DescribeAigcAudioTask"):
        error = ApiError("-", failure=classify(code).failure, action=action, code=code)
        assert max(map(len, error.lines())) <= SHOWN
