"""A trigger never fires before Airflow has seen the end of the process that deferred the task."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_mps.api import patience
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.triggers import resuming
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from airflow_provider_mps.triggers.room import MpsRoomTrigger
from tests.doubles.in_time import ends

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
    bearing = replace(patience.patience(), resume_stay=STAY)
    monkeypatch.setattr(resuming, "patience", lambda: bearing)
    trigger = ENDS[end](emulator)
    trigger.trigger_id = 1  # as a triggerer does
    status, seconds = run(trigger)
    assert status == end.split()[-1]
    assert seconds >= STAY


def test_one_that_no_worker_began_and_one_in_dag_test_fire_at_once(
    emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    bearing = replace(patience.patience(), resume_stay=3600.0)
    monkeypatch.setattr(resuming, "patience", lambda: bearing)
    begun_in_the_triggerer = waits_for(emulator, seconds_before_timeout=60.0)
    begun_in_the_triggerer.trigger_id = 1
    assert run(begun_in_the_triggerer)[0] == "done"
    assert run(waits_for(emulator))[0] == "done"
