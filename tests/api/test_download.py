"""A file comes whole or not at all: over cuts, changed files, strange lengths, slow servers and proxies."""

import hashlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.api.errors import DownloadError, ExpiredUrlError, InvalidConnectionError
from airflow_provider_mps.api.files.connections import Connections
from airflow_provider_mps.api.files.download import Download, Downloaded, Limits
from tests.doubles.in_time import ends
from tests.doubles.logs import no_secret_in
from tests.doubles.servers import Handler, LoopbackServer, hang

CONTENT = bytes(range(256)) * 1024
OTHER = bytes(reversed(CONTENT))
LIMITS: dict[str, Any] = {"timeout": 20.0, "download_timeout": 60.0, "max_bytes": 1024**2}


pytestmark = pytest.mark.usefixtures("mps_short_waits")


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "tune.wav.part"


class File:
    """Where a test has a file written to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self) -> None:
        self._path.write_bytes(b"")

    def write(self, data: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(data)


def download(server: LoopbackServer, part: Path, **settings: Any) -> Downloaded:
    return download_from(f"{server.url}/files/tune.wav?sign=secret", part, **settings)


def download_from(url: str, part: Path, name: str = "tune.wav", **settings: Any) -> Downloaded:
    limits = Limits(**{key: settings.pop(key, value) for key, value in LIMITS.items()})
    more = {key: settings.pop(key) for key in ("in_bucket", "not_there_until", "ended") if key in settings}

    def run() -> Downloaded:
        with Connections(**settings) as connections:
            return Download(connections, url, name, limits, **more).to(File(part))

    result: Downloaded = ends(run)
    return result


def refused(server: LoopbackServer, part: Path, match: str, **settings: Any) -> DownloadError:
    """The error that a download ends in; it names the file and shows nothing of its URL."""
    with pytest.raises(DownloadError, match=f"tune.wav: .*{match}") as error:
        download(server, part, **settings)
    assert no_secret_in([str(error.value), repr(error.value.__cause__)])
    return error.value


def start_of(handler: Handler) -> int:
    """Where the part begins that Range asks for."""
    return int(handler.received.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


def send(handler: Handler, content: bytes, start: int = 0, cut: int | None = None, **headers: str) -> None:
    """A file, or its end, of which the connection may be cut after so many bytes."""
    handler.send_response(206 if start else 200)
    if start:
        headers = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} | headers
    for name, value in ({"Content_Length": str(len(content) - start)} | headers).items():
        if value:
            handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content[start:][:cut])
    handler.close_connection = True


def files(*cuts: int, ranges: bool = True, etag: str = '"one"') -> Callable[[Handler], None]:
    """A server of one file that cuts its first answers off after so many bytes."""
    left = list(cuts)

    def respond(handler: Handler) -> None:
        send(handler, CONTENT, start_of(handler) if ranges else 0, left.pop(0) if left else None, ETag=etag)

    return respond


def raw(*answers: bytes) -> Callable[[Handler], None]:
    """A server that writes these bytes, the last of them from then on."""
    left = list(answers)

    def respond(handler: Handler) -> None:
        handler.wfile.write(left.pop(0) if len(left) > 1 else left[0])
        handler.close_connection = True

    return respond


def gone(status: int) -> Callable[[Handler], None]:
    """A server that has no such file."""
    return lambda handler: handler.answer(b"<html>", status=status, Content_Type="text/html")


def whole(handler: Handler) -> None:
    """A server of one file."""
    handler.answer(CONTENT)


def chunked(*chunks: bytes) -> bytes:
    """A whole answer whose length nobody says beforehand."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def test_what_came_is_described_by_length_and_hash(part: Path) -> None:
    with LoopbackServer(files()) as server:
        assert download(server, part) == Downloaded(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert part.read_bytes() == CONTENT


def test_it_imports_no_airflow() -> None:
    code = "import sys, airflow_provider_mps.api.files.download; sys.exit('airflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=300).returncode == 0


class TestResuming:
    """A download goes on where it was cut only where that is proven to be the same file."""

    def test_it_goes_on_under_a_strong_etag(self, part: Path) -> None:
        with LoopbackServer(files(100_000, 50_000)) as server:
            assert download(server, part).sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert part.read_bytes() == CONTENT
        assert [each.headers.get("range") for each in server.requests] == [None, "bytes=100000-", "bytes=150000-"]
        assert [each.headers.get("if-range") for each in server.requests] == [None, '"one"', '"one"']
        assert {each.headers["accept-encoding"] for each in server.requests} == {"identity"}

    @pytest.mark.parametrize("etag", ['W/"one"', "", "one", '"'])
    def test_it_begins_anew_without_one(self, part: Path, etag: str) -> None:
        with LoopbackServer(files(100_000, 50_000, etag=etag)) as server:
            assert download(server, part).sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert part.read_bytes() == CONTENT
        assert [each.headers.get("range") for each in server.requests] == [None, None, None]

    @pytest.mark.parametrize("etag", ["none", "none at first", "none then", "changed", "changed, and If-Range kept"])
    def test_a_file_that_changed_meanwhile_is_not_spliced(self, part: Path, etag: str) -> None:
        first = "" if etag in ("none", "none at first") else '"one"'
        then = "" if etag in ("none", "none then") else '"two"'

        def changed(handler: Handler) -> None:
            if len(handler.server.requests) == 1:
                send(handler, CONTENT, cut=100_000, ETag=first)
            else:
                send(handler, OTHER, 0 if "kept" in etag else start_of(handler), ETag=then)

        with LoopbackServer(changed) as server:
            assert download(server, part).sha256 == hashlib.sha256(OTHER).hexdigest()
        assert part.read_bytes() == OTHER

    @pytest.mark.parametrize(
        "content_range",
        ["bytes 100000-262143/262145", "bytes 100000-262143/*", "bytes 99999-262143/262144", "", f"bytes {'9' * 5000}"],
    )
    def test_another_part_than_the_missing_one_is_not_taken(self, part: Path, content_range: str) -> None:
        def other_part(handler: Handler) -> None:
            first = len(handler.server.requests) == 1
            send(
                handler,
                CONTENT,
                start_of(handler),
                cut=100_000 if first else None,
                ETag='"one"',
                **({"Content_Range": content_range} if start_of(handler) else {}),
            )

        with LoopbackServer(other_part) as server:
            download(server, part)
        assert part.read_bytes() == CONTENT
        assert [each.headers.get("range") for each in server.requests] == [None, "bytes=100000-", None]

    def test_a_server_that_sends_less_than_the_rest_is_asked_for_more(self, part: Path) -> None:
        def in_pieces(handler: Handler) -> None:
            start = start_of(handler)
            if not start:
                send(handler, CONTENT, cut=100_000, ETag='"one"')
                return
            piece = CONTENT[start : start + 10_000]
            content_range = f"bytes {start}-{start + len(piece) - 1}/{len(CONTENT)}"
            handler.answer(piece, status=206, Content_Range=content_range, ETag='"one"')

        with LoopbackServer(in_pieces) as server:
            download(server, part)
        assert part.read_bytes() == CONTENT
        assert len(server.requests) == 18

    def test_a_server_without_ranges_begins_anew(self, part: Path) -> None:
        with LoopbackServer(files(100_000, ranges=False)) as server:
            download(server, part)
        assert part.read_bytes() == CONTENT

    def test_a_range_that_is_refused_begins_anew(self, part: Path) -> None:
        def no_such_range(handler: Handler) -> None:
            if start_of(handler):
                handler.answer(b"", status=416)
            else:
                send(handler, CONTENT, cut=10 if len(handler.server.requests) == 1 else None, ETag='"one"')

        with LoopbackServer(no_such_range) as server:
            download(server, part)
        assert part.read_bytes() == CONTENT

    @pytest.mark.parametrize("ranges", [True, False])
    def test_a_file_that_shrank_is_not_accepted(self, part: Path, ranges: bool) -> None:
        def shrinking(handler: Handler) -> None:
            if len(handler.server.requests) == 1:
                send(handler, CONTENT, cut=100_000, ETag='"one"')
            else:
                send(handler, CONTENT[:1000], ETag='"two"')

        with LoopbackServer(shrinking) as server:
            refused(server, part, "announced 262,144 bytes first, and 1,000 then")

    @pytest.mark.parametrize(
        "first",
        [
            chunked(CONTENT)[:10_000],
            b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + CONTENT[:10_000],
        ],
    )
    def test_nor_is_one_that_shrank_without_saying_its_length(self, part: Path, first: bytes) -> None:
        with LoopbackServer(raw(first, chunked(CONTENT[:1000]))) as server:
            refused(server, part, "it ended before the file did")


class TestLargeFiles:
    """What holds for small files holds for those that are read another way."""

    LARGE = CONTENT * 40

    @pytest.mark.parametrize("etag", ['"one"', ""])
    def test_one_that_was_cut_comes_whole(self, part: Path, etag: str) -> None:
        cuts = [9_000_000, 100_000, 0]

        def respond(handler: Handler) -> None:
            start = start_of(handler)
            send(handler, self.LARGE, start, cuts.pop(0) if cuts else None, ETag=etag)

        with LoopbackServer(respond) as server:
            got = download(server, part, max_bytes=10**8)
        assert got == Downloaded(len(self.LARGE), hashlib.sha256(self.LARGE).hexdigest())
        assert part.read_bytes() == self.LARGE

    def test_one_that_comes_in_chunks_after_its_length_was_said(self, part: Path) -> None:
        begun = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.LARGE) + CONTENT
        with LoopbackServer(raw(begun, chunked(self.LARGE))) as server:
            download(server, part, max_bytes=10**8)
        assert part.read_bytes() == self.LARGE

    def test_two_over_one_connection_s_worth_of_them(self, part: Path) -> None:
        def respond(handler: Handler) -> None:
            handler.answer(self.LARGE if "large" in handler.received.path else CONTENT)

        with LoopbackServer(respond) as server, Connections() as connections:
            for name in ("large.wav", "small.wav", "large.wav", "small.wav"):
                limits = Limits(**LIMITS | {"max_bytes": 10**8})
                file = Download(connections, f"{server.url}/{name}", name, limits)
                ends(partial(file.to, File(part)))
                assert part.read_bytes() == (self.LARGE if "large" in name else CONTENT)

    def test_one_that_stands_still_is_cut_off(self, part: Path) -> None:
        def respond(handler: Handler) -> None:
            handler.answer(CONTENT, Content_Length=str(len(self.LARGE)))
            handler.server.stopping.wait()

        with LoopbackServer(respond) as server:
            refused(server, part, r"not whole within 0.5 s", max_bytes=10**8, download_timeout=0.5)
        with LoopbackServer(respond) as server:
            refused(server, part, r"cut off 5 times .*ReadTimeout", max_bytes=10**8, timeout=0.05)


class TestRepeats:
    """What advances goes on; what does not ends after five tries."""

    def test_a_download_that_advances_is_not_given_up(self, part: Path) -> None:
        with LoopbackServer(files(*[20_000] * 13)) as server:
            download(server, part)
        assert part.read_bytes() == CONTENT

    def test_one_that_does_not_is(self, part: Path) -> None:
        with LoopbackServer(files(10, *[0] * 20)) as server:
            error = refused(server, part, r"cut off 5 times in a row .* after 10 bytes")
        assert error.retry_helps
        assert len(server.requests) == 6

    def test_to_begin_anew_is_no_progress(self, part: Path) -> None:
        with LoopbackServer(files(*[1000] * 20, ranges=False)) as server:
            refused(server, part, "cut off 5 times in a row")
        assert len(server.requests) == 6

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_busy_server_is_asked_again(self, part: Path, status: int) -> None:
        def busy_once(handler: Handler) -> None:
            if len(handler.server.requests) == 1:
                handler.answer(b"busy", status=status)
            else:
                send(handler, CONTENT)

        with LoopbackServer(busy_once) as server:
            download(server, part)
        assert part.read_bytes() == CONTENT

    def test_nobody_there_is_said(self, part: Path) -> None:
        with LoopbackServer(hang) as server:
            pass
        refused(server, part, "ConnectError: .*onnect")


class TestLimits:
    """Neither time nor room without an end."""

    def test_a_server_that_sends_a_byte_now_and_then(self, part: Path) -> None:
        def drip(handler: Handler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", "1000000")
            handler.end_headers()
            while not handler.server.stopping.wait(0.05):
                handler.wfile.write(b"x")

        with LoopbackServer(drip) as server:
            error = refused(server, part, r"not whole within 0.5 s \(download_timeout\)", download_timeout=0.5)
        assert error.retry_helps

    def test_a_server_whose_headers_never_end(self, part: Path) -> None:
        def drip(handler: Handler) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not handler.server.stopping.wait(0.05):
                handler.wfile.write(b"x")

        with LoopbackServer(drip) as server:
            refused(server, part, "not whole within 0.5 s", download_timeout=0.5)

    def test_a_server_that_cuts_for_ever(self, part: Path) -> None:
        def one_more(handler: Handler) -> None:
            send(handler, bytes(10**6), start_of(handler), cut=1, ETag='"one"')

        with LoopbackServer(one_more) as server:
            refused(server, part, "not whole within 0.5 s", download_timeout=0.5)

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "1,001 bytes"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "99,999"),
            (chunked(bytes(600), bytes(600)), "more bytes"),
        ],
    )
    def test_a_file_that_is_too_large(self, part: Path, answer: bytes, said: str) -> None:
        with LoopbackServer(raw(answer)) as server:
            error = refused(server, part, f"{said}.* max_bytes allows 1,000", max_bytes=1000)
        assert not error.retry_helps
        assert not part.exists() or part.stat().st_size <= 1000
        assert len(server.requests) == 1

    def test_one_of_exactly_that_size_is_kept(self, part: Path) -> None:
        with LoopbackServer(raw(chunked(bytes(600), bytes(400)))) as server:
            assert download(server, part, max_bytes=1000).length == 1000


class TestAnswers:
    """An answer is believed only as far as it can be checked."""

    @pytest.mark.parametrize("length", ["9" * 5000, "-5", "1e3", "0x10", "12\r\nContent-Length: 13", "²"])
    def test_a_length_that_is_none(self, part: Path, length: str) -> None:
        answer = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nabcdefghijkl".encode("latin-1")
        with LoopbackServer(raw(answer)) as server:
            refused(server, part, "")

    def test_a_file_whose_end_nobody_can_tell(self, part: Path) -> None:
        with LoopbackServer(raw(b"HTTP/1.1 200 OK\r\n\r\n" + CONTENT)) as server:
            refused(server, part, "does not say how long the file is")

    def test_one_in_chunks_has_an_end(self, part: Path) -> None:
        with LoopbackServer(raw(chunked(CONTENT))) as server:
            download(server, part)
        assert part.read_bytes() == CONTENT

    @pytest.mark.parametrize("content_type", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
    def test_a_web_page_is_not_the_song(self, part: Path, content_type: str) -> None:
        with LoopbackServer(lambda handler: handler.answer(b"<html>log in", Content_Type=content_type)) as server:
            refused(server, part, f"web page .*{re.escape(content_type.partition(';')[0].lower())}")
        assert not part.exists()

    @pytest.mark.parametrize(
        "content_type",
        [
            *("application/json", "Application/JSON; charset=utf-8", "application/problem+json", "application/xml"),
            *("text/xml", "text/plain", "application/atom+xml"),
        ],
    )
    @pytest.mark.parametrize("name", ["tune.wav", "tune.mp3", "film.mp4", "picture.png", "picture.webp"])
    def test_nor_is_a_text_a_song_a_film_or_a_picture(self, part: Path, content_type: str, name: str) -> None:
        with (
            LoopbackServer(lambda handler: handler.answer(b'{"code": 1}', Content_Type=content_type)) as server,
            pytest.raises(DownloadError, match=f"{name}: the server sent a text .Content-Type "),
        ):
            download_from(f"{server.url}/{name}", part, name)
        assert not part.exists()

    @pytest.mark.parametrize(
        ("content_type", "name"),
        [
            ("application/json", "words.json"),
            ("text/vtt", "words.vtt"),
            ("text/plain", "list.m3u8"),
            ("application/xml", "cut"),
            ("image/svg+xml", "drawing.svg"),
            ("binary/octet-stream", "tune.mp3"),
            ("", "tune.mp3"),
        ],
    )
    def test_a_text_whose_name_says_nothing_else_is_kept(self, part: Path, content_type: str, name: str) -> None:
        with LoopbackServer(lambda handler: handler.answer(b"as it is", Content_Type=content_type)) as server:
            assert download_from(f"{server.url}/{name}", part, name).length == 8

    @pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", chunked()])
    def test_an_empty_file_is_none(self, part: Path, answer: bytes) -> None:
        with LoopbackServer(raw(answer)) as server:
            refused(server, part, r"an empty file \(0 bytes\)")

    @pytest.mark.parametrize("encoding", ["", "identity", "Identity", "identity, identity", "aws-chunked", " , "])
    def test_an_encoding_that_compresses_nothing_is_none(self, part: Path, encoding: str) -> None:
        with LoopbackServer(lambda handler: handler.answer(CONTENT, Content_Encoding=encoding)) as server:
            download(server, part)
        assert part.read_bytes() == CONTENT

    @pytest.mark.parametrize("encoding", ["gzip", "identity, gzip", "aws-chunked,br"])
    def test_one_that_does_is_refused(self, part: Path, encoding: str) -> None:
        with LoopbackServer(lambda handler: handler.answer(CONTENT, Content_Encoding=encoding)) as server:
            refused(server, part, "came compressed")

    @pytest.mark.parametrize(
        ("location", "said"),
        [
            ("https://cdn-7.example/song.mp3?sign=secret", "redirects to cdn-7.example"),
            ("/elsewhere?sign=secret", "redirects to 127.0.0.1"),
            ("https://user:sign=secret@cdn.example:8443/x", "redirects to cdn.example"),
            ("https://[half", "redirects to another address"),
            ("https://evil host/", "redirects to another address"),
        ],
    )
    def test_a_redirect_says_where_to_and_is_not_followed(self, part: Path, location: str, said: str) -> None:
        with LoopbackServer(lambda handler: handler.answer(b"", status=302, Location=location)) as server:
            error = refused(server, part, f"HTTP 302: .*{said}")
        assert len(server.requests) == 1
        assert not error.retry_helps

    @pytest.mark.parametrize("status", [200, 204, 206, 302, 418])
    def test_what_is_not_a_file(self, part: Path, status: int) -> None:
        headers = {"Content_Encoding": "gzip"} if status == 200 else {"Location": "/x", "Content_Range": "bytes 0-2/3"}
        with LoopbackServer(lambda handler: handler.answer(b"abc", status=status, **headers)) as server:
            refused(server, part, "Nothing was kept")
        assert len(server.requests) == 1

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_a_url_that_has_expired(self, part: Path, status: int) -> None:
        with LoopbackServer(gone(status)) as server, pytest.raises(ExpiredUrlError) as error:
            download(server, part)
        assert str(error.value).startswith(f"tune.wav: HTTP {status}: the URL has expired")
        assert error.value.retry_helps is (status != 410), "a store may need longer than this try"
        assert len(server.requests) == 1

    def test_of_a_bucket_of_one_s_own_it_says_that_it_is_not_there(self, part: Path) -> None:
        with LoopbackServer(gone(404)) as server, pytest.raises(ExpiredUrlError, match="it is not in the bucket"):
            download(server, part, in_bucket=True)

    @pytest.mark.parametrize("status", [403, 404])
    def test_what_may_not_be_there_yet_is_asked_for_again(self, part: Path, status: int) -> None:
        def late(handler: Handler) -> None:
            (gone(status) if len(handler.server.requests) < 8 else whole)(handler)

        with LoopbackServer(late) as server:
            download(server, part, not_there_until=time.monotonic() + 60)
        assert part.read_bytes() == CONTENT
        assert len(server.requests) == 8

    def test_a_signature_that_has_expired_is_not_asked_for_again(self, part: Path) -> None:
        said = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
        with (
            LoopbackServer(lambda handler: handler.answer(said, status=403)) as server,
            pytest.raises(ExpiredUrlError) as error,
        ):
            download(server, part, not_there_until=time.monotonic() + 60)
        assert len(server.requests) == 1
        assert not error.value.retry_helps

    def test_until_it_may_have_expired(self, part: Path) -> None:
        with LoopbackServer(gone(404)) as server, pytest.raises(ExpiredUrlError):
            download(server, part, not_there_until=time.monotonic() + 0.2)
        assert len(server.requests) > 1


class TestEnding:
    """Somebody else may end a download at any time."""

    def test_it_ends_where_it_is(self, part: Path) -> None:
        def slow(handler: Handler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", "1000000")
            handler.end_headers()
            handler.wfile.write(b"begun")
            begun.set()
            handler.server.stopping.wait()

        begun, ended = threading.Event(), threading.Event()
        with LoopbackServer(slow) as server, Connections() as connections:
            running = Download(connections, f"{server.url}/tune.wav", "tune.wav", Limits(**LIMITS), ended=ended)

            def end() -> None:
                begun.wait()
                ended.set()
                connections.cut()

            threading.Thread(target=end).start()
            with pytest.raises(DownloadError, match="ended before it was whole"):
                ends(lambda: running.to(File(part)))


class TestReachingIt:
    """The settings say how a file is reached, and the environment says nothing."""

    @pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
    def test_the_environment_s_proxies_are_not_used(
        self, part: Path, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        with LoopbackServer(files()) as server, LoopbackServer(hang) as proxy:
            monkeypatch.setenv(variable, proxy.url)
            monkeypatch.setenv(variable.lower(), proxy.url)
            download(server, part)
            assert proxy.connections == 0

    def test_the_given_proxy_is_used(self, part: Path) -> None:
        with LoopbackServer(files()) as proxy:
            download_from("http://files.example/tune.wav", part, proxy=proxy.url)
            assert proxy.requests[0].headers["host"] == "files.example"

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_but_not_for_this_machine(self, part: Path, host: str) -> None:
        with LoopbackServer(files()) as server, LoopbackServer(hang) as proxy:
            url = f"http://{host}:{server.server_port}/tune.wav"
            download_from(url, part, proxy=proxy.url)
            assert proxy.connections == 0

    @pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "ftp://127.0.0.1", "127.0.0.1:99"])
    def test_a_proxy_that_cannot_be_used_is_named(self, part: Path, proxy: str) -> None:
        with pytest.raises(InvalidConnectionError, match=r"^proxy: .*http or https"):
            download_from("http://files.example/tune.wav", part, proxy=proxy)

    def test_tls_is_verified_by_the_given_authority_alone(
        self, part: Path, tls: Any, ca_bundle: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with LoopbackServer(files(), ssl_context=tls) as server:
            monkeypatch.setenv("SSL_CERT_FILE", ca_bundle)
            refused(server, part, "CERTIFICATE_VERIFY_FAILED")
            for verify in (ca_bundle, False):
                assert download(server, part, verify=verify).length == len(CONTENT)

    def test_a_ca_bundle_that_is_not_there_is_named(self, part: Path) -> None:
        with pytest.raises(InvalidConnectionError, match=r"^verify: "):
            download_from("https://127.0.0.1/tune.wav", part, verify="/no/such/file")
