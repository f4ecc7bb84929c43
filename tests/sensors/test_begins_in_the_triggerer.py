"""Sensors whose wait begins in the triggerer: what Airflow is given for that, and where a worker begins."""

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowSensorTimeout, TaskDeferred, task_group

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.execution import without_worker
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from airflow_provider_mps.triggers.without_worker import CAN_BE_ALL
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import TaskInstance, run_task

pytestmark = pytest.mark.skipif(not CAN_BE_ALL, reason="triggers render templates from Airflow 3.3 on")


def sensor(mps_task_id: Any = "{{ params.id }}", **arguments: Any) -> AigcAudioTaskSensor:
    told: dict[str, Any] = {"task_id": "wait", "start_from_trigger": True, "poke_interval": 7} | arguments
    return AigcAudioTaskSensor(mps_task_id=mps_task_id, **told)


def begun_with(waiting: AigcAudioTaskSensor) -> dict[str, Any]:
    """What the trigger is made of, without a worker."""
    assert waiting.start_from_trigger
    assert waiting.start_trigger_args is not None
    assert waiting.start_trigger_args.next_method == "execute_complete"
    return dict(waiting.start_trigger_args.trigger_kwargs or {})


def test_the_trigger_is_made_of_the_sensors_arguments_with_its_templates() -> None:
    told = begun_with(sensor(mps_conn_id="{{ params.conn }}", max_poll_failures=3))
    trigger = MpsTaskTrigger(**told)
    assert (trigger.kind, trigger.mps_task_id, trigger.mps_conn_id) == (
        "aigc_audio",
        "{{ params.id }}",
        "{{ params.conn }}",
    )
    assert (trigger.poll_interval, trigger.max_poll_failures, trigger.abort_on_kill) == (7, 3, False)
    assert trigger.xcoms is None


@pytest.mark.parametrize("limits", [{"timeout": 100}, {"timeout": 500, "execution_timeout": timedelta(seconds=100)}])
def test_airflow_itself_ends_it_no_sooner_than_the_sensor_does(limits: dict[str, Any]) -> None:
    waiting = sensor(**limits)
    before = begun_with(waiting)["seconds_before_timeout"]
    assert waiting.start_trigger_args is not None
    assert waiting.start_trigger_args.timeout is not None
    assert waiting.start_trigger_args.timeout.total_seconds() - before == 100


def test_what_a_task_returned_is_pulled_by_the_triggerer() -> None:
    with DAG("dag", schedule=None):
        created = CreateAigcAudioTaskOperator(task_id="created", **MUSIC_ARGUMENTS)
        waiting = sensor(created.output)
    assert begun_with(waiting)["mps_task_id"] == (
        "{{ ti.xcom_pull(task_ids='created', key='return_value', map_indexes=-1) }}"
    )
    assert waiting.upstream_task_ids == {"created"}


def test_in_a_mapped_group_it_is_the_one_of_the_same_index() -> None:
    made: list[AigcAudioTaskSensor] = []
    with DAG("dag", schedule=None):

        @task_group
        def each(prompt: Any) -> None:
            created = CreateAigcAudioTaskOperator(task_id="created", **MUSIC_ARGUMENTS | {"prompt": prompt})
            made.append(sensor(created.output))

        each.expand(prompt=["wind", "hail"])
    assert "map_indexes=ti.map_index" in begun_with(made[0])["mps_task_id"]


def test_a_worker_begins_where_a_triggerer_cannot_render() -> None:
    with DAG("dag", schedule=None):
        mapped = CreateAigcAudioTaskOperator.partial(task_id="many", model_name="MiniMaxMusic").expand(
            prompt=["a", "b"]
        )
        one_of_them = sensor(mapped.output, task_id="of_mapped")
    for by_a_worker in (one_of_them, sensor("{{ ti.xcom_pull(task_ids='created') }}")):
        assert by_a_worker.start_trigger_args is None
        assert not by_a_worker.start_from_trigger
        assert by_a_worker.deferrable
    assert sensor("{{ ti.xcom_pull(task_ids='created', map_indexes=0) }}").start_trigger_args is not None


def test_before_airflow_3_3_a_worker_begins_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(without_worker, "CAN_BE_ALL", False)
    waiting = sensor("one")
    assert waiting.start_trigger_args is None
    assert not waiting.start_from_trigger
    assert waiting.deferrable


def test_a_worker_that_begins_it_defers_whatever_the_mode(emulator: MpsEmulator) -> None:
    waiting = sensor("one")
    with pytest.raises(TaskDeferred):
        waiting.execute(TaskInstance(lambda: waiting).context)
    assert emulator.requests == []


def test_by_default_a_worker_begins_it() -> None:
    waiting = AigcAudioTaskSensor(task_id="wait", mps_task_id="one", deferrable=True)
    assert not waiting.start_from_trigger
    assert waiting.start_trigger_args is None


@pytest.mark.parametrize("name", ["start_from_trigger", "end_from_trigger"])
def test_what_is_neither_true_nor_false_is_named(emulator: MpsEmulator, name: str) -> None:
    flags: dict[str, Any] = {name: "yes"}
    with pytest.raises(InvalidArgumentError, match=name):
        run_task(AigcAudioTaskSensor(task_id="wait", mps_task_id="one", **flags))
    assert emulator.requests == []


def test_a_wait_that_no_worker_began_tells_its_timeout_as_any_other(emulator: MpsEmulator) -> None:
    waiting = sensor(emulator.add_task(run_seconds=600))
    event = {"status": "timeout", "mps_task_id": waiting.mps_task_id, "message": "too late\nIt goes on"}
    with pytest.raises(AirflowSensorTimeout, match="too late"):
        waiting.execute_complete(TaskInstance(lambda: waiting).context, event)
