"""The samples that Tencent ships with its command-line tool: the emulator takes them, and the client reads them."""

import json
from pathlib import Path

import pytest

from airflow_provider_mps.api.codes import Failure, classify
from airflow_provider_mps.api.errors import ApiError
from airflow_provider_mps.api.tasks import FAMILIES, TaskState
from airflow_provider_mps.api.wire.answers import read_answer
from airflow_provider_mps.emulator.service.schema import SHAPES

ACTIONS = json.loads((Path(__file__).parents[1] / "doubles" / "tencent_samples.json").read_text("utf-8"))["actions"]
REQUESTS = [
    pytest.param(action, request, id=f"{action}-{number}")
    for action in SHAPES
    for number, request in enumerate(ACTIONS[action]["requests"])
]
RESPONSES = [
    pytest.param(action, response, id=f"{action}-{number}")
    for action, samples in ACTIONS.items()
    for number, response in enumerate(samples["responses"])
]


def test_there_are_samples_of_each_action_of_the_emulator():
    assert len(REQUESTS) >= 20
    assert {param.values[0] for param in REQUESTS} == set(SHAPES)


@pytest.mark.parametrize(("action", "params"), REQUESTS)
def test_the_emulator_takes_each_request_under_the_reference_s_rules(start, action, params):
    mps = start(rules="reference", wait_seconds=0, run_seconds=0)
    answer = mps.call(action, params)
    if "TaskId" in params:  # a task that this emulator does not have
        code = answer["Error"]["Code"] if "Error" in answer else answer["ErrorCode"]
        assert classify(code).failure is Failure.NOT_FOUND
        return
    assert "Error" not in answer
    if "TaskId" in answer:
        [task] = mps.emulator.tasks
        assert task.state in ("DONE", "FINISH", "success", "FINISHED")


@pytest.mark.parametrize(("action", "response"), RESPONSES)
def test_the_client_reads_each_response(action, response):
    body = json.dumps(response).encode()
    if str(response["Response"].get("ErrorCode")).startswith("ResourceNotFound"):  # of a 3D model
        with pytest.raises(ApiError) as refused:
            read_answer(action, 200, body)
        assert refused.value.failure is Failure.NOT_FOUND
        return
    fields = read_answer(action, 200, body)
    assert fields["RequestId"]
    for family in FAMILIES.values():
        if family.describe == action:
            status = family.status("the-task", fields)
            assert status.state is not TaskState.UNKNOWN
            assert family.settled(status) or status.state in (TaskState.WAIT, TaskState.RUN)
