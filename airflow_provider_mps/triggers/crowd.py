"""How many creates wait for room in this triggerer; said where they fill it."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_mps.compat import conf
from airflow_provider_mps.hooks.metrics import stats

log = logging.getLogger(__name__)


class Crowd:
    """The creates that wait for room in one process."""

    def __init__(self) -> None:
        self._waiting = 0
        self._said = False

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """While this is open, one waits."""
        self._changes(1)
        try:
            yield
        finally:
            self._changes(-1)

    def _changes(self, by: int) -> None:
        self._waiting += by
        stats().gauge("mps.waiting_for_room", self._waiting)
        # Airflow 2.11 calls it default_capacity.
        capacity = conf.getint("triggerer", "capacity", fallback=0) or conf.getint(
            "triggerer", "default_capacity", fallback=1000
        )
        if self._waiting > capacity / 2 and not self._said:
            self._said = True
            # An empty context: in that of a trigger the line would go to the log of its task.
            contextvars.Context().run(
                log.warning,
                "%d creates wait for room in this triggerer, which holds %d waits ([triggerer] capacity; what "
                "--capacity says is not known here). Once it is full, ends of tasks that were paid for are seen late. "
                "Give the batch a pool with include_deferred (docs/room.md), or raise the capacity.",
                self._waiting,
                capacity,
            )
        elif self._waiting < capacity / 4:
            # Far below the first bound, so that a number that goes up and down about it is said once.
            self._said = False


crowd = Crowd()
