"""Airflow tasks that no worker begins or ends: what an operator or a sensor does for that.

See docs/decisions/0012-tasks-without-a-worker.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from airflow.triggers.base import StartTriggerArgs

from airflow_provider_mps.api.request.convert import as_json, flag
from airflow_provider_mps.compat import BaseOperator, XCom
from airflow_provider_mps.links.mps import XComLink
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from airflow_provider_mps.triggers.without_worker import CAN_BE_ALL


class WithoutWorker(BaseOperator):
    """An operator or a sensor whose wait may end, or begin, without a worker.

    :cvar xcoms: what is pushed beside the files, by XCom key: the ``task_id`` or the ``result``.
    """

    xcoms: ClassVar[Mapping[str, str]]
    end_from_trigger: bool
    start_from_trigger: bool
    store_cos_param: Mapping[str, Any] | None

    def check_wait(self, *flags: str) -> None:
        """Check what is used only later, when a task may have been paid for.

        :param flags: arguments that are True or False.
        :raises InvalidArgumentError: names the argument that cannot be used.
        """
        for name in (*flags, "start_from_trigger", "end_from_trigger"):
            flag(name, getattr(self, name))

    @property
    def stored_in(self) -> Mapping[str, Any] | None:
        """Where MPS was to store the files: empty for its own store, None where it was not this task that said so."""
        return (self.store_cos_param or {}) if hasattr(self, "store_cos_param") else None

    @property
    def ending(self) -> dict[str, Any]:
        """What a trigger is given to end the Airflow task itself; nothing where a worker is to end it."""
        if not self.end_from_trigger or self._needs_a_worker():
            return {}
        links = (link for link in type(self).operator_extra_links if isinstance(link, XComLink))
        xcoms = {link.xcom_key: link.key for link in links} | dict(self.xcoms)
        if not self.do_xcom_push:
            del xcoms["return_value"]
        # As JSON: Airflow writes no other Mapping than a dict, and would say so only after the create.
        return {"xcoms": xcoms, "store_cos_param": as_json("store_cos_param", self.stored_in)}

    def say_who_ends_it(self) -> None:
        """Say where a worker ends the task although the user wants none."""
        if self.end_from_trigger and (reason := self._needs_a_worker()):
            self.log.info("end_from_trigger: a worker ends this task all the same: %s.", reason)

    def say_it_may_be_delivered_again(self) -> None:
        """Say what a clear that goes on with a task which is done may mean."""
        if self.end_from_trigger:
            self.log.warning(
                "A triggerer cannot note that it delivered a task: this may be a file that you have. "
                "To create, and pay for, a new one, clear this Airflow task once more after it has ended."
            )

    def _needs_a_worker(self) -> str:
        if not CAN_BE_ALL:
            return "Airflow can do without one from 3.3 on"
        if self.outlets:
            return "it has outlets, and the events of assets are made by workers"
        from airflow.sdk.bases.xcom import BaseXCom

        # A triggerer writes them to Airflow's database, whatever the backend is (3.3.2).
        return "" if XCom is BaseXCom else "XComs are kept by a backend, which only workers write to"

    def begin_in_triggerer(self, *, timeout: float, airflows_timeout: float, **arguments: Any) -> None:
        """Have Airflow make the trigger, where the user wants that and it is possible.

        :param timeout: seconds after which the wait is over.
        :param airflows_timeout: seconds after which Airflow itself ends it.
        :param arguments: further ones of the trigger, beside the template fields.
        """
        if self.start_from_trigger is not True:
            return
        fields = {name: _as_template(self, getattr(self, name)) for name in self.template_fields}
        if not CAN_BE_ALL or None in fields.values():
            self.start_from_trigger = False  # a worker begins it; Airflow 2 fails without start_trigger_args
            return
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=f"{MpsTaskTrigger.__module__}.{MpsTaskTrigger.__qualname__}",
            trigger_kwargs={
                **fields,
                **arguments,
                "seconds_before_timeout": airflows_timeout - timeout,
                **self.ending,
            },
            next_method="execute_complete",
            timeout=timedelta(seconds=airflows_timeout),
        )


def _as_template(task: BaseOperator, value: Any) -> str | None:
    """The text that a triggerer renders to what an argument stands for; None where it cannot."""
    upstream: Any = getattr(value, "operator", None)  # of an XComArg that was neither mapped nor zipped
    if upstream is not None and not upstream.is_mapped:
        group = upstream.get_closest_mapped_task_group()
        if group is not None and group is not task.get_closest_mapped_task_group():
            return None
        index = "-1" if group is None else "ti.map_index"
        return f"{{{{ ti.xcom_pull(task_ids={upstream.task_id!r}, key={value.key!r}, map_indexes={index}) }}}}"
    # In a triggerer, a pull of all indexes is never answered (3.3.2), and the wait would hang.
    if not isinstance(value, str) or ("xcom_pull" in value and "map_indexes" not in value):
        return None
    return value
