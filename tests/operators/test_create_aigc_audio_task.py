"""Submitting and waiting: what the operator returns, pushes, logs and raises, here and in the triggerer."""

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_mps.api.errors import NoResultError, TaskFailedError, WaitTimeoutError
from airflow_provider_mps.compat import AirflowException, AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from tests.doubles.airflows import TaskDeferred
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.logs import Lines, no_secret_in
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.servers import LoopbackServer, states
from tests.doubles.task_instances import TaskInstance, first_event, run_task, trigger_of

WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["here", "in the triggerer"])


def operator(**arguments: Any) -> CreateAigcAudioTaskOperator:
    defaults: dict[str, Any] = MUSIC_ARGUMENTS | {"task_id": "create", "poll_interval": 0.05}
    return CreateAigcAudioTaskOperator(**(defaults | arguments))


def execute(waiting: CreateAigcAudioTaskOperator) -> None:
    waiting.execute(TaskInstance(lambda: waiting).context)


@WAYS
def test_without_waiting_it_returns_the_task_id_alone(emulator: MpsEmulator, deferrable: bool) -> None:
    returned, xcoms = run_task(operator(deferrable=deferrable))
    assert returned == emulator.tasks[0].task_id
    assert xcoms == {}
    assert emulator.count(DESCRIBE) == 0


@WAYS
def test_having_waited_it_also_pushes_the_result(emulator: MpsEmulator, deferrable: bool) -> None:
    returned, xcoms = run_task(
        operator(deferrable=deferrable, wait_for_completion=True, additional_parameters={"n": 2})
    )
    [task] = emulator.tasks
    assert returned == task.task_id
    answer = MpsHook().describe_aigc_audio_task(task.task_id).response
    assert len(answer["AudioInfos"]) == 2
    assert xcoms["result"] == {
        "TaskId": task.task_id,
        "Status": "DONE",
        "AudioInfos": answer["AudioInfos"],
        "VideoInfos": [],
    }
    assert xcoms["audio_urls"] == [info["Url"] for info in answer["AudioInfos"]]
    assert set(xcoms) == {"result", "audio_urls", "usage"}


def test_seconds_may_be_a_timedelta(emulator: MpsEmulator) -> None:
    moment = timedelta(milliseconds=50)
    run_task(operator(wait_for_completion=True, poll_interval=moment, wait_timeout=timedelta(minutes=1)))
    with pytest.raises(TaskDeferred) as deferred:
        execute(operator(wait_for_completion=True, deferrable=True, poll_interval=moment))
    assert trigger_of(deferred.value).poll_interval == 0.05


def test_the_deferral_carries_what_it_takes_to_go_on(emulator: MpsEmulator) -> None:
    waiting = operator(wait_for_completion=True, deferrable=True, wait_timeout=60, max_poll_failures=7)
    with pytest.raises(TaskDeferred) as deferred:
        execute(waiting)
    assert deferred.value.method_name == "execute_complete"
    assert deferred.value.timeout > timedelta(seconds=60), "the trigger itself keeps the deadline, to the second"
    assert trigger_of(deferred.value).serialize()[1] == {
        "kind": "aigc_audio",
        "mps_task_id": emulator.tasks[0].task_id,
        "mps_conn_id": "tencent_mps_default",
        "poll_interval": 0.05,
        "deadline": deferred.value.trigger.deadline,
        "max_poll_failures": 7,
        "abort_on_kill": True,
        "accepted_at": deferred.value.trigger.accepted_at,
        "model": MUSIC_ARGUMENTS["model_name"],
        "ticket": None,
        "seconds_before_timeout": None,
        "xcoms": None,
        "store_cos_param": None,
        "asked": {"model": MUSIC_ARGUMENTS["model_name"], "version": MUSIC_ARGUMENTS["model_version"]},
        "stay": 8.0,
    }
    assert deferred.value.trigger.accepted_at == pytest.approx(time.time(), abs=60)
    event = first_event(trigger_of(deferred.value))

    elsewhere = operator(wait_for_completion=True, deferrable=True)  # another process, and nothing but the event
    instance = TaskInstance(lambda: elsewhere)
    assert elsewhere.execute_complete(instance.context, event) == emulator.tasks[0].task_id
    assert set(instance.xcoms) == {"result", "audio_urls", "usage"}
    assert emulator.count(CREATE) == 1


@WAYS
@pytest.mark.parametrize("limit", ["wait_timeout", "execution_timeout"])
def test_a_wait_that_takes_too_long(emulator: MpsEmulator, deferrable: bool, limit: str) -> None:
    emulator.fault("never_done", CREATE)
    arguments: dict[str, Any] = {limit: timedelta(seconds=0.6)}
    with pytest.raises(AirflowException, match="It goes on at MPS") as late:
        run_task(operator(wait_for_completion=True, deferrable=deferrable, **arguments))
    assert isinstance(late.value, WaitTimeoutError)
    assert not isinstance(late.value, AirflowFailException), "a retry goes on waiting"
    assert emulator.tasks[0].task_id in str(late.value)


@WAYS
def test_a_deadline_holds_while_the_poll_hangs(emulator: MpsEmulator, deferrable: bool) -> None:
    emulator.fault("hang", DESCRIBE, times=None)
    with pytest.raises(WaitTimeoutError, match="It goes on at MPS"):
        run_task(operator(wait_for_completion=True, deferrable=deferrable, wait_timeout=0.5))


@WAYS
def test_a_task_that_fails_may_be_retried(emulator: MpsEmulator, deferrable: bool) -> None:
    emulator.fault("fail", CREATE, message="the model was out of tune")
    with pytest.raises(AirflowException, match="the model was out of tune") as failed:
        run_task(operator(wait_for_completion=True, deferrable=deferrable))
    assert isinstance(failed.value, TaskFailedError)
    assert not isinstance(failed.value, AirflowFailException)


@WAYS
@pytest.mark.usefixtures("mps_short_waits")
def test_a_task_without_a_file_is_an_error(emulator: MpsEmulator, deferrable: bool) -> None:
    emulator.fault("done_without_url", DESCRIBE, times=None)
    with pytest.raises(NoResultError, match="DONE, and MPS gives no URL") as empty:
        run_task(operator(wait_for_completion=True, deferrable=deferrable))
    assert not isinstance(empty.value, AirflowFailException)


@WAYS
def test_the_log_tells_the_story(connect: Callable[..., None], logged: Lines, deferrable: bool) -> None:
    with LoopbackServer(states("WAIT", "WAIT", "RUN", "PAUSED", "RUN", "DONE")) as server:
        connect(port=server.server_port)
        run_task(operator(wait_for_completion=True, deferrable=deferrable))
    assert [re.sub(r"\b\d+ s$", "... s", line) for line in logged.of("the-task")] == [
        "Submitted CreateAigcAudioTask: task the-task (RequestId the-request)",
        "Task the-task: WAIT after ... s",
        "Task the-task: RUN after ... s",
        "Task the-task: PAUSED after ... s",
        "Task the-task: RUN after ... s",
        "Task the-task: DONE after ... s",
        "AIGC audio task the-task is DONE: 2 wav (3 s, 3 s)",
    ]
    assert no_secret_in(logged.lines)


def test_without_a_task_state_store_it_says_what_a_lost_worker_costs(emulator: MpsEmulator, logged: Lines) -> None:
    instance = TaskInstance(operator)
    instance.has_store = False
    assert instance.run().value == emulator.tasks[0].task_id
    assert len(logged.of("There is no task state store here")) == 1
