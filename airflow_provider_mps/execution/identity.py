"""Which try of which task instance this is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context


class ThisTry(NamedTuple):
    """A try, and the task instance that it belongs to.

    :param dag_id: of its DAG.
    :param run_id: of its run.
    :param started: when the run started: one that is deleted and made again under its old run_id starts at another
        time. Airflow changes it only when tasks of an ended run are cleared.
    :param task_id: of its Airflow task.
    :param map_index: -1 where it is not mapped.
    :param region: where it is mapped or in a loop (Airflow 3.4), the region and its place there: the map index, or the
        number of the iteration.
    :param try_number: how many tries there were with this one, over all clears.
    :param max_tries: a clear sets it to the tries so far and ``retries``; a retry leaves it as it is.
    :param clear_number: how often tasks of the run were cleared, this one or others; None: not known.
    :param was_cleared: whether it may have been cleared at some time.
    """

    dag_id: str
    run_id: str
    started: object
    task_id: str
    map_index: int
    region: tuple[object, ...]
    try_number: int
    max_tries: int
    clear_number: int | None
    was_cleared: bool

    @classmethod
    def of(cls, context: Context, task: BaseOperator) -> ThisTry:
        ti: Any = context["ti"]
        dag_run = context.get("dag_run")
        try_number, clear_number = getattr(ti, "try_number", 1), getattr(dag_run, "clear_number", None)
        return cls(
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            started=getattr(dag_run, "start_date", None),
            task_id=ti.task_id,
            map_index=ti.map_index,
            region=region_of(ti),
            try_number=try_number,
            max_tries=ti.max_tries,
            clear_number=clear_number,
            # A clear makes max_tries the tries so far and `retries`, which is more than the DAG says; but of a running
            # task whose DAG cannot be loaded then, Airflow 3.4 leaves it (TaskInstance.complete_restart).
            was_cleared=try_number > 1 and (ti.max_tries > (task.retries or 0) or bool(clear_number)),
        )

    @property
    def parts(self) -> tuple[object, ...]:
        """What all tries until the next clear share, and no other task instance has; SessionIds are made of it."""
        own = (self.dag_id, self.run_id, self.started, self.task_id, self.map_index, self.max_tries)
        return own + self.region


def region_of(ti: Any) -> tuple[object, ...]:
    """Where a task instance is mapped or in a loop (Airflow 3.4): the region and its place there; else empty."""
    region_id = getattr(ti, "region_id", None)
    # The nil UUID (Airflow's SENTINEL_REGION_ID): it is in no region, as all are before 3.4.
    return () if region_id in (None, UUID(int=0)) else (region_id, ti.region_index)
