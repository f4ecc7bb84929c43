"""Servers on loopback that answer as a test wants, over HTTP or HTTPS; and what is connected to one."""

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
import trustme

from tests.doubles.emulators import DESCRIBE


@dataclass
class Received:
    """A request as a :class:`LoopbackServer` got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class LoopbackServer(ThreadingHTTPServer):
    """Answers each request of a test as the test wants, and remembers it.

    :param respond: writes the answer; its handler has ``received``, and ``wfile`` for the bytes.
    :param ssl_context: serve HTTPS with it.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, respond: Callable[["Handler"], None], *, port: int = 0, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        if ssl_context:
            self.socket = ssl_context.wrap_socket(self.socket, server_side=True)
        self.respond = respond
        self.requests: list[Received] = []
        self.connections = 0
        self.stopping = threading.Event()
        self.host = f"127.0.0.1:{self.server_port}"
        self.url = f"{'https' if ssl_context else 'http'}://{self.host}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what many of the tests are about."""


class Handler(BaseHTTPRequestHandler):
    """One connection of a :class:`LoopbackServer`."""

    protocol_version = "HTTP/1.1"
    server: LoopbackServer

    def _receive(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.received = Received(self.command, self.path, headers, body)
        self.server.requests.append(self.received)
        self.server.respond(self)

    do_GET = do_POST = do_CONNECT = _receive  # noqa: N815 - http.server's names

    def answer(self, body: bytes | dict[str, Any], status: int = 200, **headers: str) -> None:
        """Send a whole answer; a dict goes as JSON."""
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(content))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Keep the tests' output to the tests."""


def hang(handler: Handler) -> None:
    """Never answer."""
    handler.server.stopping.wait()


def states(*words: str) -> Callable[[Handler], None]:
    """MPS with one task, which is in each of these states for one poll."""
    left = list(words)

    def respond(handler: Handler) -> None:
        response: dict[str, Any] = {"TaskId": "the-task", "RequestId": "the-request"}
        if handler.received.headers["x-tc-action"] == DESCRIBE:
            audio = {"Url": "https://files.example/files/tune.wav?sign=secret", "Duration": 3}
            response |= {"Status": left[0], "AudioInfos": [audio, audio] if left[0] == "DONE" else None}
            del left[: len(left) > 1]
        handler.answer({"Response": response})

    return respond


def open_connections(port: int) -> list[Any]:
    """This process's connections to a port."""
    connections = psutil.Process().net_connections(kind="tcp")
    return [connection for connection in connections if connection.raddr and connection.raddr.port == port]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that nobody knows."""
    return trustme.CA()


@pytest.fixture
def ca_bundle(authority: trustme.CA, tmp_path: Path) -> str:
    """The path of its certificate."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """What a server on loopback serves HTTPS with, under that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context
