"""Downloads one file, whole or not at all."""

from __future__ import annotations

import hashlib
import queue
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import httpcore
import httpx
import tenacity

from airflow_provider_mps.api.errors import DownloadError, ExpiredUrlError
from airflow_provider_mps.api.failure_log import Trouble, in_words
from airflow_provider_mps.api.files.connections import Connections, ends_at
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.redaction import printable, without_queries
from airflow_provider_mps.api.wire.answers import is_compressed

TRIES = 5
"""In a row and without a new byte; how long a download may go on that does advance is for ``download_timeout``."""

_AHEAD = 8
"""Pieces of a file, of up to 256 KiB, that may have come and not been written yet."""
_SAID_BYTES = 4096
_ENDING_SECONDS = 5.0
_LENGTH = re.compile(r"[0-9]{1,20}")
_STRONG_ETAG = re.compile(r'"[^"]{1,200}"')
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}")
_WEB_PAGES = ("text/html", "application/xhtml+xml")
_TEXTS = re.compile(r"text/.*|application/(?:json|xml)|(?!image/).*\+(?:json|xml)")
_EXPIRED = "the URL has expired, or never was good (MPS keeps results for about 12 hours)"
_NOT_IN_BUCKET = "it is not in the bucket, or the connection's keys may not read it"
_MEDIA = re.compile(
    r"\.(aac|avi|avif|bmp|flac|flv|gif|heic|jpe?g|m4[av]|mkv|mov|mp[34]|mpe?g|og[gv]|opus|png|tiff?|ts|wav|web[mp]|wm[av])$",
    re.IGNORECASE,
)
"""Names that say sound, film or picture."""
_TROUBLES = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.ConnectionNotAvailable,
)


class Sink(Protocol):
    """Where a file is written to."""

    def begin(self) -> None:
        """Begin, or begin anew: what was written is not wanted."""

    def write(self, data: bytes) -> object:
        """Take the next piece."""


@dataclass(frozen=True)
class Downloaded:
    """What came: its length in bytes, and the SHA-256 of its content in hexadecimal."""

    length: int
    sha256: str


@dataclass(frozen=True)
class Limits:
    """What a download may take.

    :param timeout: seconds without a byte after which it counts as cut off.
    :param download_timeout: seconds for the file as a whole, repeats included.
    :param max_bytes: a larger file is refused.
    """

    timeout: float
    download_timeout: float
    max_bytes: int


class Download:
    """One file, in as many pieces as the network makes of it.

    A download that is cut off goes on where it ended only where the server proves that the rest is of the same file:
    by a strong ETag and the same length. Otherwise it begins anew.

    :param url: where it is.
    :param name: what it is called in errors. Its URL may be signed: no error holds it.
    :param in_bucket: whether it is in a bucket of somebody's own, where it stays as long as its owner likes.
    :param not_there_until: a time of ``time.monotonic()`` until which 403 and 404 may mean that it is not there yet.
    :param ended: set by somebody who wants it to end.
    :ivar received: bytes that have come so far.
    :ivar total: bytes of the whole file, where that is known.
    """

    def __init__(
        self,
        connections: Connections,
        url: str,
        name: str,
        limits: Limits,
        *,
        in_bucket: bool = False,
        not_there_until: float = 0.0,
        ended: threading.Event | None = None,
    ) -> None:
        self._connections = connections
        self._url = httpx.URL(url)
        self._name = name
        self._limits = limits
        self._in_bucket = in_bucket
        self._not_there_until = not_there_until
        self._ended = ended or threading.Event()
        self._deadline = time.monotonic() + limits.download_timeout
        self._furthest = 0
        self._in_vain = 0
        self._etag = ""
        self._trouble = Trouble("download", "downloads")
        self.received = 0
        self.total: int | None = None

    def to(self, sink: Sink) -> Downloaded:
        """Write the whole file to ``sink``.

        :raises ExpiredUrlError: the URL does not work, or no longer.
        :raises DownloadError: it did not come whole in time, is too large, empty, or no file.
        """
        writer = _Writer(sink)
        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_CutOffError),
            stop=lambda state: self._in_vain >= TRIES or self._ended.is_set(),
            wait=tenacity.wait_random_exponential(multiplier=patience().backoff, max=patience().backoff_limit),
            sleep=self._sleep,
            before_sleep=self._say,
            reraise=True,
        )
        try:
            with ends_at(self._deadline):
                again(self._attempt, writer)
            return Downloaded(self.received, writer.finish(self._deadline))
        except (_CutOffError, _LateError) as error:
            if self._ended.is_set():
                raise DownloadError(f"{self._name}: ended before it was whole") from None
            if isinstance(error, _LateError) or time.monotonic() >= self._deadline:
                raise self.late() from None
            raise DownloadError(
                f"{self._name}: cut off {self._in_vain} times in a row without a new byte (at last: {error}) after "
                f"{self._furthest:,} bytes"
            ) from None
        finally:
            writer.drop()

    @property
    def overdue(self) -> bool:
        """Whether it should have ended some seconds ago, and hangs in what has no deadline, such as a storage."""
        return time.monotonic() >= self._deadline + _ENDING_SECONDS

    def late(self) -> DownloadError:
        """The error of a file that did not come in time."""
        return DownloadError(
            f"{self._name}: not whole within {self._limits.download_timeout:g} s (download_timeout); "
            f"{self.received:,} bytes had come"
        )

    def _sleep(self, seconds: float) -> None:
        self._ended.wait(max(0.0, min(seconds, self._deadline - time.monotonic())))
        if time.monotonic() >= self._deadline:
            raise _LateError

    def _say(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        then = f"asked again in about {in_words(state.upcoming_sleep)}"
        missing = "for the rest" if self._etag else "for the whole file"
        problem = error.problem if isinstance(error, _CutOffError) else ""
        self._trouble.failed(problem, f"{then}, {missing}", details=f"{self._name}: {error}")

    def _attempt(self, writer: _Writer) -> None:
        before = self._furthest
        self._in_vain += 1
        try:
            self._receive(writer)
            self._trouble.answered()
        except (httpcore.ConnectError, httpcore.ProxyError) as error:
            raise _CutOffError(f"{type(error).__name__}: {without_queries(str(error))}") from None
        except _TROUBLES as error:  # whose texts may quote what was sent
            raise _CutOffError(type(error).__name__) from None
        except _NotThereError:
            self._in_vain = 0  # these have a time of their own
            raise
        finally:
            # The furthest byte of all: a file that begins anew, and is cut off at the same place, makes no progress.
            if self._furthest > before:
                self._in_vain = 0

    def _receive(self, writer: _Writer) -> None:
        """Receive what is missing, or the whole file anew."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        resuming = bool(self.received and self._etag and self.total is not None)
        if resuming:
            headers |= {"Range": f"bytes={self.received}-", "If-Range": self._etag}
        with self._connections.get(self._url, headers, self._limits.timeout) as response:
            fields = httpx.Headers(response.headers)
            if response.status in (403, 404, 410):
                self._check_gone(response.status, _beginning(response))
            self._check(response.status, fields, resuming)
            if response.status == 206:
                self._go_on(fields)
            else:
                self._begin(fields, writer)
            for chunk in self._connections.body(response, self._limits.timeout):
                self._take(chunk, writer)
        if self.received != (self._furthest if self.total is None else self.total):
            raise _CutOffError("it ended before the file did")
        if not self.received:
            raise DownloadError(f"{self._name}: the server sent an empty file (0 bytes)")

    def _check(self, status: int, headers: Mapping[str, str], resuming: bool) -> None:
        if 300 <= status < 400 and headers.get("location"):
            raise self._redirected(status, headers["location"])
        if status >= 500 or status == 429:
            raise _CutOffError(f"HTTP {status}")
        if status == 416 and resuming:
            self._distrust("HTTP 416")
        if status not in ((200, 206) if resuming else (200,)):
            raise DownloadError(f"{self._name}: HTTP {status}, which is not a file")
        if is_compressed(headers):
            raise DownloadError(f"{self._name}: came compressed, although that was not requested")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in _WEB_PAGES or (_MEDIA.search(self._name) and _TEXTS.fullmatch(kind)):
            what = "a web page" if kind in _WEB_PAGES else "a text"
            raise DownloadError(
                f"{self._name}: the server sent {what} (Content-Type {printable(kind)[:60]}) with HTTP {status}, not "
                "the file",
                advice="Look for a proxy or a login page in between; a retry downloads it again",
            )

    def _check_gone(self, status: int, said: bytes) -> None:
        # S3, and what is compatible with it, answers AccessDenied "Request has expired" to a signature that was good.
        expired = b"expired" in said.lower()
        if status != 410 and not expired and time.monotonic() < self._not_there_until:
            raise _NotThereError(status)
        gone = ExpiredUrlError(f"{self._name}: HTTP {status}: {_NOT_IN_BUCKET if self._in_bucket else _EXPIRED}")
        if not self._in_bucket:
            gone.details = "After that, only a new task makes, and pays for, a new file"
        # A URL of one's own bucket is signed anew by each try: temporary keys may end before the signature would.
        gone.retry_helps = status != 410 and (not expired or self._in_bucket)
        raise gone

    def _redirected(self, status: int, location: str) -> DownloadError:
        try:
            host = urlsplit(location).hostname or self._url.host
        except ValueError:
            host = ""
        to = host if _HOST.fullmatch(host) else "another address"
        return DownloadError(
            f"{self._name}: HTTP {status}: the file's host redirects to {to}, which is not followed",
            retry_helps=False,
            advice="If that host may be trusted, give its own URL",
        )

    def _go_on(self, headers: Mapping[str, str]) -> None:
        # "bytes 100-199/200", and the ETag that the whole file had (RFC 9110, sections 14.4 and 15.3.7).
        span, _, total = headers.get("content-range", "").partition("/")
        expected = (f"bytes {self.received}-", str(self.total), self._etag)
        if not span.startswith(expected[0]) or (total, headers.get("etag")) != expected[1:]:
            self._distrust("the server sent another part than the missing one")

    def _begin(self, headers: Mapping[str, str], writer: _Writer) -> None:
        length = headers.get("content-length", "")
        total = int(length) if _LENGTH.fullmatch(length) else None
        if total is None and "chunked" not in headers.get("transfer-encoding", "").lower():
            raise DownloadError(
                f"{self._name}: the server does not say how long the file is, so half of it could pass for the whole"
            )
        if total is not None and total > self._limits.max_bytes:
            raise self._too_large(f"{total:,}")
        if total is not None and self.total is not None and total < self.total:
            raise DownloadError(f"{self._name}: the server announced {self.total:,} bytes first, and {total:,} then")
        self.total = self.total if total is None else total
        etag = headers.get("etag", "")
        self._etag = etag if _STRONG_ETAG.fullmatch(etag) else ""
        self.received = 0
        writer.begin(self._deadline)

    def _take(self, chunk: bytes, writer: _Writer) -> None:
        if self._ended.is_set():
            raise _CutOffError("ended")
        received = self.received + len(chunk)
        if received > self._limits.max_bytes:
            raise self._too_large("more")
        if self.total is not None and received > self.total:
            self._distrust("more came than the whole file")
        writer.write(chunk, self._deadline)
        self.received = received
        self._furthest = max(self._furthest, received)

    def _distrust(self, why: str) -> None:
        """Begin anew next time: what came may be of another file."""
        self._etag = ""
        raise _CutOffError(why)

    def _too_large(self, size: str) -> DownloadError:
        return DownloadError(
            f"{self._name}: it has {size} bytes, and max_bytes allows {self._limits.max_bytes:,}",
            retry_helps=False,
            advice="Raise max_bytes, if the file is wanted",
        )


def _beginning(response: httpcore.Response) -> bytes:
    """The first bytes of an answer that says what is wrong."""
    came = b""
    for chunk in response.iter_stream():
        came += chunk
        if len(came) >= _SAID_BYTES:
            break
    return came[:_SAID_BYTES]


class _Writer:
    """Hashes and writes in a thread of its own, while the next piece comes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._pieces: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
        self._thread: threading.Thread | None = None
        self._digest = hashlib.sha256()
        self._failed: BaseException | None = None
        self._unwanted = False

    def begin(self, deadline: float) -> None:
        """Begin, or begin anew."""
        self.finish(deadline)
        self._sink.begin()
        self._digest = hashlib.sha256()
        self._thread = threading.Thread(target=self._work, name="mps-writing", daemon=True)
        self._thread.start()

    def write(self, piece: bytes, deadline: float) -> None:
        """Hand over the next piece.

        :raises BaseException: what writing an earlier one raised.
        """
        if self._failed:
            raise self._failed
        self._put(piece, deadline)

    def finish(self, deadline: float) -> str:
        """Wait until all is written; its SHA-256."""
        if self._thread is not None:
            self._put(None, deadline)
            self._thread.join(max(0.0, deadline - time.monotonic()))
            if self._thread.is_alive():
                raise _LateError
            self._thread = None
        if self._failed:
            raise self._failed
        return self._digest.hexdigest()

    def drop(self) -> None:
        """Write nothing more; what hangs in the storage is left behind."""
        self._unwanted = True
        if self._thread is not None:
            try:
                self._put(None, time.monotonic() + _ENDING_SECONDS)
            except _LateError:
                return
            self._thread.join(_ENDING_SECONDS)

    def _put(self, piece: bytes | None, deadline: float) -> None:
        try:
            self._pieces.put(piece, timeout=max(0.0, deadline - time.monotonic()))
        except queue.Full:
            raise _LateError from None

    def _work(self) -> None:
        while (piece := self._pieces.get()) is not None:
            # Goes on taking pieces: whoever puts them would else wait at a full queue until the deadline.
            if self._failed or self._unwanted:
                continue
            try:
                self._digest.update(piece)
                self._sink.write(piece)
            except BaseException as error:
                self._failed = error


class _CutOffError(Exception):
    """The download ended before the file did, or the server asks to come again."""

    problem = "cut off"


class _NotThereError(_CutOffError):
    """The server does not have the file, perhaps not yet: stores and CDNs were seen to need minutes after DONE."""

    def __init__(self, status: int) -> None:
        self.problem = f"HTTP {status}"
        super().__init__(self.problem)


class _LateError(Exception):
    """The deadline has passed."""
