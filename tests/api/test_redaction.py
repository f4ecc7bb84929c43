"""Other libraries' logs, turned up to DEBUG: nothing of ours that is secret, and all of everybody else's."""

import asyncio
import logging
import ssl
import time
import uuid
from typing import Any

import httpx
import pytest

from airflow_provider_mps.api.codes import Failure
from airflow_provider_mps.api.errors import MpsError, TransportError
from airflow_provider_mps.api.redaction import masked, plain_url, withheld, without_queries
from airflow_provider_mps.api.wire.client import MpsClient
from airflow_provider_mps.api.wire.settings import CredentialKind, CredentialSettings
from airflow_provider_mps.emulator import MpsEmulator
from tests.api.conftest import settings
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.logs import Lines, no_secret_in, told_by
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
        httpx.get(f"{server.url}/again", trust_env=False, timeout=60)
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
        (["https://a.example/?sign=secret"], "no message"),
        ("look at HTTPS://A.example/b?Sign=secret", "look at HTTPS://A.example/b?..."),
        ("at https://a.example/my song's file.mp3?sign=secret now", "at https://a.example/my song's file.mp3?... now"),
        ('at "https://a.example/b?x=\'"1"\'&sign=secret" now', 'at "https://a.example/b?..." now'),
        ("https://a.example/b?x=1 2&sign=secret", "https://a.example/b?... 2&..."),
        ("https://a.example/b;sign=secret", "https://a.example/b;..."),
        ("https://a.example/b#sign=secret", "https://a.example/b#..."),
        ("https://user:secret@a.example/b", "https://a.example/b"),
        ("s3://user:se@cr:et@bucket/b", "s3://bucket/b"),
        ("https%3A%2F%2Fa.example%2Fb%3Fsign%3Dsecret", "https%3A%2F%2Fa.example%2Fb%3F..."),
        (r"https:\/\/a.example\/b?sign=secret", r"https:\/\/a.example\/b?..."),
        ("at b.cos.ap-x.myqcloud.com/k.mp3?q-signature=secret now", "at b.cos.ap-x.myqcloud.com/k.mp3?... now"),
        ("at //b.example/k?x-y=secret", "at //b.example/k?..."),
        ("https%253A%252F%252Fb.example%252Fk%253Fx%253Dsecret", "https%253A%252F%252Fb.example%252Fk%253F..."),
        ("at https:\\\\b.example\\k?x=secret", "at https:\\\\b.example\\k?..."),
        ("at https://b.example/k:q-signature=secret", "at https://b.example/k:q-signature=..."),
        ("at https://b.example/k,sign=secret", "at https://b.example/k,sign=..."),
        ("at https://b.example/q-signature=secret/k", "at https://b.example/q-signature=..."),
        ("at https://b.example/k\u200b?auth_key=secret", "at https://b.example/k ?..."),
        ("at https://b.example/k&#63;q-signature%3Dsecret", "at https://b.example/k&..."),
        ("key b/k.mp3, q-signature=secret, size=3", "key b/k.mp3, q-signature=... size=3"),
        ("and/or? size=3", "and/or? size=3"),
        ("it is 1;2 or #3: a?b", "it is 1;2 or #3: a?b"),
        ("a\nb\x1b[31m\u202ec", "a b [31m c"),
        ("x " * 2040 + "https://user:secret" + "@a.example/" + "y" * 5000, ("x " * 2040)[:500] + "..."),
        ("x" * 600, "x" * 500 + "..."),
    ],
)
def test_texts_of_the_service_lose_their_queries(text: Any, told: str) -> None:
    assert without_queries(text) == told


@pytest.mark.parametrize("around", ["{}", " {}", "\n{}\t", "[{}]", " [{}, 1]"])
def test_json_in_a_text_is_masked_as_an_object_is(around: str) -> None:
    text = around.replace(
        "{}", '{"Token": "hush", "Inner": {"api_key": "hush", "Authorization": "hush"}, "Lyric": "x"}'
    )
    told = masked({"AdditionalParameters": text})["AdditionalParameters"]
    assert "hush" not in told
    assert "Lyric" in told


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "HTTPS://user:secret@A.example:8443/my song's \"b\".mp3;sign=secret?x='1' &y#z",
            'https://A.example:8443/my song\'s "b".mp3',
        ),
        ("cos://a-125/one;two.mp3?sign=secret", "cos://a-125/one;two.mp3"),
        ("s3://my_conn@bucket/a@b", "s3://bucket/a@b"),
        ("/folder/a#b", "/folder/a"),
    ],
)
def test_a_url_is_told_without_what_may_be_secret(url: str, told: str) -> None:
    assert plain_url(url) == told


def test_loggers_that_come_later_are_reached_too(emulator: MpsEmulator, logged: Lines) -> None:
    with withheld():
        pass
    later = [
        logging.getLogger(f"{name}.{uuid.uuid4()}")
        for name in ("botocore", "httpx", "httpx2", "httpcore2", "urllib3", "nobody")
    ]
    with withheld():
        for logger in later:
            logger.error("in %s", logger.name)
    for logger in later:
        logger.error("after %s", logger.name)
    assert logged.lines == [f"in {later[-1].name}", *(f"after {logger.name}" for logger in later)]


@pytest.mark.parametrize("role", ["login", "token", "region"])
@pytest.mark.parametrize("put", ["a\npasted\n", "pasted\r\nX-Other: 1", "pasted\x00", "pasted\u2028", "pasted\ud800"])
def test_what_no_header_can_hold_is_not_quoted_and_never_sent(
    emulator: MpsEmulator, logged: Lines, role: str, put: str
) -> None:
    keys = CredentialSettings(secret_id="emulator-id", secret_key="emulator-key")
    spoilt = settings(emulator.port, credential=keys)
    # Not by a connection, whose fields are checked: by a source of keys, which may give anything.
    for of, name, value in ((keys, "secret_id", f"id{put}x"), (keys, "token", put), (spoilt, "region", put)):
        if role in (name, {"secret_id": "login"}.get(name)):
            object.__setattr__(of, name, value)
    for request in (MUSIC, MUSIC | {"SessionId": "mine-1"}):
        with MpsClient(spoilt) as client, pytest.raises(TransportError, match="no HTTP header can hold") as refused:
            client.run(client.create(CREATE, request))
        assert refused.value.failure is Failure.FINAL
        told = [*told_by(refused.value), *logged.lines]
        assert [text for text in told if "pasted" in text] == []
    assert emulator.requests == []
