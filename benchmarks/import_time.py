"""What parsing a DAG pays for this package: CPU time of its imports beyond Airflow's own base classes.

Run by ``python benchmarks/import_time.py [RUNS]``. Every figure is the median of that many fresh interpreters; the
last line is the same as JSON. CPU time, not wall time: it hardly depends on what else the machine does.
"""

import json
import os
import statistics
import subprocess
import sys

MODULES = [
    "airflow_provider_mps.operators.mps",
    "airflow_provider_mps.sensors.mps",
    "airflow_provider_mps.triggers.mps",
    "airflow_provider_mps.transfers.mps_to_object_storage",
]

FRESH_INTERPRETER = """
import sys, time
from importlib import import_module
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger
start = time.process_time()
for module in sys.argv[1:]:
    import_module(module)
print(time.process_time() - start)
"""


def cpu_milliseconds(modules: list[str]) -> float:
    """Import the modules in a fresh interpreter that has the base classes already."""
    # Byte code is written by the first import and read by the others, as where a DAG processor runs.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", FRESH_INTERPRETER, *modules], capture_output=True, text=True, check=True, env=env
    )
    return float(done.stdout.splitlines()[-1]) * 1000


def main(runs: int) -> None:
    cases = {module: [module] for module in MODULES} | {"all of them": MODULES}
    cpu_milliseconds(MODULES)
    result = {
        name: round(statistics.median(cpu_milliseconds(modules) for _ in range(runs)), 1)
        for name, modules in cases.items()
    }
    width = max(map(len, result))
    print(f"{'imported':<{width}}  CPU ms, median of {runs}")
    for name, milliseconds in result.items():
        print(f"{name:<{width}}  {milliseconds:6.1f}")
    print(json.dumps({"benchmark": "import_time", "runs": runs, "cpu_ms": result}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
