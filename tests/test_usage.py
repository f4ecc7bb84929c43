"""What a task made: told by each way of waiting, of tasks that end well and that fail, and without a URL."""

import json
from typing import Any

import pytest

from airflow_provider_mps.api.errors import AmbiguousCreateError
from airflow_provider_mps.api.prices import Prices
from airflow_provider_mps.api.tasks import AIGC_AUDIO
from airflow_provider_mps.api.tasks.usage import usage_of
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    CreateAigcImageTaskOperator,
    CreateAigcVideoTaskOperator,
    EditMediaOperator,
)
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from tests.doubles.emulators import CREATE
from tests.doubles.in_time import ends
from tests.doubles.recorded_stats import RecordedStats
from tests.doubles.seen import FILM_ARGUMENTS, MUSIC_ARGUMENTS, PICTURE_ARGUMENTS
from tests.doubles.task_instances import Outcome, State, TaskInstance
from tests.doubles.ways import ARGUMENTS, OPERATORS, WAITINGS_IN_TURN, Waiting

WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["here", "in the triggerer"])
SIGNED = "https://files.example/a.mp3?sign=secret"


def run(cls: type[Any], *, retries: int = 0, **arguments: Any) -> Outcome:
    told = {"task_id": "create", "wait_for_completion": True, "poll_interval": 0.05} | arguments
    return ends(TaskInstance(lambda: cls(**told), retries).run)


@pytest.mark.usefixtures("airflow_db")  # which a sensor that reschedules reads before Airflow 3
@pytest.mark.parametrize("waiting", WAITINGS_IN_TURN, ids=str)
def test_each_way_of_waiting_tells_what_was_made(emulator: MpsEmulator, waiting: Waiting) -> None:
    outcome = ends(waiting.task_instance(emulator, "tencent_mps_default").run)
    assert outcome.state is State.SUCCESS, outcome.errors
    made = outcome.xcoms["usage"]
    [task] = emulator.tasks
    assert (made["mps_task_id"], made["kind"], made["state"]) == (task.task_id, waiting.cls.family.kind, "DONE")
    assert made["files"] >= (0 if waiting.may_have_no_file else 1)
    assert "billed" not in made
    assert "://" not in json.dumps(made)


@WAYS
def test_a_song_has_its_model_and_its_seconds(emulator: MpsEmulator, deferrable: bool) -> None:
    outcome = run(CreateAigcAudioTaskOperator, **MUSIC_ARGUMENTS, deferrable=deferrable)
    [info] = outcome.xcoms["result"]["AudioInfos"]
    assert outcome.xcoms["usage"] == {
        "mps_task_id": outcome.value,
        "kind": "aigc_audio",
        "state": "DONE",
        "model": "MiniMaxMusic",
        "version": "2.6",
        "files": 1,
        "seconds": info["Duration"],
    }


@WAYS
def test_a_film_has_its_size_and_what_was_asked_for(emulator: MpsEmulator, deferrable: bool) -> None:
    asked: dict[str, Any] = {"duration": 5, "extra_parameters": {"Resolution": "1080P"}}
    outcome = run(CreateAigcVideoTaskOperator, **FILM_ARGUMENTS, **asked, deferrable=deferrable)
    assert outcome.xcoms["usage"] == {
        "mps_task_id": outcome.value,
        "kind": "aigc_video",
        "state": "DONE",
        "model": "Kling",
        "version": "2.1",
        "requested_seconds": 5,
        "requested_resolution": "1080P",
        "files": 1,
        "resolution": outcome.xcoms["result"]["Resolution"],
    }


def test_a_picture_without_a_version_has_none(emulator: MpsEmulator) -> None:
    outcome = run(CreateAigcImageTaskOperator, **PICTURE_ARGUMENTS)
    assert outcome.xcoms["usage"] == {
        "mps_task_id": outcome.value,
        "kind": "aigc_image",
        "state": "DONE",
        "model": "Qwen",
        "files": 1,
    }


def test_an_edited_film_has_its_seconds_and_its_size(emulator: MpsEmulator) -> None:
    outcome = run(EditMediaOperator, **ARGUMENTS["EditMediaOperator"])
    [described] = [outcome.xcoms["result"]["Output"]["MetaData"]]
    made = outcome.xcoms["usage"]
    assert (made["kind"], made["files"]) == ("media", 1)
    assert made["seconds"] == pytest.approx(described["Duration"], abs=0.001)
    assert made["resolution"] == f"{described['Width']}x{described['Height']}"
    assert "model" not in made


@WAYS
@pytest.mark.parametrize(
    ("cls", "arguments", "billed"),
    [
        (CreateAigcAudioTaskOperator, MUSIC_ARGUMENTS, {}),
        (CreateAigcVideoTaskOperator, FILM_ARGUMENTS, {"billed": False}),
        (CreateAigcImageTaskOperator, PICTURE_ARGUMENTS, {"billed": False}),
    ],
)
def test_of_a_task_that_failed_no_more_is_said_of_bills_than_is_known(
    emulator: MpsEmulator, cls: type[Any], arguments: dict[str, Any], billed: dict[str, Any], deferrable: bool
) -> None:
    emulator.fault("fail", cls.request.action, message=f"out of tune, see {SIGNED}")
    outcome = run(cls, **arguments, deferrable=deferrable)
    assert outcome.state is State.FAILED
    [task] = emulator.tasks
    named = {"model": arguments["model_name"]}
    if "model_version" in arguments:
        named["version"] = arguments["model_version"]
    assert outcome.xcoms["usage"] == {
        "mps_task_id": task.task_id,
        "kind": cls.family.kind,
        "state": "FAIL",
        **named,
        "files": 0,
        **billed,
    }


def test_an_xcom_that_cannot_be_pushed_does_not_hide_the_failure(
    emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ConnectionError("the XCom backend is down")

    emulator.fault("fail", CREATE, message="out of tune")
    create = CreateAigcAudioTaskOperator(
        task_id="create", **MUSIC_ARGUMENTS, wait_for_completion=True, poll_interval=0.05
    )
    instance = TaskInstance(lambda: create, retries=0)
    monkeypatch.setattr(instance, "xcom_push", lambda key, value: broken() if key == "usage" else None)
    [error] = ends(instance.run).errors
    assert "out of tune" in str(error)


def test_a_signed_url_in_place_of_a_word_is_left_out(emulator: MpsEmulator) -> None:
    odd: dict[str, Any] = {"extra_parameters": {"Resolution": SIGNED}}
    outcome = run(CreateAigcVideoTaskOperator, **FILM_ARGUMENTS, **odd)
    assert outcome.xcoms["result"]["Resolution"] == SIGNED
    assert "esolution" not in json.dumps(outcome.xcoms["usage"])


def test_what_was_made_is_counted_by_kind_and_model(emulator: MpsEmulator, stats: RecordedStats) -> None:
    outcome = run(CreateAigcAudioTaskOperator, **MUSIC_ARGUMENTS)
    assert stats.counted["mps.usage.tasks"] == stats.counted["mps.usage.files"] == 1
    assert stats.counted["mps.usage.seconds"] == round(outcome.xcoms["usage"]["seconds"])
    assert stats.tags["mps.usage.files"] == {
        "kind": "aigc_audio",
        "state": "DONE",
        "model": "MiniMaxMusic",
        "version": "2.6",
        "resolution": "unknown",
    }


def test_a_failure_is_counted_without_seconds(emulator: MpsEmulator, stats: RecordedStats) -> None:
    emulator.fault("fail", CREATE, message="out of tune")
    task_id = MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS)
    sensor = AigcAudioTaskSensor(task_id="wait", mps_task_id=task_id, deferrable=True, poke_interval=0.1)
    assert ends(TaskInstance(lambda: sensor).run).state is State.FAILED
    assert (stats.counted["mps.usage.tasks"], stats.counted["mps.usage.files"]) == (1, 0)
    assert "mps.usage.seconds" not in stats.counted
    assert stats.tags["mps.usage.tasks"]["state"] == "FAIL"


@pytest.mark.parametrize(("operator", "waits"), [(each, turn % 2 == 0) for turn, each in enumerate(OPERATORS)])
def test_a_create_that_was_refused_has_made_nothing_and_is_not_billed(
    emulator: MpsEmulator, operator: type[Any], waits: bool
) -> None:
    emulator.fault("error", operator.request.action, code="FailedOperation.UserArrears")
    outcome = run(operator, **ARGUMENTS[operator.__name__], wait_for_completion=waits)
    assert outcome.state is State.FAILED
    made = {name: value for name, value in outcome.xcoms["usage"].items() if name not in ("model", "version")}
    assert made == {
        "mps_task_id": "",
        "kind": operator.family.kind,
        "state": "REFUSED",
        "files": 0,
        "billed": False,
    }


def test_so_has_one_for_which_there_was_no_room_in_time(emulator: MpsEmulator) -> None:
    emulator.fault("error", CREATE, code="RequestLimitExceeded", times=None)
    outcome = run(CreateAigcAudioTaskOperator, **MUSIC_ARGUMENTS, room_timeout=0.1)
    made = outcome.xcoms["usage"]
    assert (made["state"], made["billed"], made["model"]) == ("REFUSED", False, "MiniMaxMusic")


def test_of_one_that_is_in_doubt_nothing_is_told(emulator: MpsEmulator) -> None:
    emulator.fault("cut_after", CREATE)
    outcome = run(CreateAigcAudioTaskOperator, **MUSIC_ARGUMENTS)
    assert isinstance(outcome.errors[0], AmbiguousCreateError)
    assert "usage" not in outcome.xcoms


def test_nor_of_one_that_waits_for_room_while_an_earlier_sending_is_in_doubt(emulator: MpsEmulator) -> None:
    emulator.fault("cut_after", CREATE)
    emulator.fault("error", CREATE, code="RequestLimitExceeded", times=None)
    outcome = run(
        CreateAigcAudioTaskOperator, **MUSIC_ARGUMENTS, room_timeout=0.1, retry_ambiguous_create=True, retries=1
    )
    assert (emulator.count(CREATE) > 1, outcome.tries, len(emulator.tasks)) == (True, 2, 1)
    assert "usage" not in outcome.xcoms


@pytest.mark.parametrize("length", [1e308, 2**63 - 1, -5])
def test_a_strange_duration_spoils_no_result(length: float) -> None:
    response = {"Status": "DONE", "AudioInfos": [{"Url": "https://example.com/a.mp3", "Duration": length}] * 2}
    made = usage_of(AIGC_AUDIO, AIGC_AUDIO.status("the-task", response), {}, Prices())
    assert made["files"] == 2
    assert "seconds" not in made
