"""What operators and sensors share of a wait: here or in the triggerer, and what is said and kept at its end."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger

from airflow_provider_mps.api.errors import CallError, MpsError, TaskFailedError, WaitTimeoutError, sentences
from airflow_provider_mps.api.requests import count, flag
from airflow_provider_mps.api.tasks import MPS_CONSOLE_XCOM, TaskState
from airflow_provider_mps.api.usage import USAGE_XCOM, Asked, Usage, usage
from airflow_provider_mps.compat import BaseOperator, XCom
from airflow_provider_mps.hooks.connection import checked_id
from airflow_provider_mps.hooks.metrics import count as count_usage
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.lineage import describe_outlets, operator_lineage, references
from airflow_provider_mps.links.mps import XComLink
from airflow_provider_mps.triggers.mps import CAN_BE_ALL, MpsTaskTrigger, log_change, log_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mps.api.tasks import TaskFamily, TaskStatus

TRIGGERER_DOWN_SECONDS = 120
"""The trigger itself keeps the deadline. Airflow's own, later one is for where no triggerer runs."""


def airflows_timeout(deadline: float | None) -> timedelta | None:
    """When Airflow itself is to end a deferral whose trigger keeps a deadline (POSIX time)."""
    return None if deadline is None else timedelta(seconds=max(0.0, deadline - time.time()) + TRIGGERER_DOWN_SECONDS)


class InterruptedWaitError(MpsError):
    """Raise when the triggerer could not go on waiting; the task goes on, and a retry waits for it."""

    retry_helps = True
    in_console = True
    cost = "The task goes on at MPS and may be billed"
    advice = "A retry of this Airflow task goes on waiting for it"


class WaitsForTask(BaseOperator):
    """An operator or a sensor that waits for a task of one family.

    :cvar family: the family.
    :cvar abort_on_kill: whether the task at MPS is its own, to be aborted with it.
    :cvar xcoms: what is pushed beside the files, by XCom key: the ``task_id`` or the ``result``.
    """

    family: ClassVar[TaskFamily]
    abort_on_kill: ClassVar[bool] = False
    xcoms: ClassVar[Mapping[str, str]]
    mps_conn_id: str
    max_poll_failures: int
    end_from_trigger: bool
    store_cos_param: Mapping[str, Any] | None = None
    files: Mapping[str, Any] = MappingProxyType({})
    """Where the links lead, by XCom key: to the console, and, once the task is done, to its files."""
    usage: Usage | None = None
    """What the task made, once it has ended."""

    def check_wait(self, *flags: str) -> None:
        """Check what is used only later, when a task may have been paid for.

        :param flags: arguments that are True or False, beside ``deferrable``.
        :raises InvalidArgumentError: names the argument that cannot be used.
        """
        for name in ("deferrable", "end_from_trigger", *flags):
            flag(name, getattr(self, name))
        count("max_poll_failures", self.max_poll_failures)
        checked_id(self.mps_conn_id)

    @property
    def hook(self) -> MpsHook:
        return MpsHook(self.mps_conn_id)

    def show_console(self, hook: MpsHook, context: Context | None = None) -> None:
        """Have the task's page link to the console, from now on if there is a context to push it to.

        It is a convenience: where it cannot be had, the wait goes on without it.
        """
        with suppress(Exception):
            url = self.family.console_url(hook.settings.site)
            self.files = {**self.files, MPS_CONSOLE_XCOM: url}
            if context is not None:
                context["ti"].xcom_push(key=MPS_CONSOLE_XCOM, value=url)

    def defer_until_ended(
        self,
        mps_task_id: str,
        poll_interval: float,
        deadline: float | None,
        accepted_at: float | None = None,
        model: str = "",
        ticket: float | None = None,
    ) -> None:
        """Hand the wait to the triggerer; the task goes on in ``execute_complete``, or ends there."""
        if self.end_from_trigger and (reason := self._needs_a_worker()):
            self.log.info("end_from_trigger: a worker ends this task all the same: %s.", reason)
        if self.abort_on_kill and self.family.can_abort and not hasattr(BaseTrigger, "on_kill"):
            self.log.info(
                "If you end this Airflow task while it is deferred, task %s goes on at MPS and may be billed: triggers "
                "hear of that from Airflow 3.3 on. With deferrable=False a worker aborts it, while it waits at MPS.",
                mps_task_id,
            )
        self.defer(
            trigger=MpsTaskTrigger(
                kind=self.family.kind,
                mps_task_id=mps_task_id,
                mps_conn_id=self.mps_conn_id,
                poll_interval=poll_interval,
                deadline=deadline,
                max_poll_failures=self.max_poll_failures,
                abort_on_kill=self.abort_on_kill,
                **self.ending,
                accepted_at=accepted_at,
                model=model,
                ticket=ticket,
                asked=self.asked,
            ),
            method_name="execute_complete",
            timeout=airflows_timeout(deadline),
        )

    @property
    def asked(self) -> Asked:
        """What the request tells of the task's cost; nothing where somebody else made it."""
        return {}

    @property
    def ending(self) -> dict[str, Any]:
        """What a trigger is given to end the Airflow task itself; nothing where a worker is to end it."""
        if not self.end_from_trigger or self._needs_a_worker():
            return {}
        links = (link for link in self.operator_extra_links if isinstance(link, XComLink))
        xcoms = {link.xcom_key: link.key for link in links} | dict(self.xcoms)
        if not self.do_xcom_push:
            del xcoms["return_value"]
        return {"xcoms": xcoms, "store_cos_param": self.store_cos_param}

    def _needs_a_worker(self) -> str:
        if not CAN_BE_ALL:
            return "Airflow can do without one from 3.3 on"
        if self.outlets:
            return "it has outlets, and the events of assets are made by workers"
        from airflow.sdk.bases.xcom import BaseXCom

        # A triggerer writes them to Airflow's database, whatever the backend is (3.3.2).
        return "" if XCom is BaseXCom else "XComs are kept by a backend, which only workers write to"

    def status_after(self, context: Context, event: Mapping[str, Any] | None) -> TaskStatus:
        """The status of the task whose wait an event ended. It is polled once more: an event holds no URL.

        :raises TaskFailedError: it failed; the event says why.
        :raises WaitTimeoutError: the deadline passed; the task goes on.
        :raises InterruptedWaitError: the triggerer gave up, and the task has not ended.
        """
        given = event if isinstance(event, dict) else {}
        mps_task_id, message = given.get("mps_task_id"), str(given.get("message") or "no reason given")
        if not isinstance(mps_task_id, str) or not mps_task_id:
            raise InterruptedWaitError(f"The trigger's event names no task: {sorted(given)}")
        hook = self.hook
        self.show_console(hook)
        if given.get("status") == "timeout":
            raise WaitTimeoutError.read(message)
        if given.get("status") == "failed":
            if made := given.get(USAGE_XCOM):
                self.tell_usage(context, made)
            raise TaskFailedError.read(message)
        reason, *parts = message.split("\n")
        stopped = f"The triggerer stopped waiting: {reason}"
        try:
            status = hook.describe(self.family, mps_task_id)
        except CallError as error:
            if given.get("status") == "error":
                error.details = sentences(*parts[:1], f"Asked once more: {error.what}", error.details)
                error.what = stopped
            raise
        if not status.state.ended:
            task = f"It is {self.family.title} task {mps_task_id}, {status.word}"
            raise InterruptedWaitError(stopped, details=sentences(task, *parts[2:]))
        return status

    def check(self, context: Context, status: TaskStatus, after: str) -> None:
        """Tell what a task that has ended made, and raise what its family's check does."""
        if self.family.settled(status):
            self.tell_usage(context, usage(self.family, status, self.asked))
        self.family.check(status, after)

    def tell_usage(self, context: Context, made: Usage) -> None:
        """Count and push what the task made. Where it failed, that is told whatever becomes of the XCom."""
        self.usage = made
        count_usage(made)
        try:
            context["ti"].xcom_push(key=USAGE_XCOM, value=made)
        except Exception:
            if made["state"] != TaskState.FAIL:
                raise
            self.log.warning("The XCom %s could not be pushed", USAGE_XCOM, exc_info=True)

    def log_change(self, accepted: bool, status: TaskStatus, seconds: float) -> None:
        log_change(self.log, accepted, status, seconds)

    def log_files(self, status: TaskStatus) -> None:
        log_files(self.log, self.family, status)

    def push_files(self, context: Context, status: TaskStatus) -> None:
        """Push where the files are, by XCom key; those in COS as ``cos_uris`` and, with the region, as ``cos_urls``."""
        files = status.files_to_push(self.hook.settings.site, self.store_cos_param)
        for key, value in files.items():
            context["ti"].xcom_push(key=key, value=value)
        self.files = {**self.files, **files}
        uris, lengths = files.get("cos_uris", []), list(status.durations)
        extra = {"mps_task_id": status.task_id, "files": uris, "durations": lengths}
        of_each: dict[str, dict[str, Any]] = {uri: {"mps_task_id": status.task_id} for uri in uris}
        if len(lengths) == len(uris):
            of_each = {uri: of_each[uri] | {"duration": length} for uri, length in zip(uris, lengths, strict=True)}
        describe_outlets(context, self.outlets or (), extra, of_each)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What MPS read, and what it stored in COS."""
        arguments = [getattr(self, name, None) for name in self.template_fields]
        return operator_lineage(references(arguments), self.files.get("cos_uris", []), self.usage)
