"""Debian's Chromium, which must be installed, shows the emulator's films, with their sound, and its pictures."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from tests.doubles.chromium import play
from tests.doubles.seen import FILM, MUSIC, PICTURE
from tests.emulator.conftest import Caller
from tests.emulator.test_buckets import presigned

pytestmark = pytest.mark.e2e

STORE = {"CosBucketName": "films-1", "CosBucketRegion": "ap-singapore"}
SECONDS = 5


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


def picture(data_url: str) -> bytes:
    return base64.b64decode(data_url.partition(",")[2])


@pytest.mark.parametrize(("make", "has_sound"), [(edited, True), (silent, False)])
def test_a_film_plays_to_its_end(mps: Caller, tmp_path: Path, make: Any, has_sound: bool) -> None:
    seen = play(make(mps), ".mp4")
    assert seen["error"] is None
    assert (seen["width"], seen["height"]) == (320, 180)
    assert seen["duration"] == seen["time"] == pytest.approx(SECONDS)
    assert seen["frames"] == SECONDS * 10
    assert bool(seen["sound"]) == has_sound
    first, last = picture(seen["first"]), picture(seen["last"])
    assert first.startswith(b"\x89PNG")
    assert first != last, "the disc has moved"
    (tmp_path / "last.png").write_bytes(last)


def test_a_picture_is_shown(mps: Caller) -> None:
    mps.call("CreateAigcImageTask", PICTURE | {"StoreCosParam": STORE})
    [file] = mps.emulator.tasks[0].files
    seen = play(stored(mps, file.key.partition("/")[2]), Path(file.key).suffix)
    assert seen["error"] is None
    assert seen["width"] > 0
