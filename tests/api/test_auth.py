"""The signature is the one that the SDK's own client sends, byte for byte."""

import json
from collections.abc import Iterator

import httpx
import pytest
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from airflow_provider_mps.api.wire.credentials import Keys, sign
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


@pytest.mark.parametrize("token", ["", "a-token"])
@pytest.mark.parametrize(
    "named",
    [
        "",  # the server's own, with its port
        "mps.intl.tencentcloudapi.com",
        "mps.internal.tencentcloudapi.com",
        "mps.ap-singapore.tencentcloudapi.com",
    ],
)
@pytest.mark.parametrize("params", [{}, {"Prompt": "Regen über Berlin 雨"}])
def test_same_authorization_as_the_sdk(
    server: LoopbackServer,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    named: str,
    params: dict[str, object],
) -> None:
    # A host without a port cannot be listened on here: the request for it is caught at a proxy.
    host = named or server.host
    proxy = server.url if named else ""
    expected = of_the_sdk(server, token, params, host, proxy)

    now = float(expected.headers["x-tc-timestamp"])
    monkeypatch.setattr("airflow_provider_mps.api.wire.credentials.time.time", lambda: now + 0.4)
    headers = {"Content-Type": expected.headers["content-type"]}
    request = httpx.Request("POST", f"http://{host}/", content=expected.body, headers=headers)
    sign(request, Keys("an-id", "a-key", token or None))
    with httpx.Client(trust_env=False, timeout=60, proxy=proxy or None) as http:
        http.send(request)

    ours = server.requests[-1]
    assert ours is not expected
    assert json.loads(ours.body) == params
    assert {name: ours.headers.get(name) for name in SIGNED} == {name: expected.headers.get(name) for name in SIGNED}
