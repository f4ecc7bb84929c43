"""Emulators of MPS in a process of their own, apart from the tests and from Airflow."""

import hashlib
import multiprocessing
import random
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from airflow_provider_mps.emulator import MpsEmulator

FAULTY_SHARE = 0.05

_CALLS: tuple[dict[str, Any], ...] = (
    {"kind": "error", "code": "RequestLimitExceeded"},
    {"kind": "error", "code": "InternalError"},
    {"kind": "error_after", "code": "InternalError"},
    {"kind": "http_502"},
    {"kind": "http_502_after"},
    {"kind": "cut_before"},
    {"kind": "cut_after"},
    {"kind": "cut_mid"},
    {"kind": "not_json"},
    {"kind": "slow", "seconds": 3.0},
)
_FAULTS = {
    **dict.fromkeys(("CreateAigcAudioTask", "ProcessMedia"), (*_CALLS, {"kind": "no_task_id"})),
    **dict.fromkeys(("DescribeAigcAudioTask", "DescribeTaskDetail"), (*_CALLS, {"kind": "unknown_status"})),
    "file": ({"kind": "file_cut"}, {"kind": "file_slow", "seconds": 3.0}),
}
_PLANNED = 100
"""Faults for each action: enough for 2,000 requests."""

_emulators: dict[str, MpsEmulator] = {}


@dataclass(frozen=True)
class Paid:
    """A task that MPS made.

    :ivar wish: what it was made for: the prompt, or the URL of the input.
    :ivar files: length in bytes and SHA-256 of each of its files.
    """

    task_id: str
    wish: str
    aborted: bool
    files: frozenset[tuple[int, str]]


class Emulators:
    """Emulators that are told apart by name; all end when the context is left."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        # Ctrl-C in a terminal reaches this process, too, which has to outlive Airflow.
        self._pool = ProcessPoolExecutor(1, context, signal.signal, (signal.SIGINT, signal.SIG_IGN))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def start(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Start one; return an Airflow connection to it."""
        return self._pool.submit(_start, name, arguments).result()

    def plan_faults(self, name: str, seed: int, create_seconds: float) -> None:
        """Have a seeded 5 % of its requests go wrong, and let each create take so many seconds."""
        self._pool.submit(_plan_faults, name, seed, create_seconds).result()

    def paid(self, name: str) -> list[Paid]:
        """All tasks of one, and what they made."""
        return self._pool.submit(_paid, name).result()

    def wishes(self, name: str) -> list[str]:
        """What the tasks of one were made for; without their files, which take long to hash."""
        return self._pool.submit(_wishes, name).result()

    def answers(self, name: str) -> list[tuple[str, str]]:
        """The action of each request to one, and what it was answered."""
        return self._pool.submit(_answers, name).result()

    def end_tasks(self, name: str, seconds: float) -> None:
        """Have its tasks end one after the other, the last after so many seconds."""
        self._pool.submit(_end_tasks, name, seconds).result()


def _start(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    emulator = _emulators[name] = MpsEmulator(**arguments)
    emulator.start()
    return emulator.connection


def _plan_faults(name: str, seed: int, create_seconds: float) -> None:
    chance = random.Random(f"{seed} {name}")
    emulator = _emulators[name]
    for action, faults in _FAULTS.items():
        requests = 0
        for _ in range(_PLANNED):
            requests += int(chance.expovariate(FAULTY_SHARE))
            emulator.fault(action=action, after=requests, **chance.choice(faults))
    for action in ("CreateAigcAudioTask", "ProcessMedia"):
        emulator.fault("slow", action, times=None, seconds=create_seconds)


def _paid(name: str) -> list[Paid]:
    return [
        Paid(
            task.task_id,
            wish,
            task.aborted_at is not None,
            frozenset((len(file.data()), hashlib.sha256(file.data()).hexdigest()) for file in task.files),
        )
        for task, wish in zip(_emulators[name].tasks, _wishes(name), strict=True)
    ]


def _wishes(name: str) -> list[str]:
    return [
        task.params.get("Prompt") or task.params["InputInfo"]["UrlInputInfo"]["Url"] for task in _emulators[name].tasks
    ]


def _answers(name: str) -> list[tuple[str, str]]:
    return [(request.action, str(request.answer)) for request in _emulators[name].requests]


def _end_tasks(name: str, seconds: float) -> None:
    tasks = _emulators[name].tasks
    for number, task in enumerate(tasks, 1):
        task.run_seconds = time.monotonic() - task.started_at + seconds * number / len(tasks)
