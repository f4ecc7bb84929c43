"""Any other action: the whole answer is returned, reads are repeated, and nothing else is, in doubt."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.api.errors import AmbiguousCreateError, ApiError, DownloadError, InvalidArgumentError
from airflow_provider_mps.compat import AirflowFailException, ObjectStoragePath
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import MpsApiOperator
from tests.doubles.airflows import DAG
from tests.doubles.logs import Lines
from tests.doubles.seen import PICTURE
from tests.doubles.servers import Handler, LoopbackServer
from tests.doubles.task_instances import Killed, Outcome, State, TaskInstance

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
    assert error.field == named
    assert emulator.requests == []


@pytest.mark.parametrize(("native", "sent"), [(True, 5), (False, "5")])
def test_native_rendering_makes_numbers_of_templates(emulator: MpsEmulator, native: bool, sent: Any) -> None:
    params = {"Status": "FINISH", "Limit": "{{ 2 + 3 }}"}
    with DAG("dag", schedule=None, render_template_as_native_obj=native):
        operator = MpsApiOperator(task_id="call", action="DescribeTasks", mps_params=params)
    operator.render_template_fields({})
    outcome = TaskInstance(lambda: operator).run()
    assert emulator.requests[0].params == {"Status": "FINISH", "Limit": sent}
    assert (outcome.state is State.SUCCESS) == native
    assert native or (isinstance(outcome.errors[0], ApiError) and "Limit" in str(outcome.errors[0]))


def test_its_arguments_are_templates() -> None:
    operator = MpsApiOperator(task_id="call", action="{{ verb }}Tasks", mps_params={"Status": ["{{ status }}"]})
    context: Any = {"verb": "Describe", "status": "FINISH"}
    operator.render_template_fields(context)
    assert (operator.action, operator.mps_params) == ("DescribeTasks", {"Status": ["FINISH"]})


SPEAK: dict[str, Any] = {"action": "TextToSpeech", "mps_params": {"Text": "rain", "VoiceId": "v"}}
WAV = b"RIFF\x00\x00\x00\x00WAVE"


def spoken(connect: Callable[..., None], *, tries: int = 1, **fields: Any) -> tuple[Outcome, TaskInstance, int]:
    """Speak, where MPS answers with these fields; how often it was asked."""
    answer = {"ErrorCode": 0, "Msg": "success", "RequestId": "the-request", **fields}
    with LoopbackServer(lambda handler: handler.answer({"Response": answer})) as server:
        connect(port=server.server_port)
        instance = TaskInstance(lambda: MpsApiOperator(task_id="call", **SPEAK, **SAVE), retries=tries - 1)
        return instance.run(), instance, len(server.requests)


SAVE: dict[str, Any] = {}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(SAVE, "save_audio", f"file://{tmp_path}/voices")
    return tmp_path / "voices"


@pytest.mark.usefixtures("emulator")
def test_a_sound_becomes_a_file_and_no_xcom(connect: Callable[..., None], folder: Path) -> None:
    outcome, instance, _ = spoken(connect, AudioData=base64.b64encode(WAV).decode())
    assert outcome.state is State.SUCCESS, outcome.errors
    assert "AudioData" not in outcome.value
    assert outcome.value["AudioFile"].endswith("/voices/the-request.wav")
    assert (folder / "the-request.wav").read_bytes() == WAV
    assert "AudioData" not in instance.remembered["response"]


@pytest.mark.usefixtures("emulator")
def test_a_sound_that_could_not_be_kept_is_kept_by_the_retry_and_paid_for_once(
    connect: Callable[..., None], folder: Path
) -> None:
    (folder / "the-request.wav").mkdir(parents=True)
    outcome, instance, sent = spoken(connect, tries=2, AudioData=base64.b64encode(WAV).decode())
    assert (outcome.state, sent) == (State.FAILED, 1)
    for error in outcome.errors:
        assert isinstance(error, DownloadError)
        assert "its answer is remembered" in error.cost
    (folder / "the-request.wav").rmdir()
    retried = TaskInstance(instance.make, retries=1)
    retried.stored = instance.stored
    again = retried.run()
    assert again.state is State.SUCCESS, again.errors
    assert (folder / "the-request.wav").read_bytes() == WAV


@pytest.mark.usefixtures("emulator")
def test_where_nothing_remembers_it_a_sound_that_could_not_be_kept_is_in_the_xcom(
    connect: Callable[..., None], folder: Path, monkeypatch: pytest.MonkeyPatch, logged: Lines
) -> None:
    """Else a retry would pay for another one."""
    (folder / "the-request.wav").mkdir(parents=True)
    run = TaskInstance.run

    def before_airflow_3_3(instance: TaskInstance) -> Outcome:
        instance.has_store = False
        return run(instance)

    monkeypatch.setattr(TaskInstance, "run", before_airflow_3_3)
    sound = base64.b64encode(WAV).decode()
    outcome, _, sent = spoken(connect, tries=3, AudioData=sound)
    assert (outcome.state, outcome.value["AudioData"], sent) == (State.SUCCESS, sound, 1)
    assert logged.of("so the sound is in this task's XCom")


@pytest.mark.parametrize(
    ("begins", "suffix"), [(b"\xff\xfb\x90", "mp3"), (b"\xff\xf3\x40", "mp3"), (b"ID3", "mp3"), (b"\xff\xf1", "audio")]
)
@pytest.mark.usefixtures("emulator")
def test_a_sound_has_the_suffix_of_what_it_is(
    connect: Callable[..., None], folder: Path, begins: bytes, suffix: str
) -> None:
    outcome, _, _ = spoken(connect, AudioData=base64.b64encode(begins + b"sound").decode())
    assert outcome.value["AudioFile"].endswith(f"/the-request.{suffix}")


def test_a_folder_that_cannot_be_made_is_named_before_anything_is_sent(emulator: MpsEmulator, tmp_path: Path) -> None:
    (tmp_path / "voices").write_text("a file where the folder should be")
    [error] = run(**SPEAK, save_audio=f"file://{tmp_path}/voices").errors
    assert isinstance(error, InvalidArgumentError)
    assert error.field == "save_audio"
    assert emulator.requests == []


@pytest.mark.usefixtures("emulator")
def test_a_worker_that_is_lost_while_a_sound_is_kept_loses_no_sound(
    connect: Callable[..., None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, run = ObjectStoragePath.write_bytes, TaskInstance.run
    instances: list[TaskInstance] = []

    def kept(instance: TaskInstance) -> Outcome:
        instances.append(instance)
        return run(instance)

    def lost(path: ObjectStoragePath, content: bytes) -> None:
        monkeypatch.setattr(ObjectStoragePath, "write_bytes", keep)
        instances[0].worker.dead = True
        raise Killed

    monkeypatch.setattr(TaskInstance, "run", kept)
    monkeypatch.setattr(ObjectStoragePath, "write_bytes", lost)
    outcome, _, sent = spoken(connect, tries=2, AudioData=base64.b64encode(WAV).decode())
    assert [type(error) for error in outcome.errors] == [Killed]
    assert (outcome.state, sent) == (State.SUCCESS, 1)
    assert (folder / "the-request.wav").read_bytes() == WAV


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("fields", [{"AudioUrl": "https://host/voice.wav"}, {"AudioData": "no base64!"}])
def test_an_answer_without_a_sound_is_returned_as_it_is(
    connect: Callable[..., None], folder: Path, fields: dict[str, Any]
) -> None:
    outcome, _, _ = spoken(connect, **fields)
    assert outcome.value.items() >= fields.items()
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("emulator")
def test_an_error_inside_of_a_success_is_one(connect: Callable[..., None]) -> None:
    outcome, _, sent = spoken(connect, tries=3, ErrorCode=1004, Msg="no such voice")
    [error] = outcome.errors
    assert sent == 1
    assert "1004: no such voice" in str(error)


@pytest.mark.parametrize("folder", ["voices", "", 7])
def test_a_folder_that_is_none_is_named_before_anything_is_sent(emulator: MpsEmulator, folder: Any) -> None:
    [error] = run(**SPEAK, save_audio=folder).errors
    assert isinstance(error, InvalidArgumentError)
    assert error.field == "save_audio"
    assert emulator.requests == []
