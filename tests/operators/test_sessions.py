"""ProcessMedia and EditMedia are sent again in doubt: one SessionId, one task."""

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_mps.api.errors import DuplicateSessionError, FirstTaskFailedError, TaskFailedError
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import FaultKind, MpsEmulator
from tests.doubles.servers import Handler, LoopbackServer
from tests.doubles.task_instances import DagRun, State, TaskInstance
from tests.doubles.ways import WAITINGS, Waiting

CONN_ID = "tencent_mps_default"
REPEATABLE = [waiting for waiting in WAITINGS if waiting.repeatable]
IN_DOUBT = [
    FaultKind.ERROR_AFTER,
    FaultKind.HTTP_502,
    FaultKind.HTTP_502_AFTER,
    FaultKind.CUT_BEFORE,
    FaultKind.CUT_AFTER,
    FaultKind.CUT_MID,
    FaultKind.NOT_JSON,
    FaultKind.NOT_OBJECT,
    FaultKind.GZIP,
    FaultKind.HUGE,
    FaultKind.REDIRECT,
]


def sessions(emulator: MpsEmulator, waiting: Waiting) -> list[str]:
    """The SessionId of each create, in the order in which they came."""
    return [request.params["SessionId"] for request in emulator.requests if request.action == waiting.create]


@pytest.fixture(params=REPEATABLE, ids=str)
def waiting(request: pytest.FixtureRequest) -> Waiting:
    found: Waiting = request.param
    return found


def check_sent_again(waiting: Waiting, emulator: MpsEmulator, kind: FaultKind) -> None:
    emulator.fault(kind, waiting.create, code="InternalError")
    outcome = waiting.task_instance(emulator, CONN_ID, retries=0).run()
    assert outcome.state is State.SUCCESS, outcome.errors
    assert [task.task_id for task in emulator.tasks] == [outcome.value]
    sent = sessions(emulator, waiting)
    assert len(sent) > 1
    assert len(set(sent)) == 1


@pytest.mark.usefixtures("mps_short_waits")
@pytest.mark.parametrize("kind", IN_DOUBT)
def test_a_create_in_doubt_is_sent_again_and_makes_no_second_task(
    kind: FaultKind, waiting: Waiting, emulator: MpsEmulator
) -> None:
    check_sent_again(waiting, emulator, kind)


@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.HANG_AFTER])
def test_so_is_a_create_without_an_answer(
    kind: FaultKind, waiting: Waiting, emulator: MpsEmulator, connect: Callable[..., None]
) -> None:
    connect(timeout=1)  # a try gives up after 60 s, or 0.6 s with short waits: before the second call
    check_sent_again(waiting, emulator, kind)


def test_a_session_of_which_no_page_of_the_listing_tells_is_an_error_that_says_so(
    waiting: Waiting, connect: Callable[..., None], emulator: MpsEmulator
) -> None:
    def respond(handler: Handler) -> None:
        answers: dict[str, Any] = {
            "DescribeTasks": {"TaskSet": [None, 3, {"TaskId": ["x"]}, {"TaskId": "another"}]},
            "DescribeTaskDetail": {"SessionId": "another", "Status": "FINISH"},
        }
        duplicate = {"Error": {"Code": "InvalidParameterValue.SessionId", "Message": "used"}}
        handler.answer({"Response": answers.get(handler.received.headers["x-tc-action"], duplicate)})

    with LoopbackServer(respond) as server:
        connect(port=server.server_port)
        outcome = waiting.task_instance(emulator, CONN_ID).run()
    assert (outcome.state, outcome.tries) == (State.FAILED, 1)
    [error] = outcome.errors
    assert isinstance(error, DuplicateSessionError)
    assert isinstance(error, AirflowFailException), "Airflow does not retry it"
    assert "MpsTaskSensor" in str(error)
    assert "airflow-" in str(error), "it names the SessionId"


class TestOneTaskInstance:
    """All tries of one task instance share a SessionId; without a task state store that is all there is."""

    @pytest.fixture
    def instance(self, waiting: Waiting, emulator: MpsEmulator) -> TaskInstance:
        return waiting.task_instance(emulator, CONN_ID, durable=False)

    def test_a_worker_lost_after_the_create_costs_no_second_task(
        self, instance: TaskInstance, waiting: Waiting, emulator: MpsEmulator
    ) -> None:
        instance.kills = [0]
        outcome = instance.run()
        assert (outcome.state, outcome.tries) == (State.SUCCESS, 2)
        assert [task.task_id for task in emulator.tasks] == [outcome.value]
        assert len(set(sessions(emulator, waiting))) == 1

    def test_a_clear_makes_a_new_task(self, instance: TaskInstance, emulator: MpsEmulator) -> None:
        first, second = instance.run(), instance.run()
        assert first.state is second.state is State.SUCCESS
        assert [task.task_id for task in emulator.tasks] == [first.value, second.value]

    def test_so_does_a_run_that_is_deleted_and_made_again_under_its_old_name(
        self, instance: TaskInstance, emulator: MpsEmulator
    ) -> None:
        first = instance.run()
        instance.try_number, instance.stored, instance.dag_run = 0, {}, DagRun()
        second = instance.run()
        assert first.state is second.state is State.SUCCESS
        assert [task.task_id for task in emulator.tasks] == [first.value, second.value]

    def test_another_map_index_has_another_session(
        self, instance: TaskInstance, waiting: Waiting, emulator: MpsEmulator
    ) -> None:
        instance.run()
        other = TaskInstance(instance.make)
        other.dag_run, other.map_index = instance.dag_run, 1
        assert other.run().state is State.SUCCESS
        assert len(set(sessions(emulator, waiting))) == len(emulator.tasks) == 2

    def test_a_retry_after_a_failure_at_mps_makes_a_new_task(
        self, instance: TaskInstance, emulator: MpsEmulator, waiting: Waiting
    ) -> None:
        emulator.fault("fail", waiting.create, times=2, message="out of coffee")
        instance.retries = 3
        outcome = instance.run()
        assert (outcome.state, outcome.tries) == (State.SUCCESS, 3), outcome.errors
        assert all(isinstance(error, TaskFailedError) for error in outcome.errors)
        assert [task.succeeded for task in emulator.tasks] == [False, False, True]
        assert emulator.tasks[-1].task_id == outcome.value

    def test_a_worker_lost_after_that_still_costs_no_further_task(
        self, instance: TaskInstance, emulator: MpsEmulator, waiting: Waiting
    ) -> None:
        emulator.fault("fail", waiting.create)
        instance.retries = 3
        instance.kills = [None, 0]
        outcome = instance.run()
        assert outcome.state is State.SUCCESS, outcome.errors
        assert len(emulator.tasks) == 2


@pytest.mark.parametrize(("code", "tries"), [("UnauthorizedOperation.CamNoAuth", 1), ("SomethingNew", 2)])
@pytest.mark.usefixtures("mps_short_waits")
def test_where_the_first_task_cannot_be_looked_for_no_other_one_is_made(
    waiting: Waiting, emulator: MpsEmulator, code: str, tries: int
) -> None:
    """Airflow retries only where a retry may find it."""
    emulator.fault("cut_after", waiting.create)
    emulator.fault("error", "DescribeTasks", code=code, times=None)
    outcome = waiting.task_instance(emulator, CONN_ID).run()
    assert (outcome.state, outcome.tries, len(emulator.tasks)) == (State.FAILED, tries, 1)
    for error in outcome.errors:
        assert isinstance(error, DuplicateSessionError)
        assert "runs once and is billed once" in str(error)


def test_a_session_id_that_is_given_is_used_as_it_is(waiting: Waiting, emulator: MpsEmulator) -> None:
    instance = waiting.task_instance(emulator, CONN_ID, session_id="mine-1")
    assert instance.run().state is State.SUCCESS
    again = instance.run()
    assert again.state is State.SUCCESS
    assert [task.task_id for task in emulator.tasks] == [again.value], "a clear finds the first task, too"
    assert set(sessions(emulator, waiting)) == {"mine-1"}


def test_a_session_id_that_is_given_makes_no_second_task_after_a_failure(
    waiting: Waiting, emulator: MpsEmulator
) -> None:
    emulator.fault("fail", waiting.create, message="out of coffee")
    outcome = waiting.task_instance(emulator, CONN_ID, retries=3, session_id="mine-1").run()
    assert (outcome.state, outcome.tries, len(emulator.tasks)) == (State.FAILED, 2, 1)
    assert isinstance(outcome.errors[1], FirstTaskFailedError)
    assert isinstance(outcome.errors[1], AirflowFailException), "Airflow does not retry it"
    assert "out of coffee" in str(outcome.errors[1])
    assert "session_id" in str(outcome.errors[1])


def test_each_iteration_of_a_loop_has_a_session_of_its_own(waiting: Waiting, emulator: MpsEmulator) -> None:
    """Airflow 3.4 gives the iterations one run, task and map index."""
    run = DagRun()
    values = []
    for iteration in range(3):
        instance = waiting.task_instance(emulator, CONN_ID, durable=False)
        instance.dag_run, instance.region_id, instance.region_index = run, "the-loop", iteration
        instance.kills = [0]
        values.append(instance.run().value)
    assert [task.task_id for task in emulator.tasks] == values
    assert len(set(sessions(emulator, waiting))) == 3
