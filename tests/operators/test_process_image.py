"""ProcessImage: where its pictures are, and what comes of those that are only described."""

from typing import Any

import pytest

from airflow_provider_mps.api.tasks import PICTURES, TaskState
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import ProcessImageOperator
from tests.doubles.task_instances import run_task

URL = "https://films-1250000000.cos.ap-singapore.myqcloud.com/fox.png"
STORED = {"Path": "/fox.png", "OutputStorage": {"Type": "COS", "CosOutputStorage": {"Bucket": "a-1", "Region": "b"}}}


def answered(*results: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"Status": "FINISH", "TaskType": "WorkflowTask", "ImageProcessTaskResultSet": list(results), **fields}


def test_a_picture_in_a_bucket_of_the_account_is_named_as_mps_wants_it(emulator: MpsEmulator) -> None:
    what = {"EncodeConfig": {"Format": "png"}}
    _, xcoms = run_task(
        ProcessImageOperator(
            task_id="image", input_url=URL, image_task=what, wait_for_completion=True, poll_interval=0.05
        )
    )
    assert emulator.tasks[0].params["InputInfo"]["CosInputInfo"]["Bucket"] == "films-1250000000"
    assert xcoms["cos_uris"] == ["cos://films-1250000000/fox_processed.png"]


def test_a_picture_that_is_described_has_its_text_in_the_result(emulator: MpsEmulator) -> None:
    what = {"UnderstandImageConfig": {"Prompt": "What is it?"}}
    _, xcoms = run_task(
        ProcessImageOperator(
            task_id="image", input_url=URL, image_task=what, wait_for_completion=True, poll_interval=0.05
        )
    )
    assert xcoms["result"]["ImageProcessTaskResultSet"][0]["Output"]["Content"]
    assert xcoms["usage"]["files"] == 0


@pytest.mark.parametrize(
    ("output", "files"),
    [
        (STORED | {"SignedUrl": "https://host/fox.png?sign=1"}, {"cos": ["cos://a-1/fox.png"]}),
        ({"SignedUrl": "https://host/fox.png?sign=1"}, {"image": ["https://host/fox.png?sign=1"]}),
        ({"SignedUrl": "javascript:alert(1)"}, {"image": []}),
        (None, {"image": []}),
    ],
)
def test_where_a_picture_is(output: Any, files: dict[str, list[str]]) -> None:
    assert PICTURES.status("one", answered({"Status": "SUCCESS", "Output": output})).files == files


@pytest.mark.parametrize(
    "answer",
    [
        answered({"Status": "FAIL", "ErrMsg": "InvalidInput", "Message": "no picture"}),
        answered(ErrCode=70000, Message="no picture"),
        answered(ErrMsg="InvalidInput", Message="no picture"),
    ],
)
def test_a_finish_is_no_success(answer: dict[str, Any]) -> None:
    status = PICTURES.status("one", answer)
    assert status.state is TaskState.FAIL
    assert "no picture" in status.message
