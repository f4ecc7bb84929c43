"""What every test here has: the waits of a real outage made short."""

from collections.abc import Iterator

import pytest

from airflow_provider_mps.api.patience import short_waits


@pytest.fixture(scope="module", autouse=True)
def short_outages() -> Iterator[None]:
    """Nobody waits for minutes here."""
    with short_waits():
        yield
