"""Deadlines hold in every way to wait, also while a poll hangs, and a retry goes on with the same task."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_mps.api.codes import Failure
from airflow_provider_mps.api.errors import AmbiguousCreateError, ApiError, CallError, WaitTimeoutError
from airflow_provider_mps.api.patience import short_waits
from airflow_provider_mps.compat import AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.doubles.airflows import TaskDeferralTimeout, TaskDeferred, alarm
from tests.doubles.emulators import emulated
from tests.doubles.in_time import ends
from tests.doubles.task_instances import State, TaskInstance, first_event
from tests.doubles.ways import OPERATORS, SENSORS, WAITINGS_IN_TURN, Waiting, Way

WAITINGS = [Waiting((OPERATORS if way.creates else SENSORS)[0], way) for way in Way]
CREATES = [
    next(operator for operator in OPERATORS if operator.request.repeatable is repeatable)
    for repeatable in (False, True)
]
"""An operator whose creates are never sent again in doubt, and one whose are, under a SessionId."""
FAR = {"conn_type": "tencent_mps", "login": "id", "password": "key", "host": "mps.example"}
LONG = 60
"""Seconds: far more than a test takes. What waits for this has missed its deadline."""


@pytest.fixture
def mps() -> Iterator[MpsEmulator]:
    """An emulator whose tasks outlast the first tries, and a client that waits long for an answer."""
    with emulated("mps", timeout=LONG, run_seconds=2) as emulator:
        yield emulator


def play_until_success(instance: TaskInstance) -> list[BaseException]:
    """Let a user clear the task as often as it fails; what ended each try."""
    errors: list[BaseException] = []
    for _ in range(5):
        outcome = instance.run()
        errors += outcome.errors
        if outcome.state is State.SUCCESS:
            return errors
    raise AssertionError(errors)


def check(errors: list[BaseException], mps: MpsEmulator) -> None:
    assert errors
    assert len(mps.tasks) == 1
    for error in errors:
        assert "It goes on at MPS" in str(error)
        # Airflow does not retry a sensor's own timeout.
        by_clear, by_retry = "clear this Airflow task to go on waiting", "A retry of this Airflow task goes on waiting"
        assert (by_clear if isinstance(error, AirflowSensorTimeout) else by_retry) in str(error)


@pytest.mark.parametrize("waiting", dict.fromkeys([*WAITINGS, *WAITINGS_IN_TURN]), ids=str)
def test_a_wait_ends_at_its_timeout_and_a_later_try_goes_on(waiting: Waiting, mps: MpsEmulator) -> None:
    errors = play_until_success(waiting.task_instance(mps, "mps", timeout=1))
    check(errors, mps)
    expected = WaitTimeoutError if waiting.way.creates else AirflowSensorTimeout
    assert {isinstance(error, expected) for error in errors} == {True}


@pytest.mark.parametrize("waiting", WAITINGS, ids=str)
def test_a_wait_ends_at_its_timeout_while_a_poll_hangs(waiting: Waiting, mps: MpsEmulator) -> None:
    mps.fault("hang", waiting.describe)
    errors = play_until_success(waiting.task_instance(mps, "mps", timeout=1))
    check(errors, mps)


# A sensor that reschedules keeps execution_timeout only for each poke, as every sensor of Airflow does.
@pytest.mark.parametrize("waiting", [w for w in WAITINGS if w.way is not Way.SENSOR_RESCHEDULE], ids=str)
@pytest.mark.parametrize("fault", [None, "hang"])
def test_a_wait_ends_at_its_execution_timeout(waiting: Waiting, fault: str | None, mps: MpsEmulator) -> None:
    if fault:
        mps.fault(fault, waiting.describe)
    limit = timedelta(seconds=1)
    instance = waiting.task_instance(mps, "mps", timeout=LONG, retries=5, execution_timeout=limit)
    outcome = instance.run()
    assert outcome.state is State.SUCCESS, outcome.errors
    assert all(isinstance(error, (AirflowTaskTimeout, WaitTimeoutError)) for error in outcome.errors)
    check(outcome.errors, mps)


@pytest.mark.parametrize("way", [way for way in Way if way.creates], ids=str)
def test_a_try_that_finds_its_task_behind_a_poll_that_hangs_ends_in_time(way: Way, mps: MpsEmulator) -> None:
    instance = Waiting(OPERATORS[0], way).task_instance(mps, "mps", timeout=1, retries=0)
    assert isinstance(instance.run().errors[0], WaitTimeoutError)
    mps.fault("hang", OPERATORS[0].family.describe)
    [error] = instance.run().errors
    assert isinstance(error, WaitTimeoutError)
    assert play_until_success(instance) is not None
    assert len(mps.tasks) == 1


@pytest.mark.parametrize("way", [way for way in Way if way.creates], ids=str)
def test_an_execution_timeout_just_after_the_create_loses_nothing(
    way: Way, mps: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_mps.api.wire.client import MpsClient

    aclose, strikes = MpsClient.aclose, [AirflowTaskTimeout("Timeout")]

    async def closing(client: MpsClient) -> None:
        await aclose(client)
        if strikes:  # the signal comes while the connection of the create is closed
            raise strikes.pop()

    monkeypatch.setattr(MpsClient, "aclose", closing)
    outcome = Waiting(OPERATORS[0], way).task_instance(mps, "mps").run()
    assert outcome.state is State.SUCCESS
    assert outcome.tries == 2
    assert len(mps.tasks) == 1


@pytest.mark.parametrize("waiting", WAITINGS, ids=str)
def test_a_task_that_mps_never_knew_does_not_go_on(waiting: Waiting, mps: MpsEmulator) -> None:
    mps.fault("not_found", waiting.describe, times=None)
    [error] = waiting.task_instance(mps, "mps", timeout=1, retries=0).run().errors
    assert isinstance(error, WaitTimeoutError if waiting.way.creates else AirflowSensorTimeout)
    assert "MPS does not know" in str(error)
    assert "goes on" not in str(error)


@pytest.mark.parametrize("waiting", [w for w in WAITINGS if not w.way.creates], ids=str)
def test_a_task_id_that_mps_does_not_know_ends_a_sensor_after_its_grace(waiting: Waiting, mps: MpsEmulator) -> None:
    [error] = waiting.task_instance(mps, "mps", timeout=LONG / 4, mps_task_id="no-such-task").run().errors
    assert isinstance(error, ApiError)
    assert isinstance(error, AirflowFailException)
    assert "MPS does not know the task" in str(error)


@pytest.mark.parametrize("waiting", [w for w in WAITINGS if not w.way.creates], ids=str)
@pytest.mark.parametrize("backoff", [False, True], ids=["evenly", "exponential_backoff"])
def test_the_last_pause_of_a_sensor_ends_at_its_timeout(waiting: Waiting, backoff: bool, mps: MpsEmulator) -> None:
    mps.fault("unknown_status", waiting.describe, times=None)
    instance = waiting.task_instance(
        mps, "mps", timeout=1, retries=0, poke_interval=10 * LONG, exponential_backoff=backoff
    )
    [error] = ends(instance.run).errors
    assert isinstance(error, AirflowSensorTimeout)
    assert "It goes on at MPS" in str(error)


@pytest.mark.parametrize("way", [way for way in Way if way.creates], ids=str)
@pytest.mark.parametrize("operator", CREATES, ids=lambda operator: operator.__name__)
def test_no_create_leaves_after_its_deadline_while_it_is_throttled(
    operator: type[Any], way: Way, mps: MpsEmulator
) -> None:
    mps.fault("error", operator.request.action, times=None, code="RequestLimitExceeded")
    with short_waits(call_throttled=300.0):
        [error] = ends(Waiting(operator, way).task_instance(mps, "mps", timeout=1, retries=0).run).errors
    assert isinstance(error, CallError)
    assert error.failure is Failure.THROTTLED
    assert mps.tasks == []


class TestANameServerThatHangs:
    """No deadline waits for it, nor does the end of the process."""

    @pytest.fixture
    def mps(self, monkeypatch: pytest.MonkeyPatch, endless_names: None) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_FAR", json.dumps(FAR))

    @pytest.mark.usefixtures("mps")
    @pytest.mark.parametrize("way", Way, ids=str)
    def test_keeps_no_wait_beyond_its_timeout(self, way: Way) -> None:
        cls = (OPERATORS if way.creates else SENSORS)[0]
        told: dict[str, Any] = {"task_id": "wait", "mps_conn_id": "far", "deferrable": way.deferrable}
        limit = {"execution_timeout": timedelta(seconds=1)} if way.creates else {"timeout": 1}
        told |= limit | ({"prompt": "rain"} if way.creates else {"mps_task_id": "one"})
        if way is Way.SENSOR_RESCHEDULE:
            told["mode"] = "reschedule"
        instance = TaskInstance(lambda: cls(**told), retries=0)
        if way is Way.SENSOR_DEFERRABLE:  # the triggerer's loop lives on, whatever blocks one of its threads
            trigger = MpsTaskTrigger("aigc_audio", "one", "far", deadline=time.time() + 1)
            loop = asyncio.new_event_loop()
            event = ends(lambda: loop.run_until_complete(anext(aiter(trigger.run()))))
            assert event.payload["status"] == "timeout"
        else:
            [error] = ends(instance.run).errors
            expected = CallError if way.creates else AirflowSensorTimeout
            assert isinstance(error, expected), error

    def test_keeps_no_process_from_its_end(self) -> None:
        script = (
            "import socket, time\n"
            "socket.getaddrinfo = lambda *_, **__: time.sleep(3600)\n"
            "from airflow_provider_mps.hooks.mps import MpsHook\n"
            "from airflow_provider_mps.api.tasks import AIGC_AUDIO\n"
            "MpsHook('far').describe(AIGC_AUDIO, 'one', within=0.5)\n"
        )
        environment = os.environ | {"AIRFLOW_CONN_FAR": json.dumps(FAR)}
        ended = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert "no answer within 0.5 s" in ended.stderr


@pytest.mark.parametrize("operator", CREATES, ids=lambda operator: operator.__name__)
def test_an_alarm_at_any_moment_is_heard(operator: type[Any], mps: MpsEmulator) -> None:
    chance = random.Random(3)
    waiting = Waiting(operator, Way.OPERATOR_SYNC)
    mps.fault("slow", operator.request.action, times=None, seconds=0.05)
    struck = []
    for run in range(40):
        instance = waiting.task_instance(mps, "mps", timeout=LONG)
        instance.run_id = f"run-{run}"
        task = instance.make()
        try:
            with alarm(chance.uniform(0.001, 0.4)):
                task.execute(instance.context)
        except BaseException as error:
            struck.append(error)
    assert len(struck) == 40
    assert all(isinstance(error, (AirflowTaskTimeout, AmbiguousCreateError)) for error in struck), struck


DEFERRABLES = [waiting for waiting in WAITINGS if waiting.way.deferrable]


def resumed_by_airflow(instance: TaskInstance) -> Any:
    """What a task makes of it that Airflow itself ends its deferral, as the scheduler does at ``trigger_timeout``."""
    task = instance.make()
    error = {"error": "Trigger timeout"}
    return task.resume_execution("__fail__", error, instance.context | {"task": task})


def deferred(instance: TaskInstance) -> None:
    with pytest.raises(TaskDeferred):
        instance.make().execute(instance.context)


@pytest.mark.usefixtures("mps_short_waits")
@pytest.mark.parametrize("waiting", DEFERRABLES, ids=str)
def test_a_wait_that_airflow_ended_is_not_over_where_the_task_is_done(waiting: Waiting) -> None:
    with emulated("mps", wait_seconds=0, run_seconds=0) as mps:
        instance = waiting.task_instance(mps, "mps", retries=0)
        deferred(instance)
        polls = mps.count(waiting.describe)
        assert resumed_by_airflow(instance)
        assert mps.count(waiting.describe) == polls + 1
        assert "usage" in instance.xcoms
        assert len(mps.tasks) == 1


@pytest.mark.usefixtures("mps_short_waits")
@pytest.mark.parametrize("waiting", DEFERRABLES, ids=str)
def test_a_wait_that_airflow_ended_is_over_where_the_task_runs_or_cannot_be_asked_for(
    waiting: Waiting, mps: MpsEmulator
) -> None:
    for hangs in (False, True):
        instance = waiting.task_instance(mps, "mps", retries=0)
        deferred(instance)
        if hangs:
            mps.fault("hang", waiting.describe, times=None)
        with pytest.raises((WaitTimeoutError, AirflowSensorTimeout), match="Not ended"):
            ends(lambda instance=instance: resumed_by_airflow(instance))  # type: ignore[misc]


@pytest.mark.usefixtures("mps_short_waits")
def test_a_deferral_that_airflow_ended_in_line_created_nothing(mps: MpsEmulator) -> None:
    [waiting] = [waiting for waiting in DEFERRABLES if waiting.way.creates]
    mps.fault("error", waiting.create, code="RequestLimitExceeded", times=None)
    instance = waiting.task_instance(mps, "mps", retries=0)
    deferred(instance)
    with pytest.raises(TaskDeferralTimeout):
        resumed_by_airflow(instance)
    assert mps.tasks == []


@pytest.mark.usefixtures("mps_short_waits")
@pytest.mark.parametrize("run_seconds", [0, LONG])
def test_a_trigger_that_is_loaded_after_its_deadline_polls_once(run_seconds: float, mps: MpsEmulator) -> None:
    mps_task_id = mps.add_task(wait_seconds=0, run_seconds=run_seconds)
    trigger = MpsTaskTrigger("aigc_audio", mps_task_id, "mps", poll_interval=0.05, deadline=time.time() - 3600)
    event = first_event(trigger)
    assert event["status"] == ("timeout" if run_seconds else "done")
    assert mps.count("DescribeAigcAudioTask") == 1


@pytest.mark.usefixtures("mps_short_waits")
def test_a_trigger_that_is_loaded_after_its_deadline_ends_where_polls_hang(mps: MpsEmulator) -> None:
    mps.fault("hang", "DescribeAigcAudioTask", times=None)
    trigger = MpsTaskTrigger("aigc_audio", mps.add_task(), "mps", deadline=time.time() - 3600)
    assert first_event(trigger)["status"] == "timeout"
