"""Fixtures of these tests: settings for a server, and a call of the client, sync or async, without its repeats."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_mps.api.wire.client import MpsClient
from airflow_provider_mps.api.wire.settings import ClientSettings, CredentialSettings
from tests.doubles.in_time import ends

Call = Callable[..., dict[str, Any]]


def settings(port: int, **changes: Any) -> ClientSettings:
    """How to reach a loopback server with the emulator's keys."""
    keys = CredentialSettings(secret_id="emulator-id", secret_key="emulator-key")
    defaults: dict[str, Any] = {"host": "127.0.0.1", "port": port, "scheme": "http", "credential": keys}
    return ClientSettings(**defaults | changes)


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """Call an action once with a client of its own; in each way that there is."""

    def call_one(settings: ClientSettings, action: str, params: dict[str, Any]) -> dict[str, Any]:
        if request.param == "sync":
            with MpsClient(settings) as client:
                return client.run(client.attempt(action, params))

        async def acall() -> dict[str, Any]:
            async with MpsClient(settings) as client:
                return await client.attempt(action, params)

        return asyncio.run(acall())

    return lambda *arguments: ends(lambda: call_one(*arguments))
