"""The buttons on a task's page lead to the result and to its bucket, whoever waited, and however."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from airflow.providers.common.compat.sdk import XCom

from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.links.mps import ListenLink, StoredInCosLink, ViewLink, WatchLink
from airflow_provider_mps.operators.mps import CreateAigcImageTaskOperator, EditMediaOperator
from tests.doubles.task_instances import State, TaskInstance
from tests.doubles.ways import WAITINGS, Waiting

CONN_ID = "tencent_mps_default"
STORE = {"CosBucketName": "films-1250000000", "CosBucketRegion": "ap-singapore", "CosBucketPath": "parts"}
RESULT = {"aigc_audio": ("Listen", ".wav"), "aigc_video": ("Watch", ".mp4"), "aigc_image": ("View", ".png")}
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
    return {link.name: link.get_link(made[-1], ti_key=None) for link in made[-1].operator_extra_links}


def leads_to(found: dict[str, str]) -> tuple[str, dict[str, list[str]]]:
    """The page of the link to COS, and its query."""
    page, _, query = found["Stored in COS"].partition("?")
    return page, parse_qs(query)


@pytest.mark.parametrize("waiting", [waiting for waiting in WAITINGS if waiting.cls.family.kind in RESULT], ids=str)
def test_the_result_of_an_aigc_task(waiting: Waiting, emulator: MpsEmulator) -> None:
    name, suffix = RESULT[waiting.cls.family.kind]
    found = links(waiting, emulator)
    assert set(found) == {name, "Stored in COS"}
    assert found[name].startswith(f"{emulator.url}/files/")
    assert suffix in found[name]
    assert found["Stored in COS"] == "", "it was not stored there"


@pytest.mark.parametrize("waiting", [waiting for waiting in WAITINGS if waiting.way.creates], ids=str)
def test_what_an_operator_had_stored_in_cos(waiting: Waiting, emulator: MpsEmulator) -> None:
    arguments = {"store_cos_param": STORE} if "store_cos_param" in waiting.cls.request.fields else {}
    console, query = leads_to(links(waiting, emulator, **arguments))
    folder = {"ProcessMediaOperator": "/", "EditMediaOperator": "/films"}.get(waiting.cls.__name__, "/parts")
    assert console == f"{CONSOLE}/cos/bucket"
    assert query == {"bucket": ["films-1250000000"], "region": ["ap-singapore"], "path": [folder]}


@pytest.mark.parametrize(
    "waiting", [waiting for waiting in WAITINGS if waiting.cls.__name__ == "MpsTaskSensor"], ids=str
)
def test_what_a_sensor_found_stored_in_cos(waiting: Waiting, emulator: MpsEmulator) -> None:
    console, query = leads_to(links(waiting, emulator))
    assert (console, query["bucket"]) == (f"{CONSOLE}/cos/bucket", ["sample"])


@pytest.mark.parametrize(("site", "console"), [("intl", CONSOLE), ("cn", "https://console.cloud.tencent.com")])
def test_the_console_is_that_of_the_account_s_site(
    site: str, console: str, emulator: MpsEmulator, connect: Callable[..., None]
) -> None:
    connect(site=site)
    edit = next(waiting for waiting in WAITINGS if waiting.cls is EditMediaOperator)
    assert links(edit, emulator)["Stored in COS"].startswith(f"{console}/")


@pytest.mark.parametrize("link", [ListenLink(), WatchLink(), ViewLink(), StoredInCosLink()])
@pytest.mark.parametrize(
    ("xcom", "expected"),
    [(["https://a/1", "https://a/2"], "https://a/1"), ("https://a", "https://a"), ([], ""), (None, "")],
)
def test_airflow_2_asks_on_the_web_server(link: Any, xcom: Any, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def get_value(**question: Any) -> Any:
        asked.update(question)
        return xcom

    monkeypatch.setattr(XCom, "get_value", get_value)
    serialised: Any = object()  # not the operator itself
    key: Any = "the-key"
    assert link.get_link(serialised, ti_key=key) == expected
    assert asked == {"key": link.key, "ti_key": "the-key"}


def test_before_there_is_a_result_a_link_leads_nowhere() -> None:
    operator = CreateAigcImageTaskOperator(task_id="create", prompt="a fox")
    key: Any = None
    assert [link.get_link(operator, ti_key=key) for link in operator.operator_extra_links] == ["", ""]
