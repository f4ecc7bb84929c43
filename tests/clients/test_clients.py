"""Tencent's own clients reach the emulator, as docs/emulator.md says: tccli, and the SDK for Node. ``make clients``."""

import json
import os
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_provider_mps.emulator import MpsEmulator
from tests.doubles.seen import MUSIC

pytestmark = pytest.mark.clients

CLIENTS = Path(__file__).parents[2] / "build" / "clients"
Call = Callable[[str, dict[str, str]], "subprocess.CompletedProcess[str]"]


@contextmanager
def tccli(tmp_path: Path) -> Iterator[tuple[MpsEmulator, Call]]:
    """It speaks https only, and trusts the certificates that its own certifi has."""
    [bundle] = CLIENTS.glob("venv/lib/python*/site-packages/certifi/cacert.pem")
    trusted = bundle.read_bytes()
    ca, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    keys = {"TENCENTCLOUD_SECRET_ID": "emulator-id", "TENCENTCLOUD_SECRET_KEY": "emulator-key"}
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "TENCENTCLOUD_REGION": "ap-singapore", **keys}

    def call(action: str, params: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        fields = [part for name, value in params.items() for part in (f"--{name}", value)]
        command: list[str | Path] = [
            CLIENTS / "venv/bin/tccli",
            "mps",
            action,
            "--endpoint",
            f"127.0.0.1:{emulator.port}",
            *fields,
        ]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    bundle.write_bytes(trusted + b"\n" + ca.cert_pem.bytes())
    try:
        with MpsEmulator(wait_seconds=0, run_seconds=0, ssl_context=context) as emulator:
            yield emulator, call
    finally:
        bundle.write_bytes(trusted)


@contextmanager
def node(tmp_path: Path) -> Iterator[tuple[MpsEmulator, Call]]:
    """Its endpoint stays MPS's own; its connections lead to the emulator (call.js)."""
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "NODE_PATH": str(CLIENTS / "node_modules")}

    def call(action: str, params: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        command: list[str | Path] = [
            "node",
            Path(__file__).with_name("call.js"),
            str(emulator.port),
            action,
            json.dumps(params),
        ]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    with MpsEmulator(wait_seconds=0, run_seconds=0) as emulator:
        yield emulator, call


@pytest.mark.parametrize("client", [tccli, node])
def test_it_makes_a_song_and_reads_what_came_of_it(client: Any, tmp_path: Path) -> None:
    with client(tmp_path) as (emulator, call):
        created = call("CreateAigcAudioTask", MUSIC)
        assert created.returncode == 0, created.stderr
        [task] = emulator.tasks
        assert json.loads(created.stdout)["TaskId"] == task.task_id
        assert task.params == MUSIC
        described = json.loads(call("DescribeAigcAudioTask", {"TaskId": task.task_id}).stdout)
        assert described["Status"] == "DONE"
        assert described["AudioInfos"][0]["Url"].startswith(emulator.url)
        unknown = call("DescribeAigcAudioTask", {"TaskId": "24000145-AigcAudio-none"})
        assert unknown.returncode != 0
        assert "ResourceNotFound.TaskNotFound" in unknown.stderr
