"""A wait tolerates trouble, within bounds; what a task's end means is said at once and in the service's words."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_mps.api import patience, polling
from airflow_provider_mps.api.errors import CallError, TaskFailedError
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from tests.doubles.emulators import emulated
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import State
from tests.doubles.ways import OPERATORS, SENSORS, Waiting, Way

WAITINGS = [Waiting((OPERATORS if way.creates else SENSORS)[0], way) for way in Way]
# Each poke of a sensor that reschedules is a process of its own, which counts anew: its timeout ends the wait.
IN_ONE_PROCESS = [waiting for waiting in WAITINGS if waiting.way is not Way.SENSOR_RESCHEDULE]
MAX_POLL_FAILURES = 4


@pytest.fixture
def mps() -> Iterator[MpsEmulator]:
    with emulated("mps") as emulator:
        yield emulator


def bear_poll_trouble(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let failed polls end a wait only after so many seconds."""
    borne = replace(patience.patience(), poll_trouble=seconds)
    monkeypatch.setattr(polling, "patience", lambda: borne)


@pytest.mark.parametrize("waiting", IN_ONE_PROCESS, ids=str)
def test_so_many_failures_in_a_row_end_a_wait(
    waiting: Waiting, mps: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    bear_poll_trouble(monkeypatch, 0.0)
    mps.fault("error", waiting.describe, times=None, code="InternalError")
    instance = waiting.task_instance(mps, "mps", retries=0, max_poll_failures=MAX_POLL_FAILURES)
    [error] = instance.run().errors
    assert isinstance(error, CallError)
    assert "InternalError" in str(error)
    # Where the task is polled once more by execute_complete, or within a poke, it is repeated six times at most.
    assert MAX_POLL_FAILURES <= mps.count(waiting.describe) <= MAX_POLL_FAILURES * 6 + 6


@pytest.mark.parametrize("waiting", IN_ONE_PROCESS, ids=str)
def test_as_many_failures_do_not_end_it_before_five_minutes(
    waiting: Waiting, mps: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    bear_poll_trouble(monkeypatch, 300.0)
    mps.fault("error", waiting.describe, times=MAX_POLL_FAILURES * 6, code="InternalError")
    outcome = waiting.task_instance(mps, "mps", retries=0, max_poll_failures=1).run()
    assert outcome.state is State.SUCCESS, outcome.errors


@pytest.mark.parametrize("waiting", IN_ONE_PROCESS, ids=str)
def test_failures_that_are_not_in_a_row_do_not_end_it(
    waiting: Waiting, mps: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    bear_poll_trouble(monkeypatch, 0.0)
    for answered in range(4):
        mps.fault("error", waiting.describe, after=answered, code="InternalError")
    outcome = waiting.task_instance(mps, "mps", retries=0, max_poll_failures=2).run()
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
