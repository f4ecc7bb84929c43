"""Airflow's metrics, as far as this package sends some."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_mps import compat


class RecordedStats:
    """Stands where Airflow's Stats does, and remembers."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.tags: dict[str, dict[str, str]] = {}
        self.gauges: dict[str, float] = {}
        self.timings: list[tuple[str, timedelta, dict[str, str]]] = []

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, str] | None = None) -> None:
        self.counted[stat] += count
        self.tags[stat] = tags or {}

    def gauge(self, stat: str, value: float, **how: Any) -> None:
        self.gauges[stat] = value

    def timing(self, stat: str, dt: timedelta, *, tags: dict[str, str]) -> None:
        self.timings.append((stat, dt, tags))


@pytest.fixture
def stats(monkeypatch: pytest.MonkeyPatch) -> RecordedStats:
    recorded = RecordedStats()
    monkeypatch.setattr(compat, "Stats", recorded, raising=False)
    return recorded
