"""How a task of ProcessMedia or EditMedia ended: FINISH does not mean success."""

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_mps.api.errors import MpsError, NoResultError, TaskFailedError
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from tests.doubles.logs import Lines
from tests.doubles.servers import Handler, LoopbackServer
from tests.doubles.task_instances import run_task

STORAGE = {"Type": "COS", "CosOutputStorage": {"Bucket": "films-1250000000", "Region": "ap-singapore"}}
FINE: dict[str, Any] = {"Status": "FINISH", "ErrCode": 0, "Message": ""}


def workflow(*results: dict[str, Any], **own: Any) -> dict[str, Any]:
    """The answer of DescribeTaskDetail for a ProcessMedia with these results."""
    task = FINE | {"TaskId": "the-task", "MediaProcessResultSet": list(results)} | own
    return {"TaskType": "WorkflowTask", "Status": "FINISH", "WorkflowTask": task, "EditMediaTask": None}


def transcode(path: str = "/out/a.mp4", **own: Any) -> dict[str, Any]:
    output = {"OutputStorage": STORAGE, "Path": path, "Definition": 100}
    result = {"Status": "SUCCESS", "ErrCode": 0, "Message": "", "Input": {}, "Output": output} | own
    return {"Type": "Transcode", "TranscodeTask": result, "SampleSnapshotTask": None}


def edited(**own: Any) -> dict[str, Any]:
    """The answer for an EditMedia."""
    return {"TaskType": "EditMediaTask", "Status": "FINISH", "EditMediaTask": FINE | {"Output": None} | own}


@pytest.fixture
def wait(emulator: MpsEmulator, connect: Callable[..., None]) -> Callable[..., Any]:
    """Wait for a task of which MPS gives this answer; what the sensor returns, and its XComs."""

    def wait_for(answer: dict[str, Any], *, deferrable: bool = False) -> Any:
        with LoopbackServer(lambda handler: handler.answer({"Response": answer})) as server:
            connect(port=server.server_port)
            return run_task(
                MpsTaskSensor(task_id="wait", mps_task_id="the-task", poke_interval=0.1, deferrable=deferrable)
            )

    return wait_for


@pytest.mark.parametrize("deferrable", [False, True], ids=["poke", "deferrable"])
@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (workflow(ErrCode=70000, Message="the film is empty"), TaskFailedError, ("the film is empty", "70000")),
        (
            workflow(transcode(), transcode(Status="FAIL", ErrCode=30000, Message="no codec", Output=None)),
            TaskFailedError,
            ("WorkflowTask.MediaProcessResultSet[1].TranscodeTask", "no codec", "30000"),
        ),
        (
            workflow(transcode(), AiAnalysisResultSet=[{"Type": "Cover", "CoverTask": {"Status": "FAIL"}}]),
            TaskFailedError,
            ("AiAnalysisResultSet[0].CoverTask", "no message"),
        ),
        (
            workflow(transcode(ErrCodeExt="InvalidFile", ErrCode=1, Message="at https://a.example/b?sign=secret")),
            TaskFailedError,
            ("InvalidFile", "https://a.example/b?..."),
        ),
        (workflow() | {"WorkflowTask": None}, TaskFailedError, ("FINISH without a WorkflowTask",)),
        ({"Status": "FINISH"}, TaskFailedError, ("FINISH without a",)),
        (edited(ErrCode=4, Message="no track"), TaskFailedError, ("EditMediaTask", "no track", "4")),
        (edited(), NoResultError, ("the-task", "FINISH")),
        (edited(Output={"OutputStorage": STORAGE, "Path": ""}), NoResultError, ("the-task", "FINISH")),
    ],
)
@pytest.mark.usefixtures("mps_short_waits")
def test_what_is_finished_and_has_not_succeeded_fails_the_wait(
    wait: Callable[..., Any], answer: dict[str, Any], error: type[MpsError], told: tuple[str, ...], deferrable: bool
) -> None:
    with pytest.raises(error) as raised:
        wait(answer, deferrable=deferrable)
    # Files may come later; what has failed would be the same, asked again.
    assert isinstance(raised.value, AirflowFailException) is (error is not NoResultError)
    for text in told:
        assert text in str(raised.value)
    assert "secret" not in str(raised.value)


def test_the_parts_that_are_done_are_named(wait: Callable[..., Any]) -> None:
    """A new ProcessMedia would make, and bill, these again."""
    answer = workflow(
        transcode(),
        transcode(Status="FAIL", ErrCode=30000, Message="no codec", Output=None),
        transcode(Status="PROCESSING", Output=None),
        AiAnalysisResultSet=[{"Type": "Cover", "CoverTask": {"Status": "SUCCESS"}}],
    )
    with pytest.raises(TaskFailedError) as raised:
        wait(answer)
    done = str(raised.value).partition("done")[2].partition(": ")[2].partition(". ")[0]
    assert done == "WorkflowTask.MediaProcessResultSet[0].TranscodeTask, WorkflowTask.AiAnalysisResultSet[0].CoverTask"


def test_where_no_part_is_done_none_is_named(wait: Callable[..., Any]) -> None:
    with pytest.raises(TaskFailedError) as raised:
        wait(workflow(transcode(Status="FAIL", ErrCode=30000, Message="no codec", Output=None)))
    assert "done" not in str(raised.value)


def test_what_a_request_quotes_of_a_failure_is_none(wait: Callable[..., Any]) -> None:
    result, _ = wait(workflow(transcode(Input={"Status": "FAIL", "ErrCode": 1})))
    assert result["TaskId"] == "the-task"


def test_every_kind_of_output_is_found(wait: Callable[..., Any]) -> None:
    shots = {"Storage": STORAGE, "ImagePathSet": ["/out/1.png", "/out/2.png"]}
    times = {"Storage": STORAGE, "PicInfoSet": [{"TimeOffset": 1, "Path": "/out/3.png"}]}
    answer = workflow(
        transcode("out/a.mp4"),
        {"Type": "SampleSnapshot", "SampleSnapshotTask": FINE | {"Status": "SUCCESS", "Output": shots}},
        {"Type": "SnapshotByTimeOffset", "SnapshotByTimeOffsetTask": FINE | {"Status": "SUCCESS", "Output": times}},
        transcode("out/a.mp4"),
        InputInfo={"Storage": STORAGE, "Path": "/in/a.mp4"},
    )
    result, xcoms = wait(answer)
    names = ("a.mp4", "1.png", "2.png", "3.png")
    assert xcoms["cos_uris"] == [f"cos://films-1250000000/out/{name}" for name in names]
    host = "films-1250000000.cos.ap-singapore.myqcloud.com"
    assert xcoms["cos_urls"] == [f"https://{host}/out/{name}" for name in names]
    assert result == answer["WorkflowTask"]


@pytest.mark.parametrize(
    ("bucket", "region"),
    [("b-1", ""), ("b-1", "x.evil.example/"), ("evil.example/", "ap-x"), ("b-1.cos.ap-y.myqcloud.com/", "ap-x")],
)
def test_what_makes_no_address_of_cos_has_no_url(wait: Callable[..., Any], bucket: str, region: str) -> None:
    """Without a usable region a file still has its URI; without a usable bucket it has no address at all."""
    storage = {"Type": "COS", "CosOutputStorage": {"Bucket": bucket, "Region": region}}
    _, xcoms = wait(workflow(transcode(Output={"OutputStorage": storage, "Path": "/out/a.mp4"})))
    assert bool(xcoms["cos_uris"]) is (bucket == "b-1")
    assert "cos_urls" not in xcoms


def test_a_review_makes_no_file(wait: Callable[..., Any]) -> None:
    result, xcoms = wait(workflow(AiContentReviewResultSet=[{"Type": "Porn", "PornTask": {"Status": "SUCCESS"}}]))
    assert result["AiContentReviewResultSet"]
    assert xcoms.pop("usage")["files"] == 0
    assert xcoms == {"cos_uris": []}


def test_the_states_on_the_way(emulator: MpsEmulator, connect: Callable[..., None]) -> None:
    words = ["WAITING", "PROCESSING", "WHATEVER", "FINISH"]

    def respond(handler: Handler) -> None:
        word = words.pop(0)
        handler.answer({"Response": workflow(transcode()) | {"Status": word}})

    with LoopbackServer(respond) as server:
        connect(port=server.server_port)
        result, _ = run_task(MpsTaskSensor(task_id="wait", mps_task_id="the-task", poke_interval=0.1))
    assert words == []
    assert result["TaskId"] == "the-task"


def test_a_streamed_playlist_is_said_to_be_one_file_of_several(wait: Callable[..., Any], logged: Lines) -> None:
    wait(workflow(transcode("/out/film.m3u8"), transcode()))
    [line] = logged.of("m3u8")
    assert "1 m3u8 (a playlist: one file of several), 1 mp4" in line
