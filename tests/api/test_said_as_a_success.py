"""A failure that MPS tells as a success is one, and a task that has failed is not a call that has."""

import json
from typing import Any

import pytest

from airflow_provider_mps.api.codes import Failure
from airflow_provider_mps.api.errors import ApiError, NoRoomError
from airflow_provider_mps.api.tasks import FAMILIES, TEXT_TO_SPEECH, TaskState
from airflow_provider_mps.api.wire.answers import read_answer

NOT_FOUND = {"ErrorCode": "ResourceNotFound.TaskId", "ErrorMessage": "task not found or expired"}


def read(action: str, **fields: Any) -> dict[str, Any]:
    return read_answer(action, 200, json.dumps({"Response": {"RequestId": "the-request", **fields}}).encode())


@pytest.mark.parametrize(
    ("action", "fields", "failure", "said"),
    [
        ("TextToSpeech", {"ErrorCode": 1004, "Msg": "no such voice"}, Failure.UNKNOWN, "1004: no such voice"),
        ("TextToSpeechAsync", {"ErrorCode": 1004}, Failure.UNKNOWN, "1004: "),
        ("DescribeDesignTask", {"ErrorCode": 5000, "Msg": "later"}, Failure.UNKNOWN, "5000: later"),
        ("QueryHunyuan3DTask", NOT_FOUND, Failure.NOT_FOUND, "ResourceNotFound.TaskId: task not found"),
        ("CloneViral", {"Status": "FAIL", "Message": "too long"}, Failure.FINAL, "FAIL: too long"),
        ("TextToSpeech", {"ErrorCode": {"a": 1}}, Failure.UNKNOWN, "ErrorCode: "),
        ("TextToSpeech", {"ErrorCode": "InternalError", "Msg": 7}, Failure.SERVER_TROUBLE, "InternalError: "),
    ],
)
def test_it_is_an_error_of_what_its_code_means(
    action: str, fields: dict[str, Any], failure: Failure, said: str
) -> None:
    with pytest.raises(ApiError, match=said) as refused:
        read(action, **fields)
    assert (refused.value.failure, refused.value.request_id) == (failure, "the-request")


def test_a_want_of_room_is_one_there_too() -> None:
    with pytest.raises(NoRoomError):
        read("SubmitHunyuan3DTask", ErrorCode="RequestLimitExceeded", ErrorMessage="full")


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("TextToSpeechAsync", {"ErrorCode": 0, "Msg": "success"}),
        ("TextToSpeechAsync", {"ErrorCode": 1004, "TaskId": "24000145-DubbingAsync-1"}),
        ("DescribeTextToSpeechAsyncTask", {"ErrorCode": 100}),
        ("DescribeTextToSpeechAsyncTask", {"ErrorCode": 1004, "Status": "fail"}),
        ("DescribeCloneViralTask", {"Status": "FAIL"}),
        ("QueryHunyuan3DTask", {"Status": "FAIL", "ErrorCode": "InternalError.ModelInference"}),
    ],
)
def test_a_task_there_is_and_a_task_that_failed_is_no_failure_of_the_call(action: str, fields: dict[str, Any]) -> None:
    assert read(action, **fields).items() >= fields.items()


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("text_to_speech", {"Status": "fail", "ErrorCode": 1004, "Msg": "gone"}, "gone"),
        ("aigc_scenario", {"TaskStatus": "STOP", "TaskResultMsg": "stopped"}, "stopped"),
        ("aigc_scenario", {"TaskStatus": "TIMEOUT", "TaskResultMsg": "late"}, "late"),
        ("hunyuan_3d", {"Status": "FAIL", "ErrorMessage": "no mesh"}, "no mesh"),
    ],
)
def test_each_family_knows_its_bad_ends(kind: str, fields: dict[str, Any], message: str) -> None:
    status = FAMILIES[kind].status("one", fields)
    assert (status.state, status.message) == (TaskState.FAIL, message)


def test_what_has_no_word_that_is_known_is_waited_on() -> None:
    """That an ErrorCode ends a task is said nowhere, and a retry would pay for what is taken for a FAIL."""
    assert TEXT_TO_SPEECH.status("one", {"ErrorCode": 1004}).state is TaskState.UNKNOWN
