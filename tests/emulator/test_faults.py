"""Each fault does on the wire what its name says, once, and makes a task just where it says so."""

import contextlib
import socket
import time

import httpx
import pytest

from airflow_provider_mps.emulator import Fault, FaultKind
from tests.doubles.seen import FILM, MUSIC, PICTURE

CREATE, DESCRIBE = "CreateAigcAudioTask", "DescribeAigcAudioTask"


def answer_of(mps, action, params):
    """The answer's ``Response``, or the name of what came instead."""
    try:
        return mps.call(action, params)
    except (httpx.HTTPError, AssertionError, ValueError, TypeError) as error:
        return type(error).__name__


def raw(mps, action, params):
    """A connection on which a request was sent, for faults that never end."""
    request = mps.request(action, params)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    connection = socket.create_connection(("127.0.0.1", mps.emulator.port))
    connection.sendall(f"POST / HTTP/1.1\r\n{head}\r\n".encode() + request.content)
    return contextlib.closing(connection)


NOT_PROCESSED = {
    "refused_inside",
    "error",
    "http_502",
    "cut_before",
    "hang",
    "redirect",
    "not_found",
    "content_refused",
}
ENDLESS = {FaultKind.HANG, FaultKind.HANG_AFTER, FaultKind.DRIP, FaultKind.DRIP_HEADERS}


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind.applies_to(CREATE) and kind not in ENDLESS])
def test_a_create_makes_a_task_just_where_the_fault_says_so(mps, kind):
    mps.emulator.fault(kind, CREATE, code="InternalError")
    answer_of(mps, CREATE, MUSIC)
    assert kind.processed == (kind not in NOT_PROCESSED)
    assert len(mps.emulator.tasks) == kind.processed
    assert mps.call(CREATE, MUSIC)["TaskId"], "the fault strikes once"
    assert mps.emulator.count(CREATE) == 2


@pytest.mark.parametrize(
    ("kind", "what_came"),
    [
        ("cut_before", "RemoteProtocolError"),
        ("cut_after", "RemoteProtocolError"),
        ("cut_mid", "RemoteProtocolError"),
        ("http_502", "AssertionError"),
        ("http_502_after", "AssertionError"),
        ("redirect", "AssertionError"),
        ("not_json", "JSONDecodeError"),
        ("not_object", "TypeError"),
    ],
)
@pytest.mark.parametrize("action", [CREATE, DESCRIBE])
def test_broken_answers(mps, action, kind, what_came):
    params = MUSIC if action == CREATE else {"TaskId": mps.create()}
    mps.emulator.fault(kind, action)
    assert answer_of(mps, action, params) == what_came
    assert mps.emulator.requests[-1].answer == kind


@pytest.mark.parametrize("kind", ["slow", "wrong_content_type", "gzip", "huge"])
def test_odd_but_whole_answers(mps, kind):
    task_id = mps.create()
    mps.emulator.fault(kind, DESCRIBE)
    assert mps.call(DESCRIBE, {"TaskId": task_id})["Status"] == "DONE"


def test_the_odd_answers_are_odd(mps):
    for kind in ("wrong_content_type", "gzip", "huge", "http_502"):
        mps.emulator.fault(kind)
    assert mps.send(CREATE, MUSIC).headers["content-type"].startswith("text/html")
    assert mps.send(CREATE, MUSIC).headers["content-encoding"] == "gzip"
    assert len(mps.send(CREATE, MUSIC).content) > 11 * 1024 * 1024
    gateway = mps.send(CREATE, MUSIC)
    assert (gateway.status_code, gateway.headers["content-type"]) == (502, "text/html; charset=utf-8")


def test_errors_carry_code_and_message(mps):
    mps.emulator.fault("error", code="RequestLimitExceeded", message="slow down")
    assert mps.call(CREATE, MUSIC)["Error"] == {"Code": "RequestLimitExceeded", "Message": "slow down"}
    mps.emulator.fault("error_after", code="InternalError")
    assert mps.code(CREATE, MUSIC) == "InternalError"
    mps.emulator.fault("not_found")
    assert mps.code(DESCRIBE, {"TaskId": "any"}) == "ResourceNotFound"


@pytest.mark.parametrize("kind", ["hang", "hang_after"])
def test_a_hang_ends_with_the_emulator_and_without_a_byte(mps, kind):
    mps.emulator.fault(kind)
    with raw(mps, CREATE, MUSIC) as connection:
        for _ in range(3000):
            if mps.emulator.count(CREATE):
                break
            time.sleep(0.01)
        assert mps.create(), "others are served meanwhile"
        mps.emulator.stop()
        assert connection.recv(1) == b""
    assert len(mps.emulator.tasks) == (2 if kind == "hang_after" else 1)


def test_a_drip_gives_its_headers_and_then_single_bytes(mps):
    mps.emulator.fault("drip")
    with raw(mps, CREATE, MUSIC) as connection:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(1000)
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Length: 1000000" in received
        assert [connection.recv(1000) for _ in range(3)] == [b" "] * 3


def test_a_drip_of_headers_never_ends_them(mps):
    mps.emulator.fault("drip_headers")
    with raw(mps, CREATE, MUSIC) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
        assert [connection.recv(1000) for _ in range(3)] == [b"x"] * 3


def test_a_redirect_that_is_followed_shows_in_the_count(mps):
    mps.emulator.fault("redirect")
    request = mps.request(CREATE, MUSIC)
    assert mps.client.send(request, follow_redirects=True).json()["Response"]["Error"]["Code"].startswith("AuthFailure")
    assert mps.emulator.count(CREATE) == 2
    assert mps.emulator.tasks == []
    mps.emulator.fault("redirect", message="http://127.0.0.1:9/elsewhere")
    assert mps.send(CREATE, MUSIC).headers["location"] == "http://127.0.0.1:9/elsewhere"


@pytest.mark.parametrize(
    ("create", "params", "describe", "results"),
    [
        (CREATE, MUSIC, DESCRIBE, ["AudioInfos", "VideoInfos"]),
        ("CreateAigcVideoTask", FILM, "DescribeAigcVideoTask", ["VideoUrls"]),
        ("CreateAigcImageTask", PICTURE, "DescribeAigcImageTask", ["ImageUrls"]),
    ],
)
def test_odd_states(start, create, params, describe, results):
    mps = start(wait_seconds=1000)
    task_id = mps.call(create, params)["TaskId"]
    mps.emulator.fault("unknown_status")
    assert mps.call(describe, {"TaskId": task_id})["Status"] == "PAUSED"
    mps.emulator.fault("done_without_url")
    answer = mps.call(describe, {"TaskId": task_id})
    assert answer["Status"] == "DONE"
    assert [answer[name] for name in results] == [None] * len(results)
    assert mps.call(describe, {"TaskId": task_id})["Status"] == "WAIT"


def test_tasks_that_fail_or_never_end(mps):
    mps.emulator.fault("fail", message="the model is ill")
    failed, fine = mps.create(), mps.create()
    answer = mps.call(DESCRIBE, {"TaskId": failed})
    assert (answer["Status"], answer["Message"]) == ("FAIL", "the model is ill")
    assert (answer["AudioInfos"], answer["VideoInfos"]) == (None, None)
    assert mps.call(DESCRIBE, {"TaskId": fine})["Status"] == "DONE"
    mps.emulator.fault("never_done", CREATE)
    endless = mps.create()
    assert mps.call(DESCRIBE, {"TaskId": endless})["Status"] == "RUN"
    assert mps.emulator.tasks[-1].done_at is None


def test_the_url_of_a_task_that_is_done_may_come_late(mps):
    mps.emulator.fault("url_late")
    task_id, other = mps.create(), mps.create()
    early, late = (mps.call(DESCRIBE, {"TaskId": task_id}) for _ in range(2))
    assert (early["Status"], early["AudioInfos"], early["VideoInfos"]) == ("DONE", None, None)
    assert (late["Status"], len(late["AudioInfos"])) == ("DONE", 1)
    assert mps.call(DESCRIBE, {"TaskId": other})["AudioInfos"]


def test_a_late_url_of_a_media_task(mps):
    mps.emulator.fault("url_late")
    params = {
        "FileInfos": [{"InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": "https://example.com/a.mp4"}}}],
        "OutputStorage": {"Type": "COS", "CosOutputStorage": {"Bucket": "out-1", "Region": "ap-singapore"}},
        "OutputObjectPath": "/film.mp4",
    }
    task_id = mps.call("EditMedia", params)["TaskId"]
    early, late = (mps.call("DescribeTaskDetail", {"TaskId": task_id}) for _ in range(2))
    assert (early["Status"], early["EditMediaTask"]["Output"]) == ("FINISH", None)
    assert late["EditMediaTask"]["Output"]["Path"] == "/film.mp4"


def test_content_that_the_review_refuses(mps):
    mps.emulator.fault("content_refused")
    assert mps.code(CREATE, MUSIC) == "InvalidParameter.ViolationContent"
    assert mps.emulator.tasks == []


def test_faults_can_be_cleared_alone(mps):
    task_id = mps.create()
    mps.emulator.fault("error", code="InternalError", times=None)
    assert mps.code(DESCRIBE, {"TaskId": task_id}) == "InternalError"
    mps.emulator.clear_faults()
    assert mps.code(DESCRIBE, {"TaskId": task_id}) == "ok"
    assert mps.emulator.count(DESCRIBE) == 2


def test_times_and_after(mps):
    mps.emulator.fault("error", CREATE, code="InternalError", after=1, times=2)
    assert [mps.code(CREATE, MUSIC) for _ in range(5)] == [
        "ok",
        "InternalError",
        "InternalError",
        "ok",
        "ok",
    ]
    mps.emulator.fault("error", code="InternalError", times=None)
    assert [mps.code(CREATE, MUSIC) for _ in range(5)] == ["InternalError"] * 5
    mps.emulator.reset()
    assert mps.code(CREATE, MUSIC) == "ok"


def test_a_fault_strikes_only_its_action(mps):
    task_id = mps.create()
    mps.emulator.fault("error", DESCRIBE, code="InternalError")
    assert mps.code(CREATE, MUSIC) == "ok"
    assert mps.code(DESCRIBE, {"TaskId": task_id}) == "InternalError"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "explode"},
        {"kind": "no_task_id", "action": DESCRIBE},
        {"kind": "unknown_status", "action": CREATE},
        {"kind": "fail", "action": DESCRIBE},
        {"kind": "file_cut", "action": CREATE},
        {"kind": "error"},
        {"kind": "slow", "times": 0},
        {"kind": "slow", "after": -1},
        {"kind": "slow", "seconds": float("nan")},
    ],
)
def test_faults_that_make_no_sense_are_refused(mps, wrong):
    with pytest.raises(ValueError, match=r"kind|times|after|seconds"):
        mps.emulator.fault(**wrong)


def test_the_error_of_an_unknown_kind_lists_them_all(mps):
    with pytest.raises(ValueError, match="there is no fault of kind 'explode'") as refused:
        mps.emulator.fault("explode")
    assert all(f" {kind}" in str(refused.value) for kind in FaultKind)


def test_every_kind_applies_somewhere():
    for kind in FaultKind:
        assert any(kind.applies_to(action) for action in (CREATE, DESCRIBE, "file"))
        Fault(kind, code="InternalError")
