"""Fixtures of these tests, and a hook's call, sync and async."""

import asyncio
from typing import Any

import pytest

from airflow_provider_mps.hooks.mps import MpsHook


def call(action: str, params: dict[str, Any], hook: MpsHook | None = None) -> dict[str, Any]:
    return (hook or MpsHook()).call(action, params)


def acall(action: str, params: dict[str, Any], hook: MpsHook | None = None) -> dict[str, Any]:
    return asyncio.run((hook or MpsHook()).acall(action, params))


CALLS = pytest.mark.parametrize("call", [call, acall], ids=["sync", "async"])
