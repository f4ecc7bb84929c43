"""Fixtures of these tests, and a hook's call, sync and async."""

import asyncio
from typing import Any

import pytest

from airflow_provider_mps.hooks.mps import MpsHook


def acall(action: str, params: dict[str, Any]) -> dict[str, Any]:
    return asyncio.run(MpsHook().acall(action, params))


CALLS = pytest.mark.parametrize("call", [lambda *arguments: MpsHook().call(*arguments), acall], ids=["sync", "async"])
