"""A file's way here, whole or not at all."""

from __future__ import annotations

from typing import IO, Any, Protocol

import httpx
import tenacity

from airflow_provider_mps.api.errors import DownloadError, ExpiredUrlError
from airflow_provider_mps.api.redaction import withheld

TRIES = 5
BACKOFF = tenacity.wait_exponential(multiplier=0.5, max=8)


class Part(Protocol):
    """Where a file is written to: a path of pathlib, of fsspec, or of Airflow's object storage."""

    def open(self, mode: str) -> Any:
        """The file as ``wb`` opens it."""


class Download:
    """One file, in as many pieces as the network makes of it.

    :param url: where it is.
    :param name: what it is called in errors; its URL may be signed and is in none.
    :param timeout: seconds without a byte after which a download counts as cut off.
    """

    def __init__(self, url: str, name: str, timeout: float) -> None:
        self._url = url
        self._name = name
        self._timeout = timeout
        self._received = 0
        self._etag = ""

    def to(self, part: Part) -> int:
        """Write the whole file to ``part``; its length in bytes.

        :raises ExpiredUrlError: the URL is no longer good.
        :raises DownloadError: it could not be had whole.
        """
        file: IO[bytes] | None = None
        try:
            with withheld(), httpx.Client(timeout=self._timeout, follow_redirects=False) as http:
                for attempt in tenacity.Retrying(
                    retry=tenacity.retry_if_exception_type((httpx.HTTPError, httpx.StreamError, _CutOffError)),
                    stop=tenacity.stop_after_attempt(TRIES),
                    wait=BACKOFF,
                    reraise=True,
                ):
                    with attempt:
                        if file is None or not self._receive(http, file):
                            if file is not None:  # the server begins anew: so does the file
                                file.close()
                            self._received = 0
                            file = part.open("wb")
                            self._receive(http, file)
        except (httpx.HTTPError, httpx.StreamError, _CutOffError) as error:
            raise DownloadError(
                f"{self._name}: cut off {TRIES} times ({type(error).__name__}), at last after "
                f"{self._received:,} bytes. Nothing was kept; a retry downloads it again."
            ) from None
        finally:
            if file is not None:
                file.close()
        return self._received

    def _receive(self, http: httpx.Client, file: IO[bytes]) -> bool:
        """Receive what is missing. False where the server sends the file from its beginning instead."""
        headers = {"Accept-Encoding": "identity"}
        if self._received:
            headers["Range"] = f"bytes={self._received}-"
            if self._etag:
                headers["If-Range"] = self._etag
        with http.stream("GET", self._url, headers=headers) as response:
            self._check(response)
            if self._received and response.status_code != 206:
                return False
            total = self._total(response)
            etag = response.headers.get("etag", "")
            self._etag = "" if etag.startswith("W/") else etag
            for chunk in response.iter_raw():  # as it comes: what httpx gathers first is lost when the rest is cut off
                file.write(chunk)
                self._received += len(chunk)
            if total is not None and self._received != total:
                raise _CutOffError
            return True

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (403, 404, 410):
            raise ExpiredUrlError(
                f"{self._name}: HTTP {status}: the URL has expired, or never was good (MPS keeps results for about 12 "
                "hours). Nothing was kept. Clear the task that created it to make, and pay for, a new file; where "
                "MPS still knows the task, a sensor on its TaskId gives a fresh URL at no cost. Of a cos:// file it "
                "means that it is not there, or that the connection's keys may not read it."
            )
        if status >= 500 or status == 429:
            raise _CutOffError
        if status not in (200, 206) or response.headers.get("content-encoding", "identity") != "identity":
            raise DownloadError(f"{self._name}: HTTP {status}, which is no file. Nothing was kept.")

    def _total(self, response: httpx.Response) -> int | None:
        """The whole file's length, if the server tells it."""
        if response.status_code == 206:
            # "bytes 100-199/200" (RFC 9110, section 14.4)
            unit_range, _, total = response.headers.get("content-range", "").partition("/")
            if not unit_range.startswith(f"bytes {self._received}-"):
                raise DownloadError(f"{self._name}: the server sent another part than the missing one.")
            return int(total) if total.isdecimal() else None
        length = response.headers.get("content-length", "")
        return int(length) if length.isdecimal() else None


class _CutOffError(Exception):
    """The download ended before the file did, or the server asks to come again."""
