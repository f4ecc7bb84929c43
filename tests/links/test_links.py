"""The buttons on a task's page lead to the result and to its bucket, whoever waited, and however."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from airflow.providers.common.compat.sdk import redact

from airflow_provider_mps.compat import XCom
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.links.mps import ListenLink, MpsConsoleLink, StoredInCosLink, ViewLink, WatchLink
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    CreateAigcImageTaskOperator,
    EditMediaOperator,
)
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator
from tests.doubles.logs import Lines
from tests.doubles.task_instances import State, TaskInstance, run_task
from tests.doubles.ways import CREATES_IN_TURN, WAITINGS, WAITINGS_IN_TURN, Waiting

CONN_ID = "tencent_mps_default"
STORE = {"CosBucketName": "films-1250000000", "CosBucketRegion": "ap-singapore", "CosBucketPath": "parts"}
RESULT = {
    "aigc_audio": ("Listen", ".wav"),
    "aigc_video": ("Watch", ".mp4"),
    "aigc_image": ("View", ".png"),
    "text_to_speech": ("Listen", ".wav"),
    "design_voice": ("Listen", ".wav"),
}
CONSOLE = "https://console.tencentcloud.com"


def links(waiting: Waiting, emulator: MpsEmulator, **arguments: Any) -> dict[str, str]:
    """Run a task instance to success; then its links, as Airflow 3 asks for them: on the worker, after the last try."""
    instance = waiting.task_instance(emulator, CONN_ID, **arguments)
    made: list[Any] = []

    def make() -> Any:
        made.append(instance.make())
        return made[-1]

    outcome = TaskInstance(make).run()
    assert outcome.state is State.SUCCESS, outcome.errors
    return {link.name: link.get_link(made[-1], ti_key=None) for link in type(made[-1]).operator_extra_links}


def leads_to(found: dict[str, str]) -> tuple[str, dict[str, list[str]]]:
    """The page of the link to COS, and its query."""
    page, _, query = found["Stored in COS"].partition("?")
    return page, parse_qs(query)


@pytest.mark.parametrize(
    "waiting", [waiting for waiting in WAITINGS_IN_TURN if waiting.cls.family.kind in RESULT], ids=str
)
def test_the_result_of_an_aigc_task(waiting: Waiting, emulator: MpsEmulator) -> None:
    name, suffix = RESULT[waiting.cls.family.kind]
    found = links(waiting, emulator)
    assert {name for name, link in found.items() if link} == {name, "MPS console"}
    assert found[name].startswith(f"{emulator.url}/files/")
    assert suffix in found[name]
    assert found["Stored in COS"] == "", "it was not stored there"


@pytest.mark.parametrize(("site", "console"), [("intl", CONSOLE), ("cn", "https://console.cloud.tencent.com")])
@pytest.mark.parametrize(
    ("kind", "path"),
    [("aigc_audio", "/mps/aigc/tasks"), ("media", "/mps/tasks/vod-list"), ("process_image", "/mps/tasks/vod-list")],
)
def test_the_console_lists_such_tasks(
    kind: str, path: str, site: str, console: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_account = {"conn_type": "tencent_mps", "login": "id", "password": "key", "extra": {"site": site}}
    monkeypatch.setenv("AIRFLOW_CONN_REAL", json.dumps(of_account))
    [family] = {waiting.cls.family for waiting in WAITINGS if waiting.cls.family.kind == kind}
    assert family.console_url(MpsHook("real").settings) == f"{console}{path}"


@pytest.mark.parametrize("waiting", WAITINGS_IN_TURN, ids=str)
def test_from_the_first_second_of_the_wait_there_is_a_link_to_the_console(
    waiting: Waiting, emulator: MpsEmulator
) -> None:
    pushed: list[dict[str, Any]] = []

    class Watched(TaskInstance):
        def xcom_push(self, key: str, value: Any) -> None:
            pushed.append({"key": key, "value": value, "sent": len(emulator.requests)})
            super().xcom_push(key, value)

    instance = waiting.task_instance(emulator, CONN_ID)
    sent_before = len(emulator.requests)
    assert Watched(instance.make).run().state is State.SUCCESS
    own_page = f"{emulator.url}/"
    assert pushed[0] == {"key": MpsConsoleLink().xcom_key, "value": own_page, "sent": sent_before}


@pytest.mark.parametrize("waiting", WAITINGS[:1] + WAITINGS[-1:], ids=str)
def test_with_a_backend_of_xcoms_there_is_none_until_airflow_writes_it(
    waiting: Waiting, emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page reads what is in the database, which then is the name of a file of the backend's."""

    class XComObjectStorageBackend(XCom):  # type: ignore[misc]
        pass

    monkeypatch.setattr("airflow_provider_mps.execution.waiting.XCom", XComObjectStorageBackend)
    made: list[Any] = []

    def make() -> Any:
        made.append(waiting.task_instance(emulator, CONN_ID).make())
        return made[-1]

    outcome = TaskInstance(make, retries=0).run()
    assert outcome.state is State.SUCCESS
    assert MpsConsoleLink().xcom_key not in outcome.xcoms
    assert opened(MpsConsoleLink(), made[-1]) == f"{emulator.url}/", "what Airflow writes at the end"


@pytest.mark.parametrize("waiting", WAITINGS_IN_TURN, ids=str)
def test_the_link_to_the_console_stays_when_the_wait_fails(waiting: Waiting, emulator: MpsEmulator) -> None:
    instance = waiting.task_instance(emulator, CONN_ID)
    emulator.fault("error", waiting.describe, code="UnauthorizedOperation", times=None)
    made: list[Any] = []

    def make() -> Any:
        made.append(instance.make())
        return made[-1]

    assert TaskInstance(make, retries=0).run().state is State.FAILED
    assert opened(MpsConsoleLink(), made[-1]) == f"{emulator.url}/"


@pytest.mark.parametrize("waiting", [waiting for waiting in WAITINGS if waiting.cls is EditMediaOperator], ids=str)
def test_the_film_of_an_edit_is_watched_where_it_is_stored(waiting: Waiting, emulator: MpsEmulator) -> None:
    found = links(waiting, emulator)
    assert (found["Listen"], found["View"]) == ("", "")
    answer = httpx.get(found["Watch"], timeout=60)
    assert (answer.status_code, answer.content[4:8]) == (200, b"ftyp")


def test_a_transfer_leads_to_what_it_has_read_for_no_browser_opens_where_it_kept_it(
    emulator: MpsEmulator, tmp_path: Path
) -> None:
    url = f"https://{HOST}/parts/{run_task(create_in_bucket())[0]}-0.wav"
    keep = MpsToObjectStorageOperator(task_id="keep", urls=[url], destination=str(tmp_path))
    run_task(keep)
    found = {link.name: opened(link, keep) for link in keep.operator_extra_links}
    assert (found["Watch"], found["View"]) == ("", "")
    assert httpx.get(found["Listen"], timeout=60).content == next(tmp_path.iterdir()).read_bytes()


STORES = [each for each in CREATES_IN_TURN if {"store_cos_param", "output_cos"} & each.cls.request.fields.keys()]


@pytest.mark.parametrize("waiting", STORES, ids=str)
def test_what_an_operator_had_stored_in_cos(waiting: Waiting, emulator: MpsEmulator) -> None:
    arguments = {"store_cos_param": STORE} if "store_cos_param" in waiting.cls.request.fields else {}
    console, query = leads_to(links(waiting, emulator, **arguments))
    folders = {"ProcessMediaOperator": "/", "EditMediaOperator": "/films", "ProcessImageOperator": "/pictures"}
    folder = folders.get(waiting.cls.__name__, "/parts")
    assert console == f"{CONSOLE}/cos/bucket"
    assert query == {"bucket": ["films-1250000000"], "region": ["ap-singapore"], "path": [folder]}


@pytest.mark.parametrize(
    "waiting", [waiting for waiting in WAITINGS if waiting.cls.__name__ == "MpsTaskSensor"], ids=str
)
def test_what_a_sensor_found_stored_in_cos(waiting: Waiting, emulator: MpsEmulator) -> None:
    console, query = leads_to(links(waiting, emulator))
    assert (console, query["bucket"]) == (f"{CONSOLE}/cos/bucket", ["sample"])


@pytest.mark.parametrize("waiting", [each for each in WAITINGS if each.cls.family.kind == "aigc_audio"], ids=str)
def test_nothing_leads_into_the_store_of_mps_itself(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    with MpsEmulator(results_signed=False) as emulator:
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(emulator.connection))
        instance = waiting.task_instance(emulator, CONN_ID)
        operator = instance.make()
        _, xcoms = run_task(operator)
        # A sensor does not know whose bucket it is.
        assert ("cos_uris" in xcoms) is not waiting.way.creates
    assert opened(StoredInCosLink(), operator) == ""
    # So it cannot tell who may sign for it, either; whoever created the task can.
    assert (opened(ListenLink(), operator) == xcoms["audio_urls"][0]) is waiting.way.creates


@pytest.mark.parametrize(("site", "console"), [("intl", CONSOLE), ("cn", "https://console.cloud.tencent.com")])
def test_the_console_is_that_of_the_account_s_site(
    site: str, console: str, emulator: MpsEmulator, connect: Callable[..., None]
) -> None:
    connect(site=site)
    edit = next(waiting for waiting in WAITINGS if waiting.cls is EditMediaOperator)
    assert links(edit, emulator)["Stored in COS"].startswith(f"{console}/")


HOST = "films-1250000000.cos.ap-guangzhou.myqcloud.com"
RESULT_LINKS = [ListenLink(), WatchLink(), ViewLink()]


def in_bucket(url: str, conn_id: str = CONN_ID) -> Any:
    """An operator whose result has this URL, as it stands on the worker after its last try."""
    operator = CreateAigcImageTaskOperator(task_id="create", prompt="a fox", mps_conn_id=conn_id, store_cos_param=STORE)
    operator.files = {link.key: [url] for link in RESULT_LINKS}
    return operator


def create_in_bucket() -> CreateAigcAudioTaskOperator:
    """Makes a song in the bucket of HOST."""
    return CreateAigcAudioTaskOperator(
        task_id="create",
        model_name="MiniMaxMusic",
        model_version="2.6",
        scene_type="music",
        prompt="rain",
        store_cos_param=STORE | {"CosBucketRegion": "ap-guangzhou"},
        wait_for_completion=True,
        poll_interval=0.1,
    )


def opened(link: Any, operator: Any) -> str:
    key: Any = None
    found: str = link.get_link(operator, ti_key=key)
    return found


@pytest.mark.usefixtures("all_turned_up")
@pytest.mark.parametrize("link", RESULT_LINKS)
def test_a_result_in_the_user_s_own_bucket_opens(link: Any, emulator: MpsEmulator, logged: Lines) -> None:
    task_id, xcoms = run_task(create_in_bucket())
    bare = f"https://{HOST}/parts/{task_id}-0.wav"
    found = opened(link, in_bucket(bare))
    assert logged.lines
    assert [line for line in [*logged.lines, *logged.arguments] if "X-Amz" in line or "AWS4" in line] == []
    answer = httpx.get(found, timeout=60)
    assert (answer.status_code, answer.content[:4]) == (200, b"RIFF")
    assert parse_qs(urlsplit(found).query)["X-Amz-Expires"] == ["3600"]
    assert "X-Amz" not in json.dumps(xcoms)
    assert xcoms["cos_uris"] == [f"cos://films-1250000000/parts/{task_id}-0.wav"]


@pytest.mark.parametrize(
    "url", [f"https://{HOST}/a.wav?q-signature=1", f"https://{HOST}:444/a.wav", f"https://{HOST}.evil.example/a.wav"]
)
@pytest.mark.parametrize("link", RESULT_LINKS)
def test_what_is_signed_or_somewhere_else_is_left_alone(link: Any, url: str, emulator: MpsEmulator) -> None:
    assert opened(link, in_bucket(url)) == url


@pytest.mark.parametrize("link", RESULT_LINKS)
def test_what_cannot_be_signed_leads_to_the_file_all_the_same(
    link: Any, emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch, logged: Lines
) -> None:
    url = f"https://{HOST}/a.wav"
    assert opened(link, in_bucket(url, "nowhere")) == url
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    assert opened(link, in_bucket(url)) == url
    assert len(logged.of(f"The link {link.label} is not signed")) == 2
    assert logged.of("airflow-provider-mps[cos]")


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "cos://bucket/key", "//evil.example", "/a", 7],
)
@pytest.mark.parametrize("link", [*RESULT_LINKS, StoredInCosLink(), MpsConsoleLink()])
def test_only_http_leads_anywhere(link: Any, url: Any) -> None:
    operator = in_bucket("https://a.example")
    operator.files = {link.key: [url]}
    assert opened(link, operator) == ""


@pytest.mark.parametrize("url", [f"https://{HOST}/a.wav", "https://a.example/a.wav?sign=the-signature"])
def test_what_airflow_itself_logs_of_a_link_is_masked(url: str, emulator: MpsEmulator) -> None:
    found = opened(ListenLink(), in_bucket(url))
    assert redact(f"Setting xcom for operator extra link link={found}") == (
        f"Setting xcom for operator extra link link={found.partition('?')[0]}?***"
    )


@pytest.mark.parametrize("link", [*RESULT_LINKS, StoredInCosLink(), MpsConsoleLink()])
@pytest.mark.parametrize(
    ("xcom", "expected"),
    [(["https://a/1", "https://a/2"], "https://a/1"), ("https://a", "https://a"), ([], ""), (None, "")],
)
def test_airflow_2_asks_on_the_web_server(link: Any, xcom: Any, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def get_value(**question: Any) -> Any:
        asked.append(question)
        return xcom

    monkeypatch.setattr(XCom, "get_value", get_value)
    serialised: Any = object()  # not the operator itself
    key: Any = "the-key"
    assert link.get_link(serialised, ti_key=key) == expected
    assert asked[0] == {"key": link.key, "ti_key": "the-key"}


def test_before_there_is_a_result_a_link_leads_nowhere() -> None:
    operator = CreateAigcImageTaskOperator(task_id="create", prompt="a fox")
    key: Any = None
    assert [link.get_link(operator, ti_key=key) for link in operator.operator_extra_links] == ["", "", ""]
