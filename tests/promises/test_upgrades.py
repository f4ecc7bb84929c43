"""Users upgrade in the middle of a run: what an earlier version saved is gone on with, and paid for once."""

import json
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.api.errors import AmbiguousCreateError
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import MpsApiOperator
from tests.doubles.airflows import TaskDeferred
from tests.doubles.seen import FILM
from tests.doubles.task_instances import Outcome, State, TaskInstance
from tests.doubles.ways import OPERATORS, Waiting, Way

CONN_ID = "tencent_mps_default"
# Written by version 1.0.0 itself, with its tasks at an emulator; the times of a deferral count from its beginning.
SAVED = json.loads((Path(__file__).parent / "saved_by_1_0_0.json").read_text())
MEMORY, DEFERRED = SAVED["memory"], SAVED["deferred"]
OF_1_0_0 = [operator for operator in OPERATORS if operator.__name__ in DEFERRED]
CREATES = [Waiting(operator, way) for operator in OF_1_0_0 for way in Way if way.creates]
NOT_READABLE: list[object] = [
    "created",
    [],
    {},
    {"stage": "created", "task_id": "24000145-AigcAudio-1"},
    {"digest": "d", "max_tries": "some", "at": 1.0, "stage": "created", "task_id": "t"},
    {"digest": "d", "max_tries": 1, "at": None, "stage": "created", "task_id": "t"},
    {"digest": 1, "max_tries": 1, "at": 1.0, "stage": "done"},
    {"digest": "d", "max_tries": 1, "at": 1.0, "stage": ["done"]},
    {"digest": "d", "max_tries": 1, "at": 1.0, "stage": "a later version's", "task_id": "24000145-AigcAudio-1"},
    {"digest": "d", "max_tries": 1, "at": 1.0, "stage": "unreadable"},
    {"digest": "d", "max_tries": 1, "at": 1.0, "stage": "done", "task_id": {"of": "a later version"}},
]


def remembering(instance: TaskInstance, entry: dict[str, Any], **changed: Any) -> TaskInstance:
    """A task instance whose next try is a retry of the one that wrote an entry."""
    instance.stored["mps_task"] = json.dumps(entry | changed)
    instance.try_number = entry["max_tries"] - instance.retries
    return instance


@pytest.mark.parametrize("stage", ["sending", "created", "unfound", "done", "failed"])
@pytest.mark.parametrize("waiting", CREATES, ids=str)
def test_a_retry_goes_on_with_what_is_remembered(emulator: MpsEmulator, waiting: Waiting, stage: str) -> None:
    entry = MEMORY[waiting.cls.__name__][stage]
    known = {"task_id": emulator.add_task(waiting.cls.family.kind)} if entry["task_id"] else {}
    instance = remembering(waiting.task_instance(emulator, CONN_ID, retries=0), entry, **known)
    outcome = instance.run()
    creates = [request for request in emulator.requests if request.action == waiting.create]
    match stage:
        case "sending" if waiting.repeatable:
            assert outcome.state is State.SUCCESS
            assert [create.params["SessionId"] for create in creates] == [entry["session_id"]]
        case "sending":
            assert isinstance(outcome.errors[0], AmbiguousCreateError)
            assert creates == []
        case "failed":
            assert (outcome.state, len(creates)) == (State.SUCCESS, 1)
            assert outcome.value != known["task_id"]
        case _:
            assert (outcome.value, creates) == (known["task_id"], [])


@pytest.mark.parametrize("stage", ["sending", "done"])
def test_so_does_a_call_of_any_action(emulator: MpsEmulator, stage: str) -> None:
    arguments: dict[str, Any] = {"action": "CreateAigcVideoTask", "mps_params": FILM}
    instance = TaskInstance(lambda: MpsApiOperator(task_id="call", **arguments), retries=0)
    entry = MEMORY["MpsApiOperator"][stage]
    outcome = remembering(instance, entry).run()
    assert emulator.requests == []
    if stage == "done":
        assert outcome.value == entry["response"]
    else:
        assert isinstance(outcome.errors[0], AmbiguousCreateError)


def resumed(instance: TaskInstance, saved: dict[str, Any], **changed: Any) -> Outcome:
    """Play a task instance from its deferral on."""
    now, module_and_name = time.time(), saved["trigger"].rpartition(".")
    times = {name: now + saved["arguments"][name] for name in ("ticket", "began", "deadline", "accepted_at")
             if saved["arguments"].get(name) is not None}  # fmt: skip
    make_trigger = getattr(import_module(module_and_name[0]), module_and_name[2])
    trigger = make_trigger(**saved["arguments"] | {"mps_conn_id": CONN_ID} | times | changed)
    make, deferred = instance.make, [TaskDeferred(trigger=trigger, method_name=saved["method"])]

    def made() -> Any:
        task = make()
        if deferred:
            deferral = deferred.pop()

            def execute(context: Any) -> Any:
                raise deferral

            task.execute = execute
        return task

    instance.make = made
    return instance.run()


@pytest.mark.parametrize("operator", OF_1_0_0, ids=lambda operator: operator.__name__)
def test_a_deferred_create_in_line_is_sent_once(emulator: MpsEmulator, operator: type[Any]) -> None:
    waiting = Waiting(operator, Way.OPERATOR_DEFERRABLE)
    outcome = resumed(waiting.task_instance(emulator, CONN_ID, retries=0), DEFERRED[operator.__name__]["room"])
    assert outcome.state is State.SUCCESS, outcome.errors
    assert [task.task_id for task in emulator.tasks] == [outcome.value]


@pytest.mark.parametrize("operator", OF_1_0_0, ids=lambda operator: operator.__name__)
def test_a_deferred_wait_ends_with_its_task(emulator: MpsEmulator, operator: type[Any]) -> None:
    waiting, saved = Waiting(operator, Way.OPERATOR_DEFERRABLE), DEFERRED[operator.__name__]["wait"]
    task_id = emulator.add_task(operator.family.kind)
    instance = waiting.task_instance(emulator, CONN_ID, retries=0)
    outcome = resumed(remembering(instance, saved["memory"], task_id=task_id), saved, mps_task_id=task_id)
    assert (outcome.state, outcome.value) == (State.SUCCESS, task_id), outcome.errors
    assert emulator.count(waiting.create) == 0
    assert instance.remembered["stage"] == "done"


def check_in_doubt(emulator: MpsEmulator, instance: TaskInstance, stored: object) -> None:
    instance.stored["mps_task"] = json.dumps(stored)
    [error] = instance.run().errors
    assert isinstance(error, AmbiguousCreateError)
    assert "cannot be read" in str(error)
    assert "1970" not in str(error)
    assert emulator.requests == []
    assert instance.run().state is State.SUCCESS, "a user who has read that clears it"


@pytest.mark.parametrize("again", ["a retry", "a clear"])
@pytest.mark.parametrize("operator", [*OF_1_0_0, MpsApiOperator], ids=lambda operator: operator.__name__)
def test_what_cannot_be_read_is_in_doubt_until_it_was_reported(
    emulator: MpsEmulator, operator: type[Any], again: str
) -> None:
    if operator is MpsApiOperator:
        arguments: dict[str, Any] = {"action": "CreateAigcVideoTask", "mps_params": FILM}
        instance = TaskInstance(lambda: MpsApiOperator(task_id="call", **arguments), retries=0)
    else:
        instance = Waiting(operator, Way.OPERATOR_SYNC).task_instance(emulator, CONN_ID, retries=0)
    instance.try_number = 5 if again == "a clear" else 1
    check_in_doubt(emulator, instance, {"version": 2, "max_tries": 1, "entries": []})


@pytest.mark.parametrize("stored", NOT_READABLE, ids=str)
def test_whatever_is_wrong_with_it(emulator: MpsEmulator, stored: object) -> None:
    instance = Waiting(OPERATORS[0], Way.OPERATOR_SYNC).task_instance(emulator, CONN_ID, retries=0)
    check_in_doubt(emulator, instance, stored)
