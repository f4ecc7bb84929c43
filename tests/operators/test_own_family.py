"""A family of one's own, as docs/operators.md shows it: created, waited for and paid once like any other task."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import MpsTaskOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.doubles.own_family import PosterOperator
from tests.doubles.task_instances import TaskInstance, first_event, run_task
from tests.doubles.ways import Waiting, Way

# The emulator knows the actions for images; a family's answers are all that differs.
PLUGIN = """
from airflow_provider_mps.api import TaskFamily


class Posters(TaskFamily):
    kind = "posters:POSTERS"
    title = "poster"
    describe = "DescribeAigcImageTask"
    outputs = {"poster": "ImageUrls"}


class Others(Posters):
    kind = "others"


POSTERS = Posters()
OTHERS = Others()
"""
REQUEST: dict[str, Any] = {"ModelName": "Kling", "Prompt": "A fox"}
POSTER: dict[str, Any] = {"family": "posters:POSTERS", "action": "CreateAigcImageTask", "mps_params": REQUEST}


SUBJECTS = [Waiting(PosterOperator, Way.OPERATOR_SYNC)]
"""What stands in the docs' table for the bad input here."""


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "posters.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("posters", None)


@pytest.mark.parametrize(
    "odd",
    [
        {"AdditionalParameters": None},
        {"AdditionalParameters": ["n"]},
        {"AdditionalParameters": "no object"},
        {"ImageInfos": None},
        {"ImageInfos": ["https://a.example/a.png"]},
        {"Duration": "5"},
        {"ModelName": ["Kling"]},
    ],
    ids=str,
)
def test_of_fields_as_a_user_wrote_them_mps_judges_and_nobody_else(odd: dict[str, Any], emulator: MpsEmulator) -> None:
    """As native rendering makes them, too."""
    params = REQUEST | odd
    TaskInstance(lambda: MpsTaskOperator(task_id="create", **POSTER | {"mps_params": params}), retries=0).run()
    [sent] = [request.params for request in emulator.requests if request.action == "CreateAigcImageTask"]
    assert sent == params


@pytest.mark.parametrize("deferrable", [False, True])
def test_it_is_created_and_waited_for_in_every_mode(emulator: MpsEmulator, deferrable: bool) -> None:
    how: dict[str, Any] = {"wait_for_completion": True, "deferrable": deferrable, "poll_interval": 0.1}
    task_id, xcoms = run_task(MpsTaskOperator(task_id="create", **POSTER, **how))
    [task] = emulator.tasks
    assert (task.task_id, task.params) == (task_id, REQUEST)
    assert len(xcoms["poster_urls"]) == 1
    assert xcoms["result"]["ImageUrls"] == xcoms["poster_urls"]
    assert (xcoms["usage"]["kind"], xcoms["usage"]["files"]) == ("posters:POSTERS", 1)

    wait = MpsTaskSensor(
        task_id="wait", family="posters:POSTERS", mps_task_id=task_id, deferrable=deferrable, poke_interval=0.1
    )
    result, sensed = run_task(wait)
    assert result == xcoms["result"]
    assert sensed["poster_urls"] == xcoms["poster_urls"]


def test_the_family_itself_can_be_given_instead_of_its_name(emulator: MpsEmulator) -> None:
    from posters import POSTERS  # type: ignore[import-not-found]

    task_id, _ = run_task(MpsTaskOperator(task_id="create", **POSTER | {"family": POSTERS}))
    assert task_id == emulator.tasks[0].task_id


def test_a_retry_goes_on_with_the_task_that_the_first_try_paid_for(emulator: MpsEmulator) -> None:
    waits: dict[str, Any] = {"wait_for_completion": True, "wait_timeout": 0.2, "poll_interval": 0.1}
    instance = TaskInstance(lambda: MpsTaskOperator(task_id="create", **POSTER, **waits), retries=50)
    outcome = instance.run()
    assert instance.try_number > 1
    assert emulator.count("CreateAigcImageTask") == 1
    assert outcome.value == emulator.tasks[0].task_id


def test_a_request_in_doubt_is_not_sent_again_even_with_a_session_id(emulator: MpsEmulator) -> None:
    """Whether an action that is not known makes one task of two equal SessionIds is not known either."""
    emulator.fault("cut_before", "CreateAigcImageTask")
    with pytest.raises(AirflowFailException, match="may exist"):
        run_task(MpsTaskOperator(task_id="create", **POSTER | {"mps_params": {**REQUEST, "SessionId": "one"}}))
    assert emulator.count("CreateAigcImageTask") == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"family": "poster"}, "family.* must be one of aigc_audio, .*, or module:NAME of a TaskFamily"),
        ({"family": 7}, "family.* must be one of"),
        (
            {"family": "no_such_module:POSTERS"},
            "cannot be imported .ModuleNotFoundError., and whatever waits",
        ),
        ({"family": "posters:NONE"}, "cannot be imported .AttributeError."),
        ({"family": "posters:TaskFamily"}, "is no TaskFamily whose kind is"),
        ({"family": "posters:OTHERS"}, "is no TaskFamily whose kind is 'posters:OTHERS'"),
        ({"family": "unusual_prefix_ab12_dag:POSTERS"}, "is in a DAG file: triggerers need it in an installed"),
        ({"action": "not an action"}, "action.* must be the name of an action"),
        ({"action": "DescribeAigcImageTask"}, "action.* makes no task: it only reads"),
        ({"mps_params": "text"}, "mps_params.* must be a dict"),
    ],
)
def test_what_cannot_be_used_fails_by_name_before_anything_is_sent(
    emulator: MpsEmulator, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(AirflowFailException, match=said):
        run_task(MpsTaskOperator(task_id="create", **POSTER | changed))
    assert emulator.requests == []


def test_a_trigger_names_a_family_that_it_cannot_import(emulator: MpsEmulator) -> None:
    event = first_event(MpsTaskTrigger("no_such_module:POSTERS", "24000145-Poster-1"))
    assert event["status"] == "error"
    assert "no_such_module:POSTERS cannot be imported" in event["message"]
    assert emulator.requests == []


def test_a_task_of_another_family_is_named(emulator: MpsEmulator) -> None:
    wait = MpsTaskSensor(task_id="wait", family="posters:POSTERS", mps_task_id="24000145-AigcAudio-" + "0" * 32)
    with pytest.raises(AirflowFailException, match=r"is of the kind AIGC audio, and this waits for .* poster"):
        run_task(wait)
    assert emulator.requests == []


def test_the_error_is_this_package_s_own() -> None:
    with pytest.raises(InvalidArgumentError):
        MpsTaskOperator(task_id="create", **POSTER | {"family": "nothing"})
