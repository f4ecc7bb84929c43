"""Operators, run to the end of their tasks at the service: a real one takes minutes."""

import re
from typing import Any

from airflow_provider_mps.api.errors import ApiError
from tests.doubles.task_instances import Outcome, TaskInstance

POLL_INTERVAL = 0.5
PATIENCE = 30 * 60
"""Seconds. A song was seen to take four minutes."""


def run(operator: type[Any], **arguments: Any) -> Outcome:
    """One try of an operator; what ends it otherwise than well is raised."""
    outcome = TaskInstance(lambda: operator(task_id="live", **arguments), retries=0).run()
    for error in outcome.errors:
        raise error
    return outcome


def waited_for(operator: type[Any], **arguments: Any) -> Outcome:
    """The same for one that creates a task, waiting for its end on this thread."""
    waiting = {"wait_for_completion": True, "deferrable": False}
    return run(operator, **waiting, poll_interval=POLL_INTERVAL, wait_timeout=PATIENCE, **arguments)


def code_of(error: ApiError) -> str:
    """The error's code, as a fact may hold it."""
    return error.code if re.fullmatch(r"[\w.]{1,100}", error.code) else "a code that is none"
