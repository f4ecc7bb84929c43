"""What is in COS is handed on as cos://bucket/key: to ProcessMedia, to EditMedia, and to the transfer."""

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_mps.api.auth import Keys
from airflow_provider_mps.api.cos import CosObject, signed_url
from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator, EditMediaOperator, ProcessMediaOperator
from airflow_provider_mps.transfers.mps_to_object_storage import ExpiredUrlError, MpsToObjectStorageOperator
from tests.doubles.servers import Lines, no_secret_in
from tests.doubles.task_instances import State, TaskInstance

BUCKET = {"Bucket": "films-1250000000", "Region": "ap-singapore"}
STORE = {"CosBucketName": BUCKET["Bucket"], "CosBucketRegion": BUCKET["Region"], "CosBucketPath": "/parts/of it"}
COS_INPUT = {"Type": "COS", "CosInputInfo": BUCKET | {"Object": "in/a film.mp4"}}
URI = "cos://films-1250000000/in/a film.mp4"


@pytest.fixture
def song(emulator: MpsEmulator) -> str:
    """The cos:// URI of a song that MPS has stored."""
    create = CreateAigcAudioTaskOperator(
        task_id="create", prompt="rain", store_cos_param=STORE, wait_for_completion=True, poll_interval=0.1
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


def test_the_connection_s_region_serves_where_none_is_given(
    song: str, tmp_path: Path, connect: Callable[..., None]
) -> None:
    connect(region="ap-singapore")
    assert keep(song, tmp_path, cos_region=None).state is State.SUCCESS


@pytest.mark.parametrize(("uri", "named"), [(URI, "cos_region"), ("cos://films-1250000000", "urls")])
def test_what_cannot_be_read_is_named(uri: str, named: str, emulator: MpsEmulator, tmp_path: Path) -> None:
    [error] = keep(uri, tmp_path, cos_region="" if named == "cos_region" else "ap-singapore").errors
    assert isinstance(error, InvalidArgumentError)
    assert isinstance(error, AirflowFailException)
    assert error.argument == named
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


@pytest.mark.parametrize(
    ("operator", "arguments", "field"),
    [
        (ProcessMediaOperator, {"input_cos": URI}, "InputInfo"),
        (EditMediaOperator, {"input_cos": URI, "output_object_path": "/out/a.mp4"}, "FileInfos"),
        (
            EditMediaOperator,
            {
                "file_infos": [{"Id": "a", "InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": URI}}}],
                "output_object_path": "/out/a.mp4",
            },
            "FileInfos",
        ),
    ],
)
class TestInput:
    """A cos:// input needs a region, and becomes the API's object."""

    def run(self, operator: Any, arguments: dict[str, Any], **more: Any) -> Any:
        work = {"media_process_task": {"TranscodeTaskSet": [{"Definition": 100}]}}
        told = arguments | {"output_cos": BUCKET} | (work if operator is ProcessMediaOperator else {}) | more
        return TaskInstance(lambda: operator(task_id="create", **told), retries=0).run()

    @pytest.mark.parametrize("given", [True, False], ids=["cos_region", "connection"])
    def test_the_region_is_the_argument_s_or_the_connection_s(
        self, operator: Any, arguments: Any, field: str, given: bool, emulator: MpsEmulator, connect: Any
    ) -> None:
        connect(region="ap-nowhere" if given else BUCKET["Region"])
        outcome = self.run(operator, arguments, **({"cos_region": BUCKET["Region"]} if given else {}))
        assert outcome.state is State.SUCCESS, outcome.errors
        [task] = emulator.tasks
        found = task.params[field]
        assert (found[0]["InputInfo"] if field == "FileInfos" else found) == COS_INPUT

    def test_no_region_is_an_error_that_names_the_argument(
        self, operator: Any, arguments: Any, field: str, emulator: MpsEmulator
    ) -> None:
        [error] = self.run(operator, arguments).errors
        assert isinstance(error, InvalidArgumentError)
        assert error.argument == "cos_region"
        assert emulator.requests == []


@pytest.mark.parametrize("uri", ["cos://", "cos://bucket", "cos://bucket/", "https://bucket/key", "bucket/key"])
def test_no_uri_of_an_object(uri: str) -> None:
    with pytest.raises(InvalidArgumentError, match="input_cos"):
        CosObject.from_uri("input_cos", uri, "ap-singapore")


@pytest.mark.parametrize(
    ("url", "store", "found"),
    [
        (
            "https://a-125.cos.ap-tokyo.myqcloud.com/x/y%20z.mp4?sign=s",
            None,
            CosObject("a-125", "x/y z.mp4", "ap-tokyo"),
        ),
        ("https://a-125.cos.ap-tokyo.tencentcos.cn/y.mp4", STORE, CosObject("a-125", "y.mp4", "ap-tokyo")),
        ("https://cdn.example/1/y.mp4", STORE, CosObject(BUCKET["Bucket"], "parts/of it/y.mp4", BUCKET["Region"])),
        ("https://cdn.example/1/y.mp4", None, None),
        ("https://a-125.cos.ap-tokyo.myqcloud.com.evil.example/y.mp4", None, None),
    ],
)
def test_a_result_s_url_leads_to_its_object(url: str, store: dict[str, str] | None, found: CosObject | None) -> None:
    assert CosObject.from_url(url, store) == found


def test_a_real_endpoint_has_the_bucket_in_its_name_and_the_token_in_its_query() -> None:
    url = urlsplit(signed_url(CosObject("a-125", "x/y z.mp4", "ap-tokyo"), Keys("id", "key", "its-token"), ""))
    assert (url.scheme, url.netloc) == ("https", "a-125.cos.ap-tokyo.myqcloud.com")
    assert url.path == "/x/y%20z.mp4"
    query = parse_qs(url.query)
    assert query["X-Amz-Security-Token"] == ["its-token"]
    assert query["X-Amz-Credential"][0].startswith("id/")
    assert "key" not in url.query.replace("its-token", "")


def test_an_own_endpoint_is_used(emulator: MpsEmulator) -> None:
    keys, file = Keys("emulator-id", "emulator-key", None), CosObject("a-125", "y.mp4", "ap-tokyo")
    assert urlsplit(signed_url(file, keys, "https://cos.inside.example")).netloc == "a-125.cos.inside.example"
    for host in ("127.0.0.1", "localhost"):  # which has no names below it
        assert urlsplit(signed_url(file, keys, f"http://{host}:99")).path == "/a-125/y.mp4"
