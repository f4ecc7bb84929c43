"""What every test here has: the waits of a real outage made short."""

from collections.abc import Iterator

import pytest

from tests.doubles.short_waits import shorter_waits


@pytest.fixture(scope="package", autouse=True)
def short_outages() -> Iterator[None]:
    """Nobody waits for minutes here."""
    with shorter_waits():
        yield
