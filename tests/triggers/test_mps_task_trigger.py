"""The wait in the triggerer: one event, JSON all through, and nothing left behind."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_mps.api.errors import TaskFailedError
from airflow_provider_mps.api.tasks import FAMILIES
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.in_time import ends
from tests.doubles.logs import Lines, no_secret_in
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.servers import open_connections
from tests.doubles.task_instances import first_event

TITLES = {
    "aigc_audio": "AIGC audio",
    "aigc_video": "AIGC video",
    "aigc_image": "AIGC image",
    "media": "media processing",
    "process_image": "picture processing",
    "text_to_speech": "voice-over",
    "design_voice": "voice design",
    "aigc_scenario": "scenario film",
    "clone_viral": "viral clone",
    "hunyuan_3d": "3D model",
}


def trigger(mps_task_id: str, kind: str = "aigc_audio", **arguments: Any) -> MpsTaskTrigger:
    return MpsTaskTrigger(kind, mps_task_id, poll_interval=0.05, **arguments)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_task_that_is_done(emulator: MpsEmulator, kind: str) -> None:
    task_id = emulator.add_task(kind)
    event = first_event(trigger(task_id, kind))
    message = f"{TITLES[kind]} task {task_id} is done"
    assert event == {"version": 1, "status": "done", "mps_task_id": task_id, "message": message}


def test_a_task_that_failed(emulator: MpsEmulator) -> None:
    emulator.fault("fail", CREATE, message="out of tune, see https://files.example/a.wav?sign=secret")
    task_id = MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS)
    event = first_event(trigger(task_id))
    waited = event["error"]["what"].split()[2]
    error = {
        "what": f"FAIL after {waited} s of waiting: out of tune, see https://files.example/a.wav?...",
        "cost": "Whether a task that failed is billed is not known",
        "advice": TaskFailedError.advice,
        "details": f"Some requests fail each time. It is AIGC audio task {task_id}",
    }
    assert event == {
        "version": 1,
        "status": "failed",
        "mps_task_id": task_id,
        "message": " ".join(f"{part}." for part in error.values()).replace("?....", "?..."),
        "error": error,
        "usage": {"mps_task_id": task_id, "kind": "aigc_audio", "state": "FAIL", "files": 0},
    }


@pytest.mark.parametrize("hangs", [False, True], ids=["never done", "no answer"])
def test_a_deadline(emulator: MpsEmulator, hangs: bool) -> None:
    task_id = emulator.add_task(run_seconds=600)
    if hangs:
        emulator.fault("hang", DESCRIBE, times=None)
    event = first_event(trigger(task_id, deadline=time.time() + 0.5))
    assert (event["status"], event["mps_task_id"]) == ("timeout", task_id)
    assert "It goes on at MPS" in event["message"]
    assert set(event) == {"version", "status", "mps_task_id", "message", "error"}


def test_airflow_keeps_what_a_trigger_is_made_of() -> None:
    from airflow.sdk.serde import deserialize, serialize  # Airflow's own for what it stores, from 3.1 on

    arguments = trigger("one", deadline=1e9 + 0.5, max_poll_failures=3).serialize()[1]
    assert deserialize(json.loads(json.dumps(serialize(arguments)))) == arguments


def test_a_deadline_that_has_passed(emulator: MpsEmulator) -> None:
    assert first_event(trigger("one", deadline=time.time() - 60))["status"] == "timeout"


def test_a_final_error(emulator: MpsEmulator) -> None:
    emulator.fault("error", DESCRIBE, code="UnauthorizedOperation", message="not yours", times=None)
    event = first_event(trigger("one"))
    assert event["status"] == "error"
    assert event["error"]["what"] == f"{DESCRIBE}: UnauthorizedOperation: not yours"
    assert "RequestId " in event["error"]["details"]
    assert emulator.count(DESCRIBE) == 1


@pytest.mark.usefixtures("mps_short_waits")
def test_a_task_without_a_file(emulator: MpsEmulator) -> None:
    emulator.fault("done_without_url", DESCRIBE, times=None)
    event = first_event(trigger(emulator.add_task()))
    assert event["status"] == "error"
    assert "gives no URL" in event["message"]


def test_a_bad_connection(emulator: MpsEmulator, connect: Callable[..., None]) -> None:
    connect(password="")
    event = first_event(trigger("one"))
    assert event["status"] == "error"
    assert "password (SecretKey)" in event["message"]
    assert emulator.requests == []


def test_what_comes_unexpectedly_is_not_quoted(emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise KeyError("emulator-key")

    monkeypatch.setattr("airflow_provider_mps.api.wire.client.MpsClient.attempt", fail)
    event = first_event(trigger("one"))
    assert event == {
        "version": 1,
        "status": "error",
        "mps_task_id": "one",
        "message": "KeyError in the triggerer; its log has the details",
    }


def test_the_event_and_the_log_hold_no_url(emulator: MpsEmulator, logged: Lines) -> None:
    task_id = emulator.add_task()
    assert no_secret_in(map(str, first_event(trigger(task_id)).values()))
    assert logged.of(f"Task {task_id}: DONE after")
    assert no_secret_in(logged.lines)


def leaves_nothing(emulator: MpsEmulator, end: Callable[[list[asyncio.Task[Any]]], Any]) -> None:
    """Start waits in one event loop, end them, and look at what is left of them."""

    async def fired(wait: MpsTaskTrigger) -> Any:
        return await anext(aiter(wait.run()))

    async def run() -> None:
        before = asyncio.all_tasks()
        waits = [trigger(emulator.add_task(run_seconds=2), deadline=time.time() + 30) for _ in range(20)]
        running = [asyncio.create_task(fired(wait)) for wait in waits]
        while emulator.count(DESCRIBE) < 10:  # noqa: ASYNC110 - the emulator is in another thread
            await asyncio.sleep(0.01)
        assert len(open_connections(emulator.port)) <= 8
        end(running)
        await asyncio.wait(running)
        for wait in waits:
            await wait.cleanup()
        while asyncio.all_tasks() != before:  # noqa: ASYNC110 - the poller closes its client
            await asyncio.sleep(0.01)
        assert open_connections(emulator.port) == []

    ends(lambda: asyncio.run(run()))


def test_cancelled_triggers_leave_neither_tasks_nor_connections(emulator: MpsEmulator) -> None:
    emulator.fault("hang", DESCRIBE, after=9)
    leaves_nothing(emulator, lambda running: [task.cancel() for task in running])


def test_ended_triggers_leave_neither_tasks_nor_connections(emulator: MpsEmulator) -> None:
    leaves_nothing(emulator, lambda running: None)


def test_triggers_of_one_account_share_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with MpsEmulator(wait_seconds=0.2, run_seconds=0.2, requests_per_second=20) as emulator:
        # Half of what the service allows, so that a machine that stalls and catches up stays below it.
        connection = emulator.connection | {"extra": {"requests_per_second": 10}}
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(connection))
        waits = [trigger(emulator.add_task()) for _ in range(30)]

        async def run() -> list[Any]:
            return await asyncio.gather(*(anext(aiter(wait.run())) for wait in waits))

        events = ends(lambda: asyncio.run(run()))
        assert {event.payload["status"] for event in events} == {"done"}
        assert {request.answer for request in emulator.requests} == {"ok"}, "none was throttled"
