"""A trigger that is ended: it first looks whether its task instance has ended too, then aborts what can be aborted."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.doubles.logs import Lines

ABORTED, TOO_LATE, NEVER = "is aborted", "can be aborted only while it waits", "cannot be cancelled"
BILLED = "goes on at MPS and may be billed there"


def end(kind: str, task_id: str, map_index: int = -1) -> None:
    """End a trigger as the triggerer does."""
    trigger = MpsTaskTrigger(kind, task_id)
    task_instance: Any = SimpleNamespace(dag_id="dag", task_id="wait", run_id="run", map_index=map_index)
    trigger.task_instance = task_instance
    asyncio.run(trigger.on_kill())


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
    ("kind", "waits", "state", "aborts", "said"),
    [
        *[("media", True, state, 1, ABORTED) for state in ("failed", "success", None)],
        ("media", True, "deferred", 0, ""),
        ("media", False, "failed", 0, TOO_LATE),
        *[("aigc_audio", True, state, 0, BILLED) for state in ("failed", "success", None)],
        ("aigc_audio", True, "deferred", 0, ""),
        ("aigc_image", True, "failed", 0, NEVER),
    ],
)
def test_it_aborts_or_says_what_goes_on_only_when_the_task_instance_is_no_longer_deferred(
    kind: str,
    waits: bool,
    state: str | None,
    aborts: int,
    said: str,
    map_index: int,
    state_is: Any,
    emulator: MpsEmulator,
    logged: Lines,
) -> None:
    asked = state_is(state)
    task_id = emulator.add_task(kind, wait_seconds=600 if waits else 0, run_seconds=600)
    end(kind, task_id, map_index)
    assert asked == {"dag_id": "dag", "task_ids": ["wait"], "run_ids": ["run"], "map_index": map_index}
    assert emulator.count("ManageTask") == aborts
    told = logged.of(task_id)
    assert any(said in line for line in told) if said else not told


def test_an_abort_that_fails_says_so(state_is: Any, emulator: MpsEmulator, logged: Lines) -> None:
    state_is("failed")
    task_id = emulator.add_task("media", wait_seconds=600)
    emulator.fault("error", "ManageTask", code="UnauthorizedOperation")
    end("media", task_id)
    assert logged.of("could not be aborted")
    assert emulator.tasks[0].aborted_at is None


def test_a_task_instance_that_airflow_no_longer_knows_has_ended(
    emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(lambda **_: {}))
    end("media", emulator.add_task("media", wait_seconds=600))
    assert emulator.tasks[0].aborted_at is not None


def test_what_cannot_be_aborted_needs_no_connection(state_is: Any, logged: Lines) -> None:
    state_is("failed")
    end("aigc_audio", "one")
    assert logged.of(f"AIGC audio task one {BILLED}")


def test_without_a_task_instance_it_does_nothing(logged: Lines) -> None:
    asyncio.run(MpsTaskTrigger("aigc_audio", "one").on_kill())
    assert logged.lines == []
