"""An outage of minutes, in seconds: same rules, same order, same numbers of tries."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import tenacity

SHORTER = 100
"""By how much the client's back-off and its limits in seconds are shorter."""


@contextmanager
def shorter_waits() -> Iterator[None]:
    """While this is open, nobody waits long for a service that is in trouble."""
    # Loaded here, so that tests without it don't pay for Airflow.
    from airflow_provider_mps.api import client, polling
    from airflow_provider_mps.operators import mps as operators

    enough = client._enough

    class ShorterWait(tenacity.wait_random_exponential):
        def __call__(self, retry_state: tenacity.RetryCallState) -> float:
            return super().__call__(retry_state) / SHORTER

    def enough_shorter(state: tenacity.RetryCallState) -> bool:
        longer = copy.copy(state)
        longer.outcome_timestamp = state.start_time + (state.seconds_since_start or 0.0) * SHORTER
        return enough(longer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tenacity, "wait_random_exponential", ShorterWait)
        patch.setattr(client, "_enough", enough_shorter)
        patch.setattr(polling.Tolerance, "at_least_seconds", 0.3)
        patch.setattr(polling, "BACKOFF_LIMIT_SECONDS", 0.5)
        for module in (polling, operators):
            patch.setattr(module, "NOT_FOUND_GRACE_SECONDS", 3.0)
        yield


@pytest.fixture
def mps_short_waits() -> Iterator[None]:
    """Nobody waits for minutes in this test."""
    with shorter_waits():
        yield
