"""A trigger never fires before Airflow has seen the end of the process that deferred the task."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_mps.api.patience import short_waits
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from airflow_provider_mps.triggers.room import MpsRoomTrigger
from tests.doubles.airflows import TaskDeferred
from tests.doubles.emulators import CREATE
from tests.doubles.in_time import ends
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import TaskInstance

STAY = 1.0
CONN_ID = "tencent_mps_default"

pytestmark = pytest.mark.usefixtures("mps_short_waits")


def waits_for(emulator: MpsEmulator, **arguments: Any) -> BaseTrigger:
    told: dict[str, Any] = {"mps_task_id": emulator.add_task("aigc_audio"), "poll_interval": 0.05}
    return MpsTaskTrigger("aigc_audio", mps_conn_id=CONN_ID, **told | arguments)


def waits_for_room(**arguments: Any) -> BaseTrigger:
    now = time.time()
    told: dict[str, Any] = {"mps_conn_id": CONN_ID, "ticket": now, "began": now, "waits": True}
    return MpsRoomTrigger("aigc_audio", "MiniMaxMusic", **told | arguments)


ENDS: dict[str, Callable[[MpsEmulator], BaseTrigger]] = {
    "done": waits_for,
    "timeout": lambda emulator: waits_for(emulator, deadline=time.time()),
    "error": lambda emulator: waits_for(emulator, mps_task_id="{{ no id }}"),
    "no room: timeout": lambda emulator: waits_for_room(deadline=time.time()),
    "no room: error": lambda emulator: waits_for_room(mps_conn_id="without_keys"),
}


def run(trigger: BaseTrigger) -> tuple[str, float]:
    """The event's status, and for how long it took to come."""

    async def one() -> str:
        [event] = [event async for event in trigger.run()]
        return str(event.payload["status"])

    began = time.monotonic()
    return ends(lambda: asyncio.run(one())), time.monotonic() - began


@pytest.mark.parametrize("end", ENDS)
def test_a_trigger_fires_when_its_task_may_be_resumed(
    end: str, emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WITHOUT_KEYS", '{"conn_type": "tencent_mps"}')
    trigger = ENDS[end](emulator)
    trigger.trigger_id = 1  # as a triggerer does
    with short_waits(resume_stay=STAY):
        status, seconds = run(trigger)
    assert status == end.split()[-1]
    assert seconds >= STAY


@pytest.mark.parametrize("end", ["done", "no room: timeout"])
def test_a_trigger_stays_as_long_as_the_worker_that_deferred_says(end: str, emulator: MpsEmulator) -> None:
    trigger = ENDS[end](emulator)
    _, arguments = trigger.serialize()
    assert arguments["stay"] is None, "as one that an earlier version saved"
    trigger = type(trigger)(**arguments | {"stay": STAY})
    trigger.trigger_id = 1
    status, seconds = run(trigger)
    assert status == end.split()[-1]
    assert seconds >= STAY


@pytest.mark.parametrize("interval", [None, 1, 30])
def test_the_stay_follows_the_heartbeat_interval_of_the_worker_that_defers(
    interval: int | None, emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    if interval is not None:
        monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", str(interval))
    arguments: dict[str, Any] = MUSIC_ARGUMENTS | {"task_id": "one", "deferrable": True}
    operator = partial(CreateAigcAudioTaskOperator, **arguments, wait_for_completion=True)
    sensor = partial(AigcAudioTaskSensor, mps_task_id=emulator.add_task("aigc_audio"), task_id="one", deferrable=True)
    for make in (operator, sensor, operator):
        with pytest.raises(TaskDeferred) as deferred:
            make().execute(TaskInstance(make).context)
        assert deferred.value.trigger.serialize()[1]["stay"] == (5 if interval is None else interval) + 3
        emulator.fault("error", CREATE, code="RequestLimitExceeded")  # the last one waits for room


def test_one_that_no_worker_began_and_one_in_dag_test_fire_at_once(emulator: MpsEmulator) -> None:
    begun_in_the_triggerer = waits_for(emulator, seconds_before_timeout=60.0)
    begun_in_the_triggerer.trigger_id = 1
    with short_waits(resume_stay=3600.0):
        assert run(begun_in_the_triggerer)[0] == "done"
        assert run(waits_for(emulator))[0] == "done"
