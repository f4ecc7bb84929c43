"""Keeping files: whole or not at all, in flat memory, under safe names, and without a word of their URLs."""

import tracemalloc
import wave
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, ObjectStoragePath
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.transfers.mps_to_object_storage import (
    DownloadError,
    ExpiredUrlError,
    MpsToObjectStorageOperator,
)
from tests.doubles.logs import Lines, no_secret_in
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.servers import Handler, LoopbackServer
from tests.doubles.task_instances import run_task

MIB = 1024**2
CONTENT = bytes(range(256)) * 1024


def keep(urls: Any, destination: Any) -> list[str]:
    operator = MpsToObjectStorageOperator(task_id="keep", urls=urls, destination=destination)
    uris: list[str] = run_task(operator)[0]
    return uris


@pytest.fixture
def audio_urls(emulator: MpsEmulator) -> list[str]:
    """The URLs of a finished task with two files."""
    hook = MpsHook()
    task_id = hook.create_aigc_audio_task(**MUSIC_ARGUMENTS, additional_parameters={"n": 2})
    while not (urls := hook.describe_aigc_audio_task(task_id).urls):
        pass
    return list(urls)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between the tries of a download."""
    sleepless = SimpleNamespace(sleep=lambda seconds: None, monotonic=lambda: 0.0)
    monkeypatch.setattr("airflow_provider_mps.transfers.mps_to_object_storage.time", sleepless)


def files(*cuts: int, ranges: bool = True, etag: str = '"one"', content: bytes = CONTENT) -> Callable[[Handler], None]:
    """A server of one file that cuts its first answers off after so many bytes."""
    left = list(cuts)

    def respond(handler: Handler) -> None:
        asked = handler.received.headers
        start = int(asked["range"].removeprefix("bytes=").removesuffix("-")) if ranges and "range" in asked else 0
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if etag:
            handler.send_header("ETag", etag)
        handler.end_headers()
        handler.wfile.write(content[start : start + left.pop(0)] if left else content[start:])
        handler.close_connection = True

    return respond


@pytest.mark.parametrize("kind", ["path", "uri", "ObjectStoragePath", "memory"])
def test_files_are_kept_wherever_object_storage_reaches(audio_urls: list[str], tmp_path: Path, kind: str) -> None:
    from airflow.sdk.io import attach  # of Airflow 3 alone

    attach("memory", fs=MemoryFileSystem())  # stands for a storage that is no local folder
    destination = {
        "path": f"{tmp_path}/new/folder",
        "uri": f"file://{tmp_path}/new/folder/",
        "ObjectStoragePath": ObjectStoragePath(f"file://{tmp_path}/new/folder"),
        "memory": f"memory://{tmp_path.name}/folder",
    }[kind]
    uris = keep(audio_urls, destination)
    scheme = "memory://" if kind == "memory" else "file://"
    assert len(uris) == 2
    for uri, url in zip(uris, audio_urls, strict=True):
        assert uri.startswith(scheme)
        assert uri.endswith("/" + url.partition("?")[0].rpartition("/")[2])
        with ObjectStoragePath(uri).open("rb") as file, wave.open(file) as sound:
            assert sound.getnframes() > 0
    assert len(list(ObjectStoragePath(uris[0]).parent.iterdir())) == 2, "and nothing else"


def test_one_url_a_list_lists_of_mapped_tasks_objects_and_a_list_as_text(audio_urls: list[str], tmp_path: Path) -> None:
    one, other = audio_urls
    objects = [{"Url": one, "Duration": 3}, {"Url": other, "Duration": 3}]
    both = keep(audio_urls, f"{tmp_path}")
    assert keep(one, f"{tmp_path}") == both[:1]
    for urls in ([[one], [other]], (one, other), str(audio_urls), objects):
        assert keep(urls, f"{tmp_path}") == both


def test_templates_render(tmp_path: Path, audio_urls: list[str]) -> None:
    operator = MpsToObjectStorageOperator(task_id="keep", urls="{{ urls }}", destination="{{ folder }}/{{ ds }}")
    context: Any = {"urls": audio_urls, "folder": str(tmp_path), "ds": "2026-01-01"}
    operator.render_template_fields(context)
    uris, _ = run_task(operator)
    assert uris[0].startswith(f"file://{tmp_path}/2026-01-01/")
    assert len(uris) == 2


def test_memory_stays_flat(tmp_path: Path) -> None:
    def large(handler: Handler) -> None:
        handler.answer(b"", Content_Length=str(64 * MIB))
        piece = b"x" * 65536
        for _ in range(64 * MIB // len(piece)):
            handler.wfile.write(piece)

    with LoopbackServer(large) as server:
        keep(f"{server.url}/first.wav", tmp_path.as_uri())  # what is loaded once is no part of the measure
        tracemalloc.start()
        keep(f"{server.url}/large.wav", tmp_path.as_uri())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "large.wav").stat().st_size == 64 * MIB
    assert peak < 8 * MIB


def test_a_half_file_has_another_name(tmp_path: Path) -> None:
    seen: list[str] = []

    def watched(handler: Handler) -> None:
        handler.answer(b"half ", Content_Length="10")
        seen.extend(path.name for path in tmp_path.iterdir())
        handler.wfile.write(b"whole")

    with LoopbackServer(watched) as server:
        keep(f"{server.url}/tune.wav", str(tmp_path))
    assert len(seen) == 1
    assert seen != ["tune.wav"]
    assert [path.name for path in tmp_path.iterdir()] == ["tune.wav"]
    assert (tmp_path / "tune.wav").read_bytes() == b"half whole"


@pytest.mark.parametrize("etag", ['"one"', 'W/"one"', ""])
def test_a_download_that_is_cut_off_is_resumed(tmp_path: Path, at_once: None, etag: str) -> None:
    with LoopbackServer(files(100_000, 50_000, etag=etag)) as server:
        keep(f"{server.url}/tune.wav", str(tmp_path))
    assert (tmp_path / "tune.wav").read_bytes() == CONTENT
    assert [each.headers.get("range") for each in server.requests] == [None, "bytes=100000-", "bytes=150000-"]
    strong = etag if etag.startswith('"') else None
    assert [each.headers.get("if-range") for each in server.requests] == [None, strong, strong]
    assert {each.headers["accept-encoding"] for each in server.requests} == {"identity"}


def test_a_server_that_sends_less_than_the_rest_is_asked_for_more(tmp_path: Path, at_once: None) -> None:
    whole = files(100_000)

    def in_pieces(handler: Handler) -> None:
        if "range" not in handler.received.headers:
            whole(handler)
            return
        start = int(handler.received.headers["range"].removeprefix("bytes=").removesuffix("-"))
        piece = CONTENT[start : start + 100_000]
        content_range = f"bytes {start}-{start + len(piece) - 1}/{len(CONTENT)}"
        handler.answer(piece, status=206, Content_Range=content_range)

    with LoopbackServer(in_pieces) as server:
        keep(f"{server.url}/tune.wav", str(tmp_path))
    assert (tmp_path / "tune.wav").read_bytes() == CONTENT


def test_a_server_without_ranges_begins_anew(tmp_path: Path, at_once: None) -> None:
    with LoopbackServer(files(100_000, ranges=False)) as server:
        keep(f"{server.url}/tune.wav", str(tmp_path))
    assert (tmp_path / "tune.wav").read_bytes() == CONTENT


def test_the_emulators_cut_off_file_is_resumed(
    emulator: MpsEmulator, audio_urls: list[str], tmp_path: Path, at_once: None
) -> None:
    emulator.fault("file_cut", times=2)
    [uri] = keep(audio_urls[:1], str(tmp_path))
    with wave.open(uri.removeprefix("file://")) as sound:
        assert len(sound.readframes(10**9)) == sound.getnframes() * sound.getnchannels() * sound.getsampwidth()
    assert emulator.count("file") == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(tmp_path: Path, at_once: None, status: int) -> None:
    served = files()

    def busy_once(handler: Handler) -> None:
        if len(handler.server.requests) == 1:
            handler.answer(b"busy", status=status)
        else:
            served(handler)

    with LoopbackServer(busy_once) as server:
        keep(f"{server.url}/tune.wav", str(tmp_path))
    assert (tmp_path / "tune.wav").read_bytes() == CONTENT


def test_a_download_that_never_ends_well_leaves_nothing(tmp_path: Path, at_once: None) -> None:
    with (
        LoopbackServer(files(*[10] * 20)) as server,
        pytest.raises(AirflowException, match=r"tune.wav: cut off 5 times .* after 50 bytes") as failed,
    ):
        keep(f"{server.url}/tune.wav?sign=secret", str(tmp_path))
    assert isinstance(failed.value, DownloadError)
    assert not isinstance(failed.value, AirflowFailException), "a retry downloads it again"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [200, 302, 206, 418])
def test_what_is_no_file_is_not_kept(tmp_path: Path, at_once: None, status: int) -> None:
    headers = {"Content_Encoding": "gzip"} if status == 200 else {"Location": "/other", "Content_Range": "bytes 5-7/8"}
    with (
        LoopbackServer(lambda handler: handler.answer(b"abc", status=status, **headers)) as server,
        pytest.raises(DownloadError),
    ):
        keep(f"{server.url}/tune.wav", str(tmp_path))
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_url_that_has_expired_says_so(emulator: MpsEmulator, audio_urls: list[str], tmp_path: Path) -> None:
    emulator.fault("file_expired")
    with pytest.raises(AirflowFailException, match="HTTP 403: the URL has expired") as expired:
        keep(audio_urls, str(tmp_path))
    assert isinstance(expired.value, ExpiredUrlError)
    assert emulator.count("file") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_is_gone_has_expired_too(tmp_path: Path, status: int) -> None:
    with (
        LoopbackServer(lambda handler: handler.answer(b"", status=status)) as server,
        pytest.raises(ExpiredUrlError, match=f"HTTP {status}"),
    ):
        keep(f"{server.url}/tune.wav", str(tmp_path))


def test_a_larger_file_is_not_overwritten(emulator: MpsEmulator, audio_urls: list[str], tmp_path: Path) -> None:
    [uri] = keep(audio_urls[:1], str(tmp_path))
    kept = Path(uri.removeprefix("file://"))
    whole = kept.read_bytes()
    emulator.fault("file_short")
    with pytest.raises(DownloadError, match="not overwritten"):
        keep(audio_urls[:1], str(tmp_path))
    assert kept.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [kept]

    kept.write_bytes(whole[:100])
    keep(audio_urls[:1], str(tmp_path))
    assert kept.read_bytes() == whole, "a smaller one is replaced"


def test_names_that_are_alike_are_numbered(tmp_path: Path) -> None:
    with LoopbackServer(files()) as server:
        paths = ("a/tune.wav", "b/tune.wav?x=1", "tune-2.wav", "c/tune.wav", "d/n%C3%A4he%20am.wav")
        uris = keep([f"{server.url}/{path}" for path in paths], str(tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert len(names) == len(set(uris)) == 5
    assert {"tune.wav", "tune-2.wav", "nähe am.wav"} <= names


@pytest.mark.parametrize(
    "path",
    [
        *("", "folder/", "..", "%2e%2e", ".", "%20", "a%2Fb.wav", "..%2f..%2fetc%2fpasswd"),
        *("a%5Cb.wav", "a%00.wav", "a%0a.wav", "x" * 201),
    ],
)
def test_a_name_that_is_none_is_refused_before_anything_is_asked(tmp_path: Path, path: str) -> None:
    with LoopbackServer(files()) as server, pytest.raises(AirflowFailException, match=r"urls: .* no file name") as evil:
        keep([f"{server.url}/good.wav", f"{server.url}/{path}?sign=secret"], str(tmp_path))
    assert isinstance(evil.value, InvalidArgumentError)
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "urls",
    [
        None,
        "",
        [],
        "[broken",
        ["http://files.example/a.wav?sign=secret"],
        ["http://127.0.0.1.files.example/a.wav?sign=secret"],
        ["http://localhost@files.example/a.wav?sign=secret"],
        ["ftp://127.0.0.1/a.wav?sign=secret"],
        ["file:///etc/passwd"],
        ["/etc/passwd"],
        ["https:///a.wav?sign=secret"],
        ["https://[half/a.wav?sign=secret"],
        [None],
        [7],
    ],
)
def test_a_url_that_is_none_is_refused(tmp_path: Path, urls: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"^urls: ") as wrong:
        keep(urls, str(tmp_path))
    assert isinstance(wrong.value, InvalidArgumentError)
    assert no_secret_in([str(wrong.value), repr(wrong.value)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("destination", ["", None])
def test_a_destination_that_is_none_is_named(destination: Any) -> None:
    with pytest.raises(AirflowFailException, match="destination"):
        keep("https://files.example/a.wav", destination)


@pytest.mark.parametrize("fault", [None, "file_expired", "file_cut"])
def test_no_url_in_logs_and_errors(
    emulator: MpsEmulator,
    audio_urls: list[str],
    tmp_path: Path,
    at_once: None,
    logged: Lines,
    fault: str | None,
) -> None:
    if fault:
        emulator.fault(fault, times=None)
    try:
        keep(audio_urls, str(tmp_path))
    except (DownloadError, ExpiredUrlError) as error:
        logged.lines += [str(error), repr(error.__cause__), repr(error.__context__)]
    assert fault or len(logged.of("Kept ")) == 2, logged.lines
    assert no_secret_in(logged.lines)
