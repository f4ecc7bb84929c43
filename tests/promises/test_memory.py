"""What a task instance remembers: a retry goes on with the task that is paid for, a clear by the user knows better."""

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pytest

from airflow_provider_mps.api.errors import AmbiguousCreateError, ApiError, TaskFailedError
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.memory import NotRememberedError, OtherAccountError
from airflow_provider_mps.operators.mps import MpsApiOperator
from tests.doubles.emulators import emulated
from tests.doubles.logs import Lines
from tests.doubles.seen import FILM
from tests.doubles.task_instances import Killed, State, TaskInstance
from tests.doubles.ways import OPERATORS, Waiting, Way

CONN_ID = "tencent_mps_default"
CREATES = [Waiting(operator, way) for operator in OPERATORS for way in Way if way.creates]
WAITINGS = pytest.mark.parametrize("waiting", CREATES, ids=str)
WAITS = pytest.mark.parametrize("waits", [True, False], ids=["waits", "hands over"])
PLAIN = pytest.mark.parametrize("waiting", [waiting for waiting in CREATES if not waiting.repeatable], ids=str)


@pytest.fixture
def mps() -> Iterator[MpsEmulator]:
    with emulated(CONN_ID) as emulator:
        yield emulator


@WAITS
@WAITINGS
def test_what_fails_after_execute_costs_nothing(mps: MpsEmulator, waiting: Waiting, waits: bool) -> None:
    instance = waiting.task_instance(mps, CONN_ID, retries=2, wait_for_completion=waits)
    instance.fails_after_execute = 2
    outcome = instance.run()
    assert (outcome.state, outcome.tries) == (State.SUCCESS, 3)
    [task] = mps.tasks
    assert outcome.value == task.task_id
    assert ("result" in outcome.xcoms) is waits


def test_an_action_that_has_run_is_not_sent_again(mps: MpsEmulator) -> None:
    arguments: dict[str, Any] = {"action": "CreateAigcVideoTask", "mps_params": FILM}
    instance = TaskInstance(lambda: MpsApiOperator(task_id="call", **arguments), retries=2)
    instance.fails_after_execute = 2
    outcome = instance.run()
    assert outcome.state is State.SUCCESS
    assert [task.task_id for task in mps.tasks] == [outcome.value["TaskId"]]
    again = instance.run()
    assert [task.task_id for task in mps.tasks] == [outcome.value["TaskId"], again.value["TaskId"]]


@WAITS
@WAITINGS
def test_a_clear_after_success_makes_a_new_one(mps: MpsEmulator, waiting: Waiting, waits: bool) -> None:
    instance = waiting.task_instance(mps, CONN_ID, wait_for_completion=waits)
    values = [instance.run().value, instance.run().value]
    assert values == [task.task_id for task in mps.tasks]
    assert len(set(values)) == 2


@WAITINGS
def test_a_clear_goes_on_with_what_is_under_way_and_so_do_the_retries_after_it(
    mps: MpsEmulator, waiting: Waiting
) -> None:
    mps.fault("never_done", waiting.create)
    instance = waiting.task_instance(mps, CONN_ID, timeout=0.3, retries=0)
    assert instance.run().state is State.FAILED
    [task] = mps.tasks
    task.never_done = False
    cleared = waiting.task_instance(mps, CONN_ID, retries=2)
    cleared.stored, cleared.max_tries, cleared.fails_after_execute = instance.stored, instance.max_tries, 2
    outcome = cleared.run()
    assert (outcome.state, outcome.value) == (State.SUCCESS, task.task_id)
    assert mps.tasks == [task]


@PLAIN
def test_a_doubt_is_raised_until_the_user_clears(mps: MpsEmulator, waiting: Waiting) -> None:
    mps.fault("cut_after", waiting.create)
    instance = waiting.task_instance(mps, CONN_ID, retries=2)
    [error] = instance.run().errors
    assert isinstance(error, AmbiguousCreateError)
    assert isinstance(error, AirflowFailException)
    assert instance.run().state is State.SUCCESS
    assert len(mps.tasks) == 2


@WAITINGS
def test_a_task_that_failed_is_not_waited_for_again(mps: MpsEmulator, waiting: Waiting) -> None:
    mps.fault("fail", waiting.create)
    outcome = waiting.task_instance(mps, CONN_ID, retries=1).run()
    assert outcome.state is State.SUCCESS
    assert isinstance(outcome.errors[0], TaskFailedError)
    assert [bool(task.failure) for task in mps.tasks] == [True, False]
    assert outcome.value == mps.tasks[1].task_id


@pytest.mark.usefixtures("mps_short_waits")
@WAITINGS
def test_one_write_that_fails_after_the_accept_loses_nothing(mps: MpsEmulator, waiting: Waiting, logged: Lines) -> None:
    instance = waiting.task_instance(mps, CONN_ID, retries=1)
    instance.failing_writes = iter([False, True])  # the sending is noted, the TaskId is not
    instance.kills = [8]
    outcome = instance.run()
    assert (outcome.state, len(mps.tasks)) == (State.SUCCESS, 1)
    assert logged.of(mps.tasks[0].task_id)


@pytest.mark.usefixtures("mps_short_waits")
@PLAIN
def test_where_the_sending_cannot_be_noted_nothing_is_sent(mps: MpsEmulator, waiting: Waiting) -> None:
    instance = waiting.task_instance(mps, CONN_ID, retries=0)
    instance.failing_writes = repeat(True)
    [error] = instance.run().errors
    assert isinstance(error, NotRememberedError)
    assert not isinstance(error, AirflowFailException)
    assert mps.requests == []
    instance.failing_writes = iter([True])
    assert instance.run().state is State.SUCCESS


@PLAIN
@pytest.mark.parametrize("code", ["InvalidParameter", "RequestLimitExceeded"])
@pytest.mark.usefixtures("mps_short_waits")
def test_a_refusal_leaves_no_doubt(mps: MpsEmulator, waiting: Waiting, code: str) -> None:
    mps.fault("error", waiting.create, code=code, times=None)
    instance = waiting.task_instance(mps, CONN_ID, timeout=1, retries=0)
    [error] = instance.run().errors
    assert isinstance(error, ApiError)
    assert instance.stored == {}


@PLAIN
def test_a_worker_lost_before_the_create_left_leaves_no_doubt(waiting: Waiting) -> None:
    with emulated(CONN_ID) as mps:
        clean = waiting.task_instance(mps, CONN_ID, retries=0)
        clean.kills = [1]  # the first step reads the store, the next one notes the sending
        [error] = clean.run().errors
        assert isinstance(error, Killed)
        assert clean.stored == {}
        assert mps.tasks == []


@pytest.mark.usefixtures("mps_short_waits")
@PLAIN
def test_a_task_of_other_keys_is_not_paid_for_again_unless_the_user_says_so(mps: MpsEmulator, waiting: Waiting) -> None:
    mps.fault("never_done", waiting.create)
    instance = waiting.task_instance(mps, CONN_ID, timeout=0.3, retries=0)
    instance.run()
    entry = instance.remembered
    entry |= {"account": entry["account"].replace("127.0.0.1", "mps.intl.example"), "at": 0.0}
    instance.set("mps_task", entry)
    mps.fault("error", waiting.describe, code="ResourceNotFound.TaskNotFound", times=None)

    [error] = instance.run().errors
    assert isinstance(error, OtherAccountError)
    assert isinstance(error, AirflowFailException)
    for text in ("No new task was created", mps.tasks[0].task_id, "mps.intl.example", "127.0.0.1"):
        assert text in str(error)
    assert len(mps.tasks) == 1

    instance.run()
    assert len(mps.tasks) == 2


@pytest.mark.usefixtures("mps_short_waits")
@PLAIN
@pytest.mark.parametrize(("answers", "tasks"), [(1, 1), (2, 1), (None, 2)])
def test_one_strange_answer_is_not_believed(
    mps: MpsEmulator, waiting: Waiting, answers: int | None, tasks: int
) -> None:
    mps.fault("never_done", waiting.create)
    instance = waiting.task_instance(mps, CONN_ID, timeout=3, retries=0)
    instance.run()
    instance.set("mps_task", instance.remembered | {"at": 0.0})
    mps.fault("error", waiting.describe, code="ResourceNotFound.TaskNotFound", times=answers)
    instance.run()
    assert len(mps.tasks) == tasks


@PLAIN
def test_a_refused_request_leaves_the_entry_of_the_one_before_it(mps: MpsEmulator, waiting: Waiting) -> None:
    mps.fault("never_done", waiting.create)
    instance = waiting.task_instance(mps, CONN_ID, timeout=0.3, retries=0)
    instance.run()
    before = instance.remembered
    edited = waiting.task_instance(mps, CONN_ID, retries=0, prompt="snow")
    edited.stored, edited.max_tries = instance.stored, instance.max_tries
    mps.fault("error", waiting.create, code="InvalidParameter")
    [error] = edited.run().errors
    assert isinstance(error, ApiError)
    assert edited.remembered == before
