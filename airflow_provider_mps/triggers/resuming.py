"""When a trigger may fire."""

from __future__ import annotations

import asyncio
import time

from airflow.triggers.base import BaseTrigger

from airflow_provider_mps.api.patience import patience


async def may_be_resumed(trigger: BaseTrigger, began: float) -> None:
    """Wait until Airflow has surely seen the end of the process that deferred the task (``Patience.resume_stay``).

    :param began: when the trigger began, by the monotonic clock.
    """
    if trigger.trigger_id is not None:  # dag.test() gives none, and has no such process
        await asyncio.sleep(began + patience().resume_stay - time.monotonic())
