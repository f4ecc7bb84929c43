"""Nothing leaks: no key, token, signature or URL of a result in any log, event, trigger, error, repr or other XCom."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.emulator import FaultKind
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator
from tests.doubles.emulators import emulated
from tests.doubles.logs import Lines, kept_lines, told_by
from tests.doubles.seen import MUSIC, MUSIC_ARGUMENTS
from tests.doubles.servers import LoopbackServer
from tests.doubles.task_instances import State, TaskInstance
from tests.doubles.ways import OPERATORS, SENSORS, WAITINGS_IN_TURN
from tests.promises.cases import AT_ONCE, FINAL, Case, cases, play

KEY = "the-secret-key-of-this-test"
TOKEN = "the-token-of-this-test"
SIGN = "the-signature-in-a-url"
SECRETS = re.compile(rf"{KEY}|{TOKEN}|{SIGN}|[?&]sign=|Signature=[0-9a-f]")
"""``sign`` is how the emulator signs the URLs of its files, ``Signature`` a part of the header Authorization."""

RESULT_XCOMS = {"result", "audio_urls", "video_urls", "image_urls", "poster_urls"}
WANTED = [
    case
    for case in cases()
    if not case.forever
    and (
        case.waiting.cls in (OPERATORS[0], SENSORS[0])
        or (case.waiting in WAITINGS_IN_TURN and (case.kind is FaultKind.FAIL or case.code == FINAL))
    )
]
"""Every fault for one operator and one sensor, and two for each other class."""


@pytest.mark.usefixtures("all_turned_up")
def test_nothing_leaks_whatever_goes_wrong(capfd: pytest.CaptureFixture[str]) -> None:
    def leaks(case: Case) -> list[Any]:
        message = f"see HTTPS://me:{TOKEN}@example.com/a file's;{SIGN} or https://example.com/file?{SIGN}"
        outcome = play(case, 1, message, secret_key=KEY, token=TOKEN).outcome
        others = {key: value for key, value in outcome.xcoms.items() if key not in RESULT_XCOMS}
        told = [json.dumps([others, outcome.events, outcome.triggers]), *map("".join, map(told_by, outcome.errors))]
        return [(str(case), text) for text in told if SECRETS.search(text)]

    with kept_lines() as lines, ThreadPoolExecutor(AT_ONCE) as pool:
        assert [leak for found in pool.map(leaks, WANTED) for leak in found] == []

    printed = capfd.readouterr()
    told = [*lines.lines, *lines.arguments, *printed.out.splitlines(), *printed.err.splitlines()]
    assert len(told) - len(lines.arguments) > len(WANTED)
    assert [text for text in told if SECRETS.search(text)] == []


def test_no_repr_tells_a_secret() -> None:
    with emulated("mps", secret_key=KEY, token=TOKEN):
        hook = MpsHook("mps")
        with hook.client() as client:
            told = [repr(each) for each in (hook, hook.settings, hook.keys(), client, vars(hook), vars(client))]
    assert [text for text in told if SECRETS.search(text)] == []


@pytest.mark.usefixtures("all_turned_up")
def test_a_file_in_cos_is_signed_for_and_read_without_a_trace(tmp_path: Path, logged: Lines) -> None:
    """botocore logs the token, and all that a presigned URL is made of, through a dozen loggers."""
    store = {"CosBucketName": "films-1250000000", "CosBucketRegion": "ap-singapore"}
    with emulated("mps", secret_key=KEY, token=TOKEN) as emulator:
        create = CreateAigcAudioTaskOperator(
            task_id="create",
            **MUSIC_ARGUMENTS,
            mps_conn_id="mps",
            store_cos_param=store,
            wait_for_completion=True,
            poll_interval=0.1,
        )
        uris = TaskInstance(lambda: create).run().xcoms["cos_uris"]
        keep = MpsToObjectStorageOperator(
            task_id="keep", urls=uris, mps_conn_id="mps", cos_region="ap-singapore", destination=tmp_path.as_uri()
        )
        outcome = TaskInstance(lambda: keep, retries=0).run()
        assert outcome.state is State.SUCCESS, outcome.errors
        assert [request.action for request in emulator.requests][-1] == "file"
    assert logged.of("Kept ")
    told = [*logged.lines, *logged.arguments]
    assert [text for text in told if SECRETS.search(text) or "X-Amz-Signature" in text or "AWS4-HMAC" in text] == []


@pytest.mark.usefixtures("all_turned_up")
def test_a_strange_result_is_kept_and_logged_without_its_strange_parts(
    logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, told = f"https://files.example/tune.mp3?{SIGN}", f"HTTPS://me@files.example/a b;{SIGN}\x1b[2J"
    entries = [{"Url": "javascript:alert(1)"}, {"Url": "https://["}, {"Url": good, "Duration": {told: told}}]
    response = {"TaskId": "the-task", "RequestId": told, "Message": told, "Status": "DONE", "AudioInfos": entries}
    with LoopbackServer(lambda handler: handler.answer({"Response": response})) as server:
        connection: dict[str, Any] = {"conn_type": "tencent_mps", "login": "id", "password": KEY, "schema": "http"}
        connection |= {"host": "127.0.0.1", "port": server.server_port}
        monkeypatch.setenv("AIRFLOW_CONN_MPS", json.dumps(connection))
        create = CreateAigcAudioTaskOperator(
            task_id="create", prompt="rain", mps_conn_id="mps", wait_for_completion=True, poll_interval=0.1
        )
        outcome = TaskInstance(lambda: create).run()
    assert outcome.state is State.SUCCESS, outcome.errors
    assert outcome.xcoms["audio_urls"] == [good]
    assert [entry["Url"] for entry in outcome.xcoms["result"]["AudioInfos"]] == [good]
    [line] = logged.of("is DONE")
    assert line.endswith("is DONE: 1 mp3")
    texts = [*logged.lines, *logged.arguments]
    assert [text for text in texts if SECRETS.search(text) or "javascript" in text or "\x1b" in text] == []


@pytest.mark.usefixtures("all_turned_up")
def test_the_sdks_own_client_logs_no_secret(logged: Lines, capfd: pytest.CaptureFixture[str]) -> None:
    with emulated("mps", secret_key=KEY, token=TOKEN):
        client = MpsHook("mps").get_conn()
        client.set_stream_logger()
        assert client.call_json("CreateAigcAudioTask", MUSIC)
        client.set_default_logger()
    assert logged.of("POST / HTTP/1.1")
    told = [*logged.lines, *logged.arguments, *capfd.readouterr()]
    assert [text for text in told if SECRETS.search(text)] == []
