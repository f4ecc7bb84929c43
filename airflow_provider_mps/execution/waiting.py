"""What operators and sensors share of a wait: here or in the triggerer, and what is said and kept at its end."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger

from airflow_provider_mps.api.errors import (
    CallError,
    InterruptedWaitError,
    InvalidArgumentError,
    TaskFailedError,
    WaitTimeoutError,
    sentences,
)
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.prices import Prices
from airflow_provider_mps.api.request.convert import whole_number
from airflow_provider_mps.api.tasks import TaskFamily, TaskState, family_named
from airflow_provider_mps.api.tasks.usage import Asked, Usage, usage_of
from airflow_provider_mps.compat import XCom
from airflow_provider_mps.execution.label import render_label_from
from airflow_provider_mps.execution.lineage import describe_outlets, files_in, operator_lineage
from airflow_provider_mps.execution.without_worker import WithoutWorker
from airflow_provider_mps.hooks.connection import checked_id
from airflow_provider_mps.hooks.metrics import count_usage
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.links.mps import XComLink
from airflow_provider_mps.triggers.base import least_stay
from airflow_provider_mps.triggers.events import WaitEnded
from airflow_provider_mps.triggers.mps import MpsTaskTrigger, log_change, log_files
from airflow_provider_mps.xcoms import MPS_CONSOLE_XCOM, USAGE_XCOM, file_xcoms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mps.api.tasks import TaskStatus

TRIGGERER_DOWN_SECONDS = 120
"""The trigger itself keeps the deadline. Airflow's own, later one is for where no triggerer runs."""

_ENDED_BY_AIRFLOW = "__fail__"
"""TRIGGER_FAIL_REPR: what Airflow resumes a task with at its own timeout, and where a trigger has failed."""


def airflows_timeout(deadline: float | None) -> timedelta | None:
    """When Airflow itself is to end a deferral whose trigger keeps a deadline (POSIX time)."""
    return None if deadline is None else timedelta(seconds=max(0.0, deadline - time.time()) + TRIGGERER_DOWN_SECONDS)


def own_family(family: Any) -> TaskFamily:
    """The family that an argument ``family`` names.

    :raises InvalidArgumentError: it cannot be imported, or not everywhere.
    """
    kind = family.kind if isinstance(family, TaskFamily) else family
    if isinstance(kind, str) and kind.startswith("unusual_prefix_"):  # as Airflow calls the modules of DAG files
        raise InvalidArgumentError(
            "family", f"{kind} is in a DAG file: triggerers need it in an installed package, or in plugins/"
        )
    return family_named("family", family)


class WaitsForTask(WithoutWorker):
    """An operator or a sensor that waits for a task of one family.

    :cvar family: the family.
    :cvar abort_on_kill: whether the task at MPS is its own, to be aborted with it.
    """

    family: TaskFamily
    abort_on_kill: ClassVar[bool] = False
    mps_conn_id: str
    max_poll_failures: int
    cos_region: str | None = None
    files: Mapping[str, Any] = MappingProxyType({})
    """Where the links lead, by XCom key: to the console, and, once the task is done, to its files."""
    _hook: MpsHook | None = None
    _console_is_shown = False
    usage: Usage | None = None
    """What the task made, once it has ended."""

    def check_wait(self, *flags: str) -> None:
        """Check what is used only later, when a task may have been paid for.

        :param flags: arguments that are True or False, beside ``deferrable``.
        :raises InvalidArgumentError: names the argument that cannot be used.
        """
        super().check_wait("deferrable", *flags)
        whole_number("max_poll_failures", self.max_poll_failures)
        checked_id(self.mps_conn_id)

    @property
    def hook(self) -> MpsHook:
        """The hook of the task's connection and bucket region. It is kept, so that a run reads the connection once."""
        hook = self._hook
        if hook is None or (hook.mps_conn_id, hook.cos_region) != (self.mps_conn_id, self.cos_region):
            hook = self._hook = MpsHook(self.mps_conn_id, self.cos_region)
        return hook

    def show_console(self, hook: MpsHook, context: Context | None = None) -> None:
        """Have the task's page link to the console, from now on if there is a context to push it to.

        It is a convenience: where it is not there, the wait goes on without it. A backend of XComs keeps it elsewhere,
        and Airflow's page, which asks no backend for links, would lead to the XCom's own file.
        """
        with suppress(Exception):
            url = self.family.console_url(hook.settings)
            if context is not None and XCom.__name__ == "BaseXCom":
                context["ti"].xcom_push(key=MPS_CONSOLE_XCOM, value=url)
                self._console_is_shown = True
            self._link({MPS_CONSOLE_XCOM: url})

    def _link(self, files: Mapping[str, Any]) -> None:
        """Have the links lead to these, too. Airflow keeps an XCom for each one of an instance whenever a run ends."""
        self.files = {**self.files, **files}
        shown = {MPS_CONSOLE_XCOM} if self._console_is_shown else set()
        self.operator_extra_links = [
            link
            for link in type(self).operator_extra_links
            if not isinstance(link, XComLink) or (link.key not in shown and link.leads(self.files))
        ]

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
        self.say_who_ends_it()
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
                stay=least_stay(),
            ),
            method_name="execute_complete",
            timeout=airflows_timeout(deadline),
        )

    @property
    def asked(self) -> Asked:
        """What the request says of the task's cost; nothing where somebody else made it."""
        return {}

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral. One that Airflow ended by itself may be of a task that is done: MPS is asked once.

        Airflow's timeout passes also where a full triggerer, or none, has loaded the wait; it is later than the wait's
        own deadline, and names no task.
        """
        render_label_from(self, context)
        if next_method == _ENDED_BY_AIRFLOW and (mps_task_id := self.waited_for(context)):
            overdue = WaitEnded("overdue", mps_task_id, "Airflow ended the deferral").written().payload
            next_method, next_kwargs = "execute_complete", {"event": overdue}
        return super().resume_execution(next_method, next_kwargs, context)

    def waited_for(self, context: Context) -> str:
        """The TaskId that this Airflow task was deferred for; empty where that is not known."""
        raise NotImplementedError

    def status_after(self, context: Context, event: Mapping[str, Any] | None) -> TaskStatus:
        """The status of the task whose wait an event ended. It is polled once more: an event holds no URL.

        :raises TaskFailedError: it failed; the event says why.
        :raises WaitTimeoutError: the deadline passed; the task goes on.
        :raises InterruptedWaitError: the triggerer gave up, and the task has not ended.
        """
        ended = WaitEnded.read(event)
        hook = self.hook
        self.show_console(hook)
        if ended.status == "timeout":
            raise ended.raised(WaitTimeoutError)
        if ended.status == "failed":
            if ended.usage:
                self.tell_usage(context, ended.usage)
            raise ended.raised(TaskFailedError)
        if ended.status == "overdue":
            return self._status_at_last(hook, ended.mps_task_id)
        stopped = f"The triggerer stopped waiting: {ended.part('what') or ended.message}"
        try:
            if ended.status == "error":  # the triggerer was patient already
                status = hook.describe(self.family, ended.mps_task_id)
            else:
                status = hook.describe_patiently(
                    self.family, ended.mps_task_id, max_poll_failures=self.max_poll_failures
                )
        except CallError as error:
            if ended.status == "error":
                error.details = sentences(ended.part("cost"), f"Asked once more: {error.what}", error.details)
                error.what = stopped
            raise
        if not status.state.ended:
            task = f"It is {self.family.title} task {ended.mps_task_id}, {status.word}"
            raise InterruptedWaitError(stopped, details=sentences(task, ended.part("details")), **ended.ids)
        return status

    def _status_at_last(self, hook: MpsHook, mps_task_id: str) -> TaskStatus:
        late = self.family.still_running(mps_task_id, "")
        try:
            status = hook.describe(self.family, mps_task_id, within=patience().at_last)
        except CallError as error:
            late.details = f"MPS could not be asked at last: {error.what}"
            raise late from error
        if not status.state.ended:
            raise late
        self.log.warning("Airflow ended the wait for task %s, which is %s.", mps_task_id, status.word)
        return status

    def check(self, context: Context, status: TaskStatus, after: str) -> None:
        """Tell what a task that has ended made, and raise what its family's check does."""
        if self.family.settled(status):
            self.tell_usage(context, usage_of(self.family, status, self.asked, self.prices))
        self.family.check(status, after)

    @property
    def prices(self) -> Prices:
        """The user's own. They are for estimates: where the connection cannot be read any more, there are none."""
        with suppress(Exception):
            return self.hook.settings.prices
        return Prices()

    def tell_usage(self, context: Context, made: Usage) -> None:
        """Count and push what the task made. Where it made nothing, an error follows, whatever becomes of the XCom."""
        self.usage = made
        count_usage(made, context["ti"])
        try:
            context["ti"].xcom_push(key=USAGE_XCOM, value=made)
        except Exception:
            if made["state"] == TaskState.DONE:
                raise
            self.log.warning("The XCom %s could not be pushed", USAGE_XCOM, exc_info=True)

    def log_change(self, accepted: bool, status: TaskStatus, seconds: float) -> None:
        log_change(self.log, accepted, status, seconds)

    def log_files(self, status: TaskStatus) -> None:
        log_files(self.log, self.family, status)

    def push_files(self, context: Context, status: TaskStatus) -> None:
        """Push where the files are, by XCom key; those in COS as ``cos_uris`` and, with the region, as ``cos_urls``."""
        files = file_xcoms(status, self.hook.settings.site, self.stored_in)
        for key, value in files.items():
            context["ti"].xcom_push(key=key, value=value)
        self._link(files)
        uris, lengths = files.get("cos_uris", []), list(status.durations)
        extra = {"mps_task_id": status.task_id, "files": uris, "durations": lengths}
        of_each: dict[str, dict[str, Any]] = {uri: {"mps_task_id": status.task_id} for uri in uris}
        if len(lengths) == len(uris):
            of_each = {uri: of_each[uri] | {"duration": length} for uri, length in zip(uris, lengths, strict=True)}
        describe_outlets(context, self.outlets or (), extra, of_each)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What MPS read, and what it stored in COS."""
        arguments = [getattr(self, name, None) for name in self.template_fields]
        return operator_lineage(files_in(arguments), self.files.get("cos_uris", []), self.usage)
