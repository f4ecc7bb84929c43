"""What a task instance remembers: a retry goes on with the task that is paid for, a clear by the user knows better."""

import datetime
import json
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pytest

from airflow_provider_mps.api.errors import (
    AmbiguousCreateError,
    ApiError,
    NotRememberedError,
    OtherAccountError,
    TaskFailedError,
)
from airflow_provider_mps.api.wire.client import MpsClient
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import MpsApiOperator
from tests.doubles.emulators import emulated
from tests.doubles.logs import Lines
from tests.doubles.own_family import PosterOperator
from tests.doubles.seen import FILM
from tests.doubles.task_instances import DagRun, Killed, State, TaskInstance
from tests.doubles.ways import CREATES_IN_TURN, OPERATORS, Waiting, Way
from tests.promises.test_paid_once_at_random import kills_strike_calls_too

CREATES = CREATES_IN_TURN
CONN_ID = "tencent_mps_default"
WAITINGS = pytest.mark.parametrize("waiting", CREATES, ids=str)
WAITS = pytest.mark.parametrize("waits", [True, False], ids=["waits", "hands over"])
PLAIN_CREATES = [waiting for waiting in CREATES if not waiting.repeatable]
PLAIN_OPERATORS = [PLAIN_CREATES[0].cls, PosterOperator, MpsApiOperator]
PLAIN = pytest.mark.parametrize("waiting", PLAIN_CREATES, ids=str)


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
    cleared.stored, cleared.try_number, cleared.fails_after_execute = instance.stored, instance.try_number, 2
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


@pytest.mark.parametrize("killed_at", range(2, 8))
@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("operator", PLAIN_OPERATORS, ids=lambda cls: cls.__name__)
def test_a_clear_does_not_count_as_having_looked_where_nothing_was_said(
    mps: MpsEmulator, operator: type[Any], retries: int, killed_at: int, logged: Lines
) -> None:
    """The worker is killed while the create is under way, and so is each retry as it begins; then a user clears it."""
    if operator is MpsApiOperator:
        arguments: dict[str, Any] = {"action": "CreateAigcVideoTask", "mps_params": FILM}
        instance = TaskInstance(lambda: MpsApiOperator(task_id="call", mps_conn_id=CONN_ID, **arguments), retries)
    else:
        instance = Waiting(operator, Way.OPERATOR_SYNC).task_instance(mps, CONN_ID, retries=retries)
    instance.kills = [killed_at, 0]
    with kills_strike_calls_too(instance):
        instance.run()
    sent, logged.lines[:] = len(mps.tasks), []
    in_doubt = instance.remembered.get("stage") == "sending"
    instance.kills = []
    cleared = instance.run()
    if in_doubt:
        [error] = cleared.errors
        assert isinstance(error, AmbiguousCreateError)
        assert logged.of("paid task may exist")
        assert len(mps.tasks) == sent
        assert instance.run().state is State.SUCCESS, "a clear after that creates a new one"
        assert len(mps.tasks) == sent + 1


@PLAIN
def test_where_the_report_cannot_be_noted_it_is_said_once_more(mps: MpsEmulator, waiting: Waiting) -> None:
    mps.fault("cut_after", waiting.create)
    instance = waiting.task_instance(mps, CONN_ID, retries=0)
    instance.failing_writes = iter([False, *repeat(True, 5)])
    for _ in range(2):
        [error] = instance.run().errors
        assert isinstance(error, AmbiguousCreateError)
    assert instance.run().state is State.SUCCESS
    assert len(mps.tasks) == 2


@pytest.mark.usefixtures("mps_short_waits")
@pytest.mark.parametrize("writes", [1, 5], ids=["one hiccup", "not at all"])
@WAITINGS
def test_a_refusal_that_cannot_be_taken_back_is_none_the_less_one(
    mps: MpsEmulator, waiting: Waiting, writes: int
) -> None:
    """It waits in line for room, which proves that MPS has refused it."""
    mps.fault("error", waiting.create, code="RequestLimitExceeded", times=2)
    instance = waiting.task_instance(mps, CONN_ID, retries=0)
    instance.failing_writes = iter([False, *repeat(True, writes)])
    outcome = instance.run()
    assert outcome.state is State.SUCCESS, outcome.errors
    assert [task.task_id for task in mps.tasks] == [outcome.value]


@WAITINGS
def test_a_store_that_answers_slowly_puts_nothing_in_doubt(waiting: Waiting) -> None:
    with emulated("mps", timeout=3) as mps:
        mps.fault("slow", waiting.create, seconds=0.8)
        instance = waiting.task_instance(mps, "mps", retries=0)
        instance.slow_writes = 2.5  # with the answer longer than an attempt may take
        outcome = instance.run()
    assert outcome.state is State.SUCCESS, outcome.errors
    assert [task.task_id for task in mps.tasks] == [outcome.value]


@PLAIN
def test_nothing_is_sent_when_the_note_took_all_the_time(
    mps: MpsEmulator, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_mps.api.wire.loop._ENDING_SECONDS", 0.1)  # less than a write takes
    instance = waiting.task_instance(mps, CONN_ID, retries=0, execution_timeout=datetime.timedelta(seconds=0.5))
    instance.slow_writes = 1.0
    instance.run()
    assert mps.requests == []
    instance.slow_writes = 0.0
    assert instance.run().state is State.SUCCESS, "it is in no doubt"


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
@pytest.mark.parametrize("waiting", [waiting for waiting in CREATES if waiting.repeatable], ids=str)
def test_a_session_of_another_account_is_in_doubt(mps: MpsEmulator, waiting: Waiting) -> None:
    """The account of now would make a second task of it."""
    mps.fault("http_502_after", waiting.create, times=None)
    instance = waiting.task_instance(mps, CONN_ID, retries=0)
    instance.run()
    mps.clear_faults()
    entry = instance.remembered
    instance.set("mps_task", entry | {"account": entry["account"].replace("127.0.0.1", "mps.intl.example")})
    sent = len(mps.requests)

    [error] = instance.run().errors
    assert isinstance(error, AmbiguousCreateError)
    assert isinstance(error, AirflowFailException)
    for text in ("mps.intl.example", "127.0.0.1"):
        assert text in str(error)
    assert len(mps.requests) == sent
    assert instance.run().state is State.SUCCESS, "a clear after that"


@pytest.mark.usefixtures("mps_short_waits")
@pytest.mark.parametrize("waiting", [waiting for waiting in CREATES if waiting.repeatable], ids=str)
def test_a_session_that_mps_has_forgotten_is_in_doubt(mps: MpsEmulator, waiting: Waiting) -> None:
    """After three days MPS would make a second task of it. They count from its first sending."""
    mps.fault("http_502_after", waiting.create, times=None)
    instance = waiting.task_instance(mps, CONN_ID, retries=0)
    instance.run()
    two_days_ago = instance.remembered["at"] - 2 * 24 * 3600
    instance.set("mps_task", instance.remembered | {"at": two_days_ago})
    instance.run()
    assert instance.remembered["at"] == two_days_ago, "sent again, as MPS makes no second task of it yet"
    mps.clear_faults()
    instance.set("mps_task", instance.remembered | {"at": two_days_ago - 24 * 3600})
    sent = len(mps.requests)

    [error] = instance.run().errors
    assert isinstance(error, AmbiguousCreateError)
    assert len(mps.requests) == sent
    assert len(mps.tasks) == 1
    assert instance.run().state is State.SUCCESS, "a clear after that"
    assert len(mps.tasks) == 2


@pytest.mark.usefixtures("mps_short_waits")
@PLAIN
@pytest.mark.parametrize(("answers", "tasks"), [(1, 1), (2, 1), (None, 2)])
def test_one_strange_answer_is_not_believed(
    mps: MpsEmulator, waiting: Waiting, answers: int | None, tasks: int
) -> None:
    mps.fault("never_done", waiting.create)
    instance = waiting.task_instance(mps, CONN_ID, timeout=0.3, retries=0)
    instance.run()
    [task] = mps.tasks
    task.never_done = False
    mps.fault("error", waiting.describe, code="ResourceNotFound.TaskNotFound", times=answers)
    cleared = waiting.task_instance(mps, CONN_ID, timeout=1, retries=0)
    cleared.stored = {"mps_task": json.dumps(instance.remembered | {"at": 0.0})}
    cleared.try_number = instance.try_number
    cleared.run()
    assert len(mps.tasks) == tasks


@pytest.mark.parametrize("waiting", [w for w in PLAIN_CREATES if "prompt" in w.cls.request.fields], ids=str)
def test_a_refused_request_leaves_the_entry_of_the_one_before_it(mps: MpsEmulator, waiting: Waiting) -> None:
    mps.fault("never_done", waiting.create)
    instance = waiting.task_instance(mps, CONN_ID, timeout=0.3, retries=0)
    instance.run()
    before = instance.remembered
    edited = waiting.task_instance(mps, CONN_ID, retries=0, prompt="snow")
    edited.stored, edited.try_number = instance.stored, instance.try_number
    mps.fault("error", waiting.create, code="InvalidParameter")
    [error] = edited.run().errors
    assert isinstance(error, ApiError)
    assert edited.remembered == before


@PLAIN
def test_a_clear_after_retries_were_lowered_is_taken_for_a_retry_and_said_so(
    mps: MpsEmulator, waiting: Waiting, logged: Lines
) -> None:
    """Airflow then leaves max_tries as it was, and has a number of clears that counts those of other tasks, too."""
    instance = waiting.task_instance(mps, CONN_ID, retries=2)
    first = instance.run()
    instance.retries = 1
    again = instance.run()
    assert again.value == first.value
    assert len(mps.tasks) == 1
    assert logged.of("clear this Airflow task once more")
    assert instance.run().value != first.value, "which makes a new one"


@PLAIN
def test_a_clear_of_another_task_is_not_taken_for_one(mps: MpsEmulator, waiting: Waiting) -> None:
    instance = waiting.task_instance(mps, CONN_ID, retries=1)
    instance.kills = [10]
    make = instance.make

    def make_while_another_is_cleared() -> Any:
        instance.dag_run = DagRun(clear_number=instance.try_number)
        return make()

    instance.make = make_while_another_is_cleared
    outcome = instance.run()
    assert outcome.state is State.SUCCESS
    assert [task.task_id for task in mps.tasks] == [outcome.value]


@WAITINGS
def test_a_clear_after_success_names_the_task_that_is_paid_for(
    mps: MpsEmulator, waiting: Waiting, logged: Lines
) -> None:
    instance = waiting.task_instance(mps, CONN_ID, retries=0)
    first = instance.run()
    logged.lines.clear()
    instance.run()
    [line] = logged.of("at no cost")
    assert first.value in line


@pytest.mark.parametrize("waiting", [waiting for waiting in CREATES if waiting.repeatable], ids=str)
def test_a_clear_after_the_task_was_aborted_makes_a_new_one_at_once(
    mps: MpsEmulator, waiting: Waiting, logged: Lines
) -> None:
    """As this package does when a user ends the Airflow task while its task waits at MPS."""
    mps.fault("never_done", waiting.create)
    instance = waiting.task_instance(mps, CONN_ID, retries=0, wait_timeout=0.3)
    instance.run()
    [task] = mps.tasks
    task.never_done = False
    task.abort()
    instance.make = waiting.task_instance(mps, CONN_ID).make
    cleared = instance.run()
    assert cleared.state is State.SUCCESS, cleared.errors
    assert cleared.value != task.task_id
    assert logged.of(f"{task.task_id} of an earlier try has failed")


@pytest.mark.parametrize("operator", PLAIN_OPERATORS, ids=lambda cls: cls.__name__)
def test_a_kill_while_the_create_is_under_way_says_that_a_paid_task_may_exist(
    mps: MpsEmulator, operator: type[Any], logged: Lines
) -> None:
    made: list[Any] = []
    arguments: dict[str, Any] = {"action": "CreateAigcVideoTask", "mps_params": FILM}
    if operator is MpsApiOperator:
        instance = TaskInstance(lambda: MpsApiOperator(task_id="call", mps_conn_id=CONN_ID, **arguments), 0)
    else:
        instance = Waiting(operator, Way.OPERATOR_SYNC).task_instance(mps, CONN_ID, retries=0)
    make, attempt = instance.make, MpsClient.attempt

    def made_and_kept() -> Any:
        made.append(make())
        return made[-1]

    instance.make = made_and_kept

    async def killed(client: MpsClient, action: str, params: dict[str, Any], sending: Any = None) -> dict[str, Any]:
        answer = await attempt(client, action, params, sending)
        if sending is not None and not action.startswith("Describe"):
            made[-1].on_kill()
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MpsClient, "attempt", killed)
        instance.run()
    assert logged.of("a paid task may exist")
    logged.lines.clear()
    made[-1].on_kill()
    assert not logged.of("a paid task may exist"), "once there is an answer, there is no doubt"


@pytest.mark.parametrize("operator", [*PLAIN_OPERATORS, OPERATORS[-1]], ids=lambda operator: operator.__name__)
def test_nothing_leaves_once_the_airflow_task_is_ended(mps: MpsEmulator, operator: type[Any]) -> None:
    """Airflow 3 calls on_kill at a SIGTERM, and lets the process go on for some seconds."""
    made: list[Any] = []
    if operator is MpsApiOperator:
        arguments: dict[str, Any] = {"action": "CreateAigcVideoTask", "mps_params": FILM}
        instance = TaskInstance(lambda: MpsApiOperator(task_id="call", mps_conn_id=CONN_ID, **arguments), 1)
    else:
        instance = Waiting(operator, Way.OPERATOR_SYNC).task_instance(mps, CONN_ID, retries=1)
    make, get = instance.make, instance.get

    def made_and_kept() -> Any:
        made.append(make())
        return made[-1]

    def read_and_killed(key: str, default: Any = None) -> Any:
        if len(made) == 1:
            made[-1].on_kill()
        return get(key, default)

    instance.make, instance.get = made_and_kept, read_and_killed  # type: ignore[method-assign]
    outcome = instance.run()
    [error] = outcome.errors
    assert isinstance(error, NotRememberedError)
    assert "Nothing was sent" in error.cost
    assert (outcome.state, outcome.tries, len(mps.tasks)) == (State.SUCCESS, 2, 1)


@pytest.mark.parametrize("by", ["a clear", "a success"])
@pytest.mark.parametrize("operator", [*PLAIN_OPERATORS, OPERATORS[-1]], ids=lambda operator: operator.__name__)
def test_what_airflow_may_have_discarded_is_said_before_the_create(
    mps: MpsEmulator, operator: type[Any], by: str, logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clear in the page from 3.4 on, by a success with an option; the latter is found at the clear, too."""
    if by == "a clear":
        monkeypatch.setattr("airflow_provider_mps.execution.places.clears_discard", lambda: True)
    else:
        monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
    if operator is MpsApiOperator:
        arguments: dict[str, Any] = {"action": "CreateAigcVideoTask", "mps_params": FILM}
        instance = TaskInstance(lambda: MpsApiOperator(task_id="call", mps_conn_id=CONN_ID, **arguments), 0)
    else:
        instance = Waiting(operator, Way.OPERATOR_SYNC).task_instance(mps, CONN_ID, retries=0)
    instance.clears_discard = True
    instance.run()
    assert logged.of("keeps the task state") == [], "the first run is no clear"
    instance.run()
    assert len(logged.of("keeps the task state")) == 1
    assert len(mps.tasks) == 2


def test_a_clear_that_does_not_show_in_max_tries_is_said_where_it_may_have_discarded_something(
    mps: MpsEmulator, logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Airflow 3.4 leaves it for a running task, where it cannot load the DAG."""
    monkeypatch.setattr("airflow_provider_mps.execution.places.clears_discard", lambda: True)
    instance = PLAIN_CREATES[0].task_instance(mps, CONN_ID, retries=0)
    instance.clears_discard = True
    make = instance.make

    def of_a_dag_with_more_retries() -> Any:
        operator = make()
        operator.retries = 5
        return operator

    instance.make = of_a_dag_with_more_retries
    instance.run()
    instance.run()
    assert len(logged.of("keeps the task state")) == 1
