"""What tests of several folders share: an emulator whose tasks end soon, a loopback server, and Airflow's part."""

import asyncio
import json
import logging
import re
import ssl
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
import structlog
import trustme
from structlog.stdlib import PositionalArgumentsFormatter

from airflow_provider_mps.emulator import MpsEmulator

CREATE = "CreateAigcAudioTask"
DESCRIBE = "DescribeAigcAudioTask"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[MpsEmulator]:
    """An emulator whose tasks end in a moment, without a limit; the default connection leads to it."""
    with MpsEmulator(wait_seconds=0.1, run_seconds=0.1, requests_per_second=None) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(emulator.connection))
        yield emulator


@pytest.fixture
def connect(emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change the default connection: its own fields by name, all else in Extra."""

    def change(**fields: Any) -> None:
        connection = dict(emulator.connection)
        own = {name: fields.pop(name) for name in ("login", "password", "host", "port", "schema") if name in fields}
        connection |= own | {"extra": connection["extra"] | fields}
        monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(connection))

    return change


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


class Lines(logging.Handler):
    """All that is logged, as text: Airflow's own loggers are structlog's, those of the libraries are logging's."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def __call__(self, logger: Any, method: str, event: Any) -> Any:
        """As structlog's last processor."""
        event = PositionalArgumentsFormatter()(logger, method, event)
        self.lines.append(str(event["event"]))
        self.lines.extend(repr(value) for name, value in event.items() if name != "event")
        if event.get("exc_info"):
            self.lines.append(traceback.format_exc())
        raise structlog.DropEvent

    def of(self, text: str) -> list[str]:
        """The lines that hold a text."""
        return [line for line in self.lines if text in line]


@pytest.fixture
def logged() -> Iterator[Lines]:
    """What is logged during the test, at every level that its loggers are set to."""
    lines = Lines()
    processors = structlog.get_config()["processors"]  # changed in place: loggers hold on to the list
    before = list(processors)
    processors[:] = [lines]
    logging.getLogger().addHandler(lines)
    yield lines
    logging.getLogger().removeHandler(lines)
    processors[:] = before


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
    """MPS with one task, which is in each of these states for one question."""
    left = list(words)

    def respond(handler: Handler) -> None:
        response: dict[str, Any] = {"TaskId": "the-task", "RequestId": "the-request"}
        if handler.received.headers["x-tc-action"] == DESCRIBE:
            audio = {"Url": "https://files.example/files/tune.wav?sign=secret", "Duration": 3}
            response |= {"Status": left[0], "AudioInfos": [audio, audio] if left[0] == "DONE" else None}
            del left[: len(left) > 1]
        handler.answer({"Response": response})

    return respond


def ends(work: Callable[[], Any]) -> Any:
    """The outcome of what could hang if the code were wrong: that fails the test instead of stopping it."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = work()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    assert outcome, "it did not end within 30 s"
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


def open_connections(port: int) -> list[Any]:
    """This process's connections to a port."""
    connections = psutil.Process().net_connections(kind="tcp")
    return [connection for connection in connections if connection.raddr and connection.raddr.port == port]


@dataclass
class TaskInstance:
    """The parts of Airflow's task instance that operators and sensors use."""

    xcoms: dict[str, Any] = field(default_factory=dict)
    first_reschedule: Any = None

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))

    def get_first_reschedule_date(self, context: Any) -> Any:
        return self.first_reschedule


def trigger_of(deferred: Any) -> Any:
    """The trigger as the triggerer makes it: by its class path, and what Airflow's serde keeps of its arguments."""
    from airflow.sdk.module_loading import import_string
    from airflow.sdk.serde import deserialize, serialize

    class_path, arguments = deferred.trigger.serialize()
    serialised = serialize(arguments)
    assert json.loads(json.dumps(arguments)) == arguments, "a trigger's arguments are JSON primitives"
    return import_string(class_path)(**deserialize(json.loads(json.dumps(serialised))))


def first_event(trigger: Any) -> dict[str, Any]:
    """What a trigger fires, as it comes back through JSON."""

    async def run() -> Any:
        async for event in trigger.run():
            return event.payload
        raise AssertionError("the trigger ended without an event")

    payload = ends(lambda: asyncio.run(run()))
    assert json.loads(json.dumps(payload)) == payload
    return dict(payload)


def run_task(operator: Any, ti: TaskInstance | None = None) -> tuple[Any, dict[str, Any]]:
    """Run an operator or sensor as Airflow does, through reschedules and deferrals; what it returns, and its XComs."""
    from airflow.providers.common.compat.sdk import TaskDeferred, timezone
    from airflow.sdk.exceptions import AirflowRescheduleException

    ti = ti or TaskInstance()
    context: Any = {"ti": ti}
    while True:
        try:
            return ends(lambda: operator.execute(context)), ti.xcoms
        except AirflowRescheduleException:
            ti.first_reschedule = ti.first_reschedule or timezone.utcnow()
            ti.xcoms.clear()  # as Airflow does, before each poke
        except TaskDeferred as deferred:
            event = first_event(trigger_of(deferred))
            result = operator.resume_execution(deferred.method_name, {"event": event}, context)
            return result, ti.xcoms


def no_secret_in(texts: Iterable[str]) -> bool:
    """Whether texts hold neither the emulator's key, nor a result's URL, nor a signature."""
    return not [text for text in texts if re.search(r"emulator-key|/files/|sign=|Signature=", text)]
