"""One cluster for all tests here, with the emulators that its DAGs call."""

import json
import os
import random
import secrets
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.cluster import AirflowCluster
from tests.cluster.emulators import Emulators

DAGS = Path(__file__).parent / "dags"
EMULATORS: dict[str, dict[str, Any]] = {
    "quick": {"wait_seconds": 1, "run_seconds": 20},
    "slow": {"wait_seconds": 60, "run_seconds": 2},  # can be aborted for a minute
    "capped": {"wait_seconds": 1, "run_seconds": 20, "running_tasks": 2},
    "long": {"wait_seconds": 0, "run_seconds": 3600},  # until the test ends its tasks
    "crowded": {"wait_seconds": 1, "run_seconds": 14, "running_tasks": 5},
}
"""By name; the connection to each is MPS_ and its name."""


@dataclass(frozen=True)
class Fire:
    """What the tests share.

    :ivar kept: where the DAGs keep files.
    :ivar secret_key: of all connections.
    """

    seed: int
    cluster: AirflowCluster
    emulators: Emulators
    kept: Path
    secret_key: str


@pytest.fixture(scope="session")
def fire() -> Iterator[Fire]:
    """A cluster whose connections lead to emulators. CHAOS_SEED repeats what was drawn in another run."""
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))
    key = secrets.token_hex(20)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job is started with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="airflow-provider-mps-cluster-") as folder, Emulators() as emulators:
        Path(folder).chmod(0o755)  # PostgreSQL's and Redis's users have folders in it
        kept = Path(folder) / "kept"
        env = {"CHAOS_KEPT": kept.as_uri(), "CHAOS_SEED": str(seed)}
        for name, behaviour in EMULATORS.items():
            connection = emulators.start(name, secret_key=key, **behaviour)
            env[f"AIRFLOW_CONN_MPS_{name.upper()}"] = json.dumps(connection)
        with AirflowCluster(Path(folder) / "airflow", DAGS, env) as cluster:
            yield Fire(seed, cluster, emulators, kept, key)
