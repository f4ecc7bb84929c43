"""What becomes of a task at MPS when somebody ends the Airflow task that waits for it on a worker."""

import json
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_mps.api.errors import WaitTimeoutError
from airflow_provider_mps.compat import AirflowTaskTimeout
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    EditMediaOperator,
    MpsApiOperator,
    ProcessMediaOperator,
)
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from scripts.standalone import wait_for
from tests.doubles.emulators import emulated
from tests.doubles.logs import Lines
from tests.doubles.seen import MUSIC_ARGUMENTS, PICTURE
from tests.doubles.task_instances import State, run_task
from tests.doubles.ways import ARGUMENTS, Waiting, Way

ABORTED, NEVER = "is aborted", "cannot be cancelled"


def asked(emulator: MpsEmulator) -> bool:
    """Whether somebody waits for the emulator's task."""
    return any(request.action.startswith("Describe") for request in emulator.requests)


@pytest.mark.parametrize(
    ("operator", "aborts", "said"), [("ProcessMediaOperator", 1, ABORTED), ("CreateAigcVideoTaskOperator", 0, NEVER)]
)
def test_a_worker_that_is_ended_in_the_midst_of_a_wait(
    operator: str, aborts: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MpsEmulator(wait_seconds=600, run_seconds=0) as emulator:
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
    [line] = [line for line in output.splitlines() if said in line]
    assert ("Nothing was cancelled at MPS, and it may be billed: " in line) is not aborts
    assert task.task_id in output


def test_it_says_what_goes_on_and_nothing_before_there_is_a_task(emulator: MpsEmulator, logged: Lines) -> None:
    CreateAigcAudioTaskOperator(task_id="create", **MUSIC_ARGUMENTS).on_kill()
    assert logged.lines == []
    waiting = CreateAigcAudioTaskOperator(task_id="create", **MUSIC_ARGUMENTS)
    run_task(waiting)
    waiting.on_kill()
    assert "Nothing was cancelled at MPS, and it may be billed" in logged.of(emulator.tasks[0].task_id)[-1][:100]


@pytest.mark.parametrize(
    "operator",
    [
        CreateAigcAudioTaskOperator(task_id="create", **MUSIC_ARGUMENTS),
        MpsApiOperator(task_id="call", action="CreateAigcImageTask", mps_params=PICTURE),
    ],
    ids=lambda operator: type(operator).__name__,
)
def test_after_execution_timeout_a_retry_in_the_same_process_sends(operator: Any, emulator: MpsEmulator) -> None:
    """As of dag.test(), which has one operator for all tries."""
    try:
        raise AirflowTaskTimeout
    except AirflowTaskTimeout:
        operator.on_kill()
    run_task(operator)
    assert len(emulator.tasks) == 1


def test_execution_timeout_is_not_a_kill_the_task_goes_on_as_the_error_says() -> None:
    with emulated("mps", wait_seconds=600) as mps:
        waiting = Waiting(ProcessMediaOperator, Way.OPERATOR_SYNC)
        limit = timedelta(seconds=1)
        instance = waiting.task_instance(mps, "mps", retries=0, wait_timeout=None, execution_timeout=limit)
        [error] = instance.run().errors
        # The alarm and the wait's own deadline are at the same moment: whichever comes first ends it.
        assert isinstance(error, (AirflowTaskTimeout, WaitTimeoutError))
        assert "It goes on at MPS" in str(error)
        assert mps.count("ManageTask") == 0
        assert mps.tasks[0].aborted_at is None


@pytest.mark.parametrize("operator", [ProcessMediaOperator, EditMediaOperator, CreateAigcAudioTaskOperator])
@pytest.mark.parametrize("heard", [True, False])
def test_where_airflow_tells_no_trigger_of_a_kill_a_deferral_says_that_what_it_could_abort_goes_on(
    operator: Any, heard: bool, logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    if heard:
        monkeypatch.setattr(BaseTrigger, "on_kill", MpsTaskTrigger.on_kill, raising=False)
    else:  # as before Airflow 3.3
        monkeypatch.delattr(BaseTrigger, "on_kill", raising=False)
    with emulated("mps") as mps:
        instance = Waiting(operator, Way.OPERATOR_DEFERRABLE).task_instance(mps, "mps")
        assert instance.run().state is State.SUCCESS
        said = logged.of("If you end this Airflow task while it is deferred")
        assert len(said) == (not heard and operator.family.can_abort)
        assert all(mps.tasks[0].task_id in line for line in said)
