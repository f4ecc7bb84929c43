"""A worker's process: runs one operator, and does with SIGTERM what Airflow's task runner does.

Told on the command line: the operator's class, and its arguments as JSON.
"""

import json
import os
import signal
import sys
from typing import Any

from airflow_provider_mps.operators import mps as operators
from tests.doubles.task_instances import TaskInstance


def main(class_name: str, arguments: str) -> None:
    operator: Any = getattr(operators, class_name)(task_id="wait", **json.loads(arguments))

    def on_term(*_: object) -> None:
        operator.on_kill()
        os._exit(0)  # Airflow's supervisor ends the process

    signal.signal(signal.SIGTERM, on_term)
    TaskInstance(lambda: operator, retries=0).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
