"""Airflow's web page in Debian's Chromium, which must be installed: what a user sees of a task and of a connection.

With MPS_SCREENSHOTS, which `make screenshots` sets, it also makes the pictures of the docs.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, ViewportSize, expect, sync_playwright

from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.get_provider_info import CONNECTION_FIELDS
from scripts.standalone import AirflowStandalone, free_ports, wait_for

pytestmark = pytest.mark.e2e

PATIENCE = 60
"""Seconds for the page to show something, on a slow machine."""
VIEWPORT: ViewportSize = {"width": 1280, "height": 720}
TOO_LARGE = 150_000
"""Bytes of a picture that a reader of the docs would wait for."""


@dataclass
class Web:
    """A page of an Airflow that has the example DAGs and an emulator of MPS."""

    airflow: AirflowStandalone
    emulator: MpsEmulator
    page: Page
    folder: Path

    def task(self, dag_id: str, run_id: str, task_id: str, tab: str = "") -> None:
        """Open the page of a task."""
        self.page.goto(f"{self.airflow.url}/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/{tab}")
        expect(self.page.get_by_role("heading", name=task_id)).to_be_visible()

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str | None]:
        """Open a task's details; the buttons there under Extra Links, and where they lead."""
        self.task(dag_id, run_id, task_id, "details")
        heading = self.page.get_by_role("heading", name="Extra Links")
        expect(heading).to_be_visible()
        buttons = heading.locator("..").get_by_role("link")
        return {button.inner_text(): button.get_attribute("href") for button in buttons.all()}

    def wait_for_task(self, dag_id: str, run_id: str, task_id: str, *states: str) -> None:
        wait_for(
            f"{task_id} is {' or '.join(states)}",
            lambda: self.airflow.task(dag_id, run_id, task_id)["state"] in states,
            seconds=120,
        )

    def plays(self, button: str) -> None:
        """Press a button that leads to sound or a film, and see that it plays to its end in the tab that opens."""
        with self.page.expect_popup() as opened:
            self.page.get_by_role("link", name=button, exact=True).click()
        tab = opened.value
        tab.wait_for_function("document.querySelector('video')?.ended", timeout=PATIENCE * 1000)
        assert tab.evaluate("document.querySelector('video').currentTime") > 1
        tab.close()

    def open_connections(self, conn_id: str) -> Locator:
        """Open the list of connections; the row of one of them."""
        self.page.goto(f"{self.airflow.url}/connections")
        return self.page.get_by_role("row").filter(has_text=conn_id)

    def connect(self, conn_id: str, **fields: Any) -> Locator:
        """Store a connection to the emulator, with other fields; its row in the list of connections."""
        stored = {**self.emulator.connection, **fields}
        extra = json.dumps(stored["extra"])
        self.airflow.api("POST", "/connections", {**stored, "connection_id": conn_id, "extra": extra})
        return self.open_connections(conn_id)

    def told_by_test_button(self, row: Locator) -> str:
        """Press a connection's Test button; what the page says when it is not content."""
        row.get_by_role("button", name="Test Connection").click()
        said = self.page.get_by_text("Test Connection Failed").locator("xpath=following-sibling::*")
        expect(said).to_be_visible()
        return said.inner_text()

    def picture(self, name: str, of: Locator | None = None, above: Locator | None = None) -> None:
        """Keep what the page shows, or a part of it, as a picture of the docs, if they are to be made."""
        folder = os.environ.get("MPS_SCREENSHOTS")
        if folder is None:
            return
        file = Path(folder) / name
        self.page.mouse.move(0, 0)
        if of:
            of.screenshot(path=file, animations="disabled")
        else:
            box = above.bounding_box() if above else None
            height = box["y"] if box else VIEWPORT["height"]
            self.page.screenshot(
                path=file, animations="disabled", clip={"x": 0, "y": 0, "width": VIEWPORT["width"], "height": height}
            )
        assert file.stat().st_size < TOO_LARGE, file


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("chromium is not installed: make chromium", pytrace=False)
    expect.set_options(timeout=PATIENCE * 1000)
    with (
        MpsEmulator(wait_seconds=0.1, run_seconds=0.1) as emulator,
        # A short path: it is in a picture.
        tempfile.TemporaryDirectory(prefix="soundtracks-") as folder,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"],
        )
        page = browser.new_page(viewport=VIEWPORT)
        page.set_default_timeout(PATIENCE * 1000)
        env = {
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(emulator.connection),
            "SOUNDTRACKS_FOLDER": Path(folder).as_uri(),
        }
        with AirflowStandalone(tmp_path_factory.mktemp("airflow"), env=env) as airflow:
            yield Web(airflow, emulator, page, Path(folder))
        browser.close()


# Links


@pytest.mark.parametrize(("fault", "state"), [("slow", "running"), ("never_done", "deferred")])
def test_a_task_that_waits_leads_to_the_console(web: Web, fault: str, state: str) -> None:
    """And to nothing else: there is no file yet, nor even a task where MPS has not answered the create."""
    dag_id, task_id = "generate_soundtrack", "create_soundtrack"
    web.emulator.fault(fault, "CreateAigcAudioTask", seconds=25)
    run_id = web.airflow.trigger(dag_id)
    web.wait_for_task(dag_id, run_id, task_id, state)
    links = wait_for("there is a link", lambda: web.links(dag_id, run_id, task_id), seconds=20)
    assert web.airflow.task(dag_id, run_id, task_id)["state"] == state
    assert list(links) == ["MPS console"]
    assert links["MPS console"] == f"{web.emulator.url}/"


def test_listen_plays_what_was_made_and_what_was_kept(web: Web) -> None:
    run_id = web.airflow.trigger("generate_soundtrack")
    assert web.airflow.wait_for_run("generate_soundtrack", run_id) == "success"
    assert set(web.links("generate_soundtrack", run_id, "create_soundtrack")) == {"Listen", "MPS console"}
    web.picture("listen.png")
    web.plays("Listen")
    assert set(web.links("generate_soundtrack", run_id, "keep_file")) == {"Listen"}
    web.plays("Listen")
    web.page.goto(f"{web.airflow.url}/dags/generate_soundtrack/runs/{run_id}")
    expect(web.page.get_by_text("2 Task Instances")).to_be_visible()
    web.picture("run.png")


def test_watch_plays_what_edit_media_made(web: Web) -> None:
    run_id = web.airflow.trigger("soundtrack_for_a_video")
    assert web.airflow.wait_for_run("soundtrack_for_a_video", run_id) == "success"
    for task_id, labels in (
        ("make_video", {"Watch", "Stored in COS", "MPS console"}),
        ("make_music", {"Listen", "Stored in COS", "MPS console"}),
        ("keep_film", {"Watch"}),
        ("lay_music_under_video", {"Watch", "Stored in COS", "MPS console"}),
    ):
        assert set(web.links("soundtrack_for_a_video", run_id, task_id)) == labels, task_id
    web.plays("Watch")


# The log


def test_the_log_of_a_failure_says_first_what_happened_what_it_cost_and_what_to_do(web: Web) -> None:
    web.emulator.fault("fail", "CreateAigcAudioTask", message="The prompt names a person.")
    run_id = web.airflow.trigger("generate_soundtrack")
    web.wait_for_task("generate_soundtrack", run_id, "create_soundtrack", "up_for_retry")
    web.task("generate_soundtrack", run_id, "create_soundtrack", "?log_level=error")
    for line in ("The prompt names a person.", "is billed", "A retry makes"):
        expect(web.page.get_by_text(line).first).to_be_in_viewport()
    web.picture("log.png", above=web.page.get_by_text("TaskFailedError:").first)  # whose paths are this machine's


# A person approves


@pytest.mark.parametrize(("answer", "publishes"), [("Approve", "success"), ("Reject", "skipped")])
def test_a_take_is_published_once_a_person_approves(web: Web, answer: str, publishes: str) -> None:
    run_id = web.airflow.trigger("approve_soundtrack")
    web.airflow.wait_for_process_end("approve_soundtrack", run_id, "approve")
    [take] = web.airflow.xcom("approve_soundtrack", run_id, "keep_take")
    web.task("approve_soundtrack", run_id, "approve", "required_actions")
    expect(web.page.get_by_text("Publish this soundtrack?")).to_be_visible()
    web.picture("approve.png")
    if answer == "Approve":  # where the take is heard
        with web.page.expect_popup() as opened:
            web.page.get_by_role("link", name="Listen to it").click()
        results = opened.value.frame_locator('iframe[title="MPS results"]')
        expect(results.locator("audio")).to_have_count(1)
        results.get_by_role("button", name=answer, exact=True).click()
    else:
        web.page.get_by_role("button", name=answer, exact=True).click()
    assert web.airflow.wait_for_run("approve_soundtrack", run_id) == "success"
    assert web.airflow.task("approve_soundtrack", run_id, "publish")["state"] == publishes
    takes, published = (
        [file.name for file in (web.folder / folder / "approve_soundtrack").glob(f"{run_id.replace(':', '-')}/*")]
        for folder in ("takes", "published")
    )
    assert takes == [take.rpartition("/")[2]], "a take stays, whatever the answer is"
    assert published == (takes if publishes == "success" else [])


# The connection


def test_the_form_asks_for_the_keys_first_and_says_what_each_field_is(web: Web) -> None:
    web.open_connections("")
    web.page.get_by_role("button", name="Add Connection").click()
    form = web.page.get_by_role("dialog")
    form.locator("input[name=connection_id]").fill("made_in_the_form")
    form.get_by_role("combobox").click()
    web.page.keyboard.type("Tencent Cloud MPS")
    web.page.keyboard.press("Enter")
    secret_id = form.locator("input[name=login]")
    expect(secret_id).to_be_visible()
    shown = form.inner_text()
    assert shown.index("Description") < shown.index("SecretId") < shown.index("SecretKey") < shown.index("Port")
    assert not {"Host", "Schema", "Login", "Password"} & set(shown.splitlines())
    assert "Test button" in str(form.locator("input[name=port]").get_attribute("placeholder"))
    web.page.set_viewport_size({**VIEWPORT, "height": 900})
    web.picture("connection_form.png", form)
    web.page.set_viewport_size(VIEWPORT)
    [port] = free_ports(1)
    secret_id.fill("AKIDwritten")
    form.locator("input[name=password]").fill("in-the-form")
    form.locator("input[name=port]").fill(str(port))
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for label, fields in CONNECTION_FIELDS.items():
        for text in (fields["label"], fields["description"]):
            expect(form.get_by_text(text, exact=True), label).to_be_visible()
    expect(form.get_by_text("intl", exact=True)).to_be_visible()
    expect(form.get_by_text("static", exact=True)).to_be_visible()
    form.locator("[name=element_endpoint]").fill("127.0.0.1")
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    stored = web.airflow.api("GET", "/connections/made_in_the_form")
    assert (stored["login"], stored["port"], stored["host"]) == ("AKIDwritten", port, None)
    assert json.loads(stored["extra"])["site"] == "intl"
    said = web.told_by_test_button(web.open_connections("made_in_the_form"))
    assert said.startswith("MPS cannot be reached")


def test_without_a_port_airflow_tests_nothing(web: Web) -> None:
    """Why the form asks for one: docs/decisions/0013-test-button.md. Where this fails, Airflow has repaired it."""
    row = web.connect("no_port", host=None, port=None, schema=None)
    assert web.told_by_test_button(row) == "Bad Request"


def test_the_test_button_is_content_with_good_keys(web: Web) -> None:
    row = web.connect("good_keys")
    with web.page.expect_response("**/connections/test") as answered:
        row.get_by_role("button", name="Test Connection").click()
    assert answered.value.json() == {"status": True, "message": "127.0.0.1 accepted SecretId and SecretKey."}


@pytest.mark.parametrize(
    ("conn_id", "fields", "told"),
    [
        (
            "wrong_id",
            {"login": "AKIDother"},
            "MPS refused: AuthFailure.SecretIdNotFound: The SecretId is not found. "
            "Check the connection's login (SecretId), which was deleted, disabled or mistyped, and its site: "
            "intl and cn have keys of their own",
        ),
        (
            "wrong_key",
            {"password": "other"},
            "MPS refused: AuthFailure.SignatureFailure: The signature does not match the request and the SecretKey. "
            "Check the connection's password (SecretKey): it does not belong to the SecretId",
        ),
        ("no_id", {"login": None}, "login (SecretId): is empty or has spaces around it"),
        ("no_key", {"password": None}, "password (SecretKey): is empty or has spaces around it"),
        (
            "unreachable",
            {"port": free_ports(1)[0]},
            "MPS cannot be reached: ConnectError: All connection attempts failed (127.0.0.1). "
            "Check endpoint (or host), port, proxy and verify",
        ),
    ],
)
def test_the_test_button_says_which_field_is_wrong(web: Web, conn_id: str, fields: dict[str, Any], told: str) -> None:
    assert web.told_by_test_button(web.connect(conn_id, **fields)) == told
    if conn_id == "wrong_key":
        web.picture("test_button.png")
