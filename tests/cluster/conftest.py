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

import pytest

from scripts.cluster import AirflowCluster
from tests.cluster.emulators import Emulators

DAGS = Path(__file__).parent / "dags"


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
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with tempfile.TemporaryDirectory(prefix="airflow-provider-mps-cluster-") as folder, Emulators() as emulators:
        Path(folder).chmod(0o755)  # PostgreSQL's and Redis's users have folders in it
        quick = emulators.start("quick", secret_key=key, wait_seconds=1, run_seconds=20)
        slow = emulators.start("slow", secret_key=key, wait_seconds=60, run_seconds=2)
        long = emulators.start("long", secret_key=key, wait_seconds=0, run_seconds=3600)
        kept = Path(folder) / "kept"
        env = {
            "AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(quick),
            "AIRFLOW_CONN_MPS_SLOW": json.dumps(slow),
            "AIRFLOW_CONN_MPS_LONG": json.dumps(long),
            "CHAOS_KEPT": kept.as_uri(),
            "CHAOS_SEED": str(seed),
        }
        with AirflowCluster(Path(folder) / "airflow", DAGS, env) as cluster:
            yield Fire(seed, cluster, emulators, kept, key)
