"""Downloads one file, whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import tenacity

from airflow_provider_mps.api.client import make_tls, make_transport
from airflow_provider_mps.api.errors import DownloadError, ExpiredUrlError
from airflow_provider_mps.api.loop import PrivateLoop
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.redaction import withheld, without_queries
from airflow_provider_mps.api.settings import is_loopback
from airflow_provider_mps.api.trouble import Trouble, in_words

TRIES = 5
"""In a row and without a new byte; how long a download may go on that does advance is for ``download_timeout``."""

_WEB_PAGES = ("text/html", "application/xhtml+xml")
_LENGTH = re.compile(r"[0-9]{1,20}")
_STRONG_ETAG = re.compile(r'"[^"]{1,200}"')


class Part(Protocol):
    """Where a file is written to: a path of pathlib, of fsspec, or of Airflow's object storage."""

    def open(self, mode: str) -> Any:
        """The file as ``wb`` opens it."""


@dataclass(frozen=True)
class Downloaded:
    """What came: its length in bytes, and the SHA-256 of its content in hexadecimal."""

    length: int
    sha256: str


class Download:
    """One file, in as many pieces as the network makes of it.

    A download that is cut off goes on where it ended only where the server proves that the rest is of the same file:
    by a strong ETag and the same length. Otherwise it begins anew.

    :param url: where it is.
    :param name: what it is called in errors. Its URL may be signed: no error holds it.
    :param timeout: seconds without a byte after which it counts as cut off.
    :param download_timeout: seconds for the file as a whole, repeats included.
    :param max_bytes: a larger file is refused.
    :param proxy: the URL of an http(s) proxy; not used for a file on this machine. The environment's is never used.
    :param verify: whether TLS certificates are checked, or the path of a CA bundle to check them by.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        timeout: float,
        download_timeout: float,
        max_bytes: int,
        proxy: str = "",
        verify: bool | str = True,
    ) -> None:
        self._url = httpx.URL(url)
        self._name = name
        self._timeout = timeout
        self._download_timeout = download_timeout
        self._max_bytes = max_bytes
        self._proxy = "" if is_loopback(self._url.host) else proxy
        self._verify = verify
        self._file: Any = None
        self._digest = hashlib.sha256()
        self._received = 0
        self._furthest = 0
        self._in_vain = 0
        self._total: int | None = None
        self._etag = ""
        self._trouble = Trouble("download", "downloads")

    def to(self, part: Part) -> Downloaded:
        """Write the whole file to ``part``. Not for use in a running event loop.

        :raises ExpiredUrlError: the URL no longer works.
        :raises DownloadError: it could not be had whole in time, is too large, or is a web page.
        :raises InvalidConnectionError: the proxy or the CA bundle cannot be used.
        """
        transport = make_transport(self._proxy, make_tls(self._verify, str(self._url)))
        try:
            # On an event loop, as only there the limit holds while a name is looked up or a header drips in.
            with withheld(), PrivateLoop() as loop:
                loop.run(self._within_limits(transport, part))
        finally:
            self._close()
        return Downloaded(self._received, self._digest.hexdigest())

    async def _within_limits(self, transport: httpx.AsyncHTTPTransport, part: Part) -> None:
        http = httpx.AsyncClient(transport=transport, timeout=self._timeout, trust_env=False, follow_redirects=False)
        limit = asyncio.timeout(self._download_timeout)
        bearing = patience()
        try:
            async with limit, http:
                async for attempt in tenacity.AsyncRetrying(
                    retry=tenacity.retry_if_exception_type(_CutOffError),
                    stop=lambda state: self._in_vain >= TRIES,
                    wait=tenacity.wait_random_exponential(multiplier=bearing.backoff, max=bearing.backoff_limit),
                    before_sleep=self._say,
                    reraise=True,
                ):
                    with attempt:
                        await self._attempt(http, part)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DownloadError(
                f"{self._name}: not whole within {self._download_timeout:g} s (download_timeout); {self._received:,} "
                "bytes had come"
            ) from None
        except _CutOffError as error:
            raise DownloadError(
                f"{self._name}: cut off {self._in_vain} times in a row without a new byte (at last: {error}) after "
                f"{self._furthest:,} bytes"
            ) from None

    def _say(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        then = f"asked again in about {in_words(state.upcoming_sleep)}"
        missing = "for the rest" if self._etag else "for the whole file"
        self._trouble.failed("cut off", f"{then}, {missing}", details=f"{self._name}: {error}")

    async def _attempt(self, http: httpx.AsyncClient, part: Part) -> None:
        before = self._furthest
        try:
            await self._receive(http, part)
            self._trouble.answered()
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise _CutOffError(f"{type(error).__name__}: {without_queries(str(error))}") from None
        except (httpx.HTTPError, httpx.StreamError) as error:  # whose texts may quote what was sent
            raise _CutOffError(type(error).__name__) from None
        finally:
            self._in_vain = 0 if self._furthest > before else self._in_vain + 1

    async def _receive(self, http: httpx.AsyncClient, part: Part) -> None:
        """Receive what is missing, or the whole file anew."""
        headers = {"Accept-Encoding": "identity"}
        resuming = bool(self._received and self._etag and self._total is not None)
        if resuming:
            headers |= {"Range": f"bytes={self._received}-", "If-Range": self._etag}
        async with http.stream("GET", self._url, headers=headers) as response:
            self._check(response, resuming)
            if response.status_code == 206:
                self._go_on(response)
            else:
                self._begin(response, part)
            async for chunk in response.aiter_raw():  # as it comes: what httpx gathers first is lost with the rest
                self._take(chunk)
        if self._received != (self._furthest if self._total is None else self._total):
            raise _CutOffError("it ended before the file did")

    def _check(self, response: httpx.Response, resuming: bool) -> None:
        status = response.status_code
        if status in (403, 404, 410):
            raise ExpiredUrlError(
                f"{self._name}: HTTP {status}: the URL has expired, or never was good (MPS keeps results for about 12 "
                "hours)",
                cost="Nothing was kept, and a download costs nothing at MPS",
                advice="A sensor on the TaskId gives a fresh URL at no cost, while MPS knows the task",
                details="After that, clear the task that created it to make, and pay for, a new file. Of a file in a "
                "bucket it means that it is not there, or that the connection's keys may not read it",
            )
        if status >= 500 or status == 429:
            raise _CutOffError(f"HTTP {status}")
        if status == 416 and resuming:
            self._distrust("HTTP 416")
        if status not in ((200, 206) if resuming else (200,)):
            raise DownloadError(f"{self._name}: HTTP {status}, which is not a file")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise DownloadError(f"{self._name}: came compressed, although that was not requested")
        if response.headers.get("content-type", "").partition(";")[0].strip().lower() in _WEB_PAGES:
            raise DownloadError(
                f"{self._name}: the server sent a web page (Content-Type text/html) with HTTP {status} instead of the "
                "file",
                advice="Look for a proxy or a login page in between; a retry downloads it again",
            )

    def _go_on(self, response: httpx.Response) -> None:
        # "bytes 100-199/200", and the ETag that the whole file had (RFC 9110, sections 14.4 and 15.3.7).
        span, _, total = response.headers.get("content-range", "").partition("/")
        expected = (f"bytes {self._received}-", str(self._total), self._etag)
        if not span.startswith(expected[0]) or (total, response.headers.get("etag")) != expected[1:]:
            self._distrust("the server sent another part than the missing one")

    def _begin(self, response: httpx.Response, part: Part) -> None:
        length = response.headers.get("content-length", "")
        total = int(length) if _LENGTH.fullmatch(length) else None
        if total is None and "chunked" not in response.headers.get("transfer-encoding", "").lower():
            raise DownloadError(
                f"{self._name}: the server does not say how long the file is, so half of it could pass for the whole"
            )
        if total is not None and total > self._max_bytes:
            raise self._too_large(f"{total:,}")
        if total is not None and self._total is not None and total < self._total:
            raise DownloadError(f"{self._name}: the server announced {self._total:,} bytes first, and {total:,} then")
        self._total = self._total if total is None else total
        etag = response.headers.get("etag", "")
        self._etag = etag if _STRONG_ETAG.fullmatch(etag) else ""
        self._close()
        self._file = part.open("wb")
        self._digest = hashlib.sha256()
        self._received = 0

    def _take(self, chunk: bytes) -> None:
        received = self._received + len(chunk)
        if received > self._max_bytes:
            raise self._too_large("more")
        if self._total is not None and received > self._total:
            self._distrust("more came than the whole file")
        self._file.write(chunk)
        self._digest.update(chunk)
        self._received = received
        self._furthest = max(self._furthest, received)

    def _distrust(self, why: str) -> None:
        """Begin anew next time: what came may be of another file."""
        self._etag = ""
        raise _CutOffError(why)

    def _too_large(self, size: str) -> DownloadError:
        return DownloadError(
            f"{self._name}: it has {size} bytes, and max_bytes allows {self._max_bytes:,}",
            retry_helps=False,
            advice="Raise max_bytes, if the file is wanted, and clear the Airflow task",
        )

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


class _CutOffError(Exception):
    """The download ended before the file did, or the server asks to come again."""
