"""A client of the emulator that shares no code with it: signed by the SDK's own key chain, sent by httpx."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tencentcloud.common.sign import Sign

from airflow_provider_mps.emulator import MpsEmulator
from tests.doubles.seen import MUSIC


class Caller:
    """Sends signed requests to an emulator."""

    def __init__(self, emulator: MpsEmulator) -> None:
        self.emulator = emulator
        self.client = httpx.Client(timeout=30, trust_env=False)

    def request(
        self,
        action: str,
        params: Any,
        *,
        secret_id: str = "emulator-id",
        secret_key: str = "emulator-key",
        clock_off_by: int = 0,
        signed_headers: tuple[str, ...] = ("content-type", "host"),
        body: bytes | None = None,
        **headers: str,
    ) -> httpx.Request:
        """A signed request; ``body`` replaces the params after signing, ``headers`` any header before."""
        timestamp = int(time.time()) + clock_off_by
        date = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
        content = json.dumps(params).encode()
        all_headers = {
            "content-type": "application/json",
            "host": f"127.0.0.1:{self.emulator.port}",
            "x-tc-action": action,
            "x-tc-version": "2019-06-12",
            "x-tc-timestamp": str(timestamp),
        }
        lines = "".join(f"{name}:{all_headers[name].lower()}\n" for name in signed_headers)
        names = ";".join(signed_headers)
        canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(content).hexdigest()}"
        scope = f"{date}/mps/tc3_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = Sign.sign_tc3(secret_key, date, "mps", f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}")
        all_headers["authorization"] = (
            f"TC3-HMAC-SHA256 Credential={secret_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        all_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.build_request(
            "POST", self.emulator.url + "/", content=content if body is None else body, headers=all_headers
        )

    def send(self, action: str, params: Any, **changes: Any) -> httpx.Response:
        """The HTTP answer."""
        return self.client.send(self.request(action, params, **changes))

    def call(self, action: str, params: Any, **changes: Any) -> dict[str, Any]:
        """The ``Response`` object."""
        answer = self.send(action, params, **changes)
        assert answer.status_code == 200
        response: dict[str, Any] = answer.json()["Response"]
        assert len(response["RequestId"]) == 36
        return response

    def code(self, action: str, params: Any, **changes: Any) -> str:
        """The error's code, or ``ok``."""
        response = self.call(action, params, **changes)
        return str(response["Error"]["Code"]) if "Error" in response else "ok"

    def create(self, **params: Any) -> str:
        """Make an audio task and return its TaskId."""
        return str(self.call("CreateAigcAudioTask", MUSIC | params)["TaskId"])


@pytest.fixture
def start() -> Iterator[Callable[..., Caller]]:
    """Start emulators, each with a client; all end with the test."""
    callers = []

    def start_one(**arguments: Any) -> Caller:
        emulator = MpsEmulator(**({"requests_per_second": None} | arguments))
        emulator.start()
        callers.append(Caller(emulator))
        return callers[-1]

    yield start_one
    for caller in callers:
        caller.client.close()
        caller.emulator.stop()


@pytest.fixture
def mps(start: Callable[..., Caller]) -> Caller:
    """A client of an emulator whose tasks end at once and which has no limit."""
    return start(wait_seconds=0, run_seconds=0)
