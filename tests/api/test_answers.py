"""Hostile and strange answers: cleaned once, digested in linear time, and a paid result is never lost to them."""

import asyncio
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import pytest
from airflow.sdk.serde import deserialize, serialize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_mps.api import redaction
from airflow_provider_mps.api.codes import Failure, classify
from airflow_provider_mps.api.errors import (
    AmbiguousCreateError,
    ApiError,
    MpsError,
    TaskFailedError,
    UnreadableAnswerError,
)
from airflow_provider_mps.api.tasks import AIGC_AUDIO, FAMILIES, MEDIA, TaskFamily, TaskState, TaskStatus
from airflow_provider_mps.api.waiting.poller import poller
from airflow_provider_mps.api.wire.answers import is_file_url, read_answer
from airflow_provider_mps.api.wire.client import MpsClient
from tests.api import conftest
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.in_time import ends
from tests.doubles.servers import LoopbackServer

GOOD = "https://files.example/tune.mp3?sign=secret"
DEEP = 100_000
"""Deeper than any Python's C stack or recursion limit lets JSON be read."""


def answered(body: bytes, action: str = DESCRIBE) -> dict[str, Any]:
    """What a client that asks once makes of an answer that came over a socket."""
    with (
        LoopbackServer(lambda handler: handler.answer(body)) as server,
        MpsClient(conftest.settings(server.server_port)) as client,
    ):
        return client.run(client.attempt(action, {"TaskId": "the-task"}))


def audio(response: str) -> TaskStatus:
    """The status of an audio task, from the JSON text of what stands beside ``Status``."""
    body = f'{{"Response": {{"Status": "DONE", "RequestId": "1", {response}}}}}'
    return AIGC_AUDIO.status("the-task", answered(body.encode("utf-8", "surrogatepass")))


@contextmanager
def refusal(code: Any = "InvalidParameter", message: Any = "no", request_id: Any = "1") -> Iterator[Any]:
    """The error that an error answer makes."""
    body = {"Response": {"Error": {"Code": code, "Message": message}, "RequestId": request_id}}
    with pytest.raises(MpsError) as refused:
        answered(json.dumps(body).encode())
    yield refused.value


STRANGE = {
    "null": "null",
    "NaN": "NaN",
    "infinity": "-Infinity",
    "a float beyond all": "1e400",
    "an integer of 5,000 digits": "9" * 5000,
    "an integer beyond 64 bits": str(2**70),
    "a half character": r'"\ud800"',
    "NUL": r'"\u0000"',
    "ANSI": r'"\u001b[2Jx\u009b31m"',
    "a raw line break": '"a\nb"',
    "a URL that does not parse": '"https://["',
    "a port that is none": '"https://files.example:port/x"',
    "javascript": '"javascript:alert(1)"',
    "a file of this machine": '"file:///etc/passwd"',
    "a URL with a line break": r'"https://files.example/\na"',
    "a URL without an end": f'"https://files.example/{"x" * 100_000}"',
    "a list": "[[]]",
    "an object": '{"Url": {"Url": 3}}',
    "Airflow's own key": '{"__classname__": "os.system", "__id__": 1, "__type": "dict", "__var": {}}',
    "a key with a half character": r'{"\udfff": 1}',
    "a deep list": "[" * 200 + "]" * 200,
}


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
def test_a_paid_result_is_not_lost_to_a_strange_neighbour(strange: str) -> None:
    bad = f'{strange}, {{"Url": {strange}, "Duration": 1}}, {{"Url": null}}'
    status = audio(f'"AudioInfos": [{bad}, {{"Url": "{GOOD}", "Duration": {strange}}}], "VideoInfos": {strange}')
    AIGC_AUDIO.check(status)
    assert status.files == {"audio": [GOOD]}
    assert status.durations == ()
    result = AIGC_AUDIO.result(status)
    assert [entry["Url"] for entry in result["AudioInfos"]] == [GOOD]
    kept_as_xcom(result)


def kept_as_xcom(value: Any) -> None:
    """What Airflow does with an XCom: to a process beside the task, as JSON to the database, and back."""
    written = serialize(value)
    msgspec.msgpack.encode(written)
    text = json.dumps(written, allow_nan=False)
    assert "\\u0000" not in text
    text.encode()
    json.dumps(written, ensure_ascii=False).encode()
    assert deserialize(json.loads(text)) == value


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
def test_any_family_reads_any_value_in_any_field(strange: str) -> None:
    names = [
        *("Status", "Message", "AudioInfos", "VideoUrls", "Resolution", "TaskType", "WorkflowTask", "RequestId"),
        *("TaskStatus", "Msg", "AudioUrl", "ExtInfo", "VoiceId", "ImageProcessTaskResultSet", "ResultFile3Ds"),
    ]
    for name in names:
        response = answered(
            f'{{"Response": {{"Status": "FINISH", "TaskType": "WorkflowTask", "{name}": {strange}}}}}'.encode()
        )
        for family in FAMILIES.values():
            status = family.status("the-task", response)
            assert status.word.isprintable()
            assert len(status.word) <= 40
            with suppress(MpsError):
                family.check(status)
            kept_as_xcom(family.result(status))


def test_a_file_with_bytes_that_are_no_text_beside_it_is_kept() -> None:
    body = b'\xef\xbb\xbf{"Response": {"Status": "DONE", "Message": "\xff\xfe", "AudioInfos": ["%s"]}}' % GOOD.encode()
    assert AIGC_AUDIO.status("the-task", answered(body)).urls == (GOOD,)


def test_only_what_can_be_a_length_is_a_duration() -> None:
    strange: list[Any] = ["3", True, {"s": 1}, None, [], -1, 1e308, 2**62]
    entries = [{"Url": GOOD, "Duration": duration} for duration in (3, 2.5, *strange)]
    status = audio(f'"AudioInfos": {json.dumps(entries)}')
    assert status.durations == (3, 2.5)
    assert [entry.get("Duration") for entry in AIGC_AUDIO.result(status)["AudioInfos"]] == [3, 2.5, *[None] * 8]


def test_files_in_cos_have_names_that_lead_to_cos() -> None:
    def output(bucket: Any, path: Any, region: Any = "ap-singapore") -> dict[str, Any]:
        return {"Path": path, "OutputStorage": {"CosOutputStorage": {"Bucket": bucket, "Region": region}}}

    outputs = [
        output("evil.example/", "/a.mp4"),
        output({"a": 1}, "/a.mp4"),
        output("films-1250000000", ["/a.mp4"]),
        output("films-1250000000", "/a\n.mp4"),
        output("films-1250000000", "/film.mp4"),
        output("films-1250000000", "/other.mp4", "evil.example/#"),
    ]
    own = {"ErrCode": {}, "MediaProcessResultSet": outputs}
    status = MEDIA.status("the-task", {"Status": "FINISH", "TaskType": "WorkflowTask", "WorkflowTask": own})
    MEDIA.check(status)
    assert [(file.uri, file.region) for file in status.in_cos] == [
        ("cos://films-1250000000/film.mp4", "ap-singapore"),
        ("cos://films-1250000000/other.mp4", ""),
    ]


@pytest.mark.parametrize("before", ["[", '{"a":', '{"Response":{"a":', '{"Response":['])
def test_an_answer_that_is_too_deep_is_unreadable_like_any_other(before: str) -> None:
    with pytest.raises(UnreadableAnswerError) as unreadable:
        answered(before.encode() * DEEP)
    assert unreadable.value.failure is Failure.SERVER_TROUBLE
    assert unreadable.value.retry_helps


def test_failures_deep_in_a_task_are_found_without_recursion() -> None:
    deep: dict[str, Any] = {"ErrCode": 7, "Message": "at last"}
    for _ in range(5000):
        deep = {"Task": [deep]}
    status = MEDIA.status("the-task", {"Status": "FINISH", "TaskType": "WorkflowTask", "WorkflowTask": deep})
    assert status.state is TaskState.FAIL
    assert "at last (ErrCode 7)" in status.message
    assert len(status.message) < 1000


@pytest.mark.parametrize("code", ["x" * 201, "." * 50_000, "", "a b", "a\nb", "\x1b[2J", "ü", 7, None, [], {}])
def test_a_code_that_is_none_is_unreadable(code: Any) -> None:
    with refusal(code) as error:
        assert isinstance(error, UnreadableAnswerError)
        assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("RequestLimitExceeded.UinLimitExceeded.More", Failure.THROTTLED),
        ("LimitExceeded.CreateTask.Now", Failure.THROTTLED),
        ("LimitExceeded", Failure.FINAL),
        ("LimitExceeded.", Failure.FINAL),
        ("RequestLimitExceededOften", Failure.UNKNOWN),
        (".RequestLimitExceeded", Failure.UNKNOWN),
        ("." * 100_000, Failure.UNKNOWN),
    ],
)
def test_a_code_stands_for_those_below_it(code: str, failure: Failure) -> None:
    assert classify(code).failure is failure


@pytest.mark.parametrize("message", [7, None, ["x"], {"a": 1}, "\x1b[31mred\x00\n\u202eSTOP\ud800", "x" * 100_000])
def test_a_message_is_one_printable_line(message: Any) -> None:
    with refusal(message=message, request_id=message) as error:
        assert isinstance(error, ApiError)
        assert str(error).isprintable()
        assert len(str(error)) < 800
        assert error.request_id == ""
        json.dumps(str(error), ensure_ascii=False).encode()
    task = AIGC_AUDIO.status("the-task", {"Status": "FAIL", "Message": message})
    with pytest.raises(TaskFailedError) as failed:
        AIGC_AUDIO.check(task)
    assert str(failed.value).isprintable()


@pytest.mark.parametrize("task_id", ["a b", "x\n", "\x1b[2Jx", "ü-1", "x" * 201, "../x", "a/b", 7, [], None])
def test_a_task_id_is_letters_digits_dots_and_dashes(task_id: Any) -> None:
    body = {"Response": {"TaskId": task_id, "RequestId": "the-request"}}
    with (
        LoopbackServer(lambda handler: handler.answer(body)) as server,
        MpsClient(conftest.settings(server.server_port)) as client,
        pytest.raises(AmbiguousCreateError) as doubt,
    ):
        client.run(client.create(CREATE, {"Prompt": "rain"}))
    assert str(doubt.value).isprintable()
    assert doubt.value.request_id == "the-request"


@pytest.mark.parametrize(
    ("value", "usable"),
    [
        (GOOD, True),
        ("HTTP://files.example:8080/My song (1).mp3", True),
        ("https://user:password@files.example/ä.mp3", True),
        ("https:///a.mp3", False),
        ("//files.example/a.mp3", False),
        ("cos://bucket/a.mp3", False),
        (b"https://files.example/a.mp3", False),
    ],
)
def test_what_a_file_url_is(value: Any, usable: bool) -> None:
    assert is_file_url(value) is usable


def test_formats_hold_nothing_of_a_signature() -> None:
    urls = [f"https://h/{name}" for name in ("a.MP3;sign=secret", "a.tar.gz?x=.wav", "b", "c.secretsecret", ".d;e=f.g")]
    assert audio(f'"AudioInfos": {json.dumps(urls)}').formats == ["MP3", "gz", "file", "file", "d"]


class Bounded:
    """A regular expression that is given no long text: it may be slower than linear."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern

    def search(self, text: str) -> Any:
        assert len(text) <= 4100
        return self._pattern.search(text)

    def sub(self, by: str, text: str) -> str:
        assert len(text) <= 4100
        return self._pattern.sub(by, text)


PIECES = (
    "https://",
    "https%3A%2F%2F",
    "https://a?b ",
    "//@",
    "?",
    "&;#",
    ".",
    '"',
    "\\\\",
    " ",
    "\x1b",
    "a.",
    "\ud83d",
)
PLACES = ("Message", "Code", "RequestId", "TaskId", "Status", "Url", "Key", "list", "objects", "deep")


def answer(place: str, piece: str, size: int) -> bytes:
    """An answer with one part that is about ``size`` characters long."""
    text = piece * (size // len(piece))
    response: dict[str, Any] = {"Status": "FINISH", "TaskType": "WorkflowTask", "RequestId": "1"}
    own: dict[str, Any] = {}
    if place in ("Message", "Code"):
        response["Error"] = {"Code": "InvalidParameter", "Message": "no", place: text}
    elif place == "Url":
        response["AudioInfos"] = [text, {"Url": text}]
    elif place == "Key":
        own = {text: {text: {"ErrCode": 1, "Message": text}}}
    elif place == "list":
        own = {"Results": [piece] * (size // 4)}
    elif place == "objects":
        own = {"Results": [{"ErrCode": 1, "Message": piece, "Path": piece}] * (size // 40)}
    elif place == "deep":
        for _ in range(50):
            own = {"K" * 90: own, "Results": [[]] * (size // 200)}
    else:
        response[place] = text
    return json.dumps({"Response": response | {"WorkflowTask": own}}).encode()


@contextmanager
def counted() -> Iterator[list[str]]:
    """The calls of functions that are made in it."""
    calls: list[str] = []
    sys.setprofile(lambda frame, event, argument: calls.append(event) if event in ("call", "c_call") else None)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def work(body: bytes) -> int:
    """How many calls it takes to digest an answer."""
    with counted() as calls, suppress(MpsError):
        response = read_answer(DESCRIBE, 200, body)
        for family in FAMILIES.values():
            status = family.status("the-task", response)
            assert len(status.word) <= 40
            with suppress(MpsError):
                family.check(status)
    return len(calls)


@settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), piece=st.sampled_from(PIECES), size=st.integers(2_000, 8_000))
def test_any_answer_is_digested_in_time_linear_in_its_size(
    monkeypatch: pytest.MonkeyPatch, place: str, piece: str, size: int
) -> None:
    with monkeypatch.context() as patched:
        for name, pattern in list(vars(redaction).items()):
            if isinstance(pattern, re.Pattern):
                patched.setattr(redaction, name, Bounded(pattern))
        assert work(answer(place, piece, 8 * size)) <= 9 * work(answer(place, piece, size)) + 5000


def test_a_large_answer_is_read_and_judged_beside_the_event_loop() -> None:
    judged_in = []

    class Noting(type(MEDIA)):  # type: ignore[misc]
        def status(self, task_id: str, response: dict[str, Any]) -> TaskStatus:
            judged_in.append(threading.current_thread())
            judged: TaskStatus = super().status(task_id, response)
            return judged

    def waited(size: int) -> TaskStatus:
        own = {"Results": [{"Status": "SUCCESS", "Text": "x" * 1000}] * (size // 1000)}
        body = {"Response": {"Status": "FINISH", "TaskType": "WorkflowTask", "WorkflowTask": own}}

        async def wait(port: int) -> TaskStatus:
            return await poller(conftest.settings(port)).wait(Noting(), "the-task", poll_interval=0.1)

        with LoopbackServer(lambda handler: handler.answer(body)) as server:
            status: TaskStatus = ends(lambda: asyncio.run(wait(server.server_port)))
        return status

    assert waited(1000).state is waited(3_000_000).state is TaskState.DONE
    small, large = judged_in
    assert large is not small


def test_an_answer_of_more_values_than_any_real_one_is_unreadable_and_another_of_its_size_is_not() -> None:
    def large(values: list[Any]) -> bytes:
        return json.dumps({"Response": {"Status": "DONE", "AudioInfos": [GOOD], "x": values}}).encode()

    with pytest.raises(UnreadableAnswerError):
        read_answer(DESCRIBE, 200, large([{}] * 600_000))
    few = large([{"Text": "x" * 100, "Start": 1.5, "Nothing": None, "Infinite": float("inf")}] * 10_000)
    assert AIGC_AUDIO.status("the-task", read_answer(DESCRIBE, 200, few)).urls == (GOOD,)


def test_of_parts_that_failed_the_first_ten_messages_are_cleaned() -> None:
    def calls(message: str) -> int:
        own = {"Results": [{"Status": "FAIL", "Message": message}] * 1000}
        with counted() as made:
            MEDIA.status("the-task", {"Status": "FINISH", "TaskType": "WorkflowTask", "WorkflowTask": own})
        return len(made)

    assert calls("%3a%2f%2f" * 450) <= calls("x") + 10 * 10_000


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("value", [[], {}, 1, {"ErrCode": 1}, GOOD])
def test_what_an_event_loop_does_with_an_answer_is_bounded(family: TaskFamily, value: Any) -> None:
    def calls(number: int) -> int:
        values = [value] * number
        response = {"Status": "FINISH", "TaskType": "WorkflowTask", "WorkflowTask": {"Results": values}}
        response |= dict.fromkeys(
            ("AudioInfos", "VideoInfos", "VideoUrls", "ImageUrls", "ImageProcessTaskResultSet"), values
        )
        with counted() as made, suppress(MpsError):
            family.check(family.status("the-task", response))
        return len(made)

    enough = 110_000 if isinstance(family, type(MEDIA)) else 11_000
    assert calls(2 * enough) <= 1.1 * calls(enough) + 1000
