"""The transfer keeps what is in COS, which MPS hands on as cos://bucket/key."""

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import ExpiredUrlError, MpsToObjectStorageOperator
from tests.doubles.logs import Lines, no_secret_in
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import State, TaskInstance

pytestmark = pytest.mark.usefixtures("mps_short_waits")

BUCKET = {"Bucket": "films-1250000000", "Region": "ap-singapore"}
STORE = {"CosBucketName": BUCKET["Bucket"], "CosBucketRegion": BUCKET["Region"], "CosBucketPath": "/parts/of it"}


@pytest.fixture
def song(emulator: MpsEmulator) -> str:
    """The cos:// URI of a song that MPS has stored."""
    create = CreateAigcAudioTaskOperator(
        task_id="create", **MUSIC_ARGUMENTS, store_cos_param=STORE, wait_for_completion=True, poll_interval=0.1
    )
    outcome = TaskInstance(lambda: create).run()
    [uri] = outcome.xcoms["cos_uris"]
    assert uri == f"cos://films-1250000000/parts/of it/{outcome.value}-0.wav"
    return str(uri)


def keep(uri: str, folder: Path, **arguments: Any) -> Any:
    """Run the transfer; how its task instance ends."""
    arguments = {"cos_region": BUCKET["Region"]} | arguments
    transfer = MpsToObjectStorageOperator(task_id="keep", urls=[uri], destination=folder.as_uri(), **arguments)
    return TaskInstance(lambda: transfer, retries=0).run()


def test_the_transfer_keeps_what_is_in_a_bucket(song: str, tmp_path: Path, logged: Lines) -> None:
    outcome = keep(song, tmp_path)
    assert outcome.state is State.SUCCESS, outcome.errors
    [file] = tmp_path.iterdir()
    assert file.name == song.rpartition("/")[2]
    with wave.open(str(file)) as sound:
        assert sound.getnframes() > 0
    assert no_secret_in(logged.lines)


def test_it_resumes_a_download_that_was_cut_off(song: str, emulator: MpsEmulator, tmp_path: Path) -> None:
    emulator.fault("file_cut")
    outcome = keep(song, tmp_path)
    assert outcome.state is State.SUCCESS, outcome.errors
    ranges = [request.headers.get("range") for request in emulator.requests if request.action == "file"]
    [file] = tmp_path.iterdir()
    assert ranges[0] is None
    assert str(ranges[1]).startswith("bytes=")
    with wave.open(str(file)) as sound:
        assert file.stat().st_size == 44 + 4 * sound.getnframes()


@pytest.mark.parametrize("extra", [{"region": "ap-singapore"}, {"region": "", "cos_region": "ap-singapore"}])
def test_the_connection_s_region_serves_where_none_is_given(
    song: str, tmp_path: Path, connect: Callable[..., None], extra: dict[str, str]
) -> None:
    connect(**extra)
    assert keep(song, tmp_path, cos_region=None).state is State.SUCCESS


@pytest.mark.parametrize(
    ("uri", "named"), [("cos://films-1250000000/in/a film.mp4", "cos_region"), ("cos://films-1250000000", "urls")]
)
def test_what_cannot_be_read_is_named(uri: str, named: str, emulator: MpsEmulator, tmp_path: Path) -> None:
    [error] = keep(uri, tmp_path, cos_region="" if named == "cos_region" else "ap-singapore").errors
    assert isinstance(error, InvalidArgumentError)
    assert isinstance(error, AirflowFailException)
    assert error.field == named
    assert emulator.requests == []


def test_a_key_that_is_not_there_and_keys_that_do_not_fit(
    song: str, tmp_path: Path, connect: Callable[..., None]
) -> None:
    def error(uri: str) -> BaseException:
        [error] = keep(uri, tmp_path).errors
        assert isinstance(error, ExpiredUrlError)
        return error

    assert "HTTP 404" in str(error(f"{song}.old"))
    connect(password="another-key")
    assert "HTTP 403" in str(error(song))
    assert list(tmp_path.iterdir()) == []
