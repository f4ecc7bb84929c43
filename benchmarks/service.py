"""The emulator in a process of its own, for benchmarks: started, given tasks, and read back."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self


class Service:
    """An emulator process, while the ``with`` block runs.

    :param options: further arguments of ``python -m airflow_provider_mps.emulator``.
    """

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "airflow_provider_mps.emulator", "--port", "0", *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self._url: str = ready["url"]
        self.connection: dict[str, Any] = ready["connection"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def make_tasks(self, seconds: list[float]) -> list[str]:
        """Make a task for each number of seconds that it runs; the TaskIds."""
        wish = {"count": len(seconds), "wait_seconds": [0.0] * len(seconds), "run_seconds": seconds}
        task_ids: list[str] = self._ask("/emulator/tasks", wish)["task_ids"]
        return task_ids

    def state(self) -> dict[str, Any]:
        """All that the emulator says about its requests and tasks."""
        return self._ask("/emulator/state", None)

    def _ask(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
