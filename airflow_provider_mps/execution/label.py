"""The label of a mapped Airflow task (``map_index_template``), before anything is paid for."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_mps.api.errors import InvalidArgumentError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

LONGEST_LABEL = 250
"""Characters of Airflow's column for it (``TaskInstance.rendered_map_index``)."""


def render_label_from(task: BaseOperator, context: Context) -> None:
    """Have Airflow render the label from the fields that this task has now.

    Airflow 3.0 puts the task of a mapped group into the context as it was before its fields were rendered. There the
    label ``{{ task.prompt[:100] }}`` fails the task when it has paid, in each try.
    """
    cast("dict[str, Any]", context)["task"] = task


def check_label(task: BaseOperator, context: Context) -> None:
    """Make sure that Airflow's database can hold the task's label.

    Airflow writes it together with the state in which the task ends. PostgreSQL and MySQL refuse a longer one: then the
    task fails in each try, after it has paid. SQLite takes any, so that nobody sees this before production.

    :raises InvalidArgumentError: the label is too long. Not for one that can only be rendered afterwards.
    """
    label = ""
    if template := task.map_index_template:
        with suppress(Exception):  # as Airflow does, which renders it again at the end
            label = str(task.get_template_env().from_string(template).render(cast("dict[str, Any]", context)))
    if len(label) > LONGEST_LABEL:
        cast("dict[str, Any]", context)["map_index_template"] = None  # else the failure cannot be written either
        raise InvalidArgumentError(
            "map_index_template",
            f"gives a label of {len(label):,} characters, and Airflow's database holds {LONGEST_LABEL}: cut it, as "
            "{{ task.prompt[:100] }} does",
        )
