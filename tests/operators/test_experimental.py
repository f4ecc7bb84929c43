"""Families that nobody is known to have met: created by MpsTaskOperator, they are waited for as any other."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from airflow_provider_mps.api.errors import AmbiguousCreateError, ApiError
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import MpsTaskOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from tests.doubles.task_instances import Killed, State, TaskInstance, run_task
from tests.promises.test_paid_once_at_random import kills_strike_calls_too

CREATES: list[tuple[str, str, dict[str, Any], str, bytes]] = [
    ("aigc_scenario", "CreateVideoRedrawTask", {"Input": {"Url": "https://a/b.mp4"}}, "video_urls", b"ftyp"),
    ("aigc_scenario", "CreateAiDramaTask", {"Input": {"Script": "A fox."}}, "video_urls", b"ftyp"),
    ("aigc_scenario", "CreateAiFissionTask", {"Input": {"Text": "A coat."}}, "video_urls", b"ftyp"),
    ("aigc_scenario", "CreateDocToVideoTask", {"Input": {"Prompt": "A film."}}, "video_urls", b"ftyp"),
    ("clone_viral", "CloneViral", {"VideoUrl": "https://a/b.mp4"}, "video_urls", b"ftyp"),
    ("hunyuan_3d", "SubmitHunyuan3DTask", {"Prompt": "A fox."}, "model_urls", b"glTF"),
]


@pytest.mark.parametrize(
    ("deferrable", "family", "action", "params", "key", "magic"),
    [(turn % 2 == 0, *create) for turn, create in enumerate(CREATES)],
)
def test_each_is_created_and_waited_for(
    emulator: MpsEmulator, deferrable: bool, family: str, action: str, params: dict[str, Any], key: str, magic: bytes
) -> None:
    how: dict[str, Any] = {"wait_for_completion": True, "deferrable": deferrable, "poll_interval": 0.05}
    create = MpsTaskOperator(task_id="create", family=family, action=action, mps_params=params, **how)
    task_id, xcoms = run_task(create)
    [task] = emulator.tasks
    assert (task.task_id, task.params) == (task_id, params)
    [url] = xcoms[key]
    assert magic in httpx.get(url, timeout=60).content[:12]
    wait = MpsTaskSensor(task_id="wait", family=family, mps_task_id=task_id, poke_interval=0.1)
    assert run_task(wait)[0] == xcoms["result"]


def test_a_refusal_inside_of_a_success_ends_the_create_and_costs_nothing(emulator: MpsEmulator) -> None:
    emulator.fault("refused_inside", "CloneViral", message="The film is too long.")
    family, action, params, _, _ = CREATES[4]
    with pytest.raises(ApiError, match=r"The film is too long.*nothing is billed") as refused:
        run_task(MpsTaskOperator(task_id="create", family=family, action=action, mps_params=params))
    assert isinstance(refused.value, AirflowFailException)
    assert emulator.tasks == []


def film() -> MpsTaskOperator:
    family, action, params, _, _ = CREATES[1]
    return MpsTaskOperator(task_id="create", family=family, action=action, mps_params=params)


@pytest.mark.usefixtures("mps_short_waits")
def test_a_scenario_film_in_doubt_is_found_by_the_mark_of_its_create(emulator: MpsEmulator) -> None:
    other, _ = run_task(film())
    emulator.fault("cut_after", "CreateAiDramaTask")
    found, _ = run_task(film())
    assert [task.task_id for task in emulator.tasks] == [other, found]
    assert emulator.count("CreateAiDramaTask") == 2


@pytest.mark.usefixtures("mps_short_waits")
def test_a_time_limit_during_that_search_leaves_the_doubt(emulator: MpsEmulator) -> None:
    """Else Airflow would see a timeout, which it retries."""
    emulator.fault("cut_after", "CreateAiDramaTask")
    emulator.fault("hang", "DescribeAigcTaskList", times=None)

    def limited() -> MpsTaskOperator:
        operator = film()
        operator.execution_timeout = timedelta(seconds=1.5)
        return operator

    outcome = TaskInstance(limited, retries=3).run()
    [error] = outcome.errors
    assert isinstance(error, AmbiguousCreateError)
    assert len(emulator.tasks) == 1


@pytest.mark.usefixtures("mps_short_waits")
def test_so_is_one_whose_worker_was_lost(emulator: MpsEmulator) -> None:
    instance = TaskInstance(film, retries=1)
    instance.kills = [5]  # it has sent, and got no answer
    with kills_strike_calls_too(instance):
        outcome = instance.run()
    assert [type(error) for error in outcome.errors] == [Killed]
    assert (outcome.state, outcome.value) == (State.SUCCESS, emulator.tasks[0].task_id)
    assert emulator.count("CreateAiDramaTask") == 1


@pytest.mark.usefixtures("mps_short_waits")
@pytest.mark.parametrize("listed", [True, False], ids=["it never ran", "the list is not there"])
def test_one_that_is_not_found_stays_in_doubt_and_is_not_paid_for_again(emulator: MpsEmulator, listed: bool) -> None:
    emulator.fault("cut_before", "CreateAiDramaTask")
    if not listed:
        emulator.fault("error", "DescribeAigcTaskList", times=None, code="InvalidAction")
    outcome = TaskInstance(film, retries=3).run()
    [error] = outcome.errors
    assert isinstance(error, AmbiguousCreateError)
    assert "DescribeAigcTaskList" in str(error)
    assert emulator.count("CreateAiDramaTask") == 1
