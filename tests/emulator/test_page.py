"""The emulator's own page: served for this machine alone, and what a person sees, hears and presses there."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from scripts.standalone import wait_for
from tests.doubles.seen import FILM, MUSIC, PICTURE
from tests.emulator.conftest import Caller

HOSTILE = "<img src=x onerror=\"document.title='broken into'\"> & <b>rain</b>"
STORED = {"CosBucketName": "films-1250000000", "CosBucketRegion": "ap-singapore"}


def test_the_page_and_what_it_is_made_of(mps: Caller) -> None:
    for path, kind in (
        ("", "text/html"),
        ("emulator/gallery.js", "text/javascript"),
        ("emulator/cards.css", "text/css"),
    ):
        answer = mps.client.get(f"{mps.emulator.url}/{path}")
        assert answer.headers["content-type"].startswith(kind)
        policy = answer.headers["content-security-policy"].split("; ")
        assert "default-src 'none'" in policy
        assert {source for rule in policy for source in rule.split()[1:]} == {"'none'", "'self'"}, "no other host"


def test_a_file_is_there_once_its_task_has_made_it_and_is_no_call(start: Callable[..., Caller]) -> None:
    mps = start(wait_seconds=0, run_seconds=0)
    done = mps.call("CreateAigcVideoTask", FILM | {"StoreCosParam": STORED})["TaskId"]
    runs = mps.emulator.add_task(run_seconds=1000)
    files = f"{mps.emulator.url}/emulator/files"
    film = mps.client.get(f"{files}/{done}/0", headers={"Range": "bytes=4-7"})
    assert (film.status_code, film.content, film.headers["content-type"]) == (206, b"ftyp", "video/mp4")
    for missing in (f"{done}/1", f"{runs}/0", "24000145-AigcAudio-0/0"):
        assert mps.client.get(f"{files}/{missing}").status_code == 404
    assert mps.emulator.count("file") == 0


def test_of_many_tasks_it_asks_for_the_newest(mps: Caller) -> None:
    made = [mps.emulator.add_task() for _ in range(5)]
    for query, wanted in (("limit=2", made[3:]), ("limit=2&offset=2", made[1:3]), ("limit=9&offset=4", made[:1])):
        state = mps.client.get(f"{mps.emulator.url}/emulator/state?{query}").json()
        assert ([task["task_id"] for task in state["tasks"]], state["task_count"]) == (wanted, 5)
    assert mps.client.get(f"{mps.emulator.url}/emulator/state?limit=many").status_code == 400


def picture_of(page: Page, mps: Caller, folder: Path) -> None:
    """What the docs show: the page, a song and a picture."""
    for name, kind, params in (
        ("song.mp3", "CreateAigcAudioTask", MUSIC | {"Prompt": "A calm piano piece", "OutputAudioFormat": "mp3"}),
        ("picture.png", "CreateAigcImageTask", PICTURE | {"Prompt": "A lighthouse at dusk"}),
        ("film.mp4", "CreateAigcVideoTask", FILM | {"Prompt": "A lighthouse at dusk, the light turns"}),
    ):
        task_id = mps.call(kind, params)["TaskId"]
        data = mps.client.get(f"{mps.emulator.url}/emulator/files/{task_id}/0", timeout=None).content
        if name != "film.mp4":
            (folder / name).write_bytes(data)
    page.goto(mps.emulator.url)
    expect(page.locator("article")).to_have_count(3)
    page.set_viewport_size({"width": 1000, "height": 620})
    page.locator("video").evaluate("player => { player.preload = 'auto'; player.load(); }")
    wait_for("the film is there", lambda: page.locator("video").evaluate("player => player.readyState > 1"), seconds=60)
    page.screenshot(path=folder / "gallery.png", animations="disabled")


@pytest.mark.e2e
def test_a_person_sees_hears_and_presses(start: Callable[..., Caller]) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("chromium is not installed: make chromium", pytrace=False)
    # One call of each action in a thousand seconds: the second one is throttled.
    mps = start(wait_seconds=0, run_seconds=0, requests_per_second=0.001)
    mps.emulator.fault("fail", message=HOSTILE)
    for action, params in (
        ("CreateAigcVideoTask", FILM | {"Prompt": HOSTILE}),
        ("CreateAigcImageTask", PICTURE | {"StoreCosParam": STORED}),
        ("CreateAigcAudioTask", MUSIC | {"OutputAudioFormat": "mp3", "Prompt": "a harp"}),
    ):
        assert mps.code(action, params) == "ok"
    assert mps.code("CreateAigcAudioTask", MUSIC) == "RequestLimitExceeded"
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        page = browser.new_page()
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(mps.emulator.url)
        summary, cards = page.locator("#summary"), page.locator("article")
        expect(summary).to_have_text(
            "3 tasks, 4 calls, 1 throttled, 0 refused for want of room, 0 refused otherwise, 0 struck by faults"
        )
        assert page.locator("article .prompt").all_inner_texts() == ["a harp", "rain", HOSTILE], "the newest first"
        assert page.locator("article .note").all_inner_texts() == [HOSTILE]
        assert [state.split()[0] for state in page.locator(".state").all_inner_texts()] == ["DONE", "DONE", "FAIL"]
        cards.nth(1).scroll_into_view_if_needed()
        picture = page.locator("article img")
        wait_for("the picture is there", lambda: picture.evaluate("picture => picture.naturalWidth"), seconds=60)
        page.locator("audio").evaluate("player => { player.mine = true; return player.play() }")
        # It reloads itself, and what plays goes on.
        mps.emulator.add_task()
        expect(cards).to_have_count(4)
        expect(page.locator("audio")).to_have_count(2)
        sound = page.locator("audio").last
        wait_for("it has played", lambda: sound.evaluate("player => player.mine && player.ended"), seconds=60)
        page.get_by_role("button", name="Refuse the next create").click()
        page.get_by_role("button", name="Let the next task fail").click()
        page.get_by_role("button", name="Lose the next TaskId").click()
        expect(page.locator("#planned")).to_have_text("Still to strike: content_refused, fail, no_task_id")
        assert mps.code("CreateAigcAudioTask", MUSIC) == "InvalidParameter.ViolationContent"
        expect(summary).to_contain_text("1 struck by faults")
        for _ in range(24):
            mps.emulator.add_task()
        page.get_by_role("button", name="Next", exact=True).click()
        expect(page.locator("#page")).to_have_text("2 of 2")
        expect(cards).to_have_count(4)
        page.get_by_role("button", name="Forget everything").click()
        expect(summary).to_contain_text("0 tasks, 0 calls")
        expect(page.locator("#planned")).to_have_text("")
        assert (mps.emulator.tasks, mps.emulator.faults) == ([], [])
        if folder := os.environ.get("MPS_SCREENSHOTS"):
            picture_of(page, start(wait_seconds=0, run_seconds=0), Path(folder))
        assert troubles == []
        assert page.title() == "MPS emulator"
        browser.close()
