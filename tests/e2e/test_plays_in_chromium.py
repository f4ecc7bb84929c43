"""The emulator's films play in a browser, with their sound: run against Debian's Chromium, which must be installed."""

import base64
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from tests.doubles.seen import FILM, MUSIC
from tests.emulator.conftest import Caller
from tests.emulator.test_buckets import presigned

pytestmark = pytest.mark.e2e

STORE = {"CosBucketName": "films-1", "CosBucketRegion": "ap-singapore"}
SECONDS = 5
PATIENCE = 120
"""Seconds for Chromium to start on a slow machine and to play the film to its end."""

PAGE = """<!doctype html><video muted src="/film.mp4"></video><script>
const film = document.querySelector("video"), seen = [];
function picture() {
  const canvas = document.createElement("canvas");
  canvas.width = film.videoWidth; canvas.height = film.videoHeight;
  if (canvas.width) canvas.getContext("2d").drawImage(film, 0, 0);
  return canvas.toDataURL();
}
function tell() {
  fetch("/told", {method: "POST", body: JSON.stringify({
    width: film.videoWidth, height: film.videoHeight, duration: film.duration, time: film.currentTime,
    frames: film.getVideoPlaybackQuality().totalVideoFrames, sound: film.webkitAudioDecodedByteCount,
    error: film.error && film.error.message, first: seen[0], last: picture()})});
}
film.onerror = film.onended = tell;
film.onplaying = () => seen.push(picture());
film.play();
</script>"""


@pytest.fixture
def chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        pytest.fail("chromium is not installed: apt-get install chromium", pytrace=False)
    return found


@pytest.fixture
def mps() -> Iterator[Caller]:
    with MpsEmulator(wait_seconds=0, run_seconds=0) as emulator:
        caller = Caller(emulator)
        yield caller
        caller.client.close()


def stored(mps: Caller, key: str) -> bytes:
    answer = mps.client.get(presigned(mps, STORE["CosBucketName"], key))
    assert answer.status_code == 200
    return answer.content


def edited(mps: Caller) -> bytes:
    """A film with music laid under it by EditMedia."""
    for action, params in (
        ("CreateAigcVideoTask", FILM | {"Duration": SECONDS}),
        ("CreateAigcAudioTask", MUSIC),
    ):
        mps.call(action, params | {"StoreCosParam": STORE})
    files = [
        {
            "Id": each.kind,
            "InputInfo": {
                "Type": "COS",
                "CosInputInfo": {
                    "Bucket": "films-1",
                    "Region": "ap-singapore",
                    "Object": each.files[0].key.partition("/")[2],
                },
            },
        }
        for each in mps.emulator.tasks
    ]
    tracks = [
        {"Type": kind, "Items": [{"Type": kind, kind: {"SourceMedia": {"FileId": f"aigc_{kind.lower()}"}}}]}
        for kind in ("Video", "Audio")
    ]
    params = {
        "FileInfos": files,
        "OutputStorage": {"Type": "COS", "CosOutputStorage": {"Bucket": "films-1", "Region": "ap-singapore"}},
        "OutputObjectPath": "/film.mp4",
        "ComposeConfig": {"Tracks": tracks},
    }
    assert mps.code("EditMedia", params) == "ok"
    return stored(mps, "film.mp4")


def silent(mps: Caller) -> bytes:
    """A film as CreateAigcVideoTask makes it without EnableAudio."""
    mps.call("CreateAigcVideoTask", FILM | {"Duration": SECONDS, "StoreCosParam": STORE})
    return stored(mps, mps.emulator.tasks[0].files[0].key.partition("/")[2])


def play(chromium: str, film: bytes, profile: Path) -> dict[str, Any]:
    """Play a film to its end in Chromium; what the page saw."""
    told: queue.Queue[dict[str, Any]] = queue.Queue()

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content, kind = (PAGE.encode(), "text/html") if self.path == "/" else (film, "video/mp4")
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
        command = [chromium, *options, f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/"]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return told.get(timeout=PATIENCE)
        finally:
            browser.kill()
            browser.wait()
            server.shutdown()


def picture(data_url: str) -> bytes:
    return base64.b64decode(data_url.partition(",")[2])


@pytest.mark.parametrize(("make", "has_sound"), [(edited, True), (silent, False)])
def test_a_film_plays_to_its_end(mps: Caller, chromium: str, tmp_path: Path, make: Any, has_sound: bool) -> None:
    seen = play(chromium, make(mps), tmp_path / "profile")
    assert seen["error"] is None
    assert (seen["width"], seen["height"]) == (320, 180)
    assert seen["duration"] == seen["time"] == pytest.approx(SECONDS)
    assert seen["frames"] == SECONDS * 10
    assert bool(seen["sound"]) == has_sound
    first, last = picture(seen["first"]), picture(seen["last"])
    assert first.startswith(b"\x89PNG")
    assert first != last, "the disc has moved"
    (tmp_path / "last.png").write_bytes(last)
