"""Servers on loopback that answer as a test wants, over HTTP or HTTPS; and what is connected to one."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from select import select
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
    """MPS with one task, which is in each of these states for one poll; it has files where that is DONE, and no more.

    :param words: the states; what follows a space is not told.
    """
    left = list(words)

    def respond(handler: Handler) -> None:
        response: dict[str, Any] = {"TaskId": "the-task", "RequestId": "the-request"}
        if handler.received.headers["x-tc-action"] == DESCRIBE:
            audio = {"Url": "https://files.example/files/tune.wav?sign=secret", "Duration": 3}
            response |= {"Status": left[0].split()[0], "AudioInfos": [audio, audio] if left[0] == "DONE" else None}
            del left[: len(left) > 1]
        handler.answer({"Response": response})

    return respond


def open_connections(port: int) -> list[Any]:
    """This process's connections to a port."""
    connections = psutil.Process().net_connections(kind="tcp")
    return [connection for connection in connections if connection.raddr and connection.raddr.port == port]


@pytest.fixture
def endless_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A name server that does not answer."""
    over = threading.Event()

    def hang(*_: Any, **__: Any) -> Any:
        over.wait()
        raise socket.gaierror("over")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield
    over.set()


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
    authority.issue_cert("127.0.0.1", "localhost", "files.example").configure_cert(context)
    return context


@contextmanager
def behind_tls(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """TLS in front of a server on loopback, such as a proxy that is reached by https; its port.

    :param port: of the server.
    """
    loop = asyncio.new_event_loop()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = loop.run_until_complete(asyncio.start_server(connected, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@contextmanager
def tunnels() -> Iterator[int]:
    """A proxy that answers CONNECT, and leads to that port of this machine whatever the host's name is; its port."""

    def tunnel(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with socket.create_connection(("127.0.0.1", int(handler.received.path.rpartition(":")[2]))) as there:
            ends = {handler.connection: there, there: handler.connection}
            while all(
                ends[ready].send(data) if (data := ready.recv(2**16)) else 0 for ready in select(list(ends), [], [])[0]
            ):
                pass
        handler.close_connection = True

    with LoopbackServer(tunnel) as server:
        yield server.server_port
