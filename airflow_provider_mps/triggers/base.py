"""When a trigger may fire, and what it says when it is ended."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.compat import conf

NOTICED_SECONDS = 3.0
"""What executor and scheduler take to hear of the end of a process, once its supervisor has noticed it."""

OR_ANOTHER_GOES_ON = "If nobody has ended the Airflow task, another triggerer goes on with it."
"""A triggerer that stood still, and whose triggers another one has taken over, is told the same as of a user's end."""


class Stays(Protocol):
    """A trigger that a worker deferred to, as far as this module knows it."""

    trigger_id: int | None
    stay: float | None


def least_stay() -> float:
    """For how many seconds at least a task that this worker defers has to stay in the triggerer.

    The supervisor of the task's process may notice only after ``[workers] min_heartbeat_interval`` that it has ended.
    Airflow fails a task that runs again before the scheduler has heard of that, as "finished with state success, but
    the task instance's state attribute is running": github.com/apache/airflow/issues/72716. Where the task is only
    scheduled again by then, 3.3 lets it pass, and 3.4.0b2 also where it is queued; no version does where it runs.
    """
    interval: int = conf.getint("workers", "min_heartbeat_interval", fallback=5)
    return interval + NOTICED_SECONDS


def stay_of(trigger: Stays) -> float:
    """For how many seconds at least a trigger stays; one that an earlier version saved does not say."""
    if trigger.trigger_id is None:  # dag.test() gives none, and has no process that ends
        return 0.0
    return patience().resume_stay if trigger.stay is None else trigger.stay


async def may_be_resumed(trigger: Stays, began: float) -> None:
    """Wait until Airflow has surely seen the end of the process that deferred the task.

    :param began: when the trigger began, by the monotonic clock.
    """
    await asyncio.sleep(began + stay_of(trigger) - time.monotonic())
