"""Any other action: the whole answer is returned, reads are repeated, and nothing else is, in doubt."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_mps.api.errors import AmbiguousCreateError, ApiError, InvalidArgumentError
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import MpsApiOperator
from tests.doubles.seen import PICTURE
from tests.doubles.servers import Handler, LoopbackServer
from tests.doubles.task_instances import Outcome, State, TaskInstance

CREATE: dict[str, Any] = {"action": "CreateAigcImageTask", "mps_params": PICTURE}
IN_DOUBT = ["error_after", "http_502", "cut_after", "not_json"]


def run(action: str, **arguments: Any) -> Outcome:
    return TaskInstance(lambda: MpsApiOperator(task_id="call", action=action, **arguments)).run()


def test_it_returns_the_response(emulator: MpsEmulator) -> None:
    task_id = emulator.add_task("media", wait_seconds=600)
    outcome = run("DescribeTaskDetail", mps_params={"TaskId": task_id})
    assert (outcome.value["Status"], outcome.value["TaskType"]) == ("WAITING", "WorkflowTask")
    assert outcome.value["RequestId"]


def test_it_calls_an_action_that_no_operator_knows(emulator: MpsEmulator, connect: Callable[..., None]) -> None:
    def respond(handler: Handler) -> None:
        handler.answer({"Response": {"called": handler.received.headers["x-tc-action"], "RequestId": "r"}})

    with LoopbackServer(respond) as server:
        connect(port=server.server_port)
        assert run("DescribeTranscodeTemplates").value == {"called": "DescribeTranscodeTemplates", "RequestId": "r"}
    assert server.requests[0].body == b"{}"


@pytest.mark.parametrize("kind", IN_DOUBT)
def test_a_read_is_repeated(kind: str, emulator: MpsEmulator) -> None:
    task_id = emulator.add_task("media")
    emulator.fault(kind, "DescribeTaskDetail", code="InternalError")
    outcome = run("DescribeTaskDetail", mps_params={"TaskId": task_id})
    assert (outcome.state, outcome.tries) == (State.SUCCESS, 1)
    assert emulator.count("DescribeTaskDetail") == 2


@pytest.mark.parametrize("kind", IN_DOUBT)
def test_what_is_no_read_is_never_repeated_in_doubt(kind: str, emulator: MpsEmulator) -> None:
    emulator.fault(kind, CREATE["action"], code="InternalError")
    outcome = run(**CREATE)
    assert (outcome.state, outcome.tries, emulator.count(CREATE["action"])) == (State.FAILED, 1, 1)
    [error] = outcome.errors
    assert isinstance(error, AmbiguousCreateError)
    assert isinstance(error, AirflowFailException)


def test_nor_after_its_worker_was_lost(emulator: MpsEmulator) -> None:
    instance = TaskInstance(lambda: MpsApiOperator(task_id="call", **CREATE), retries=2)
    instance.kills = [3]  # when it forgets, with the answer in hand
    outcome = instance.run()
    assert (outcome.state, outcome.tries, len(emulator.tasks)) == (State.FAILED, 2, 1)
    assert isinstance(outcome.errors[1], AmbiguousCreateError)
    instance.kills = []
    assert instance.run().state is State.SUCCESS, "a clear calls anew"


def test_what_certainly_did_not_run_is_repeated(emulator: MpsEmulator) -> None:
    emulator.fault("error", CREATE["action"], code="RequestLimitExceeded", times=2)
    outcome = run(**CREATE)
    assert (outcome.state, outcome.tries, len(emulator.tasks)) == (State.SUCCESS, 1, 1)


def test_a_refusal_is_final(emulator: MpsEmulator) -> None:
    [error] = run("ManageTask", mps_params={"OperationType": "Abort", "TaskId": "nobody's"}).errors
    assert isinstance(error, ApiError)
    assert isinstance(error, AirflowFailException)
    assert "InvalidParameterValue.TaskId" in str(error)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"action": ""}, "action"),
        ({"action": "Describe Tasks"}, "action"),
        ({"action": "Ünicode"}, "action"),
        ({"action": "DescribeTasks\u0662"}, "action"),
        ({"action": b"DescribeTasks"}, "action"),
        ({"action": "ManageTask", "mps_params": ["x"]}, "mps_params"),
        ({"action": "ManageTask", "mps_params": "{'TaskId': 'x'}"}, "mps_params"),
        ({"action": "ManageTask", "mps_params": {"TaskId": float("nan")}}, "mps_params"),
        ({"action": "ManageTask", "mps_params": {"TaskId": b"x"}}, "mps_params"),
        ({"action": "ManageTask", "mps_params": {"TaskId": "\ud800"}}, "mps_params"),
        ({"action": "ManageTask", "mps_params": {1: "x", "TaskId": "x"}}, "mps_params"),
        ({"action": "ManageTask", "mps_conn_id": "None"}, "mps_conn_id"),
    ],
)
def test_what_cannot_be_sent_is_named(arguments: dict[str, Any], named: str, emulator: MpsEmulator) -> None:
    [error] = run(**arguments).errors
    assert isinstance(error, InvalidArgumentError)
    assert error.argument == named
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("action", "given", "sent"),
    [
        ("DescribeTasks", {"Status": "FINISH", "Limit": "5"}, {"Status": "FINISH", "Limit": 5}),
        ("DescribeTasks", {"Status": "5", "Limit": 5}, {"Status": "5", "Limit": 5}),
        ("DescribeTasks", {"Limit": "5.5", "SubTaskHasFailed": "True"}, {"Limit": "5.5", "SubTaskHasFailed": True}),
        ("DescribeTranscodeTemplates", {"Definitions": ["1", 2, "x"]}, {"Definitions": [1, 2, "x"]}),
        (
            "ProcessMedia",
            {"MediaProcessTask": {"TranscodeTaskSet": [{"Definition": "100010", "StartTimeOffset": "1.5"}]}},
            {"MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100010, "StartTimeOffset": 1.5}]}},
        ),
        (
            "ProcessMedia",
            {"MediaProcessTask": {"SnapshotByTimeOffsetTaskSet": [{"TimeOffsetSet": ["1.5", "2", "1e-05", "1%"]}]}},
            {"MediaProcessTask": {"SnapshotByTimeOffsetTaskSet": [{"TimeOffsetSet": [1.5, 2.0, 1e-05, "1%"]}]}},
        ),
        (
            "ProcessMedia",
            {"MediaProcessTask": {"SnapshotByTimeOffsetTaskSet": [{"ExtTimeOffsetSet": ["1.5"], "Definition": "9e9"}]}},
            {"MediaProcessTask": {"SnapshotByTimeOffsetTaskSet": [{"ExtTimeOffsetSet": ["1.5"], "Definition": "9e9"}]}},
        ),
        ("DescribeTasks", {"NobodyKnows": {"This": "5"}}, {"NobodyKnows": {"This": "5"}}),
        ("DescribeNothing", {"Limit": "5"}, {"Limit": "5"}),
    ],
)
def test_a_text_is_sent_as_a_number_where_the_model_has_one(
    action: str, given: dict[str, Any], sent: dict[str, Any], connect: Callable[..., None]
) -> None:
    with LoopbackServer(lambda handler: handler.answer({"Response": {"RequestId": "r"}})) as server:
        connect(port=server.server_port)
        run(action, mps_params=given)
    assert json.loads(server.requests[0].body) == sent


def test_its_arguments_are_templates() -> None:
    operator = MpsApiOperator(task_id="call", action="{{ verb }}Tasks", mps_params={"Status": ["{{ status }}"]})
    context: Any = {"verb": "Describe", "status": "FINISH"}
    operator.render_template_fields(context)
    assert (operator.action, operator.mps_params) == ("DescribeTasks", {"Status": ["FINISH"]})
