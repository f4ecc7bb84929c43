"""What this package counts, as Airflow's metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_mps.api.polling import Report
    from airflow_provider_mps.api.usage import Usage


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


def count(made: Usage) -> None:
    """What a task made, where an Airflow task ends with it."""
    to = stats()
    tags = {
        "kind": made["kind"],
        "state": made["state"],
        "model": made.get("model", "unknown"),
        "version": made.get("version", "unknown"),
        "resolution": made.get("resolution", "unknown"),
    }
    to.incr("mps.usage.tasks", tags=tags)
    to.incr("mps.usage.files", made["files"], tags=tags)
    if "seconds" in made:
        to.incr("mps.usage.seconds", round(made["seconds"]), tags=tags)
