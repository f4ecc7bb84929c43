"""The signature is the one that the SDK's own client sends, byte for byte."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from airflow_provider_mps.api.auth import Credentials, CredentialSettings, TC3Auth
from tests.doubles.servers import LoopbackServer, Received

SIGNED = ("authorization", "host", "x-tc-timestamp", "x-tc-token")


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer(lambda handler: handler.answer({"Response": {"RequestId": "1"}})) as server:
        yield server


def of_the_sdk(server: LoopbackServer, token: str, params: dict[str, object], host: str, proxy: str) -> Received:
    """What the SDK's client sends to a host, itself or through a proxy."""
    profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=host, proxy=proxy or None))
    keys = Credential("an-id", "a-key", token or None)
    CommonClient("mps", "2019-06-12", keys, "", profile).call_json("DescribeAigcAudioTask", params)
    return server.requests[-1]


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("token", ["", "a-token"])
@pytest.mark.parametrize("with_port", [True, False])
@pytest.mark.parametrize("params", [{}, {"Prompt": "Regen über Berlin 雨"}])
def test_same_authorization_as_the_sdk(
    server: LoopbackServer,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    token: str,
    with_port: bool,
    params: dict[str, object],
) -> None:
    # A host without a port cannot be listened on here: the request for it is caught at a proxy.
    host = server.host if with_port else "mps.intl.tencentcloudapi.com"
    proxy = "" if with_port else server.url
    expected = of_the_sdk(server, token, params, host, proxy)

    now = float(expected.headers["x-tc-timestamp"])
    monkeypatch.setattr("airflow_provider_mps.api.auth.time.time", lambda: now + 0.4)
    keys = CredentialSettings(secret_id="an-id", secret_key="a-key", token=token)
    client: dict[str, Any] = {
        "auth": TC3Auth(Credentials(keys, timeout=5)),
        "trust_env": False,
        "proxy": proxy or None,
        "headers": {"Content-Type": expected.headers["content-type"]},
    }
    if way == "sync":
        with httpx.Client(**client) as http:
            http.post(f"http://{host}/", content=expected.body)
    else:

        async def post() -> None:
            async with httpx.AsyncClient(**client) as http:
                await http.post(f"http://{host}/", content=expected.body)

        asyncio.run(post())

    ours = server.requests[-1]
    assert ours is not expected
    assert json.loads(ours.body) == params
    assert {name: ours.headers.get(name) for name in SIGNED} == {name: expected.headers.get(name) for name in SIGNED}
