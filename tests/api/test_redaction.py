"""Other libraries' logs, turned up to DEBUG: nothing of ours that is secret, and all of everybody else's."""

import asyncio
import ssl
import time
from typing import Any

import httpx
import pytest

from airflow_provider_mps.api.client import MpsClient
from airflow_provider_mps.api.errors import MpsError
from airflow_provider_mps.api.redaction import without_queries
from airflow_provider_mps.api.settings import CredentialKind, CredentialSettings
from airflow_provider_mps.emulator import MpsEmulator
from tests.api.conftest import settings
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.logs import Lines, no_secret_in
from tests.doubles.seen import MUSIC
from tests.doubles.servers import Handler, LoopbackServer

pytestmark = pytest.mark.usefixtures("all_turned_up")


@pytest.mark.parametrize("kind", [None, "http_502", "cut_mid", "redirect", "not_json", "hang"])
def test_a_call_logs_nothing_of_its_request(emulator: MpsEmulator, logged: Lines, kind: str | None) -> None:
    emulator.accept_credential("an-id", "emulator-key-2", "a-token")
    keys = CredentialSettings(secret_id="an-id", secret_key="emulator-key-2", token="a-token")
    if kind:
        emulator.fault(kind, CREATE)
    with MpsClient(settings(emulator.port, credential=keys, timeout=0.5)) as client:
        try:
            client.call(CREATE, MUSIC)
        except MpsError as error:
            logged.lines.append(repr(error))
        client.call(DESCRIBE, {"TaskId": emulator.add_task(wait_seconds=0, run_seconds=0)})
    assert no_secret_in(logged.lines)
    assert not logged.of("a-token")
    assert not logged.of("TC3-HMAC")


def test_the_exchange_of_keys_logs_nothing(
    emulator: MpsEmulator, tls: ssl.SSLContext, ca_bundle: str, monkeypatch: pytest.MonkeyPatch, logged: Lines
) -> None:
    monkeypatch.setattr("certifi.where", lambda: ca_bundle)
    emulator.accept_credential("tmp-id", "tmp-key", "tmp-token")

    def issue(handler: Handler) -> None:
        keys = {"TmpSecretId": "tmp-id", "TmpSecretKey": "tmp-key", "Token": "tmp-token"}
        response = {"Credentials": keys, "ExpiredTime": int(time.time()) + 7200, "RequestId": "1"}
        handler.answer({"Response": response}, Content_Type="application/json")

    with LoopbackServer(issue, ssl_context=tls) as sts:
        role = CredentialSettings(
            kind=CredentialKind.ASSUME_ROLE,
            secret_id="emulator-id",
            secret_key="emulator-key",
            role_arn="a-role",
            sts_endpoint=sts.host,
        )
        with MpsClient(settings(emulator.port, credential=role)) as client:
            client.call(CREATE, MUSIC)
    assert len(sts.requests) == 1
    assert no_secret_in(logged.lines)
    assert not logged.of("tmp-")


def test_somebody_elses_calls_go_on_logging(emulator: MpsEmulator, logged: Lines) -> None:
    async def beside_ours(url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as http, MpsClient(settings(emulator.port)) as client:
            await asyncio.gather(client.acall(CREATE, MUSIC), http.get(f"{url}/theirs"))

    with LoopbackServer(lambda handler: handler.answer(b"")) as server:
        asyncio.run(beside_ours(server.url))
        httpx.get(f"{server.url}/again", trust_env=False)
    assert logged.of(f"HTTP Request: GET {server.url}/theirs")
    assert logged.of(f"HTTP Request: GET {server.url}/again")
    assert logged.of("send_request_headers.started")
    assert not logged.of(f"127.0.0.1:{emulator.port}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("see https://a.example/b.wav?sign=secret&x=1, or not", "see https://a.example/b.wav?... or not"),
        (
            '"http://a.example/b?q=1" and "https://c.example/d?e"',
            '"http://a.example/b?..." and "https://c.example/d?..."',
        ),
        ("what? nothing", "what? nothing"),
        (None, "no message"),
        ("x" * 600, "x" * 500 + "..."),
    ],
)
def test_texts_of_the_service_lose_their_queries(text: Any, told: str) -> None:
    assert without_queries(text) == told
