"""So many jobs at a time, each in a thread, while the caller's own thread only waits and can be interrupted."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

_HEARING_SECONDS = 0.5
"""A signal that comes in the instant before a thread begins to wait is handled only when that thread wakes up."""
_ENDING_SECONDS = 5.0
"""What is interrupted needs a moment to remove what it has begun."""


class Job(Protocol):
    """Something to do, whose outcome it keeps itself."""

    def run(self) -> None:
        """Do it, in any thread; raise nothing."""

    def end(self) -> None:
        """From another thread: end it soon, and leave nothing."""

    @property
    def overdue(self) -> bool:
        """Whether it hangs where nothing can end it."""

    def give_up(self) -> None:
        """From another thread: it is overdue, and nobody waits for it any longer."""


class AtOnce:
    """Runs jobs in daemon threads, whose end the end of the process does not wait for.

    :param jobs: in the order in which they are begun.
    :param limit: how many run at a time.
    :param tick: is called about twice a second meanwhile.
    """

    def __init__(self, jobs: Sequence[Job], limit: int, tick: Callable[[], None]) -> None:
        self._waiting = list(reversed(jobs))
        self._limit = limit
        self._tick = tick
        self._running: set[Job] = set()
        self._done: queue.SimpleQueue[Job] = queue.SimpleQueue()

    def run(self) -> None:
        """Run all of them to their ends; where this thread is interrupted, what runs is ended."""
        try:
            while self._begin():
                self._wait(_HEARING_SECONDS)
                for job in [job for job in self._running if job.overdue]:
                    # Its thread goes on, and may still end: `_wait` then discards a job that is no longer in the set.
                    job.give_up()
                    self._running.discard(job)
                self._tick()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End what runs, begin nothing more, and wait a moment for what has to be removed."""
        self._waiting.clear()
        for job in list(self._running):
            job.end()
        until = time.monotonic() + _ENDING_SECONDS
        while self._running and time.monotonic() < until:
            self._wait(until - time.monotonic())
        self._running.clear()

    def _begin(self) -> bool:
        while self._waiting and len(self._running) < self._limit:
            job = self._waiting.pop()
            self._running.add(job)
            threading.Thread(target=self._work, args=(job,), name="mps-keeping", daemon=True).start()
        return bool(self._running)

    def _work(self, job: Job) -> None:
        try:
            job.run()
        finally:
            self._done.put(job)

    def _wait(self, seconds: float) -> None:
        try:
            self._running.discard(self._done.get(timeout=max(0.0, seconds)))
            while True:
                self._running.discard(self._done.get_nowait())
        except queue.Empty:
            pass
