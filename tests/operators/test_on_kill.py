"""What becomes of a task at MPS when somebody ends the Airflow task: on the worker, and in the triggerer."""

import asyncio
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from scripts.standalone import wait_for
from tests.doubles.servers import Lines
from tests.doubles.ways import ARGUMENTS

ABORTED, TOO_LATE, NEVER = "is aborted", "can be aborted only while it waits", "cannot be cancelled"


def asked(emulator: MpsEmulator) -> bool:
    """Whether somebody waits for the emulator's task."""
    return any(request.action.startswith("Describe") for request in emulator.requests)


@pytest.mark.parametrize(
    ("operator", "waits", "aborts", "said"),
    [
        ("ProcessMediaOperator", True, 1, ABORTED),
        ("ProcessMediaOperator", False, 0, TOO_LATE),
        ("CreateAigcVideoTaskOperator", True, 0, NEVER),
    ],
)
def test_a_worker_that_is_ended_in_the_midst_of_a_wait(
    operator: str, waits: bool, aborts: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"wait_seconds": 600.0, "run_seconds": 0.0} if waits else {"wait_seconds": 0.0, "run_seconds": 600.0}
    with MpsEmulator(**seconds) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(emulator.connection))
        arguments = ARGUMENTS.get(operator, {"prompt": "rain"}) | {
            "wait_for_completion": True,
            "deferrable": False,
            "poll_interval": 0.1,
        }
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.operators.killed", operator, json.dumps(arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            wait_for("it asks or ends", lambda: asked(emulator) or worker.poll() is not None, seconds=120)
            worker.terminate()
            output, _ = worker.communicate(timeout=60)
        finally:
            worker.kill()
            worker.wait()
        assert worker.returncode == 0, output
        assert emulator.count("ManageTask") == aborts
        [task] = emulator.tasks
        assert (task.aborted_at is not None) is bool(aborts)
    assert said in output
    assert task.task_id in output


@pytest.mark.parametrize(
    ("kind", "waits", "state", "aborts", "said"),
    [
        ("media", True, "failed", 1, ABORTED),
        ("media", True, None, 1, ABORTED),
        ("media", True, "deferred", 0, ""),
        ("media", False, "failed", 0, TOO_LATE),
        ("aigc_image", True, "failed", 0, NEVER),
    ],
)
def test_a_trigger_that_is_ended_first_looks_whether_its_task_instance_is(
    kind: str,
    waits: bool,
    state: str | None,
    aborts: int,
    said: str,
    emulator: MpsEmulator,
    monkeypatch: pytest.MonkeyPatch,
    logged: Lines,
) -> None:
    states = {"run": {"wait": state}}
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(lambda **_: states))
    task_id = emulator.add_task(kind, wait_seconds=600 if waits else 0, run_seconds=600)
    trigger = MpsTaskTrigger(kind, task_id)
    trigger.task_instance = SimpleNamespace(dag_id="dag", task_id="wait", run_id="run", map_index=-1)
    asyncio.run(trigger.on_kill())
    assert emulator.count("ManageTask") == aborts
    told = logged.of(task_id)
    assert any(said in line for line in told) if said else not told


def test_an_abort_that_fails_says_so(emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch, logged: Lines) -> None:
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(lambda **_: {}))
    task_id = emulator.add_task("media", wait_seconds=600)
    emulator.fault("error", "ManageTask", code="UnauthorizedOperation")
    trigger = MpsTaskTrigger("media", task_id)
    trigger.task_instance = SimpleNamespace(dag_id="dag", task_id="wait", run_id="run", map_index=-1)
    asyncio.run(trigger.on_kill())
    assert logged.of("could not be aborted")
    assert emulator.tasks[0].aborted_at is None
