"""Waiting for a task that somebody else submitted: poking, rescheduling and deferring end the same way."""

import re
from collections.abc import Callable
from enum import StrEnum
from itertools import repeat
from typing import Any

import pytest

from airflow_provider_mps.api.errors import InvalidArgumentError, NoResultError, TaskFailedError
from airflow_provider_mps.api.patience import short_waits
from airflow_provider_mps.compat import AirflowFailException, AirflowSensorTimeout
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from tests.doubles.airflows import AirflowSkipException, TaskDeferred
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.in_time import ends
from tests.doubles.logs import Lines, no_secret_in
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.servers import LoopbackServer, states
from tests.doubles.task_instances import Outcome, TaskInstance, run_task, trigger_of

Connect = Callable[..., None]
WAYS = pytest.mark.parametrize(
    "way",
    [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True}],
    ids=["poke", "reschedule", "deferrable"],
)


def sensor(mps_task_id: Any, **arguments: Any) -> AigcAudioTaskSensor:
    return AigcAudioTaskSensor(**({"task_id": "wait", "mps_task_id": mps_task_id, "poke_interval": 0.05} | arguments))


def create(emulator: MpsEmulator, fault: str = "", **fields: Any) -> str:
    """A task at MPS, created with a fault."""
    if fault:
        emulator.fault(fault, CREATE, message="the model was out of tune")
    return MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS | fields)


@WAYS
def test_it_returns_the_result_and_pushes_the_urls(emulator: MpsEmulator, way: dict[str, Any]) -> None:
    task_id = create(emulator, additional_parameters={"n": 2})
    result, xcoms = run_task(sensor(task_id, **way))
    answer = MpsHook().describe_aigc_audio_task(task_id).response
    assert result == {"TaskId": task_id, "Status": "DONE", "AudioInfos": answer["AudioInfos"], "VideoInfos": []}
    assert xcoms.pop("usage")["files"] == 2
    assert xcoms == {"audio_urls": [info["Url"] for info in answer["AudioInfos"]]}
    assert len(xcoms["audio_urls"]) == 2


@WAYS
def test_a_task_that_is_done_already(emulator: MpsEmulator, way: dict[str, Any]) -> None:
    result, _ = run_task(sensor(emulator.add_task(wait_seconds=0, run_seconds=0), **way))
    assert result["Status"] == "DONE"


def test_the_deferral_uses_the_sensors_own_interval_and_timeout(emulator: MpsEmulator) -> None:
    waiting = sensor("one", deferrable=True, poke_interval=7, timeout=100)
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute(TaskInstance(lambda: waiting).context)
    trigger = trigger_of(deferred.value)
    assert (trigger.kind, trigger.mps_task_id, trigger.poll_interval) == ("aigc_audio", "one", 7)
    assert deferred.value.timeout.total_seconds() > 100
    assert emulator.requests == []


@WAYS
def test_a_failed_task_fails_at_once(emulator: MpsEmulator, way: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException, match="the model was out of tune") as failed:
        run_task(sensor(create(emulator, "fail"), **way))
    assert isinstance(failed.value, TaskFailedError)


@WAYS
@pytest.mark.usefixtures("mps_short_waits")
def test_a_task_without_a_file_fails_after_a_while(emulator: MpsEmulator, way: dict[str, Any]) -> None:
    task_id = create(emulator)
    emulator.fault("done_without_url", DESCRIBE, times=None)
    with pytest.raises(NoResultError, match="DONE, and MPS gives no URL") as empty:
        run_task(sensor(task_id, **way))
    assert not isinstance(empty.value, AirflowFailException)


class Store(StrEnum):
    """What a sensor that reschedules has to keep things in from poke to poke."""

    WORKS = "works"
    FAILS = "fails"
    NONE = "none"


def run_in_mode_reschedule(task_id: str, store: Store, **arguments: Any) -> Outcome:
    """One try, each poke of which is a process of its own."""
    ti = TaskInstance(lambda: sensor(task_id, mode="reschedule", **arguments), retries=0)
    ti.has_store = store is not Store.NONE
    ti.failing_writes = repeat(store is Store.FAILS)
    return ends(ti.run)


@pytest.mark.parametrize("store", Store)
def test_a_url_that_comes_a_moment_later_is_waited_for_after_a_long_wait(connect: Connect, store: Store) -> None:
    with LoopbackServer(states("RUN", "DONE without URL", "DONE")) as server, short_waits(result_grace=0.2):
        connect(port=server.server_port)
        outcome = run_in_mode_reschedule("the-task", store, poke_interval=0.5)
    assert outcome.errors == []
    assert outcome.value["Status"] == "DONE"


@pytest.mark.parametrize("store", Store)
def test_a_url_that_never_comes_ends_a_sensor_that_reschedules(emulator: MpsEmulator, store: Store) -> None:
    task_id = create(emulator)
    emulator.fault("done_without_url", DESCRIBE, times=None)
    with short_waits(result_grace=0.2):
        [error] = run_in_mode_reschedule(task_id, store).errors
    assert isinstance(error, NoResultError)
    assert emulator.count(DESCRIBE) > 1


@WAYS
@pytest.mark.parametrize("code", ["AuthFailure.SecretIdNotFound", "UnauthorizedOperation"])
def test_a_final_error_fails_at_once(emulator: MpsEmulator, way: dict[str, Any], code: str) -> None:
    emulator.fault("error", DESCRIBE, code=code, times=None)
    with pytest.raises(AirflowFailException, match=code):
        run_task(sensor(create(emulator), **way))


@WAYS
def test_soft_fail_skips_for_a_failed_task(emulator: MpsEmulator, way: dict[str, Any]) -> None:
    with pytest.raises(AirflowSkipException):
        run_task(sensor(create(emulator, "fail"), soft_fail=True, **way))


@WAYS
def test_soft_fail_skips_for_a_timeout(emulator: MpsEmulator, way: dict[str, Any]) -> None:
    with pytest.raises(AirflowSkipException):
        run_task(sensor(create(emulator, "never_done"), soft_fail=True, timeout=0.5, **way))


@WAYS
@pytest.mark.parametrize("hangs", [False, True], ids=["never done", "no answer"])
def test_a_timeout_says_that_the_task_goes_on(
    emulator: MpsEmulator, connect: Connect, way: dict[str, Any], hangs: bool
) -> None:
    task_id = create(emulator, "never_done")
    if hangs:
        emulator.fault("hang", DESCRIBE, times=None)
    with pytest.raises(AirflowSensorTimeout, match=f"Not ended after .*{task_id}.* It goes on at MPS"):
        run_task(sensor(task_id, timeout=0.5, **way))


@pytest.mark.usefixtures("mps_short_waits")
@WAYS
@pytest.mark.parametrize("kind", ["http_502", "cut_mid", "not_json", "gzip", "unknown_status"])
def test_trouble_on_the_way_is_waited_out(emulator: MpsEmulator, way: dict[str, Any], kind: str) -> None:
    task_id = create(emulator)
    emulator.fault(kind, DESCRIBE, times=2)
    result, _ = run_task(sensor(task_id, **way))
    assert result["Status"] == "DONE"


@WAYS
@pytest.mark.parametrize("task_id", [None, "", "None", 7])
def test_a_task_id_that_is_none_is_named_before_anything_is_sent(
    emulator: MpsEmulator, way: dict[str, Any], task_id: Any
) -> None:
    with pytest.raises(AirflowFailException, match="mps_task_id") as wrong:
        run_task(sensor(task_id, **way))
    assert isinstance(wrong.value, InvalidArgumentError)
    assert emulator.requests == []


@WAYS
def test_a_bad_connection_is_named_before_anything_is_sent(
    emulator: MpsEmulator, connect: Connect, way: dict[str, Any]
) -> None:
    connect(site="eu")
    with pytest.raises(AirflowFailException, match=r"site: .*'eu'"):
        run_task(sensor("one", **way))
    assert emulator.requests == []


@WAYS
def test_the_log_tells_each_state_and_no_url(connect: Connect, logged: Lines, way: dict[str, Any]) -> None:
    with LoopbackServer(states("WAIT", "WAIT", "RUN", "PAUSED", "DONE")) as server:
        connect(port=server.server_port)
        run_task(sensor("the-task", **way))
    lines = [re.sub(r"\b\d+ s of", "... s of", line) for line in logged.of("the-task")]
    assert lines == [
        f"Task the-task: {state} after ... s of waiting" for state in ("WAIT", "RUN", "PAUSED", "DONE")
    ] + ["AIGC audio task the-task is DONE: 2 wav (3 s, 3 s)"]
    assert no_secret_in(logged.lines)


def test_the_task_id_is_a_template() -> None:
    assert set(AigcAudioTaskSensor.template_fields) == {"mps_task_id", "mps_conn_id"}


@WAYS
@pytest.mark.parametrize("kind", ["aigc_video", "aigc_image", "media"])
def test_a_task_id_of_another_family_is_named_as_such(emulator: MpsEmulator, way: dict[str, Any], kind: str) -> None:
    task_id = emulator.add_task(kind)
    with pytest.raises(AirflowFailException, match=f"mps_task_id: {task_id} is of the kind") as refused:
        run_task(sensor(task_id, **way))
    assert isinstance(refused.value, InvalidArgumentError)
    assert emulator.requests == []
