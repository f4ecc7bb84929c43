"""The results page's script in Debian's Chromium, in a frame like Airflow's, before answers that are written here.

What a whole Airflow answers is in test_results_page.py.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, Route, expect, sync_playwright

import airflow_provider_mps.plugins.results
from airflow_provider_mps.plugins.results import MpsResultsPlugin

pytestmark = pytest.mark.e2e

STATIC = Path(airflow_provider_mps.plugins.results.__file__).with_name("static")
ORIGIN = "http://airflow.test"
ROOT = f"{ORIGIN}/air/flow/"
RUN = "manual__2026-11-29T13:00:00.5+00:00"
HOSTILE = "<img src=x onerror=\"parent.document.title='broken into'\"> & <b>rain</b>"
PERMITTED = "allow-scripts allow-same-origin allow-forms"
"""What the frame of Airflow 3.1.0 permits."""


def take(map_index: int = 0, state: str = "success", **fields: Any) -> dict[str, Any]:
    """A task instance as Airflow's REST API gives it."""
    rendered = {"mps_conn_id": "c", "prompt": f"song {map_index}", "model_name": "Model", "model_version": "2.10"}
    return {
        "dag_id": "songs",
        "dag_run_id": RUN,
        "task_id": "song",
        "map_index": map_index,
        "state": state,
        "try_number": 1,
        "start_date": "2026-11-29T13:00:00Z",
        "rendered_map_index": None,
        "rendered_fields": rendered | fields,
    }


def made(map_index: int = 0, *kinds: str, **usage: Any) -> dict[str, Any]:
    """What the package's own address says of a take."""
    return {
        "task_id": "song",
        "map_index": map_index,
        "usage": usage,
        "files": [{"kind": kind, "name": f"{kind}.x"} for kind in kinds],
        "in_cos": False,
        "console": "https://console.example.com/mps",
    }


@dataclass
class Airflow:
    """What it answers; and what it was asked."""

    takes: list[dict[str, Any]] = field(default_factory=list)
    rendered: dict[str, Any] = field(default_factory=dict)
    made: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        path = unquote(url.path)
        self.asked.append(route.request.url)
        for part, status in self.refused.items():
            if part in path:
                route.fulfill(status=status, json={"detail": "the <b>reason</b>"})
                return
        query = parse_qs(url.query)
        if path.startswith("/air/flow/mps/results"):
            name = path.rpartition("/")[2]
            route.fulfill(path=STATIC / (name if "." in name else "results.html"))
        elif path == "/air/flow/mps/file":
            route.fulfill(content_type="image/svg+xml", body='<svg xmlns="http://www.w3.org/2000/svg"/>')
        elif path == "/air/flow/mps/takes":
            route.fulfill(json={"takes": self.made})
        elif path.endswith("/taskInstances"):
            first, limit = int(query["offset"][0]), int(query["limit"][0])
            page = self.takes[first : first + limit]
            route.fulfill(json={"task_instances": page, "total_entries": len(self.takes)})
        elif path.endswith("/hitlDetails") and route.request.method == "PATCH":
            self.sent.append({"path": path} | (route.request.post_data_json or {}))
            route.fulfill(json={})
        elif path.endswith("/taskInstances/song/0"):
            route.fulfill(json=take() | {"rendered_fields": self.rendered})
        elif path.endswith("/hitlDetails"):
            route.fulfill(json={"hitl_details": self.decisions})
        elif path.startswith("/air/flow/dags/"):
            view = MpsResultsPlugin.external_views[0]["href"].replace("{DAG_ID}", "songs").replace("{RUN_ID}", RUN)
            route.fulfill(
                content_type="text/html",
                body=f'<iframe title="MPS results" sandbox="{PERMITTED}" src="/air/flow{view}">',
            )
        else:
            route.fulfill(status=404, json={"detail": "not here"})


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("chromium is not installed: make chromium", pytrace=False)
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def airflow() -> Airflow:
    return Airflow()


@pytest.fixture
def page(browser: Browser, airflow: Airflow) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.route("**/*", airflow.answer)
    page = context.new_page()
    yield page
    context.close()


def opened(page: Page) -> FrameLocator:
    """The page as a tab of a run; its ids stand in the address as Airflow 3.1.0 puts them there."""
    page.goto(f"{ROOT}dags/songs/runs/{RUN}/plugin/mps_results_of_run")
    frame = page.frame_locator("iframe")
    expect(frame.locator("#summary")).not_to_have_text("Loading...")
    return frame


def test_a_plus_sign_of_an_id_arrives(page: Page, airflow: Airflow) -> None:
    airflow.takes = [take()]
    expect(opened(page).locator("article")).to_have_count(1)
    [of_run] = {unquote(urlsplit(url).path) for url in airflow.asked if url.partition("?")[0].endswith("taskInstances")}
    assert of_run == f"/air/flow/api/v2/dags/songs/dagRuns/{RUN}/taskInstances"
    assert {parse_qs(urlsplit(url).query)["run_id"][0] for url in airflow.asked if "/mps/takes" in url} == {RUN}


def test_a_card_says_what_is_known(page: Page, airflow: Airflow) -> None:
    airflow.takes = [take(0), take(1, "failed"), take(2, "deferred"), take(3, "failed"), take(4)]
    airflow.takes[0]["end_date"], airflow.takes[4]["end_date"] = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
    cost = {"estimated_cost": 0.14, "currency": "USD"}
    airflow.made = [
        made(0, "audio", kind="aigc_audio", model="Model", version="2.10", seconds=61.04, **cost),
        made(1, kind="aigc_video", state="FAIL", billed=False, estimated_cost=0.0, currency="USD"),
        made(3, kind="aigc_audio", state="FAIL"),
        made(4, "video", "image", kind="media", seconds=5, resolution="1920x1080", **cost),
    ]
    frame = opened(page)
    expect(frame.locator("#summary")).to_have_text("5 takes: 2 done, 2 failed, 1 not ended")
    expect(frame.locator("#cost")).to_have_text(
        "In all about 0.28 USD, by the connection's prices: an estimate, not a bill"
    )
    told = frame.locator(".facts").all_inner_texts()
    for each, said in zip(
        told,
        [
            "Model 2.10 · 61 s of sound · about 0.14 USD\nDeleted by MPS Jan 1, 2020",
            "Model 2.10 · not billed",
            "Model 2.10",
            "Model 2.10 · may be billed",
            "Model 2.10 · 5 s of sound or film · 1920x1080 · about 0.14 USD\nKept by MPS until Jan 1, 2999",
        ],
        strict=True,
    ):
        assert each.startswith(said)
    states = frame.locator(".state")
    assert [states.nth(each).inner_text() for each in (0, 1, 3, 4)] == ["done", "failed", "failed", "done"]
    expect(states.nth(2)).to_have_text(re.compile(r"under way, \d+ min \d+ s"))
    for tag, count in (("audio", 1), ("video", 1), ("img", 1)):
        expect(frame.locator(tag)).to_have_count(count)


def test_texts_of_others_are_no_markup(page: Page, airflow: Airflow) -> None:
    airflow.takes = [
        take(0, prompt=HOSTILE, model_name=HOSTILE, model_version=HOSTILE) | {"rendered_map_index": HOSTILE},
        take(1, HOSTILE),
    ]
    airflow.made = [made(0, "other", model=HOSTILE, resolution=HOSTILE, estimated_cost=1, currency=HOSTILE)]
    airflow.made[0]["files"][0]["name"] = HOSTILE
    airflow.decisions = [decision(subject=HOSTILE, body=HOSTILE, options=[HOSTILE])]
    frame = opened(page)
    expect(frame.locator(".prompt").last).to_have_text("song 1")
    assert HOSTILE in frame.locator("body").inner_text()
    expect(frame.locator("img, b")).to_have_count(0)
    assert page.title() != "broken into"


def test_the_iterations_of_a_loop_have_files_and_decisions_of_their_own(page: Page, airflow: Airflow) -> None:
    """As Airflow 3.4 tells them apart: by their region and their place in it."""
    region = "0198c5a0-0000-7000-8000-000000000001"
    places = [{"region_id": region, "region_index": index} for index in range(2)]
    iterations = [{"loop_iteration": {"loop_id": "takes", "iteration": index}} for index in range(2)]
    airflow.takes = [take(-1) | place | iteration for place, iteration in zip(places, iterations, strict=True)]
    airflow.made = [made(index, "audio") | {"region_id": region} for index in range(2)]
    asked = decision()
    airflow.decisions = [asked | {"task_instance": asked["task_instance"] | places[1]}]
    frame = opened(page)
    expect(frame.locator("article h2 > span:first-child")).to_have_text(["song [0]", "song [1]"])
    sources = [parse_qs(urlsplit(str(each.get_attribute("src"))).query) for each in frame.locator("audio").all()]
    assert [(of["map_index"], of["region_id"]) for of in sources] == [(["0"], [region]), (["1"], [region])]
    frame.get_by_role("button", name="Approve").click()
    expect(frame.locator(".decision")).to_contain_text("Answered: Approve")
    [answered] = [urlsplit(url) for url in airflow.asked if "/approve/-1/hitlDetails" in url]
    assert parse_qs(answered.query) == {"region_id": [region], "region_index": ["1"]}


def test_three_hundred_takes_come_page_by_page(page: Page, airflow: Airflow) -> None:
    airflow.takes = [take(number) for number in range(300)]
    airflow.made = [made(number, "audio") for number in range(300)]
    frame = opened(page)
    expect(frame.locator("article")).to_have_count(24)
    expect(frame.locator("#page")).to_have_text("1 of 13")
    frame.get_by_role("button", name="Next").click()
    expect(frame.locator(".prompt").first).to_have_text("song 24")
    for _ in range(11):
        frame.get_by_role("button", name="Next").click()
    expect(frame.locator("article")).to_have_count(12)
    expect(frame.get_by_role("button", name="Next")).to_be_disabled()
    asked = [urlsplit(url).path.rpartition("/")[2] for url in airflow.asked]
    assert {name: asked.count(name) for name in ("taskInstances", "takes", "file")} == {
        "taskInstances": 3,  # Airflow gives a hundred at a time
        "takes": 1,
        "file": 0,
    }


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "Your session has ended"),
        (403, "You may not see the tasks of this run."),
        (404, "There is no such run."),
        (500, "Airflow does not answer: HTTP 500."),
    ],
)
def test_what_airflow_refuses_is_said(page: Page, airflow: Airflow, status: int, said: str) -> None:
    airflow.takes, airflow.refused = [take()], {"/taskInstances": status}
    frame = opened(page)
    expect(frame.locator("#summary")).to_contain_text(said)
    expect(frame.locator("article")).to_have_count(0)


def test_who_may_not_read_xcoms_sees_states_only(page: Page, airflow: Airflow) -> None:
    airflow.takes, airflow.made, airflow.refused = [take()], [made(0, "audio")], {"/mps/takes": 403}
    frame = opened(page)
    expect(frame.locator("article")).to_contain_text("You may not see what this task made.")
    expect(frame.locator("audio")).to_have_count(0)


def test_a_file_that_does_not_load_says_why(page: Page, airflow: Airflow) -> None:
    airflow.takes, airflow.made, airflow.refused = [take()], [made(0, "audio")], {"/mps/file": 424}
    frame = opened(page)
    frame.locator("audio").evaluate("player => { player.play().catch(() => {}) }")
    expect(frame.locator("article")).to_contain_text("the <b>reason</b>")


def test_links_open_beside_airflow(page: Page, airflow: Airflow) -> None:
    airflow.takes, airflow.made = [take()], [made(0, "other")]
    frame = opened(page)
    for label, leads_to in (
        ("Log", f"{ROOT}dags/songs/runs/{RUN.replace(':', '%3A').replace('+', '%2B')}/tasks/song/mapped/0"),
        ("MPS console", "https://console.example.com/mps"),
        ("other.x", f"{ROOT}mps/file?dag_id=songs"),
    ):
        with page.expect_popup() as popup:
            frame.get_by_role("button", name=label).click()
        assert popup.value.url.startswith(leads_to)
        assert popup.value.evaluate("window.opener") is None


NO_FIELDS: dict[str, Any] = {"rendered_fields": {}}


class TestWithoutRenderedFields:
    """As Airflow before 3.3 lists task instances, and later ones those of older runs."""

    @pytest.fixture(autouse=True)
    def _listed(self, airflow: Airflow) -> None:
        airflow.takes = [take(0) | NO_FIELDS, take(1) | NO_FIELDS | {"task_id": "something_else"}]
        airflow.made = [made(0, "audio", kind="aigc_audio", model="Model", seconds=3)]

    @pytest.mark.parametrize("prompt", ["rain", ""])
    def test_a_take_is_what_has_pushed_a_link_to_the_console(self, page: Page, airflow: Airflow, prompt: str) -> None:
        airflow.rendered = {"mps_conn_id": "c", "prompt": prompt} if prompt else {}
        frame = opened(page)
        expect(frame.locator("article")).to_have_count(1)
        expect(frame.locator(".prompt")).to_have_text(prompt)
        expect(frame.locator(".facts")).to_have_text("Model · 3 s of sound")

    def test_it_is_in_the_menu_too(self, page: Page, airflow: Airflow) -> None:
        page.goto(f"{ROOT}mps/results")
        expect(page.locator("article")).to_have_count(1)


def decision(**fields: Any) -> dict[str, Any]:
    """What a person is asked, as Airflow's REST API gives it."""
    asks = {"dag_id": "songs", "dag_run_id": RUN, "task_id": "approve", "map_index": -1}
    told = {"subject": "Publish?", "body": "Take 1", "options": ["Approve", "Reject"], "multiple": False, "params": {}}
    return told | {"task_instance": asks} | fields


class TestDecisions:
    def test_one_click_answers(self, page: Page, airflow: Airflow) -> None:
        airflow.takes, airflow.decisions = [take()], [decision()]
        frame = opened(page)
        frame.get_by_role("button", name="Approve").click()
        expect(frame.locator(".decision")).to_contain_text("Answered: Approve")
        assert airflow.sent == [
            {
                "path": f"/air/flow/api/v2/dags/songs/dagRuns/{RUN}/taskInstances/approve/-1/hitlDetails",
                "chosen_options": ["Approve"],
                "params_input": {},
            }
        ]

    def test_an_answer_is_sent_once_airflow_can_take_it(self, page: Page, airflow: Airflow) -> None:
        airflow.takes, airflow.decisions = [take()], [decision(created_at="2026-11-29T13:00:00Z")]
        page.clock.install(time="2026-11-29T12:59:00Z")
        frame = opened(page)
        page.clock.pause_at("2026-11-29T13:00:07Z")
        frame.get_by_role("button", name="Approve").click()
        expect(frame.locator(".decision")).to_contain_text("Approve is sent in a moment")
        assert airflow.sent == []
        page.clock.run_for(1000)
        expect(frame.locator(".decision")).to_contain_text("Answered: Approve")
        assert len(airflow.sent) == 1

    def test_a_link_of_what_is_asked_is_its_words(self, page: Page, airflow: Airflow) -> None:
        airflow.takes, airflow.decisions = [take()], [decision(body="Take [1 (one)], [heard](/here?a=b), or not")]
        expect(opened(page).locator(".decision .prompt")).to_have_text("Take [1 (one)], heard, or not")

    def test_a_form_is_filled_in_in_airflow(self, page: Page, airflow: Airflow) -> None:
        airflow.takes, airflow.decisions = [take()], [decision(params={"why": {"value": ""}})]
        frame = opened(page)
        expect(frame.get_by_role("button", name="Approve")).to_have_count(0)
        with page.expect_popup() as popup:
            frame.get_by_role("button", name="Decide in Airflow").click()
        assert urlsplit(popup.value.url).path.endswith("/tasks/approve/required_actions")

    def test_who_may_not_is_told_so(self, page: Page, airflow: Airflow) -> None:
        airflow.takes, airflow.decisions, airflow.refused = [take()], [decision()], {"/approve/-1/hitlDetails": 403}
        frame = opened(page)
        frame.get_by_role("button", name="Reject").click()
        expect(frame.locator(".decision")).to_contain_text("You may not decide this.")


def test_the_menu_shows_the_newest_of_all_runs(page: Page, airflow: Airflow) -> None:
    others = [take(number) | {"rendered_fields": {}, "task_id": "something_else"} for number in range(150)]
    airflow.takes = [*others, take(7)]
    airflow.made = [made(7, "audio")]
    page.goto(f"{ROOT}mps/results")
    expect(page.locator("#summary")).to_have_text("1 take of the newest runs: 1 done, 0 failed, 0 not ended")
    expect(page.locator(".note").first).to_have_text(f"songs, {RUN}")
    expect(page.locator("audio")).to_have_count(1)
    expect(page.get_by_role("button", name="Run")).to_have_count(1)
