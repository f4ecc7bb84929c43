"""How many creates of one run are under way at once, where nobody says: half of what a triggerer holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger

from airflow_provider_mps.compat import conf

# From Airflow 3.3 on, which renders triggers' templates, too: the scheduler's ConcurrencyMap.load.
COUNTS_DEFERRED = hasattr(BaseTrigger, "render_template_fields")
"""Whether ``max_active_tis_per_dagrun`` counts deferred task instances."""

LIMIT = "max_active_tis_per_dagrun"
BEHIND_ALL_OTHERS = {"priority_weight": 0, "weight_rule": "absolute"}
"""Creates that wait for a full window stay ``scheduled``. Of a run's tasks in that state the scheduler looks at so many
at a time, the weightiest first (SchedulerJobRunner._executable_task_instances_to_queued)."""


def window(arguments: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of BaseOperator that keep a run's deferrable creates from filling a triggerer.

    A triggerer that is full loads the waits for room first, which are older, and not those for the tasks that were paid
    for: their ends are seen late.

    :param arguments: what the operator is given, defaults included.
    :param named: what the user, a task group or ``default_args`` name.
    :return: what is to be added; where a user says 0, no limit, for Airflow takes 0 as "never".
    """
    limit = named.get(LIMIT)
    if limit is not None:
        return {} if limit else {LIMIT: None}
    if not COUNTS_DEFERRED or arguments.get("deferrable") is not True:
        return {}
    half = max(1, conf.getint("triggerer", "capacity", fallback=1000) // 2)
    # Whoever names a weight or a rule has an order of their own: then neither is set here.
    return {LIMIT: half} | ({} if BEHIND_ALL_OTHERS.keys() & named.keys() else BEHIND_ALL_OTHERS)
