"""What the wire may do to a call, and what the client makes of it."""

import asyncio
import select
import socket
import ssl
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
import trustme

from airflow_provider_mps.api.codes import Failure
from airflow_provider_mps.api.errors import (
    AmbiguousCreateError,
    ApiError,
    InvalidConnectionError,
    MissingTaskIdError,
    TransportError,
    UnreadableAnswerError,
)
from airflow_provider_mps.api.paid_once import Request
from airflow_provider_mps.api.wire.client import MpsClient, Sending
from airflow_provider_mps.emulator import MpsEmulator
from tests.api.conftest import Call, settings
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.logs import Lines
from tests.doubles.seen import MUSIC as PROMPT
from tests.doubles.servers import Handler, LoopbackServer, behind_tls, hang, open_connections


def test_a_redirect_is_not_followed(emulator: MpsEmulator, call: Call) -> None:
    with LoopbackServer(hang) as elsewhere:
        emulator.fault("redirect", message=elsewhere.url)
        emulator.fault("redirect")
        for _ in range(2):
            with pytest.raises(UnreadableAnswerError, match="HTTP 307"):
                call(settings(emulator.port), CREATE, PROMPT)
        assert elsewhere.requests == []
    assert len(emulator.requests) == 2


def test_netrc_does_not_replace_the_signature(
    emulator: MpsEmulator, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert call(settings(emulator.port), CREATE, PROMPT)["TaskId"]
    assert emulator.requests[0].headers["authorization"].startswith("TC3-HMAC-SHA256 Credential=emulator-id/")


def test_an_unknown_authority_is_refused_before_anything_is_sent(call: Call, tls: ssl.SSLContext) -> None:
    with MpsEmulator(ssl_context=tls) as emulator:
        with pytest.raises(TransportError, match=r"CERTIFICATE_VERIFY_FAILED.*never left this machine"):
            call(settings(emulator.port, scheme="https"), CREATE, PROMPT)
        assert emulator.requests == []


@pytest.mark.parametrize("verified", [True, False])
def test_tls_with_a_ca_bundle_or_unverified(call: Call, tls: ssl.SSLContext, ca_bundle: str, verified: bool) -> None:
    with MpsEmulator(ssl_context=tls) as emulator:
        verify = ca_bundle if verified else False
        assert call(settings(emulator.port, scheme="https", verify=verify), CREATE, PROMPT)["TaskId"]


def test_a_ca_bundle_that_is_not_there_is_named(call: Call) -> None:
    with pytest.raises(InvalidConnectionError, match=r"verify: no CA bundle at '/nowhere/ca.pem'"):
        call(settings(1, scheme="https", verify="/nowhere/ca.pem"), CREATE, PROMPT)


def test_a_ca_bundle_that_has_changed_is_read_again(
    call: Call, tls: ssl.SSLContext, ca_bundle: str, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    with MpsEmulator(ssl_context=tls) as emulator:
        checked = settings(emulator.port, scheme="https", verify=str(bundle))
        with MpsClient(checked) as long_lived:
            with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
                call(checked, CREATE, PROMPT)
            with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
                long_lived.run(long_lived.attempt(CREATE, PROMPT))
            bundle.write_bytes(Path(ca_bundle).read_bytes())
            assert call(checked, CREATE, PROMPT)["TaskId"]
            # A poller's client lives as long as somebody waits. What fails first makes it read the bundle again.
            with suppress(TransportError):
                long_lived.run(long_lived.attempt(CREATE, PROMPT))
            assert long_lived.call(CREATE, PROMPT)["TaskId"]
            bundle.write_text("nothing")
            with pytest.raises(InvalidConnectionError, match="verify: no CA bundle"):
                call(checked, CREATE, PROMPT)
            assert long_lived.call(CREATE, PROMPT)["TaskId"]


def test_an_unverified_endpoint_is_warned_of_once(
    call: Call, tls: ssl.SSLContext, ca_bundle: str, logged: Lines
) -> None:
    with MpsEmulator(ssl_context=tls) as emulator:
        call(settings(emulator.port, scheme="https", verify=ca_bundle), CREATE, PROMPT)
        assert not logged.of("verify=false")
        for _ in range(3):
            call(settings(emulator.port, scheme="https", verify=False), CREATE, PROMPT)
        [line] = logged.of("verify=false")
        assert f"127.0.0.1:{emulator.port} " in line


def test_what_the_way_says_of_a_failure_is_one_printable_line(call: Call) -> None:
    def illegal(handler: Handler) -> None:
        handler.wfile.write(
            b"HTTP/1.1 200 https://a.example/?sign=secret\r\n\x1b[2J: https://b.example/?sign=secret\r\n\r\n"
        )

    def refuses(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 407 \xff https://b.example/?sign=secret\r\n\r\n")

    with LoopbackServer(illegal) as server, LoopbackServer(refuses) as proxy:
        for way in (settings(server.server_port), settings(1, scheme="https", proxy=proxy.url)):
            with pytest.raises(TransportError) as failed:
                call(way, CREATE, PROMPT)
            assert str(failed.value).isprintable()
            assert "sign=" not in str(failed.value)


@pytest.mark.parametrize("kind", ["hang", "hang_after", "drip", "drip_headers"])
def test_one_deadline_lies_over_the_whole_attempt(emulator: MpsEmulator, call: Call, kind: str) -> None:
    emulator.fault(kind)
    with pytest.raises(TransportError, match=r"no answer within 0.5 s \(127.0.0.1\)"):
        call(settings(emulator.port, timeout=0.5), CREATE, PROMPT)
    assert emulator.count(CREATE) == 1


def test_an_answer_without_an_end_is_hung_up_on(call: Call) -> None:
    sent = 0

    def endless(handler: Handler) -> None:
        nonlocal sent
        handler.answer(b"", Content_Length=str(10**12))
        while True:
            sent += handler.wfile.write(b" " * 65536)

    with LoopbackServer(endless) as server, pytest.raises(UnreadableAnswerError, match="larger than 10 MiB"):
        call(settings(server.server_port), CREATE, PROMPT)
    # What the sockets of both sides hold comes on top of the 10 MiB.
    assert sent < 30 * 1024**2


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("huge", "larger than 10 MiB"),
        ("gzip", r"compressed \(gzip\)"),
        ("not_json", "HTTP 200, and the answer is not a JSON object with Response"),
        ("not_object", "HTTP 200, and the answer is not a JSON object with Response"),
        ("http_502", "HTTP 502, and the answer is not a JSON object with Response"),
    ],
)
def test_an_answer_that_cannot_be_read(emulator: MpsEmulator, call: Call, kind: str, told: str) -> None:
    emulator.fault(kind)
    with pytest.raises(UnreadableAnswerError, match=told) as unreadable:
        call(settings(emulator.port), CREATE, PROMPT)
    assert unreadable.value.failure is Failure.SERVER_TROUBLE
    assert emulator.count(CREATE) == 1


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", "identity, identity", "aws-chunked"])
def test_an_encoding_that_compresses_nothing_costs_no_task_id(call: Call, encoding: str) -> None:
    def respond(handler: Handler) -> None:
        handler.answer({"Response": {"TaskId": "the-task", "RequestId": "1"}}, Content_Encoding=encoding)

    with LoopbackServer(respond) as server:
        assert call(settings(server.server_port), CREATE, PROMPT)["TaskId"] == "the-task"


def test_the_content_type_is_not_trusted(emulator: MpsEmulator, call: Call) -> None:
    emulator.fault("wrong_content_type")
    assert call(settings(emulator.port), CREATE, PROMPT)["TaskId"] == emulator.tasks[0].task_id

    def error(handler: Handler) -> None:
        body = {"Response": {"Error": {"Code": "InvalidAction", "Message": "no"}, "RequestId": "1"}}
        handler.answer(body, Content_Type="application/json; charset=utf-8")

    with LoopbackServer(error) as server, pytest.raises(ApiError, match="InvalidAction"):
        call(settings(server.server_port), CREATE, PROMPT)


@pytest.mark.parametrize("task_id", [None, "", 7, [], "x" * 201])
def test_an_accepted_create_without_a_task_id_is_in_doubt(task_id: object) -> None:
    response = {"TaskId": task_id, "RequestId": "the-request"}
    with (
        LoopbackServer(lambda handler: handler.answer({"Response": response})) as server,
        MpsClient(settings(server.server_port)) as client,
        pytest.raises(AmbiguousCreateError, match="A paid task may exist") as doubt,
    ):
        client.run(client.create(CREATE, PROMPT))
    assert isinstance(doubt.value.__cause__, MissingTaskIdError)
    assert doubt.value.request_id == "the-request"
    assert len(server.requests) == 1


def test_calls_of_one_client_share_a_connection_and_none_outlives_it() -> None:
    with LoopbackServer(lambda handler: handler.answer({"Response": {"RequestId": "1"}})) as server:
        with MpsClient(settings(server.server_port)) as client:
            for _ in range(3):
                client.call(DESCRIBE, {"TaskId": "one"})
            assert len(open_connections(server.server_port)) == 1
        assert open_connections(server.server_port) == []

        async def use() -> None:
            before = asyncio.all_tasks()
            async with MpsClient(settings(server.server_port)) as client:
                for _ in range(3):
                    await client.acall(DESCRIBE, {"TaskId": "one"})
                await asyncio.gather(*(client.acall(DESCRIBE, {"TaskId": "one"}) for _ in range(20)))
                assert len(open_connections(server.server_port)) <= 8
            assert open_connections(server.server_port) == []
            assert asyncio.all_tasks() == before

        asyncio.run(use())
    assert len(server.requests) == 3 + 3 + 20
    assert server.connections <= 1 + 8


def test_a_call_that_is_cancelled_leaves_nothing() -> None:
    async def use(port: int) -> None:
        before = asyncio.all_tasks()
        async with MpsClient(settings(port)) as client:
            call = asyncio.create_task(client.acall(DESCRIBE, {"TaskId": "one"}))
            while not server.requests:  # noqa: ASYNC110 - the server is in another thread
                await asyncio.sleep(0.01)
            call.cancel()
            await asyncio.wait([call])
        assert open_connections(port) == []
        assert asyncio.all_tasks() == before

    with LoopbackServer(hang) as server:
        asyncio.run(use(server.server_port))


def forward(handler: Handler) -> None:
    """A proxy's part: open a tunnel (CONNECT)."""
    host, _, port = handler.received.path.partition(":")
    with socket.create_connection((host, int(port))) as target:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        ends = {handler.connection: target, target: handler.connection}
        while True:
            for end in select.select(ends, [], [])[0]:
                data = end.recv(65536)
                if not data:
                    handler.close_connection = True
                    return
                ends[end].sendall(data)


def test_a_proxy_for_https_sees_no_request(call: Call, tls: ssl.SSLContext, ca_bundle: str) -> None:
    with LoopbackServer(forward) as proxy, MpsEmulator(ssl_context=tls) as emulator:
        over_proxy = settings(emulator.port, scheme="https", verify=ca_bundle, proxy=proxy.url)
        assert call(over_proxy, CREATE, PROMPT)["TaskId"] == emulator.tasks[0].task_id
    [seen] = proxy.requests
    assert (seen.method, seen.path) == ("CONNECT", f"127.0.0.1:{emulator.port}")
    assert "authorization" not in seen.headers


def test_a_proxy_that_refuses_the_tunnel_was_sent_nothing_of_the_call() -> None:
    with LoopbackServer(lambda handler: handler.answer(b"", status=403)) as proxy:
        over_proxy = settings(1, scheme="https", proxy=proxy.url)
        with MpsClient(over_proxy) as client, pytest.raises(TransportError, match="403") as refused:
            client.run(client.attempt(CREATE, PROMPT, Sending(Request())))
    assert refused.value.failure is Failure.NEVER_SENT


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("behaves", [hang, lambda handler: handler.connection.close()], ids=["hangs", "closes"])
def test_a_proxy_that_opens_no_tunnel_was_sent_nothing_of_the_call(
    tls: ssl.SSLContext, ca_bundle: str, secure: bool, behaves: Callable[[Handler], None]
) -> None:
    with (
        LoopbackServer(behaves) as plain,
        behind_tls(plain.server_port, tls) if secure else nullcontext(plain.server_port) as port,
    ):
        proxy = f"https://localhost:{port}" if secure else plain.url
        over_proxy = settings(1, scheme="https", verify=ca_bundle, proxy=proxy, timeout=3)
        with MpsClient(over_proxy) as client, pytest.raises(TransportError) as failed:
            client.run(client.attempt(CREATE, PROMPT, Sending(Request())))
        assert [request.method for request in plain.requests] == ["CONNECT"]
    assert failed.value.failure is Failure.NEVER_SENT


def test_a_proxy_of_the_environment_is_not_used(
    emulator: MpsEmulator, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert call(settings(emulator.port), CREATE, PROMPT)["TaskId"]


@pytest.mark.parametrize("proxy", ["not a url", "ftp://127.0.0.1:1", "http://127.0.0.1:x"])
def test_a_proxy_that_is_none_is_named(emulator: MpsEmulator, call: Call, proxy: str) -> None:
    with pytest.raises(InvalidConnectionError, match=r"^proxy: "):
        call(settings(emulator.port, proxy=proxy), CREATE, PROMPT)
    assert emulator.requests == []
