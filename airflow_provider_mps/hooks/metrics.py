"""What this package counts, as Airflow's metrics."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_mps.api.paid_once import Create

if TYPE_CHECKING:
    from airflow_provider_mps.api.paid_once import Decision
    from airflow_provider_mps.api.tasks.usage import Usage
    from airflow_provider_mps.api.waiting.poller import Report


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


def count_decision(decision: Decision) -> None:
    """What was decided about a request that may have been paid for already."""
    because = str(decision.because) if isinstance(decision, Create) else "none"
    stats().incr("mps.decision", tags={"outcome": decision.outcome, "because": because})


def count_usage(made: Usage, ti: Any = None) -> None:
    """What a task made, where an Airflow task ends with it.

    :param ti: that Airflow task's instance, for the tags that ``[mps] usage_tags`` wants.
    """
    to = stats()
    tags = {
        "kind": made["kind"],
        "state": made["state"],
        "model": made.get("model", "unknown"),
        "version": made.get("version", "unknown"),
        "resolution": made.get("resolution", "unknown"),
    }
    tags |= _of_airflow(ti)
    to.incr("mps.usage.tasks", tags=_clean(tags))
    to.incr("mps.usage.files", made["files"], tags=_clean(tags))
    if math.isfinite(seconds := made.get("seconds", math.nan)):
        to.incr("mps.usage.seconds", round(seconds), tags=_clean(tags))
    if "estimated_cost" in made:
        in_currency = {**tags, "currency": made["currency"]}
        to.incr("mps.usage.cost", made["estimated_cost"], tags=_clean(in_currency))


def _of_airflow(ti: Any) -> dict[str, str]:
    """Which Airflow task it was, as far as the deployment wants to know: a tag has as many values as it has tasks."""
    from airflow_provider_mps.compat import conf

    wanted = [name.strip() for name in conf.get("mps", "usage_tags", fallback="").split(",")]
    if ti is None or not any(wanted):
        return {}
    known = {"dag_id": ti.dag_id, "task_id": ti.task_id} | dict(getattr(ti, "stats_tags", {}))
    return {name: str(known[name]) for name in wanted if known.get(name)}


_NOT_IN_A_TAG = r"[^A-Za-z0-9_.\-/]+"
_SIZE = r"(\d) ?[*\u00d7] ?(\d)"  # MPS writes 1280*720
_LONGEST = 250
_SHORTEST_VALUE = 8


def _clean(tags: dict[str, str]) -> dict[str, str]:
    """Tags as every kind of metrics takes them.

    With InfluxDB's, Airflow writes them into the name, and drops a metric whose name has another character than these
    or is longer (``airflow/sdk/_shared/observability/metrics/validators.py``). So long values are cut; where that is
    not enough, those tags are left out whose names are the longest.
    """
    clean = {
        name: re.sub(_NOT_IN_A_TAG, "_", re.sub(_SIZE, r"\1x\2", value)) or "unknown" for name, value in tags.items()
    }
    room = _LONGEST - len("mps.usage.seconds")
    while sum(len(f",{name}={value}") for name, value in clean.items()) > room:
        longest = max(clean, key=lambda name: len(clean[name]))
        if len(clean[longest]) > _SHORTEST_VALUE:
            clean[longest] = clean[longest][:-1]
        else:
            del clean[max(clean, key=len)]
    return clean
