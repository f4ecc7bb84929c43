"""Parsing a DAG loads no SDK and no HTTP library: the modules that a DAG imports bring them in when a task runs."""

import json
import subprocess
import sys

MODULES = [
    "airflow_provider_mps.operators.mps",
    "airflow_provider_mps.sensors.mps",
    "airflow_provider_mps.triggers.mps",
    "airflow_provider_mps.transfers.mps_to_object_storage",
]
# Airflow's own base classes load some of these themselves: only what comes on top counts.
BASES = [
    "airflow_provider_mps.compat.BaseHook",
    "airflow_provider_mps.compat.BaseOperator",
    "airflow_provider_mps.compat.BaseSensorOperator",
    "airflow.triggers.base.BaseTrigger",
]
HEAVY = {"aiohttp", "hypothesis", "httpx", "lameenc", "pytest", "requests", "tencentcloud", "tenacity"}

FRESH_INTERPRETER = """
import json, sys
from importlib import import_module
bases, modules = json.loads(sys.argv[1])
for base in bases:
    path, _, name = base.rpartition(".")
    getattr(import_module(path), name)
before = set(sys.modules)
for module in modules:
    import_module(module)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_importing_what_a_dag_needs_loads_no_heavy_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FRESH_INTERPRETER, json.dumps([BASES, MODULES])],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert set(MODULES) <= set(loaded)
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()
