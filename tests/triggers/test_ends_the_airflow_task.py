"""A wait that ends its Airflow task in the triggerer: with what a worker would push, and only where all is well."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, TaskDeferred
from airflow.triggers.base import TaskSuccessEvent

from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from airflow_provider_mps.triggers.without_worker import CAN_BE_ALL
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.in_time import ends
from tests.doubles.logs import Lines
from tests.doubles.recorded_stats import RecordedStats
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import State, TaskInstance, run_task, trigger_of

pytestmark = pytest.mark.skipif(not CAN_BE_ALL, reason="Airflow can do without a worker from 3.3 on")

WAITS = {"wait_for_completion": True, "deferrable": True, "poll_interval": 0.05}


def create(**arguments: Any) -> CreateAigcAudioTaskOperator:
    return CreateAigcAudioTaskOperator(
        task_id="wait", **MUSIC_ARGUMENTS | WAITS | {"end_from_trigger": True} | arguments
    )


def sensor(mps_task_id: str, **arguments: Any) -> AigcAudioTaskSensor:
    told = {"deferrable": True, "poke_interval": 0.05, "end_from_trigger": True} | arguments
    return AigcAudioTaskSensor(task_id="wait", mps_task_id=mps_task_id, **told)


def deferred_by(task: Any, instance: TaskInstance | None = None) -> MpsTaskTrigger:
    """The trigger that a task waits with, as a triggerer has it."""
    with pytest.raises(TaskDeferred) as deferred:
        task.execute((instance or TaskInstance(lambda: task)).context)
    trigger: MpsTaskTrigger = trigger_of(deferred.value)
    trigger.trigger_id = 1
    trigger.task_instance = TaskInstance(lambda: task)  # type: ignore[assignment]
    return trigger


@pytest.fixture(autouse=True)
def pushed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The XComs that were pushed through the triggerer's supervisor, as it stores them."""
    found: dict[str, Any] = {}

    class Supervisor:
        async def asend(self, message: Any) -> None:
            assert (message.dag_id, message.run_id, message.task_id, message.map_index) == ("dag", "run", "wait", -1)
            found[message.key] = message.value

    runner = "airflow.sdk.execution_time.task_runner"
    monkeypatch.setattr(f"{runner}.SUPERVISOR_COMMS", Supervisor(), raising=False)
    return found


def fired_by(trigger: MpsTaskTrigger) -> Any:
    async def first() -> Any:
        return await anext(trigger.run())

    return ends(lambda: asyncio.run(first()))


def test_a_sensor_leaves_what_a_worker_would_and_asks_no_second_time(
    emulator: MpsEmulator, pushed: dict[str, Any]
) -> None:
    task_id = emulator.add_task()
    event = fired_by(deferred_by(sensor(task_id)))
    asked = emulator.count(DESCRIBE)
    result, xcoms = run_task(AigcAudioTaskSensor(task_id="wait", mps_task_id=task_id))
    assert asked < emulator.count(DESCRIBE)
    assert isinstance(event, TaskSuccessEvent)
    assert event.xcoms is None, "Airflow would store them as texts"
    assert pushed == {
        **xcoms,
        "return_value": result,
        "_link_ListenLink": xcoms["audio_urls"][0],
        "_link_MpsConsoleLink": f"{emulator.url}/",
    }


def test_a_create_leaves_its_task_id_its_result_and_the_files(emulator: MpsEmulator, pushed: dict[str, Any]) -> None:
    fired_by(deferred_by(create()))
    [task] = emulator.tasks
    urls = [info["Url"] for info in pushed["result"]["AudioInfos"]]
    assert pushed["return_value"] == pushed["result"]["TaskId"] == task.task_id
    assert pushed["audio_urls"] == urls
    assert (pushed["usage"]["model"], pushed["usage"]["files"]) == (MUSIC_ARGUMENTS["model_name"], len(urls))


def test_a_worker_ends_it_where_xcoms_cannot_be_pushed(
    emulator: MpsEmulator, logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", None)
    assert fired_by(deferred_by(create())).payload["status"] == "done"
    assert logged.of("The XComs could not be pushed (AttributeError): a worker ends this task")


def test_what_it_made_is_counted_in_the_triggerer(emulator: MpsEmulator, stats: RecordedStats) -> None:
    fired_by(deferred_by(create()))
    assert (stats.counted["mps.usage.tasks"], stats.counted["mps.usage.files"]) == (1, 1)


def test_without_do_xcom_push_nothing_is_returned(emulator: MpsEmulator, pushed: dict[str, Any]) -> None:
    fired_by(deferred_by(sensor(emulator.add_task(), do_xcom_push=False)))
    assert "return_value" not in pushed
    assert pushed["audio_urls"]


def test_neither_the_logged_event_nor_the_log_holds_a_url(
    emulator: MpsEmulator, logged: Lines, pushed: dict[str, Any]
) -> None:
    task_id = emulator.add_task()
    event = fired_by(deferred_by(sensor(task_id)))
    [url] = pushed["audio_urls"]
    assert url not in repr(event)  # which Airflow logs
    assert any("is DONE" in line for line in logged.of(task_id))
    assert not [line for line in logged.lines if url in line]


def test_a_task_that_failed_is_told_by_a_worker_which_asks_no_second_time(emulator: MpsEmulator) -> None:
    emulator.fault("fail", CREATE, message="out of tune")
    event = fired_by(deferred_by(sensor(MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS))))
    assert event.payload["status"] == "failed"
    asked = emulator.count(DESCRIBE)
    waiting = sensor(event.payload["mps_task_id"])
    with pytest.raises(Exception, match="out of tune"):
        waiting.execute_complete(TaskInstance(lambda: waiting).context, event.payload)
    assert emulator.count(DESCRIBE) == asked


def test_a_trigger_takes_where_files_are_stored_from_any_mapping(emulator: MpsEmulator) -> None:
    store = {"CosBucketName": "songs-125", "CosBucketRegion": "ap-singapore"}
    trigger = deferred_by(create(store_cos_param=MappingProxyType(store)))
    assert trigger.store_cos_param == store
    assert isinstance(fired_by(trigger), TaskSuccessEvent)


def test_a_worker_ends_a_task_with_outlets_and_the_log_says_so(emulator: MpsEmulator, logged: Lines) -> None:
    trigger = deferred_by(sensor(emulator.add_task(), outlets=[Asset("songs")]))
    assert trigger.xcoms is None
    assert fired_by(trigger).payload["status"] == "done"
    assert any("end_from_trigger" in line and "outlets" in line for line in logged.lines)


def test_a_task_id_that_a_template_made_wrong_is_told_before_anything_is_sent(emulator: MpsEmulator) -> None:
    event = fired_by(MpsTaskTrigger("aigc_audio", "a/1", xcoms={}))
    assert event.payload["status"] == "error"
    assert "mps_task_id: must be a TaskId" in event.payload["message"]
    assert emulator.requests == []


@pytest.mark.parametrize("zone", [UTC, None])
def test_a_wait_that_no_worker_began_gives_up_before_airflow_does(emulator: MpsEmulator, zone: Any) -> None:
    trigger = MpsTaskTrigger("aigc_audio", emulator.add_task(run_seconds=600), seconds_before_timeout=60.0)
    ends_at = datetime.now(UTC) + timedelta(seconds=60.2)
    trigger.timeout_after = ends_at if zone else ends_at.replace(tzinfo=None)  # type: ignore[attr-defined]
    assert fired_by(trigger).payload["status"] == "timeout"


def test_a_clear_after_it_delivers_the_same_file_and_says_so_and_the_next_makes_a_new_one(
    emulator: MpsEmulator, logged: Lines
) -> None:
    instance = TaskInstance(create, retries=0)
    fired_by(deferred_by(create(), instance))
    instance.try_number = 1
    outcome = ends(instance.run)
    assert outcome.state is State.SUCCESS
    assert [task.task_id for task in emulator.tasks] == [outcome.value]
    assert any("clear this Airflow task once more" in line for line in logged.lines)
    assert ends(instance.run).state is State.SUCCESS
    assert len(emulator.tasks) == 2
