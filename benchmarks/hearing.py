"""How many clicks, and seconds beside the music, it takes from "the run is green" to "I have heard all 12 takes".

    PYTHONPATH=. python benchmarks/hearing.py

Starts a whole Airflow and Debian's Chromium (`make chromium`), about three minutes. One JSON line for each way, from
the run's page: ``task pages`` by the button Listen of each task, ``results page`` by the tab MPS results. The songs'
own seconds are left out; a person takes longer for each click than the script does.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone

TAKES = 12
DAG_FILE = f"""
import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator

with DAG(dag_id="takes", schedule=None, start_date=pendulum.datetime(2026, 1, 1)):
    CreateAigcAudioTaskOperator.partial(
        task_id="song", model_name="MiniMaxMusic", model_version="2.6", scene_type="music", output_audio_format="mp3",
        wait_for_completion=True, deferrable=True, poll_interval=1, retries=2, retry_delay=1,
    ).expand(prompt=[f"Take {{n}}" for n in range({TAKES})])
"""
ENDED = "document.querySelector('video, audio')?.ended"
LENGTH = "document.querySelector('video, audio').duration"


class Listener:
    """Somebody who looks at a page: counts the clicks, and the seconds of music."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0
        self.music = 0.0

    def click(self, what: Locator) -> None:
        """Click as soon as it is there."""
        what.click()
        self.clicks += 1


def by_task_pages(listener: Listener) -> None:
    """Each take's page, its details, its button; the browser plays the file in a tab that opens."""
    page = listener.page
    run = page.url
    for number in range(TAKES):
        listener.click(page.locator(f"a[href$='/tasks/song/mapped/{number}']").first)
        listener.click(page.get_by_role("link", name="Details").last)
        with page.expect_popup() as opened:
            listener.click(page.get_by_role("link", name="Listen", exact=True))
        opened.value.wait_for_function(ENDED, timeout=120_000)
        listener.music += opened.value.evaluate(LENGTH)
        opened.value.close()
        listener.clicks += 1
        if number + 1 < TAKES:
            page.goto(run)  # by the run's link at the top
            listener.clicks += 1


def by_the_results_page(listener: Listener) -> None:
    """The run's tab, and Play all."""
    page = listener.page
    listener.click(page.get_by_role("link", name="MPS results").last)
    frame = page.frame_locator('iframe[title="MPS results"]')
    listener.click(frame.get_by_role("button", name="Play all"))
    sounds = frame.locator("audio")
    while sounds.evaluate_all("all => all.filter(each => each.ended).length") < TAKES:
        page.wait_for_timeout(100)
    listener.music = sounds.evaluate_all("all => all.reduce((sum, each) => sum + each.duration, 0)")


WAYS: dict[str, Callable[[Listener], None]] = {"task pages": by_task_pages, "results page": by_the_results_page}


def main() -> None:
    """Make the takes, and hear them in both ways."""
    with tempfile.TemporaryDirectory() as folder, MpsEmulator(wait_seconds=0.5, run_seconds=1) as emulator:
        dags = Path(folder) / "dags"
        dags.mkdir()
        (dags / "takes.py").write_text(DAG_FILE)
        env = {"AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(emulator.connection)}
        with AirflowStandalone(Path(folder) / "airflow", dags, env) as airflow, sync_playwright() as playwright:
            run_id = airflow.trigger("takes")
            if airflow.wait_for_run("takes", run_id) != "success":
                raise RuntimeError("the run has failed")
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"],
            )
            for way, hear in WAYS.items():
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                page.set_default_timeout(60_000)
                page.goto(f"{airflow.url}/dags/takes/runs/{run_id}")
                page.get_by_role("link", name="MPS results").last.wait_for()
                listener, began = Listener(page), time.monotonic()
                hear(listener)
                seconds = time.monotonic() - began - listener.music
                found = {"way": way, "takes": TAKES, "clicks": listener.clicks, "seconds": round(seconds, 1)}
                print(json.dumps(found), flush=True)
                page.close()
            browser.close()


if __name__ == "__main__":
    main()
