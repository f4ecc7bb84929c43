"""The transfer signs for what is in COS: cos:// URIs, the API's objects, and the bare URLs of results stored there."""

import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.api.errors import DownloadError, InvalidArgumentError
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.transfers.mps_to_object_storage import ExpiredUrlError, MpsToObjectStorageOperator
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.servers import LoopbackServer
from tests.doubles.task_instances import TaskInstance, run_task

pytestmark = pytest.mark.usefixtures("mps_short_waits")

BUCKET, REGION = "films-1250000000", "ap-singapore"
STORE = {"CosBucketName": BUCKET, "CosBucketRegion": REGION, "CosBucketPath": "/parts/of it"}
HOST = f"{BUCKET}.cos.{REGION}.myqcloud.com"


@pytest.fixture
def key(emulator: MpsEmulator) -> str:
    """The key of a song that MPS has stored."""
    hook = MpsHook()
    task_id = hook.create_aigc_audio_task(**MUSIC_ARGUMENTS, store_cos_param=STORE)
    while not hook.describe_aigc_audio_task(task_id).urls:
        pass
    return f"parts/of it/{task_id}-0.wav"


def keep(urls: Any, folder: Path, **arguments: Any) -> list[str]:
    transfer = MpsToObjectStorageOperator(task_id="keep", urls=urls, destination=str(folder), **arguments)
    uris: list[str] = run_task(transfer)[0]
    return uris


@pytest.mark.parametrize(
    "url",
    [
        f"https://{HOST}/parts/of%20it/NAME",
        f"https://{HOST}/parts/of it/NAME",
        {"Url": f"https://{HOST}/parts/of%20it/NAME", "Duration": 3},
        {"Bucket": BUCKET, "Region": REGION, "Object": "parts/of it/NAME"},
        {"Bucket": BUCKET, "Region": REGION, "Object": "/parts/of it/NAME"},
    ],
)
def test_what_says_its_region_needs_no_cos_region(emulator: MpsEmulator, key: str, tmp_path: Path, url: Any) -> None:
    name = key.rpartition("/")[2]
    urls = eval(repr(url).replace("NAME", name))
    assert keep([urls], tmp_path, cos_region="ap-elsewhere") == [f"file://{tmp_path}/{name}"]
    with wave.open(str(tmp_path / name)) as sound:
        assert sound.getnframes() > 0
    assert {each.params["key"] for each in emulator.requests if each.action == "file"} == {f"{BUCKET}/{key}"}


@pytest.mark.parametrize(
    "url", [f"https://{HOST}/a.wav?sign=secret", f"https://{HOST}:444/a.wav", f"https://{HOST}.example/a.wav"]
)
def test_a_url_that_is_signed_or_of_another_host_is_left_alone(
    emulator: MpsEmulator,
    connect: Callable[..., None],
    tmp_path: Path,
    mps_short_waits: None,
    url: str,
) -> None:
    with LoopbackServer(lambda handler: handler.answer(b"", status=407)) as proxy:
        connect(schema="https", proxy=proxy.url)
        with pytest.raises(DownloadError):
            keep(url, tmp_path)
    host = url.removeprefix("https://").partition("/")[0]
    assert proxy.requests[0].path == (host if ":" in host else f"{host}:443")
    assert emulator.requests == []


@pytest.mark.parametrize("region", [None, "", "bad region!", "x.evil.example/", "x" * 64, 7, ["ap-singapore"]])
def test_a_region_that_is_none_is_named(emulator: MpsEmulator, tmp_path: Path, region: Any) -> None:
    for urls in (f"cos://{BUCKET}/a.wav", {"Bucket": BUCKET, "Object": "a.wav"}):
        with pytest.raises(AirflowFailException, match=r"^cos_region: "):
            keep(urls, tmp_path, cos_region=region)
    assert emulator.requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bucket", ["Films", "a.evil.example", "x" * 64, "films_1"])
def test_a_bucket_that_is_none_is_named(emulator: MpsEmulator, tmp_path: Path, bucket: str) -> None:
    with pytest.raises(AirflowFailException, match=r"^urls: "):
        keep(f"cos://{bucket}/a.wav", tmp_path, cos_region=REGION)
    assert emulator.requests == []


def test_what_hinders_signing_is_said_before_anything_is_downloaded(
    emulator: MpsEmulator, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LoopbackServer(lambda handler: handler.answer(b"whole")) as server:
        urls = [f"{server.url}/tune.wav", {"Bucket": BUCKET, "Region": REGION, "Object": key}]
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "botocore.auth", None)
            with pytest.raises(InvalidArgumentError, match=r"^urls: .*needs botocore"):
                keep(urls, tmp_path)
        assert server.requests == []
        assert len(keep(urls, tmp_path)) == 2


def test_a_signature_that_has_expired_is_made_anew_by_a_retry(emulator: MpsEmulator, tmp_path: Path, key: str) -> None:
    """As one does before its time that was made by temporary keys."""
    emulator.fault("file_expired")
    task = MpsToObjectStorageOperator(
        task_id="keep", urls=f"cos://{BUCKET}/{key}", destination=str(tmp_path), cos_region=REGION
    )
    outcome = TaskInstance(lambda: task).run()
    assert (outcome.tries, len(outcome.value)) == (2, 1)


def test_a_key_is_a_key_and_no_url(emulator: MpsEmulator, tmp_path: Path) -> None:
    with pytest.raises(ExpiredUrlError, match=r"^a b\?c#d%41.wav: HTTP 404"):
        keep({"Bucket": BUCKET, "Region": REGION, "Object": "x/a b?c#d%41.wav"}, tmp_path)
