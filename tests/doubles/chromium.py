"""Debian's Chromium, headless: what it sees and hears of a media file."""

import json
import mimetypes
import queue
import shutil
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 120
"""Seconds for Chromium to start on a slow machine and to play a file to its end."""

PAGE = """<!doctype html><TAG muted src="/media"></TAG><script>
const media = document.querySelector("TAG"), seen = [];
function picture() {
  const canvas = document.createElement("canvas");
  canvas.width = media.videoWidth || media.naturalWidth; canvas.height = media.videoHeight || media.naturalHeight;
  if (canvas.width) canvas.getContext("2d").drawImage(media, 0, 0);
  return canvas.toDataURL();
}
function tell(error) {
  fetch("/told", {method: "POST", body: JSON.stringify({
    width: media.videoWidth || media.naturalWidth, height: media.videoHeight || media.naturalHeight,
    duration: media.duration, time: media.currentTime, sound: media.webkitAudioDecodedByteCount,
    frames: media.getVideoPlaybackQuality && media.getVideoPlaybackQuality().totalVideoFrames,
    error: error, first: seen[0], last: error ? null : picture()})});
}
media.onerror = () => tell(media.error ? media.error.message : "not an image");
media.onended = () => tell(null);
media.onplaying = () => seen.push(picture());
if (media.play) media.play(); else media.onload = () => tell(null);
</script>"""
TAGS = {"audio": "audio", "video": "video", "image": "img"}


def play(content: bytes, suffix: str) -> dict[str, Any]:
    """Show an image, or play a film or sound to its end; what the page saw. A file's ``suffix`` says which it is."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("chromium is not installed: make chromium", pytrace=False)
    mime_type = mimetypes.types_map[suffix]
    page = PAGE.replace("TAG", TAGS[mime_type.partition("/")[0]]).encode()
    told: queue.Queue[dict[str, Any]] = queue.Queue()

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, kind = (page, "text/html") if self.path == "/" else (content, mime_type)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server,
    ):
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


def assert_plays(file: Path) -> dict[str, Any]:
    """Check that Chromium plays a file to its end, with a picture if it is a film; what the page saw."""
    seen = play(file.read_bytes(), file.suffix)
    assert seen["error"] is None, file
    assert seen["time"] == pytest.approx(seen["duration"], abs=0.1)
    assert seen["duration"] > 0
    if file.suffix == ".mp4":
        assert seen["width"] > 0
        assert seen["frames"] > 1
    else:
        assert seen["sound"] > 0
    return seen
