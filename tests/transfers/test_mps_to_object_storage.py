"""Keeping files: whole or not at all, in flat memory, under safe names, and without a word of their URLs."""

import json
import ssl
import tracemalloc
import wave
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_mps.api.errors import InvalidArgumentError, InvalidConnectionError
from airflow_provider_mps.compat import AirflowException, AirflowFailException, BaseHook, ObjectStoragePath
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.transfers.mps_to_object_storage import (
    DownloadError,
    ExpiredUrlError,
    MpsToObjectStorageOperator,
)
from tests.compat.versions import AIRFLOW
from tests.doubles.airflows import GET_FS, attach
from tests.doubles.logs import Lines, no_secret_in
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.servers import Handler, LoopbackServer, hang
from tests.doubles.task_instances import run_task

pytestmark = pytest.mark.usefixtures("mps_short_waits")

MIB = 1024**2
CONTENT = bytes(range(256)) * 1024


def keep(urls: Any, destination: Any, **arguments: Any) -> list[str]:
    operator = MpsToObjectStorageOperator(task_id="keep", urls=urls, destination=destination, **arguments)
    uris: list[str] = run_task(operator)[0]
    return uris


@pytest.fixture(autouse=True)
def loopback_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to this machine: without one, plain http is not taken."""
    connection = {"conn_type": "tencent_mps", "host": "127.0.0.1", "schema": "http", "login": "i", "password": "k"}
    monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(connection))


@pytest.fixture
def audio_urls(emulator: MpsEmulator) -> list[str]:
    """The URLs of a finished task with two files."""
    hook = MpsHook()
    task_id = hook.create_aigc_audio_task(**MUSIC_ARGUMENTS, additional_parameters={"n": 2})
    while not (urls := hook.describe_aigc_audio_task(task_id).urls):
        pass
    return list(urls)


def cut_short(handler: Handler) -> None:
    """A server that never gets to the end of its file."""
    handler.answer(b"half", Content_Length="1000")
    handler.close_connection = True


def whole(handler: Handler) -> None:
    """A server of one file."""
    handler.answer(CONTENT)


@pytest.mark.parametrize("kind", ["path", "uri", "ObjectStoragePath", "memory"])
def test_files_are_kept_wherever_object_storage_reaches(audio_urls: list[str], tmp_path: Path, kind: str) -> None:

    attach("memory", fs=MemoryFileSystem())  # stands for a storage that is not a local folder
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
        keep(f"{server.url}/first.wav", tmp_path.as_uri())  # what is loaded once is not part of the measure
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
        while not seen and not handler.server.stopping.wait(0.01):
            seen.extend(path.name for path in tmp_path.iterdir())
        handler.wfile.write(b"whole")

    with LoopbackServer(watched) as server:
        keep(f"{server.url}/tune.wav", str(tmp_path))
    assert len(seen) == 1
    assert seen != ["tune.wav"]
    assert [path.name for path in tmp_path.iterdir()] == ["tune.wav"]
    assert (tmp_path / "tune.wav").read_bytes() == b"half whole"


def test_the_emulators_cut_off_file_is_resumed(
    emulator: MpsEmulator, audio_urls: list[str], tmp_path: Path, mps_short_waits: None
) -> None:
    emulator.fault("file_cut", times=2)
    [uri] = keep(audio_urls[:1], str(tmp_path))
    with wave.open(uri.removeprefix("file://")) as sound:
        assert len(sound.readframes(10**9)) == sound.getnframes() * sound.getnchannels() * sound.getsampwidth()
    assert emulator.count("file") == 3


def test_a_download_that_never_ends_well_leaves_nothing(tmp_path: Path, mps_short_waits: None) -> None:
    with (
        LoopbackServer(cut_short) as server,
        pytest.raises(AirflowException, match=r"tune.wav: cut off 5 times .* after 4 bytes") as failed,
    ):
        keep(f"{server.url}/tune.wav?sign=secret", str(tmp_path))
    assert isinstance(failed.value, DownloadError)
    assert not isinstance(failed.value, AirflowFailException), "a retry downloads it again"
    assert list(tmp_path.iterdir()) == []


def test_a_url_that_has_expired_says_so(emulator: MpsEmulator, audio_urls: list[str], tmp_path: Path) -> None:
    emulator.fault("file_expired", times=None)
    said = r"^2 of 2 files are missing: .*HTTP 403: the URL has expired"
    with pytest.raises(AirflowFailException, match=said) as expired:
        keep(audio_urls, str(tmp_path))
    assert isinstance(expired.value, ExpiredUrlError)
    assert emulator.count("file") == 2, "each once: no time makes it good again"
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_alike_are_numbered(tmp_path: Path) -> None:
    with LoopbackServer(whole) as server:
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
def test_what_cannot_be_a_file_name_is_refused_before_anything_is_downloaded(tmp_path: Path, path: str) -> None:
    said = "urls: .* cannot be a file name"
    with LoopbackServer(whole) as server, pytest.raises(AirflowFailException, match=said) as evil:
        keep([f"{server.url}/good.wav", f"{server.url}/{path}?sign=secret"], str(tmp_path))
    assert isinstance(evil.value, InvalidArgumentError)
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []


def nested(depth: int) -> Any:
    """A URL in so many lists."""
    urls: Any = "https://h/a.wav"
    for _ in range(depth):
        urls = [urls]
    return urls


@pytest.mark.parametrize(
    "urls",
    [
        None,
        "",
        [],
        "[broken",
        ["http://files.example:8080/a.wav?sign=secret"],
        ["ftp://127.0.0.1/a.wav?sign=secret"],
        ["file:///etc/passwd"],
        ["/etc/passwd"],
        ["https:///a.wav?sign=secret"],
        ["https://[half/a.wav?sign=secret"],
        [None],
        [7],
        *(7, True, float("nan"), [float("nan")], b"https://h/a.wav", [b"https://h/a.wav"], bytearray(3), object()),
        *("https://[", "https://[::1", "cos://[half/a.wav", "https://h:99999/a.wav", "https://h:x/a.wav"),
        *("https://h/\ud800.wav", "https://h/a\n.wav", "https://ho\nst/a.wav", "https://\u2100/a.wav", "x" * 10**6),
        *({}, {"Url": None}, {"Url": 7, "Duration": 3}, {"Duration": 3}, [{"Bucket": "b", "Region": "r"}]),
        *({"Bucket": 1, "Object": "a"}, {"Bucket": "b.evil/", "Region": "r", "Object": "a.wav"}),
        *({"Bucket": "b", "Region": "r", "Object": "a\x00.wav"}, {"Bucket": "b", "Region": "r", "Object": "\ud800"}),
        *(nested(20), nested(200), str(nested(80)), "[" * 100_000, "[" + "-" * 100_000 + "1]", "[<XComArg>]"),
        "https://user:its-sign=secret@h:x/a.wav",
    ],
    ids=lambda urls: (
        ascii(urls).partition(" at 0x")[0][:30] if not isinstance(urls, list) or urls != urls[:1] else "list"
    ),
)
def test_a_url_that_is_none_is_refused(tmp_path: Path, urls: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"^urls: ") as wrong:
        keep(urls, str(tmp_path))
    assert isinstance(wrong.value, InvalidArgumentError)
    assert len(str(wrong.value)) < 300
    assert no_secret_in([str(wrong.value), repr(wrong.value)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        ("[<XComArg>]", r"rendered to text: pass op.output\[...\]"),
        ([7], "holds int"),
        ([b"x"], "holds bytes"),
        (["ftp://files.example/a.wav?sign=s"], "holds str 'ftp://files.example'"),
        ({"Uri": 1}, "neither a Url nor Bucket, Region and Object"),
    ],
)
def test_the_error_shows_what_was_given_and_what_to_do(tmp_path: Path, urls: Any, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        keep(urls, str(tmp_path))


@pytest.mark.parametrize(
    "destination",
    [
        *(
            "",
            " ",
            None,
            7,
            b"/tmp",
            ["/tmp"],
            "/tmp/\x00",
            "/tmp/a\nb",
            "/tmp/\ud800",
            "s3://",
            "s3:///",
            "nowhere://b/x",
        ),
        *("music", "./music", "~/music", "file://music/x", "file://conn@music", "file:music", "C:\\music"),
        *([ObjectStoragePath("music")] if AIRFLOW >= (3, 2) else []),  # before, that is /music
    ],
    ids=ascii,
)
def test_a_destination_that_is_none_is_named(destination: Any) -> None:
    with (
        LoopbackServer(whole) as server,
        pytest.raises(AirflowFailException, match=r"^destination: ") as wrong,
    ):
        keep(f"{server.url}/a.wav", destination)
    assert isinstance(wrong.value, InvalidArgumentError)
    assert server.requests == []


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("timeout", value) for value in (0, -1, None, "60", float("nan"), float("inf"), 10**400, True)),
        *(("download_timeout", value) for value in (0, "1h", timedelta(0), timedelta.max)),
        *(("max_bytes", value) for value in (0, -1, 1.5, None, "10", True)),
        *(("overwrite", value) for value in (None, "no", 1)),
        *(("storage_conn_id", value) for value in (7, b"my_s3", ["my_s3"])),
        *(("mps_conn_id", value) for value in (7, None, "")),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(tmp_path: Path, argument: str, value: Any) -> None:
    with (
        LoopbackServer(whole) as server,
        pytest.raises(AirflowFailException, match=f"^{argument}: ") as wrong,
    ):
        keep(f"{server.url}/a.wav", str(tmp_path), **{argument: value})
    assert isinstance(wrong.value, InvalidArgumentError)
    assert server.requests == []


@pytest.mark.parametrize("argument", ["storage_conn_id", "destination"])
def test_a_storage_connection_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    def get_fs(scheme: str, conn_id: str, options: Any = None) -> Any:
        """As those of the storages' providers do, none of which is installed here."""
        raise AssertionError(BaseHook.get_connection(conn_id))

    monkeypatch.setattr(GET_FS, get_fs)
    arguments = {"storage_conn_id": "not_there"} if argument == "storage_conn_id" else {}
    destination = f"file://{'' if arguments else 'not_there_either@'}{tmp_path}"
    with pytest.raises(AirflowFailException, match=f"^{argument}: .*`not_there") as wrong:
        keep("https://files.example/a.wav", destination, **arguments)
    assert isinstance(wrong.value, InvalidArgumentError)


def test_limits_are_those_of_the_arguments(tmp_path: Path) -> None:
    with LoopbackServer(whole) as server, pytest.raises(AirflowFailException, match="max_bytes allows 1,000"):
        keep(f"{server.url}/tune.wav", str(tmp_path), max_bytes=1000, timeout=timedelta(seconds=9))
    with LoopbackServer(hang) as server, pytest.raises(DownloadError, match=r"within 0.3 s \(download_timeout\)"):
        keep(f"{server.url}/tune.wav", str(tmp_path), download_timeout=timedelta(seconds=0.3))
    assert list(tmp_path.iterdir()) == []


class TestWhatIsThereAlready:
    """A file is replaced only when that was asked for; what an earlier try kept counts as kept."""

    @pytest.fixture
    def url(self) -> Iterator[str]:
        with LoopbackServer(whole) as server:
            yield f"{server.url}/tune.wav"

    def test_the_same_content_counts_as_kept(self, url: str, tmp_path: Path) -> None:
        assert keep(url, str(tmp_path)) == keep(url, str(tmp_path))
        [file] = tmp_path.iterdir()
        assert file.read_bytes() == CONTENT

    @pytest.mark.parametrize("held", [CONTENT[:100], CONTENT + b"x", CONTENT[::-1], b""])
    def test_any_other_content_stays_unless_overwrite_is_set(self, url: str, tmp_path: Path, held: bytes) -> None:
        file = tmp_path / "tune.wav"
        file.write_bytes(held)
        with pytest.raises(AirflowFailException, match=r"not overwritten.* overwrite=True") as refused:
            keep(url, str(tmp_path))
        assert isinstance(refused.value, DownloadError)
        assert file.read_bytes() == held
        assert list(tmp_path.iterdir()) == [file]

        keep(url, str(tmp_path), overwrite=True)
        assert file.read_bytes() == CONTENT
        assert list(tmp_path.iterdir()) == [file]

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_folder_of_that_name_does_not_swallow_the_file(self, url: str, tmp_path: Path, overwrite: bool) -> None:
        (tmp_path / "tune.wav").mkdir()
        with pytest.raises(InvalidArgumentError, match=r"^destination: has a folder where the file tune.wav"):
            keep(url, str(tmp_path), overwrite=overwrite)
        assert list((tmp_path / "tune.wav").iterdir()) == []

    @pytest.mark.parametrize("below", ["", "/music"])
    def test_a_destination_that_is_a_file_is_named(self, url: str, tmp_path: Path, below: str) -> None:
        (tmp_path / "taken").write_bytes(b"")
        with pytest.raises(InvalidArgumentError, match=r"^destination: .* is a file, or below one"):
            keep(url, f"{tmp_path}/taken{below}")


class TestUris:
    """What is handed on opens again, from any task."""

    @pytest.mark.parametrize("scheme", ["", "file://"])
    def test_it_has_a_scheme_and_the_name_as_it_is(self, tmp_path: Path, scheme: str) -> None:
        with LoopbackServer(whole) as server:
            [uri] = keep(f"{server.url}/n%C3%A4he%20am%2525.wav", f"{scheme}{tmp_path}/a folder@home")
        assert uri == f"file://{tmp_path}/a folder@home/nähe am%25.wav"
        with ObjectStoragePath(uri).open("rb") as file:
            assert file.read() == CONTENT

    def test_a_path_that_writes_itself_without_a_scheme(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ObjectStoragePath, "__str__", lambda path: path.path)  # as before Airflow 3.2
        monkeypatch.setattr(ObjectStoragePath, "as_uri", lambda path: path.path)
        with LoopbackServer(whole) as server:
            assert keep(f"{server.url}/tune.wav", f"{tmp_path}") == [f"file://{tmp_path}/tune.wav"]

    @pytest.mark.parametrize("way", ["in the URI", "storage_conn_id", "ObjectStoragePath"])
    def test_the_destination_s_connection_stays_in_it(self, tmp_path: Path, way: str) -> None:
        destination: Any = f"file://my_files@{tmp_path}"
        arguments = {}
        if way == "storage_conn_id":
            destination, arguments = f"file://{tmp_path}", {"storage_conn_id": "my_files"}
        elif way == "ObjectStoragePath":
            destination = ObjectStoragePath(destination)
        with LoopbackServer(whole) as server:
            [uri] = keep(f"{server.url}/tune.wav", destination, **arguments)
        assert uri == f"file://my_files@{tmp_path}/tune.wav"
        assert (tmp_path / "tune.wav").read_bytes() == CONTENT


class TestConnection:
    """The MPS connection says how files are reached, where there is one."""

    def connect(self, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
        connection = {"conn_type": "tencent_mps", "login": "i", "password": "k"} | fields
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(connection))

    def test_its_ca_bundle_is_used(
        self, tmp_path: Path, tls: Any, ca_bundle: str, monkeypatch: pytest.MonkeyPatch, mps_short_waits: None
    ) -> None:
        with LoopbackServer(whole, ssl_context=tls) as server:
            with pytest.raises(DownloadError, match="CERTIFICATE_VERIFY_FAILED"):
                keep(f"{server.url}/tune.wav", f"{tmp_path}/music")
            self.connect(monkeypatch, extra={"verify": ca_bundle})
            assert len(keep(f"{server.url}/tune.wav", f"{tmp_path}/music")) == 1

    def test_its_proxy_is_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mps_short_waits: None) -> None:
        with LoopbackServer(lambda handler: handler.answer(b"", status=407)) as proxy:
            self.connect(monkeypatch, extra={"proxy": proxy.url})
            with pytest.raises(DownloadError, match="ProxyError: 407"):
                keep("https://files.example/tune.wav?sign=secret", str(tmp_path))
        assert {(each.method, each.path) for each in proxy.requests} == {("CONNECT", "files.example:443")}

    @pytest.mark.parametrize("host", ["files.example", "files.example:80", "127.0.0.1.files.example"])
    def test_http_is_read_over_https_from_the_same_host(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
    ) -> None:
        with LoopbackServer(lambda handler: handler.answer(b"", status=407)) as proxy:
            self.connect(monkeypatch, extra={"proxy": proxy.url})
            with pytest.raises(DownloadError, match="ProxyError: 407"):
                keep(f"http://{host}/tune.wav?sign=secret", str(tmp_path))
        address = f"{host.removesuffix(':80')}:443"
        assert {(each.method, each.path) for each in proxy.requests} == {("CONNECT", address)}

    def test_a_socks_proxy_is_refused_by_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connect(monkeypatch, extra={"proxy": "socks5://user:sign=secret@127.0.0.1:1080"})
        with pytest.raises(AirflowFailException, match=r"proxy: .*http or https") as refused:
            keep("https://files.example/tune.wav", str(tmp_path))
        assert isinstance(refused.value, InvalidConnectionError)
        assert no_secret_in([str(refused.value)])

    def test_a_plain_https_url_needs_none(
        self, tmp_path: Path, tls: Any, ca_bundle: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT")
        trusted = ssl.create_default_context(cafile=ca_bundle)
        monkeypatch.setattr(
            "airflow_provider_mps.api.wire.client._tls_context", lambda verify, version: verify is True and trusted
        )
        with LoopbackServer(whole, ssl_context=tls) as server:
            assert len(keep(f"{server.url}/tune.wav", f"{tmp_path}/music")) == 1

    @pytest.mark.parametrize("url", ["cos://films-1250000000/a.wav", "http://127.0.0.1:1/a.wav"])
    def test_anything_else_needs_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT")
        with pytest.raises(AirflowFailException, match="onnection"):
            keep(url, str(tmp_path))
        assert list(tmp_path.iterdir()) == []

    def test_plain_http_needs_one_to_this_machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connect(monkeypatch)
        with (
            LoopbackServer(whole) as server,
            pytest.raises(InvalidArgumentError, match=r"^urls: plain http is taken only where"),
        ):
            keep(f"{server.url}/tune.wav", str(tmp_path))
        assert server.requests == []

    def test_one_that_is_wrong_is_named_and_not_passed_by(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.connect(monkeypatch, extra={"timeout": "soon"})
        with pytest.raises(AirflowFailException, match="tencent_mps_default, timeout"):
            keep("https://files.example/tune.wav", str(tmp_path))


@pytest.mark.parametrize("fault", [None, "file_expired", "file_cut"])
def test_no_url_in_logs_and_errors(
    emulator: MpsEmulator,
    audio_urls: list[str],
    tmp_path: Path,
    mps_short_waits: None,
    logged: Lines,
    caplog: pytest.LogCaptureFixture,
    fault: str | None,
) -> None:
    caplog.set_level("INFO", "airflow_provider_mps")  # as in a task of any Airflow; outside of one, 2.11 leaves it out
    if fault:
        emulator.fault(fault, times=None)
    try:
        keep(audio_urls, str(tmp_path))
    except (DownloadError, ExpiredUrlError) as error:
        logged.lines += [str(error), repr(error.__cause__), repr(error.__context__)]
    assert fault or len(logged.of("Kept ")) == 2, logged.lines
    assert no_secret_in(logged.lines)
