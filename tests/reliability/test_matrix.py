"""No request is paid for twice: every fault x create and describe x every way to wait, generated from the code."""

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_mps.api.errors import (
    AmbiguousCreateError,
    CallError,
    MpsError,
    NoResultError,
    TaskFailedError,
    WaitTimeoutError,
)
from airflow_provider_mps.emulator import FaultKind, MpsEmulator
from airflow_provider_mps.emulator.faults import Scope
from tests.reliability.driver import Outcome, State
from tests.reliability.ways import WAITINGS, Waiting, Way, emulated

TRIES = 2
AT_ONCE = 8
"""Cases played at the same time, each with an emulator of its own: nearly all of their time is waiting."""

THROTTLED = "RequestLimitExceeded"
STALE = "AuthFailure.SignatureExpire"
FINAL = "InvalidParameter.ViolationContent"
CODES = (THROTTLED, STALE, FINAL, "InternalError", "FailedOperation.CreateAIGCTaskFailed", "NobodyKnows.This")
"""One code, or more, of each class in the API's list of error codes."""

HARMLESS = {FaultKind.WRONG_CONTENT_TYPE, FaultKind.SLOW}
NEVER_ANSWER = {FaultKind.HANG, FaultKind.HANG_AFTER, FaultKind.DRIP, FaultKind.DRIP_HEADERS}
NEVER_END = {FaultKind.NEVER_DONE, FaultKind.UNKNOWN_STATUS}


@dataclass(frozen=True)
class Case:
    """A fault that strikes one action of one way to wait."""

    waiting: Waiting
    action: str
    kind: FaultKind
    code: str = ""
    forever: bool = False

    def __str__(self) -> str:
        fault = f"{self.kind}({self.code})" if self.code else self.kind
        return f"{self.waiting}-{self.action}-{fault}{'-forever' if self.forever else ''}"

    @property
    def strikes_create(self) -> bool:
        return self.action != self.waiting.describe


@dataclass(frozen=True)
class Ending:
    """What must come of a case.

    :ivar tasks: how many the emulator really makes; a sensor's own task is not counted.
    :ivar error: what ends the last try.
    :ivar tries: how many there are; None: it depends on what the triggerer and the worker each get to see.
    """

    state: State
    tasks: int
    error: type[BaseException] | None = None
    tries: int | None = None


def cases() -> Iterator[Case]:
    """Whatever the emulator can do wrong, to whatever the package can wait with."""
    for waiting in WAITINGS:
        for action in (waiting.create, waiting.describe) if waiting.way.creates else (waiting.describe,):
            for kind in filter(lambda kind: kind.applies_to(action), FaultKind):
                codes = {FaultKind.ERROR: CODES, FaultKind.ERROR_AFTER: ("InternalError",)}.get(kind, ("",))
                for code in codes:
                    for forever in (False, True):
                        yield Case(waiting, action, kind, code, forever)


def ending(case: Case) -> Ending:
    """The promise, for each case."""
    return of_create(case) if case.strikes_create else of_describe(case)


def of_create(case: Case) -> Ending:
    if case.kind in HARMLESS:
        return Ending(State.SUCCESS, 1, tries=1)
    if case.kind is FaultKind.NEVER_DONE:
        return Ending(State.FAILED, 1, WaitTimeoutError, TRIES)
    if case.kind is FaultKind.FAIL:  # it is over, so a retry may ask for another
        return Ending(State.FAILED, TRIES, TaskFailedError, TRIES) if case.forever else Ending(State.SUCCESS, 2)
    if case.code in (THROTTLED, STALE):
        return Ending(State.FAILED, 0, CallError, TRIES) if case.forever else Ending(State.SUCCESS, 1, tries=1)
    if case.code == FINAL:
        return Ending(State.FAILED, 0, CallError, tries=1)
    return Ending(State.FAILED, int(case.kind.processed), AmbiguousCreateError, tries=1)


def of_describe(case: Case) -> Ending:
    tasks, way = int(case.waiting.way.creates), case.waiting.way
    ends_at_once = case.code == FINAL or case.kind is FaultKind.DONE_WITHOUT_URL
    error = NoResultError if case.kind is FaultKind.DONE_WITHOUT_URL else CallError
    if not case.forever:
        if ends_at_once and not way.deferrable:
            return Ending(State.FAILED, tasks, error, tries=1)
        # What the triggerer was told, the worker asks again, and by then all is well.
        return Ending(State.SUCCESS, tasks, tries=None if ends_at_once else 1)
    if case.kind in HARMLESS:
        return Ending(State.SUCCESS, tasks, tries=1)
    if ends_at_once:
        return Ending(State.FAILED, tasks, error, tries=1)
    if case.kind is FaultKind.UNKNOWN_STATUS or way is Way.SENSOR_RESCHEDULE:
        if way.creates:
            return Ending(State.FAILED, tasks, WaitTimeoutError, TRIES)
        return Ending(State.FAILED, tasks, AirflowSensorTimeout, tries=1)
    return Ending(State.FAILED, tasks, CallError, 1 if case.kind is FaultKind.NOT_FOUND else TRIES)


@dataclass
class Played:
    """A case that was played to its end."""

    outcome: Outcome
    tasks: int
    described: set[str]
    known: set[str]


def play(case: Case) -> Played:
    conn_id = re.sub(r"\W", "_", f"mps_{case}")
    # Where no answer ever comes it may be given up soon. Elsewhere a slow machine must not look like a fault.
    with emulated(conn_id, timeout=1 if case.kind in NEVER_ANSWER else 30) as emulator:
        ends_by_timeout = ending(case).error in (WaitTimeoutError, AirflowSensorTimeout)
        instance = case.waiting.task_instance(
            emulator, conn_id, timeout=1 if ends_by_timeout else 60, retries=TRIES - 1
        )
        before = len(emulator.tasks)
        emulator.fault(
            case.kind, case.action, times=None if case.forever else 1, code=case.code, seconds=0.2, message=""
        )
        outcome = instance.run()
        known = {task.task_id for task in emulator.tasks}
        return Played(outcome, len(known) - before, asked_for(emulator, case.waiting.describe), known)


def asked_for(emulator: MpsEmulator, describe: str) -> set[str]:
    return {request.params["TaskId"] for request in emulator.requests if request.action == describe}


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[dict[Case, Future[Played]]]:
    """The wanted cases, being played."""
    tests = [item for item in request.session.items if isinstance(item, pytest.Function)]
    wanted: list[Any] = [test.callspec.params["case"] for test in tests if test.parent is request.node]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {case: pool.submit(play, case) for case in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_a_fault_costs_no_second_task(case: Case, played: dict[Case, Future[Played]]) -> None:
    result, expected = played[case].result(), ending(case)
    outcome = result.outcome

    assert result.tasks == expected.tasks
    assert outcome.state is expected.state, outcome.errors
    assert outcome.tries == expected.tries or (expected.tries is None and outcome.tries <= TRIES), outcome.errors
    assert result.described <= result.known
    if expected.error:
        error = outcome.errors[-1]
        assert isinstance(error, expected.error)
        retried = outcome.tries == TRIES
        assert isinstance(error, (AirflowFailException, AirflowSensorTimeout)) is not retried
        assert case.kind.scope is Scope.TASK or isinstance(error, (MpsError, AirflowSensorTimeout))
