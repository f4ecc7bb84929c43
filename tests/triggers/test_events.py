"""What a worker makes of a trigger's event, one of an earlier version that waits for it over an upgrade included.

These events are those that version 1.0.0 wrote on 2026-11-29.
"""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_mps.api.errors import (
    ApiError,
    InterruptedWaitError,
    MpsError,
    NoRoomError,
    TaskFailedError,
    WaitTimeoutError,
)
from airflow_provider_mps.compat import AirflowSensorTimeout, BaseOperator
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from tests.doubles.airflows import TaskDeferred, let_execute
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.logs import Lines
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import TaskInstance

DONE = {"status": "done", "mps_task_id": "ONE", "message": "AIGC audio task ONE is done"}
FAILED = {
    "status": "failed",
    "mps_task_id": "ONE",
    "message": "FAIL after 2 s: out of tune\nWhether a task that failed is billed is not known\n"
    "A retry makes, and may pay for, a new task\nIt is AIGC audio task ONE. Some requests fail each time",
    "usage": {"mps_task_id": "ONE", "kind": "aigc_audio", "state": "FAIL", "model": "MiniMaxMusic", "files": 0},
}
TIMEOUT = {
    "status": "timeout",
    "mps_task_id": "ONE",
    "message": "Not ended after 2 s: AIGC audio task ONE\nIt goes on at MPS and may be billed there\n"
    "A retry of this Airflow task goes on waiting for it\nIt was last known as RUN.",
}
REFUSED = {
    "status": "error",
    "mps_task_id": "ONE",
    "message": "DescribeAigcAudioTask: UnauthorizedOperation: no.\nAIGC audio task ONE goes on at MPS\n"
    "Have the CAM action mps:DescribeAigcAudioTask allowed to these keys\nRequestId r-1.",
}
ROOM = {"status": "room", "ticket": 1795939169.67, "began": 1795939169.66, "message": "there may be room"}
NO_ROOM = ROOM | {"status": "timeout", "message": "there was no room in time"}
IN_TROUBLE = ROOM | {"status": "error", "message": "TypeError in the triggerer; its log has the details"}


def song() -> CreateAigcAudioTaskOperator:
    return CreateAigcAudioTaskOperator(task_id="song", **MUSIC_ARGUMENTS, wait_for_completion=True, deferrable=True)


def wait() -> AigcAudioTaskSensor:
    return AigcAudioTaskSensor(task_id="wait", mps_task_id="ONE", deferrable=True)


def of(mps_task_id: str, saved: Mapping[str, Any]) -> dict[str, Any]:
    """What was saved, of a task that this emulator has."""
    replaced = {name: value.replace("ONE", mps_task_id) for name, value in saved.items() if isinstance(value, str)}
    return {**saved, **replaced}


def resumed(task: BaseOperator, event: Any, method: str = "execute_complete") -> TaskInstance:
    """A task that a worker goes on with after an event of its trigger."""
    instance = TaskInstance(lambda: task, retries=0)
    let_execute()
    context = instance.context | {"task": task}
    task.resume_execution(next_method=method, next_kwargs={"event": event}, context=context)
    return instance


@pytest.mark.parametrize("make", [song, wait])
def test_a_wait_that_is_done(make: Any, emulator: MpsEmulator) -> None:
    task_id = emulator.add_task(wait_seconds=0, run_seconds=0)
    assert resumed(make(), of(task_id, DONE)).xcoms["audio_urls"]
    assert emulator.count(CREATE) == 0


def test_a_wait_of_a_task_that_failed(emulator: MpsEmulator, logged: Lines) -> None:
    with pytest.raises(TaskFailedError) as failed:
        resumed(song(), FAILED)
    assert failed.value.task_id == "ONE"
    assert logged.errors[-3] == "FAIL after 2 s: out of tune"
    assert logged.errors[-2] == "Whether a task that failed is billed is not known"
    assert logged.errors[-1] == f"A retry makes, and may pay for, a new task: {emulator.url}/"
    assert str(failed.value).endswith("It is AIGC audio task ONE. Some requests fail each time.")


def test_a_wait_whose_time_is_over(emulator: MpsEmulator, logged: Lines) -> None:
    with pytest.raises(WaitTimeoutError, match=r"It was last known as RUN\."):
        resumed(song(), TIMEOUT)
    assert logged.errors[-3:-1] == [
        "Not ended after 2 s: AIGC audio task ONE",
        "It goes on at MPS and may be billed there",
    ]
    assert logged.errors[-1] == f"A retry of this Airflow task goes on waiting for it: {emulator.url}/"
    with pytest.raises(AirflowSensorTimeout, match="Not ended after 2 s: AIGC audio task ONE"):
        resumed(wait(), TIMEOUT)


def test_a_wait_that_could_not_go_on(emulator: MpsEmulator) -> None:
    task_id = emulator.add_task(run_seconds=600)
    with pytest.raises(InterruptedWaitError, match=r"The triggerer stopped waiting: .* no\. ") as stopped:
        resumed(song(), of(task_id, REFUSED))
    assert str(stopped.value).endswith("RequestId r-1.")
    emulator.fault("error", DESCRIBE, code="UnauthorizedOperation", message="again")
    with pytest.raises(ApiError, match=r"goes on at MPS\. Asked once more: .*again"):
        resumed(song(), of(task_id, REFUSED))


def test_a_create_whose_turn_has_come(emulator: MpsEmulator) -> None:
    with pytest.raises(TaskDeferred) as deferral:
        resumed(song(), ROOM, "execute_in_turn")
    [task] = emulator.tasks
    assert deferral.value.trigger.serialize()[1]["mps_task_id"] == task.task_id


@pytest.mark.parametrize(("event", "error"), [(NO_ROOM, NoRoomError), (IN_TROUBLE, InterruptedWaitError)])
def test_a_create_for_which_there_was_no_room(
    event: dict[str, Any], error: type[MpsError], emulator: MpsEmulator
) -> None:
    with pytest.raises(error, match="Nothing was created, and nothing is billed"):
        resumed(song(), event, "execute_in_turn")
    assert emulator.count(CREATE) == 0


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (None, "it is None"),
        ("done", "it is str 'done'"),
        ({}, "its status is None, and not one of done, failed, timeout, error, overdue"),
        (ROOM, "its status is str 'room', and not one of done, failed, timeout, error, overdue"),
        ({"status": "done"}, "its mps_task_id is None"),
        ({"status": "done", "mps_task_id": 7}, "its mps_task_id is 7"),
    ],
)
def test_a_foreign_event_is_said_to_be_one(event: Any, problem: str, emulator: MpsEmulator) -> None:
    with pytest.raises(InterruptedWaitError, match=re.escape(f"not written by this package: {problem}. The task goes")):
        resumed(song(), event)
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (None, "it is None"),
        (DONE, "its status is str 'done', and not one of room, timeout, error"),
        (ROOM | {"ticket": None}, "its ticket is None, and no time"),
        (ROOM | {"began": "soon"}, "its began is str 'soon', and no time"),
        (ROOM | {"began": float("nan")}, "its began is nan, and no time"),
    ],
)
def test_so_is_one_that_is_no_place_in_line(event: Any, problem: str, emulator: MpsEmulator) -> None:
    with pytest.raises(
        InterruptedWaitError, match=re.escape(f"not written by this package: {problem}. Nothing is sent")
    ):
        resumed(song(), event, "execute_in_turn")
    assert emulator.requests == []
