"""A trigger that is ended: what waits at MPS is aborted where no try of the task instance goes on with it."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_mps.api.tasks import FAMILIES
from airflow_provider_mps.compat import XCom
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.doubles.in_time import ends
from tests.doubles.logs import Lines
from tests.doubles.servers import LoopbackServer

ABORTED, TOO_LATE, OVER = "is aborted", "can be aborted only while it waits", "there is nothing to abort"
NO_LONGER = "no longer waits for"
CANCELLED_NOTHING = "Nothing was cancelled at MPS, and it may be billed: "
GOES_ON = "goes on at MPS, for the next try of this Airflow task"
MARKED = ("failed", "success", "skipped")
NOT_MARKED = (None, "scheduled", "queued", "running", "restarting", "up_for_retry", "deferred")
"""After a clear, at the next try, or of a triggerer that stalled while another one took its triggers over."""


def trigger(kind: str, task_id: str, map_index: int = -1, **arguments: Any) -> MpsTaskTrigger:
    ended = MpsTaskTrigger(kind, task_id, **arguments)
    task_instance: Any = SimpleNamespace(dag_id="dag", task_id="wait", run_id="run", map_index=map_index)
    ended.task_instance = task_instance
    return ended


def end(*arguments: Any, **options: Any) -> None:
    """End a trigger as the triggerer does."""
    ends(lambda: asyncio.run(trigger(*arguments, **options).on_kill()))


@pytest.fixture
def state_is(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let Airflow say in which state the task instance is; what it is asked."""
    asked: dict[str, Any] = {}

    def let(state: str | None) -> dict[str, Any]:
        def states(*, map_index: int, **question: Any) -> dict[str, dict[str, Any]]:
            asked.update(question, map_index=map_index)
            return {"run": {"wait" if map_index < 0 else f"wait_{map_index}": state}}

        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(states))
        return asked

    return let


@pytest.mark.parametrize("map_index", [-1, 3])
@pytest.mark.parametrize(
    ("state", "aborts", "said"),
    [*[(state, 1, ABORTED) for state in MARKED], *[(state, 0, GOES_ON) for state in NOT_MARKED]],
)
def test_a_task_that_waits_is_aborted_only_where_a_user_marked_the_task_instance(
    state: str | None, aborts: int, said: str, map_index: int, state_is: Any, emulator: MpsEmulator, logged: Lines
) -> None:
    asked = state_is(state)
    task_id = emulator.add_task("media", wait_seconds=600)
    end("media", task_id, map_index)
    assert asked == {"dag_id": "dag", "task_ids": ["wait"], "run_ids": ["run"], "map_index": map_index}
    assert emulator.count("ManageTask") == aborts
    [line] = logged.of(task_id)
    assert said in line


@pytest.mark.parametrize(
    ("discards", "memory", "answer", "aborts"),
    [
        (True, "", 403, 1),  # no live attempt: another try has taken its place
        (True, "", None, 0),  # the same try goes on, in another triggerer or in a worker
        (True, "", 500, 0),
        (True, "file:///memory", 403, 0),  # out of reach of a clear: the next try goes on with it
        (False, "", 403, 0),
    ],
)
def test_after_a_clear_it_is_aborted_only_where_no_try_will_go_on_with_it(
    discards: bool,
    memory: str,
    answer: int | None,
    aborts: int,
    state_is: Any,
    emulator: MpsEmulator,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def get_one(**_: Any) -> None:
        if answer is not None:
            detail = {"status_code": answer, "detail": {"detail": {"reason": "access_denied"}}}
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))

    monkeypatch.setattr("airflow_provider_mps.triggers.mps.clears_discard", lambda: discards)
    monkeypatch.setattr(XCom, "get_one", get_one)
    connect(memory=memory)
    state_is("scheduled")
    end("media", emulator.add_task("media", wait_seconds=600))
    assert emulator.count("ManageTask") == aborts


@pytest.mark.parametrize(("runs", "said"), [(600, TOO_LATE), (0, OVER)])
def test_where_there_is_nothing_to_abort_airflow_is_not_asked(
    runs: float, said: str, state_is: Any, emulator: MpsEmulator, logged: Lines
) -> None:
    asked = state_is("failed")
    task_id = emulator.add_task("media", wait_seconds=0, run_seconds=runs)
    end("media", task_id)
    [line] = logged.of(task_id)
    assert said in line
    assert line.startswith(CANCELLED_NOTHING) is (said == TOO_LATE)
    assert not asked
    assert emulator.count("ManageTask") == 0


@pytest.mark.parametrize("kind", [kind for kind, family in FAMILIES.items() if not family.can_abort])
def test_of_what_cannot_be_aborted_nobody_is_asked(kind: str, state_is: Any, logged: Lines) -> None:
    asked = state_is("failed")
    end(kind, "the-task")
    assert not asked
    [line] = logged.of("the-task")
    assert NO_LONGER in line
    assert line.startswith(CANCELLED_NOTHING)


@pytest.mark.parametrize(
    "options", [{"abort_on_kill": False}, {"deadline": 1.0}], ids=["of a sensor", "its deadline has passed"]
)
def test_a_wait_that_is_a_sensors_or_is_over_by_itself_aborts_nothing(
    options: dict[str, Any], state_is: Any, emulator: MpsEmulator, logged: Lines
) -> None:
    asked = state_is("failed")
    task_id = emulator.add_task("media", wait_seconds=600)
    end("media", task_id, **options)
    assert not asked
    assert emulator.requests == []
    [line] = logged.of(task_id)
    assert NO_LONGER in line
    assert line.startswith(CANCELLED_NOTHING)


def test_an_abort_goes_on_though_airflow_cancels_it_at_each_of_its_syncs(state_is: Any, monkeypatch: Any) -> None:
    """As TriggerRunner does on 3.3: ``wait_for(trigger.on_kill())``, cancelled again every second until it ends."""
    state_is("failed")
    actions: list[str] = []
    cancelled: list[bool] = []

    def respond(handler: Any) -> None:
        actions.append(handler.received.headers["x-tc-action"])
        while not cancelled and not handler.server.stopping.wait(0.01):
            pass
        handler.answer({"Response": {"RequestId": "1", "TaskType": "WorkflowTask", "Status": "WAITING"}})

    async def airflow() -> None:
        killing = asyncio.create_task(asyncio.wait_for(trigger("media", "one").on_kill(), 30))
        while not actions:  # noqa: ASYNC110 - the server is in other threads
            await asyncio.sleep(0.01)
        killing.cancel("__airflow_user_action__")
        with suppress(asyncio.CancelledError):
            await killing
        cancelled.append(True)
        while "ManageTask" not in actions:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    with LoopbackServer(respond) as server:
        monkeypatch.setenv(
            "AIRFLOW_CONN_TENCENT_MPS_DEFAULT", f"tencent-mps://id:key@127.0.0.1:{server.server_port}/http"
        )
        in_time: Coroutine[Any, Any, None] = asyncio.wait_for(airflow(), 20)
        ends(lambda: asyncio.run(in_time))
    assert actions == ["DescribeTaskDetail", "ManageTask"]


def test_an_abort_that_fails_says_so(state_is: Any, emulator: MpsEmulator, logged: Lines) -> None:
    state_is("failed")
    task_id = emulator.add_task("media", wait_seconds=600)
    emulator.fault("error", "ManageTask", code="UnauthorizedOperation")
    end("media", task_id)
    assert logged.of("could not be aborted")
    assert emulator.tasks[0].aborted_at is None


def test_where_airflow_does_not_answer_nothing_is_aborted(
    emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch, logged: Lines
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("no supervisor")

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(fail))
    end("media", emulator.add_task("media", wait_seconds=600))
    assert logged.of("could not be aborted")
    assert emulator.tasks[0].aborted_at is None


def test_a_task_instance_that_airflow_no_longer_knows_was_not_marked(
    emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(lambda **_: {}))
    end("media", emulator.add_task("media", wait_seconds=600))
    assert emulator.tasks[0].aborted_at is None


def test_without_a_task_instance_nothing_is_aborted(emulator: MpsEmulator) -> None:
    ends(lambda: asyncio.run(MpsTaskTrigger("media", emulator.add_task("media", wait_seconds=600)).on_kill()))
    assert emulator.tasks[0].aborted_at is None


def test_the_deadline_of_a_wait_that_goes_on_does_not_keep_it_from_an_abort(
    state_is: Any, emulator: MpsEmulator
) -> None:
    state_is("failed")
    end("media", emulator.add_task("media", wait_seconds=600), deadline=time.time() + 600)
    assert emulator.tasks[0].aborted_at is not None
