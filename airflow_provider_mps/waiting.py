"""What operators and sensors share of a wait: here or in the triggerer, and what is said and kept at its end."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_mps.api.cos import CosObject
from airflow_provider_mps.api.errors import CallError, MpsError, TaskFailedError, WaitTimeoutError, sentences
from airflow_provider_mps.api.requests import count, flag
from airflow_provider_mps.compat import BaseOperator
from airflow_provider_mps.hooks.connection import checked_id
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.lineage import describe_outlets, operator_lineage, references
from airflow_provider_mps.links.mps import COS_CONSOLE_XCOM, MPS_CONSOLE_XCOM
from airflow_provider_mps.triggers.mps import MpsTaskTrigger, log_change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mps.api.tasks import TaskFamily, TaskStatus

_TRIGGERER_DOWN_SECONDS = 120
"""The trigger itself keeps the deadline. Airflow's own, later one is for where no triggerer runs."""


def airflows_timeout(deadline: float | None) -> timedelta | None:
    """When Airflow itself is to end a deferral whose trigger keeps a deadline (POSIX time)."""
    return None if deadline is None else timedelta(seconds=max(0.0, deadline - time.time()) + _TRIGGERER_DOWN_SECONDS)


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
    """

    family: ClassVar[TaskFamily]
    abort_on_kill: ClassVar[bool] = False
    mps_conn_id: str
    max_poll_failures: int
    files: Mapping[str, Any] = MappingProxyType({})
    """Where the links lead, by XCom key: to the console, and, once the task is done, to its files."""
    _said_to_fail: TaskFailedError | None = None
    """What the triggerer said, which knows after how long."""

    def check_wait(self, *flags: str) -> None:
        """Check what is used only later, when a task may have been paid for.

        :param flags: arguments that are True or False, beside ``deferrable``.
        :raises InvalidArgumentError: names the argument that cannot be used.
        """
        for name in ("deferrable", *flags):
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
            url = f"{hook.settings.site.console}{self.family.console_page}"
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
        """Hand the wait to the triggerer; the task goes on in ``execute_complete``."""
        self.defer(
            trigger=MpsTaskTrigger(
                kind=self.family.kind,
                mps_task_id=mps_task_id,
                mps_conn_id=self.mps_conn_id,
                poll_interval=poll_interval,
                deadline=deadline,
                max_poll_failures=self.max_poll_failures,
                abort_on_kill=self.abort_on_kill,
                accepted_at=accepted_at,
                model=model,
                ticket=ticket,
            ),
            method_name="execute_complete",
            timeout=airflows_timeout(deadline),
        )

    def status_after(self, event: Mapping[str, Any] | None) -> TaskStatus:
        """The status of the task whose wait an event ended. It is polled once more: an event holds no URL.

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
            self._said_to_fail = TaskFailedError.read(message)
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

    def check_ended(self, status: TaskStatus, after: str = "") -> None:
        """Make sure that the task ended well.

        :param after: after how long it ended, if that is known; the triggerer's event says it, too.
        :raises TaskFailedError: it failed.
        :raises NoResultError: it is DONE, and there is no file.
        """
        try:
            self.family.check(status, after)
        except TaskFailedError as error:
            if self._said_to_fail:
                error.what = self._said_to_fail.what
            raise

    def log_change(self, accepted: bool, status: TaskStatus, seconds: float) -> None:
        log_change(self.log, accepted, status, seconds)

    def log_files(self, status: TaskStatus) -> None:
        """Say what came out: number, length and format; not where, for a URL may be signed."""
        formats = Counter(status.formats)
        lengths = [f"{duration} s" for duration in status.durations]
        self.log.info(
            "%s task %s is %s: %s%s",
            self.family.title,
            status.task_id,
            status.word,
            ", ".join(f"{count} {kind}" for kind, count in formats.items()) or "no file",
            f" ({', '.join(lengths)})" if lengths else "",
        )

    def push_files(
        self, context: Context, status: TaskStatus, store_cos_param: Mapping[str, Any] | None = None
    ) -> None:
        """Push where the files are, by XCom key; those in COS as ``cos_uris`` and, with the region, as ``cos_urls``."""
        files: dict[str, Any] = dict(status.files)
        in_cos = status.in_cos or [found for url in status.urls if (found := CosObject.from_url(url, store_cos_param))]
        if in_cos:
            files["cos_uris"] = [file.uri for file in in_cos]
            urls = [file.url for file in in_cos]
            # Bucket and region come from an answer: what does not make an address of COS names no file.
            if [CosObject.from_url(url) for url in urls] == list(in_cos):
                files["cos_urls"] = urls
            files[COS_CONSOLE_XCOM] = in_cos[0].console_url(self.hook.settings.site)
        for key, value in files.items():
            context["ti"].xcom_push(key=key, value=value)
        self.files = {**self.files, **files}
        extra = {"mps_task_id": status.task_id, "files": files.get("cos_uris", []), "durations": list(status.durations)}
        describe_outlets(context, self.outlets or (), extra)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What MPS read, and what it stored in COS."""
        arguments = [getattr(self, name, None) for name in self.template_fields]
        return operator_lineage(references(arguments), self.files.get("cos_uris", []))
