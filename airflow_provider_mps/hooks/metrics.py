"""What this package counts, as Airflow's metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_mps.api.polling import Report


def stats() -> Any:
    """Airflow's Stats, loaded when it is first used."""
    from airflow_provider_mps.compat import Stats

    return Stats


def report(done: Report) -> None:
    """What a poller did since its last report."""
    to = stats()
    to.incr("mps.polls", done.polls)
    to.incr("mps.throttled", done.throttled)
    to.gauge("mps.waiting", done.waiting)
    to.gauge("mps.rate", done.rate)
