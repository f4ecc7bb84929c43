"""The connections that downloads share: each read and write on them ends at the deadline of the file it is for."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

import httpcore
import httpx

from airflow_provider_mps.api.errors import InvalidConnectionError
from airflow_provider_mps.api.redaction import withheld
from airflow_provider_mps.api.wire.client import make_tls
from airflow_provider_mps.api.wire.settings import is_loopback

_LARGE_BYTES = 8 * 1024**2
_READ_BYTES = 256 * 1024

_deadline: ContextVar[float] = ContextVar("mps_download_deadline")


@contextmanager
def ends_at(deadline: float) -> Iterator[None]:
    """Within this, what is done on a connection ends at a time of ``time.monotonic()``."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def _within(timeout: float | None) -> float:
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left if timeout is None else min(timeout, left)


class Connections:
    """Connections to any host, kept for the next file. Safe to use from many threads.

    httpcore without httpx: what watches httpx, such as OpenTelemetry's instrumentation, would record signed URLs.

    :param proxy: the URL of an http(s) proxy; not used for a file on this machine. The environment's is never used.
    :param verify: whether TLS certificates are checked, or the path of a CA bundle to check them by.
    :param limit: how many at a time.
    :raises InvalidConnectionError: the proxy or the CA bundle cannot be used.
    """

    def __init__(self, proxy: str = "", verify: bool | str = True, limit: int = 1) -> None:
        self._proxy = _proxy(proxy)
        self._verify = verify
        self._limit = limit
        self._pools: dict[tuple[str, bool], httpcore.ConnectionPool] = {}
        self._making = threading.Lock()
        self._backend = _Backend()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for pool in self._pools.values():
            with contextlib.suppress(RuntimeError):  # a file that was given up on may still hold one
                pool.close()

    @contextmanager
    def get(self, url: httpx.URL, headers: dict[str, str], timeout: float) -> Iterator[httpcore.Response]:
        """The answer to a GET, with its body still to come.

        :param timeout: seconds without a byte after which it counts as cut off.
        """
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout)
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        stream = self._pool(url).stream("GET", target, headers=list(headers.items()), extensions={"timeout": timeouts})
        with withheld(), stream as response:
            yield response

    @staticmethod
    def body(response: httpcore.Response, timeout: float) -> Iterator[bytes]:
        """The body of an answer, in pieces.

        A large one comes straight from the connection, which then ends: h11 copies each byte twice.
        """
        headers = httpx.Headers(response.headers)
        length = 0 if "transfer-encoding" in headers else int(headers.get("content-length", 0))  # which h11 has checked
        pieces = response.iter_stream()
        if length < _LARGE_BYTES:
            yield from pieces
            return
        first = next(iter(pieces), b"")  # h11 gives all that it has
        yield first
        left = length - len(first)
        while left > 0:
            piece = response.extensions["network_stream"].read(min(left, _READ_BYTES), timeout)
            if not piece:
                raise httpcore.RemoteProtocolError("the connection ended before the body did")
            left -= len(piece)
            yield piece

    def cut(self) -> None:
        """End what is being read or written now, whichever thread does it."""
        self._backend.cut()

    def _pool(self, url: httpx.URL) -> httpcore.ConnectionPool:
        through_proxy = bool(self._proxy) and not is_loopback(url.host)
        with self._making:
            key = url.scheme, through_proxy
            if key not in self._pools:
                self._pools[key] = self._made(str(url), through_proxy)
            return self._pools[key]

    def _made(self, url: str, through_proxy: bool) -> httpcore.ConnectionPool:
        shared: dict[str, Any] = {
            "ssl_context": make_tls(self._verify, url),
            "max_connections": self._limit,
            "max_keepalive_connections": self._limit,
            "network_backend": self._backend,
        }
        if not through_proxy or self._proxy is None:
            return httpcore.ConnectionPool(**shared)
        proxy = self._proxy
        address = httpcore.URL(scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=b"/")
        return httpcore.HTTPProxy(
            address, proxy_auth=proxy.raw_auth, proxy_ssl_context=make_tls(self._verify, str(proxy.url)), **shared
        )


def _proxy(url: str) -> httpx.Proxy | None:
    try:
        proxy = httpx.Proxy(url) if url else None
    except (ValueError, httpx.InvalidURL):
        proxy = None
    if url and (proxy is None or proxy.url.scheme not in ("http", "https")):
        raise InvalidConnectionError("proxy: must be the URL of an http or https proxy (not of a socks one)")
    return proxy


class _Backend(httpcore.NetworkBackend):
    """httpcore's own network, within the deadline."""

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._changing = threading.Lock()
        self._cut = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._inner.connect_tcp(host, port, _within(timeout), local_address, socket_options)
        return _Stream(stream, self)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)

    def opened(self, sock: socket.socket) -> None:
        with self._changing:
            self._sockets.add(sock)
        if self._cut:
            self.cut()

    def cut(self) -> None:
        with self._changing:
            self._cut = True
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    # Not close(): that would not wake up who waits for it.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _Stream(httpcore.NetworkStream):
    """A connection, used within the deadline."""

    def __init__(self, inner: httpcore.NetworkStream, backend: _Backend) -> None:
        self._inner = inner
        self._backend = backend
        backend.opened(inner.get_extra_info("socket"))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _within(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _within(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _within(timeout)), self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
