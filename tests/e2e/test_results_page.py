"""The results page inside a whole Airflow, in Debian's Chromium: a run's takes, to see and to hear, for who may.

With MPS_SCREENSHOTS, which `make screenshots` sets, it also makes the picture of the docs.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect, sync_playwright

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone, free_ports, wait_for

pytestmark = pytest.mark.e2e

HOSTILE = "<img src=x onerror=\"parent.document.title='broken into'\"> & <b>rain</b>"
PROMPTS = [
    "A calm piano piece for a rainy morning, slow and warm",
    "Lo-fi beats with vinyl crackle, 80 bpm",
    "A bright ukulele tune for a children's film",
    "Solo cello in an empty hall, long notes",
    "Upbeat funk with a walking bass and hand claps",
    "Ambient pads for a night sky, no drums",
    "A jazz trio after midnight, brushed drums",
    "Marimba and kalimba, playful, for a cooking show",
    "An orchestral opening, strings first, then brass",
    "Acoustic guitar by a camp fire, finger-picked",
    "A synthwave drive along the coast at dusk",
    "A short drum solo that ends with a cymbal",
]
TAKES = len(PROMPTS)
PASSWORD = "pass"
PATIENCE = 60_000
"""Milliseconds for a page to show something, on a slow machine."""
DAG_FILE = f"""
import pendulum
from airflow.sdk import DAG
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator

SONG = {{"model_name": "MiniMaxMusic", "model_version": "2.6", "scene_type": "music", "output_audio_format": "mp3"}}
STORE = {{"CosBucketName": "songs-1250000000", "CosBucketRegion": "ap-singapore", "CosBucketPath": "/takes/"}}
WAITS = {{"wait_for_completion": True, "deferrable": True, "poll_interval": 1, "retries": 2, "retry_delay": 1}}

with DAG(dag_id="takes", schedule=None, start_date=pendulum.datetime(2026, 1, 1)):
    CreateAigcAudioTaskOperator.partial(
        task_id="song", map_index_template="Take {{{{ ti.map_index + 1 }}}}", **SONG, **WAITS
    ).expand(prompt={PROMPTS!r})

with DAG(dag_id="asks", schedule=None, start_date=pendulum.datetime(2026, 1, 1)):
    song = CreateAigcAudioTaskOperator(task_id="song", prompt={HOSTILE!r}, store_cos_param=STORE, **SONG, **WAITS)
    song >> ApprovalOperator(task_id="approve", subject="Publish this song?", body="It is <b>loud</b>.")
"""


@dataclass
class Ran:
    """A run with twelve takes, of which one has failed and one is under way."""

    airflow: AirflowStandalone
    emulator: MpsEmulator
    browser: Browser
    run_id: str
    env: dict[str, str]

    def page(self, **options: Any) -> Page:
        """A page of a browser that waits for Airflow's as long as a slow machine takes."""
        page = self.browser.new_page(**options)
        page.set_default_timeout(PATIENCE)
        return page

    def states(self) -> list[str]:
        return [str(each["state"]) for each in self.airflow.mapped("takes", self.run_id, "song")]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("chromium is not installed: make chromium", pytrace=False)
    expect.set_options(timeout=PATIENCE)
    home, dags = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("dags")
    (dags / "takes.py").write_text(DAG_FILE)
    with MpsEmulator(wait_seconds=0.5, run_seconds=3) as emulator, sync_playwright() as playwright:
        connection = emulator.connection
        connection["extra"] |= {"prices": {"currency": "USD", "MiniMaxMusic": {"song": 0.14}}}
        env = {"AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(connection)}
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"],
        )
        with AirflowStandalone(home, dags, env=env) as airflow:
            emulator.fault("content_refused", "CreateAigcAudioTask", times=1, message="the prompt is <i>rude</i>")
            emulator.fault("never_done", "CreateAigcAudioTask", times=1)
            result = Ran(airflow, emulator, browser, airflow.trigger("takes"), env)
            wait_for("ten takes are done", lambda: result.states().count("success") == TAKES - 2, seconds=300)
            wait_for("one take has failed", lambda: "failed" in result.states(), seconds=60)
            yield result
        browser.close()


def frame_of(page: Page) -> FrameLocator:
    return page.frame_locator('iframe[title="MPS results"]')


def plays(sound: Locator) -> None:
    """See that a player plays its file to the end."""
    sound.evaluate("player => player.play()")
    wait_for("it has played to its end", lambda: sound.evaluate("player => player.ended"), seconds=60)


def test_a_run_has_its_takes_in_a_tab_and_they_play(ran: Ran) -> None:
    """From the run's page, two clicks until the last one is heard."""
    page = ran.page(viewport={"width": 1440, "height": 900})
    files: list[str] = []
    page.on("request", lambda request: files.append(request.url) if "/mps/file?" in request.url else None)
    page.goto(f"{ran.airflow.url}/dags/takes/runs/{ran.run_id}")
    page.get_by_role("link", name="MPS results").last.click()
    frame = frame_of(page)
    expect(frame.locator("#summary")).to_have_text("12 takes: 10 done, 1 failed, 1 not ended")
    expect(frame.locator("#cost")).to_contain_text("In all about 1.4 USD")
    expect(frame.locator("article")).to_have_count(TAKES)
    assert frame.locator(".prompt").all_inner_texts() == PROMPTS
    expect(frame.locator("audio")).to_have_count(TAKES - 2)
    assert files == [], "players load nothing before a click"
    if folder := os.environ.get("MPS_SCREENSHOTS"):
        page.mouse.move(0, 0)
        file = Path(folder) / "results.png"
        page.screenshot(path=file, animations="disabled")
        assert file.stat().st_size < 200_000, "readers of the docs wait for it"
    frame.get_by_role("button", name="Play all").click()
    expect(frame.get_by_role("button", name="Stop")).to_have_count(1)
    heard = "players => players.filter(each => each.ended).length"
    wait_for("all are heard", lambda: frame.locator("audio").evaluate_all(heard) == TAKES - 2, seconds=180)
    expect(frame.get_by_role("button", name="Play all")).to_have_count(1)
    assert len({parse_qs(urlsplit(url).query)["map_index"][0] for url in files}) == TAKES - 2
    with page.expect_popup() as opened:
        frame.locator("article", has_text="failed").get_by_role("button", name="Log").click()
    expect(opened.value.get_by_text("rude").first).to_be_visible()
    page.close()


def test_a_person_decides_beside_what_is_asked_about(ran: Ran) -> None:
    """And hears what lies in a bucket; and what others have written is text."""
    run_id = ran.airflow.trigger("asks")
    ran.airflow.wait_for_process_end("asks", run_id, "approve")
    page = ran.page()
    page.goto(f"{ran.airflow.url}/dags/asks/runs/{run_id}")
    page.get_by_role("link", name="MPS results").last.click()
    frame = frame_of(page)
    expect(frame.locator(".decision")).to_contain_text("It is <b>loud</b>.")
    assert frame.locator("article .prompt").inner_text() == HOSTILE
    assert "broken into" not in page.title()
    plays(frame.locator("audio"))
    frame.get_by_role("button", name="Approve").click()
    expect(frame.locator(".decision")).to_contain_text("Answered: Approve")
    assert ran.airflow.wait_for_run("asks", run_id) == "success"
    page.close()


def test_the_menu_leads_to_the_newest_takes(ran: Ran) -> None:
    page = ran.page()
    page.goto(f"{ran.airflow.url}/plugin/mps_results")
    expect(frame_of(page).locator("article", has_text=f"takes, {ran.run_id}")).to_have_count(TAKES)
    page.close()


@pytest.fixture(scope="module")
def elsewhere(ran: Ran) -> Iterator[str]:
    """Another API server of the same Airflow: its base URL has a path, and its users have rights of their own."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}/air/flow"
    passwords = ran.airflow.home / "passwords.json"
    passwords.write_text(json.dumps({"viewer": PASSWORD, "nobody": PASSWORD}))
    env = ran.airflow.env | {
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "viewer:viewer,nobody:",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }
    command = [str(Path(sys.executable).with_name("airflow")), "api-server", "--port", str(port), "--host", "127.0.0.1"]
    with (ran.airflow.home / "elsewhere.log").open("wb") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        wait_for("the API server answers", lambda: answers(f"{url}/api/v2/version"), seconds=120)
        yield url
    finally:
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        for process in family:
            process.terminate()
        psutil.wait_procs(family, timeout=20)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=60, trust_env=False).is_success
    except httpx.TransportError:
        return False


def signed_in(url: str, user: str) -> dict[str, str]:
    login = {"username": user, "password": PASSWORD}
    answer = httpx.post(f"{url}/auth/token", json=login, timeout=60, trust_env=False).raise_for_status()
    return {"_token": answer.json()["access_token"]}


def test_who_may_see_nothing_is_shown_nothing(ran: Ran, elsewhere: str) -> None:
    of_run = f"{elsewhere}/mps/results#dag_id=takes&run_id={ran.run_id}"
    for user, shown in (("viewer", TAKES), ("nobody", 0)):
        context = ran.browser.new_context()
        context.add_cookies([{"name": "_token", "value": signed_in(elsewhere, user)["_token"], "url": elsewhere}])
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(of_run)
        expect(page.locator("#summary")).to_have_text(
            "12 takes: 10 done, 1 failed, 1 not ended" if shown else "You may not see the tasks of this run."
        )
        expect(page.locator("article")).to_have_count(shown)
        if shown:
            plays(page.locator("audio").first)
        context.close()
