"""No request is paid for twice: every fault, at creates and at polls, over every class and way to wait."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_mps.api.errors import (
    AmbiguousCreateError,
    CallError,
    NoResultError,
    NoRoomError,
    TaskFailedError,
    WaitTimeoutError,
)
from airflow_provider_mps.compat import AirflowFailException, AirflowSensorTimeout
from airflow_provider_mps.emulator import FaultKind
from tests.doubles.task_instances import State
from tests.doubles.ways import Way
from tests.promises.cases import AT_ONCE, FINAL, STALE, THROTTLED, TRIES, Case, Played, of_each_fault, play

pytestmark = pytest.mark.xdist_group("paid once")  # its cases are played at the same time

HARMLESS = {FaultKind.WRONG_CONTENT_TYPE, FaultKind.SLOW}


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

    @property
    def by_timeout(self) -> bool:
        return self.error in (WaitTimeoutError, AirflowSensorTimeout, NoRoomError)


def ending(case: Case) -> Ending:
    """The promise, for each case."""
    return of_create(case) if case.strikes_create else of_describe(case)


def of_create(case: Case) -> Ending:
    if case.kind in HARMLESS:
        return Ending(State.SUCCESS, 1, tries=1)
    if case.kind is FaultKind.NEVER_DONE:
        return Ending(State.FAILED, 1, WaitTimeoutError, TRIES)
    if case.kind is FaultKind.URL_LATE:  # a wait that ended asks once more for the result, and by then it is there
        return Ending(State.SUCCESS, 1, tries=1)
    if case.kind is FaultKind.FAIL:  # it is over, so a retry may ask for another
        return Ending(State.FAILED, TRIES, TaskFailedError, TRIES) if case.forever else Ending(State.SUCCESS, 2)
    if case.code in (THROTTLED, STALE):
        error = NoRoomError if case.code == THROTTLED else CallError
        return Ending(State.FAILED, 0, error, TRIES) if case.forever else Ending(State.SUCCESS, 1, tries=1)
    if case.code == FINAL or case.kind in (FaultKind.CONTENT_REFUSED, FaultKind.REFUSED_INSIDE):
        return Ending(State.FAILED, 0, CallError, tries=1)
    if not case.waiting.repeatable:
        return Ending(State.FAILED, int(case.kind.processed), AmbiguousCreateError, tries=1)
    if case.kind is FaultKind.NO_TASK_ID:  # the retry is refused as a duplicate, and finds the first task
        return Ending(State.SUCCESS, 1, tries=TRIES)
    if case.forever:
        return Ending(State.FAILED, int(case.kind.processed), CallError, TRIES)
    return Ending(State.SUCCESS, 1)


def of_describe(case: Case) -> Ending:
    tasks, way = int(case.waiting.way.creates), case.waiting.way
    no_file = case.kind is FaultKind.DONE_WITHOUT_URL
    harmless = case.kind in HARMLESS or (no_file and case.waiting.may_have_no_file)
    ends_at_once = case.code == FINAL
    error = NoResultError if no_file else CallError
    if not case.forever:
        if ends_at_once and not way.deferrable:
            return Ending(State.FAILED, tasks, error, tries=1)
        # The worker polls once more what the triggerer polled, and by then all is well.
        # A FINISH that needs no file ends the triggerer's wait, and the worker finds the task at work again.
        ended_early = no_file and harmless and way.deferrable
        return Ending(State.SUCCESS, tasks, tries=None if ends_at_once or ended_early else 1)
    if harmless:
        return Ending(State.SUCCESS, tasks, tries=1)
    if ends_at_once:
        return Ending(State.FAILED, tasks, error, tries=1)
    if no_file:
        return Ending(State.FAILED, tasks, error, TRIES)
    if case.kind is FaultKind.UNKNOWN_STATUS or way is Way.SENSOR_RESCHEDULE:
        if way.creates:
            return Ending(State.FAILED, tasks, WaitTimeoutError, TRIES)
        return Ending(State.FAILED, tasks, AirflowSensorTimeout, tries=1)
    return Ending(State.FAILED, tasks, CallError, 1 if case.kind is FaultKind.NOT_FOUND else TRIES)


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[dict[Case, Future[Played]]]:
    """The wanted cases, being played."""
    tests = [item for item in request.session.items if isinstance(item, pytest.Function)]
    wanted: list[Any] = [test.callspec.params["case"] for test in tests if test.parent is request.node]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {case: pool.submit(play, case, 1 if ending(case).by_timeout else 60) for case in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", list(of_each_fault()), ids=str)
def test_a_fault_costs_no_second_task(case: Case, played: dict[Case, Future[Played]]) -> None:
    result, expected = played.pop(case).result(), ending(case)  # an error holds on to all that was at work
    outcome = result.outcome

    assert len(result.tasks) == expected.tasks
    assert outcome.state is expected.state, outcome.errors
    assert outcome.tries == expected.tries or (expected.tries is None and outcome.tries <= TRIES), outcome.errors
    assert result.described <= result.tasks
    if expected.error:
        error = outcome.errors[-1]
        assert isinstance(error, expected.error)
        # What no retry can help tells Airflow so, even where there are tries left.
        assert isinstance(error, (AirflowFailException, AirflowSensorTimeout)) is (outcome.tries < TRIES)
