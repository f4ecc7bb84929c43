"""A wait tolerates trouble, within bounds; what a task's end means is said at once and in the service's words."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_mps.api.errors import CallError, TaskFailedError
from airflow_provider_mps.api.patience import short_waits
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from tests.doubles.emulators import emulated
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import State
from tests.doubles.ways import CREATES_IN_TURN, OPERATORS, SENSORS, WAITINGS_IN_TURN, Waiting, Way

WAITINGS = [Waiting((OPERATORS if way.creates else SENSORS)[0], way) for way in Way]
# Each poke of a sensor that reschedules is a process of its own, which counts anew: its timeout ends the wait.
IN_ONE_PROCESS = [waiting for waiting in WAITINGS if waiting.way is not Way.SENSOR_RESCHEDULE]
MAX_POLL_FAILURES = 4


@pytest.fixture
def mps() -> Iterator[MpsEmulator]:
    with emulated("mps") as emulator:
        yield emulator


@pytest.mark.parametrize("waiting", IN_ONE_PROCESS, ids=str)
def test_so_many_failures_in_a_row_end_a_wait(waiting: Waiting, mps: MpsEmulator) -> None:
    mps.fault("error", waiting.describe, times=None, code="InternalError")
    instance = waiting.task_instance(mps, "mps", retries=0, max_poll_failures=MAX_POLL_FAILURES)
    with short_waits(poll_trouble=0.0):
        [error] = instance.run().errors
    assert isinstance(error, CallError)
    assert "InternalError" in str(error)
    # Where the task is polled once more by execute_complete, or within a poke, it is repeated six times at most.
    assert MAX_POLL_FAILURES <= mps.count(waiting.describe) <= MAX_POLL_FAILURES * 6 + 6


@pytest.mark.parametrize("waiting", IN_ONE_PROCESS, ids=str)
def test_as_many_failures_do_not_end_it_before_five_minutes(waiting: Waiting, mps: MpsEmulator) -> None:
    mps.fault("error", waiting.describe, times=MAX_POLL_FAILURES * 6, code="InternalError")
    with short_waits(poll_trouble=300.0):
        outcome = waiting.task_instance(mps, "mps", retries=0, max_poll_failures=1).run()
    assert outcome.state is State.SUCCESS, outcome.errors


@pytest.mark.parametrize("waiting", IN_ONE_PROCESS, ids=str)
def test_failures_that_are_not_in_a_row_do_not_end_it(waiting: Waiting, mps: MpsEmulator) -> None:
    for answered in range(4):
        mps.fault("error", waiting.describe, after=answered, code="InternalError")
    with short_waits(poll_trouble=0.0):
        outcome = waiting.task_instance(mps, "mps", retries=0, max_poll_failures=2).run()
    assert outcome.state is State.SUCCESS, outcome.errors


@pytest.mark.parametrize("waiting", IN_ONE_PROCESS, ids=str)
def test_a_token_that_expires_amid_other_trouble_does_not_end_it(waiting: Waiting, mps: MpsEmulator) -> None:
    """Its keys are read anew, and the next poll is signed with those."""
    mps.fault("error", waiting.describe, code="InternalError")
    mps.fault("error", waiting.describe, code="AuthFailure.TokenFailure")
    outcome = waiting.task_instance(mps, "mps", retries=0).run()
    assert outcome.state is State.SUCCESS, outcome.errors


@pytest.mark.parametrize("waiting", IN_ONE_PROCESS, ids=str)
def test_an_unknown_status_is_waited_on_and_logged_once(
    waiting: Waiting, mps: MpsEmulator, capfd: pytest.CaptureFixture[str]
) -> None:
    mps.fault("unknown_status", waiting.describe, times=3)
    outcome = waiting.task_instance(mps, "mps", retries=0).run()
    assert outcome.state is State.SUCCESS
    assert mps.count(waiting.describe) > 3
    assert sum("PAUSED" in line for line in capfd.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("waiting", WAITINGS, ids=str)
def test_a_task_that_failed_ends_the_wait_with_the_services_words(waiting: Waiting, mps: MpsEmulator) -> None:
    mps.fault("fail", OPERATORS[0].request.action, message="The prompt names a person.")
    arguments: dict[str, Any] = {}
    if not waiting.way.creates:
        arguments["mps_task_id"] = MpsHook("mps").create_aigc_audio_task(**MUSIC_ARGUMENTS)
    outcome = waiting.task_instance(mps, "mps", retries=2, **arguments).run()
    assert isinstance(outcome.errors[0], TaskFailedError)
    assert "The prompt names a person." in str(outcome.errors[0])
    if waiting.way.creates:  # Airflow may retry, and a retry asks for another one
        assert outcome.state is State.SUCCESS
        assert len(mps.tasks) == 2
    else:  # asked again, it would be the same task
        assert isinstance(outcome.errors[0], AirflowFailException)
        assert outcome.tries == 1


BACK_INTO_A_WAIT = pytest.mark.parametrize(
    ("code", "times"),
    [("ResourceNotFound.TaskNotFound", 1), ("ResourceNotFound.TaskNotFound", 2), ("InternalError", 8)],
)


@BACK_INTO_A_WAIT
@pytest.mark.parametrize("waiting", [waiting for waiting in WAITINGS_IN_TURN if waiting.way.deferrable], ids=str)
def test_what_the_triggerer_has_seen_done_is_asked_for_with_patience(
    waiting: Waiting, mps: MpsEmulator, code: str, times: int
) -> None:
    instance = waiting.task_instance(mps, "mps", retries=0, max_poll_failures=10)
    instance.when_fired = lambda: mps.fault("error", waiting.describe, code=code, times=times)
    outcome = instance.run()
    assert outcome.state is State.SUCCESS, outcome.errors


@BACK_INTO_A_WAIT
@pytest.mark.parametrize("fresh", [True, False], ids=["just created", "created long ago"])
@pytest.mark.parametrize("waiting", CREATES_IN_TURN[:5], ids=str)
def test_so_is_what_an_earlier_try_has_created(
    waiting: Waiting, mps: MpsEmulator, code: str, times: int, fresh: bool
) -> None:
    instance = waiting.task_instance(mps, "mps", retries=0, wait_for_completion=False)
    instance.run()
    entry = instance.remembered
    retry = waiting.task_instance(mps, "mps", retries=0, max_poll_failures=10)
    retry.stored["mps_task"] = json.dumps(entry | ({} if fresh else {"at": entry["at"] - 1000}))
    mps.fault("error", waiting.describe, code=code, times=times)
    outcome = retry.run()
    assert outcome.state is State.SUCCESS, outcome.errors
    assert [task.task_id for task in mps.tasks] == [outcome.value]
