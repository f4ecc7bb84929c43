"""The service for these tests: the emulator, or with ``--live``, after a question, a real account.

Only ``pytest tests/live`` knows these options: the whole suite cannot reach a real account.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.live.guard import Facts, ceiling, counts_together

DEFAULT = "AIRFLOW_CONN_TENCENT_MPS_DEFAULT"
NO_ACCOUNT = f"`make live` needs a connection in {DEFAULT}; nothing was sent"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("a real account")
    group.addoption("--live", action="store_true", help="run against the account of MPS_LIVE_CONNECTION")
    group.addoption("--live-creates", type=int, help="do not ask: at most so many creates may be sent")


def pytest_configure(config: pytest.Config) -> None:
    if is_live(config):
        folder = tempfile.TemporaryDirectory(prefix="mps-live-")
        config.add_cleanup(folder.cleanup)
        counts_together(Path(folder.name))
        config.option.tbstyle = "short"  # longer ones show a test's arguments, such as URLs and the connection


def is_live(config: pytest.Config) -> bool:
    return bool(config.getoption("live", default=False))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a bucket to write to, nothing that needs one is run against a real account."""
    if is_live(config) and not os.environ.get("MPS_LIVE_BUCKET"):
        needing = [item for item in items if "bucket" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]


def creates_of(items: list[pytest.Item]) -> int:
    """How many creates these tests send."""
    own: int = sum(mark.kwargs["creates"] for item in items for mark in item.iter_markers("live"))
    return own + any("stored_song" in getattr(item, "fixturenames", ()) for item in items)


@dataclass(frozen=True)
class Service:
    """What the tests talk to; the default connection leads to it.

    :ivar connection: that connection, as JSON has it.
    """

    connection: dict[str, Any] = field(repr=False)
    facts: Facts
    bucket_name: str

    def connect(self, conn_id: str, patch: pytest.MonkeyPatch, host: str = "", **extra: Any) -> None:
        """Another connection to it, with other fields in Extra."""
        connection = self.connection | {"extra": self.connection["extra"] | extra}
        patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection | ({"host": host} if host else {})))


@pytest.fixture(scope="module")
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """The service, with the ceiling on creates."""
    with pytest.MonkeyPatch.context() as patch:
        if is_live(request.config):
            patch.setenv(DEFAULT, os.environ.get("MPS_LIVE_CONNECTION") or pytest.exit(NO_ACCOUNT, returncode=2))
            account = MpsHook.get_connection(MpsHook.default_conn_name)
            names = ("conn_type", "login", "password", "host", "port", "schema")
            connection = {name: getattr(account, name) for name in names} | {"extra": account.extra_dejson}
            facts = Facts(MpsHook().settings.host, Path("build"), [account.login or "", account.password or ""])
            bucket = os.environ.get("MPS_LIVE_BUCKET", "")
            with ceiling(agreed(request)):
                yield Service(connection, facts, bucket)
            return
        with MpsEmulator(wait_seconds=0.1, run_seconds=0.1) as emulator, ceiling(creates_of(request.session.items)):
            connection = emulator.connection
            connection["extra"] |= {"cos_region": "ap-singapore"}
            patch.setenv(DEFAULT, json.dumps(connection))
            yield Service(connection, Facts(emulator.url, None, [connection["password"]]), "songs-1250000000")


def agreed(request: pytest.FixtureRequest) -> int:
    """How many creates the user lets these tests send; asked for, unless the command line says it."""
    settings = MpsHook().settings
    if os.environ.get("MPS_LIVE_BUCKET") and not settings.cos_region:
        pytest.exit("MPS_LIVE_BUCKET needs the connection's cos_region; nothing was sent", returncode=2)
    creates: int | None = request.config.getoption("live_creates")
    if creates is not None:
        return creates
    needed = creates_of(request.session.items)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    capture.suspend_global_capture(in_=True)
    try:
        answer = input(
            f"\nThis sends up to {needed} creates to {settings.account}. MPS bills what it makes of them.\n"
            "Send them? [yes/no] "
        )
    except (EOFError, OSError):  # nobody is there to ask, as in a process of pytest-xdist
        answer = ""
    finally:
        capture.resume_global_capture()
    if answer.strip().lower() != "yes":
        pytest.exit("not agreed to: nothing was sent", returncode=1)
    return needed


@pytest.fixture
def facts(service: Service) -> Facts:
    return service.facts


@pytest.fixture(scope="module")
def bucket(service: Service) -> dict[str, str]:
    """Where results go: the API's StoreCosParam."""
    region = MpsHook().settings.cos_region
    return {"CosBucketName": service.bucket_name, "CosBucketRegion": region, "CosBucketPath": "/airflow-live"}


@pytest.fixture(scope="module")
def stored_song(bucket: dict[str, str]) -> str:
    """The URL of a song in the bucket, as the service gives it."""
    from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
    from tests.live.runs import waited_for

    made = waited_for(CreateAigcAudioTaskOperator, **MUSIC_ARGUMENTS, store_cos_param=bucket)
    return str(made.xcoms["audio_urls"][0])
