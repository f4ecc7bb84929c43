"""MpsTaskTrigger: the wait for a task, in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import UTC
from functools import partial
from typing import Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_mps.api.errors import MpsError, TaskFailedError, WaitTimeoutError
from airflow_provider_mps.api.requests import task_id
from airflow_provider_mps.api.settings import Site
from airflow_provider_mps.api.tasks import (
    CONSOLE_XCOM,
    FAMILIES,
    MPS_CONSOLE_XCOM,
    TaskFamily,
    TaskStatus,
    check_family,
    in_seconds,
)
from airflow_provider_mps.api.usage import USAGE_XCOM, Asked, Usage, usage
from airflow_provider_mps.hooks.metrics import count
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.triggers.resuming import may_be_resumed

_MARKED = ("success", "failed", "skipped")
"""The states that a user can give a task instance to end it."""

CAN_BE_ALL = hasattr(BaseTrigger, "render_template_fields")
"""Whether an Airflow task can be a trigger and nothing else: from Airflow 3.3 on, triggers render templates."""

_ending: set[asyncio.Task[None]] = set()


def log_change(log: Any, accepted: bool, status: TaskStatus, seconds: float) -> None:
    """Say that a task's state has changed, so many seconds after MPS accepted it, or after its wait began."""
    log.info("Task %s: %s after %s", status.task_id, status.word, in_seconds(seconds, accepted))


def log_files(log: Any, family: TaskFamily, status: TaskStatus) -> None:
    """Say what came out: number, length and format; not where, for a URL may be signed."""
    formats = Counter(status.formats)
    lengths = [f"{duration} s" for duration in status.durations]
    log.info(
        "%s task %s is %s: %s%s",
        family.title,
        status.task_id,
        status.word,
        ", ".join(f"{count} {kind}" for kind, count in formats.items()) or "no file",
        f" ({', '.join(lengths)})" if lengths else "",
    )


class MpsTaskTrigger(BaseTrigger):
    """Waits until a task has ended, and fires one event that says how; the result itself is not in it.

    The event is ``{"status": "done" | "failed" | "timeout" | "error", "mps_task_id", "message"}``; that of a task that
    failed has its ``usage``, too. A message has a line for each part of the error that it becomes. With ``xcoms``, a
    task that is done ends the Airflow task instead (docs/decisions/0012-tasks-without-a-worker.md).
    All triggers of one account share one poller, which keeps under the account's limit.

    :param kind: the task's family: ``aigc_audio``, ``aigc_video``, ``aigc_image`` or ``media``.
    :param mps_task_id: the TaskId.
    :param mps_conn_id: the Airflow connection.
    :param poll_interval: seconds between two polls, while the account's limit allows that.
    :param deadline: POSIX time after which to give up, or None.
    :param max_poll_failures: failed polls in a row, over at least five minutes, that end the wait.
    :param abort_on_kill: whether to abort the task where the API can, when a user marks the Airflow task as ended;
        not for a task that something else created.
    :param seconds_before_timeout: a deadline too, so long before Airflow's own: where no worker could say when.
    :param xcoms: what to end the Airflow task with, beside the files, by XCom key: the ``task_id``, the ``result``, or
        the first of the files under a key.
    :param store_cos_param: where MPS was to store the files.
    :param accepted_at: when MPS accepted the task, as a POSIX time; None where that is not known.
    :param model: whose room the task takes (``RequestShape.model_of``); empty: not known.
    :param ticket: the place in line that the create had, if it waited for room.
    :param asked: what the request tells for the XCom ``usage``.
    """

    def __init__(
        self,
        kind: str,
        mps_task_id: str,
        mps_conn_id: str = MpsHook.default_conn_name,
        poll_interval: float = 5.0,
        deadline: float | None = None,
        max_poll_failures: int = 10,
        abort_on_kill: bool = True,
        seconds_before_timeout: float | None = None,
        xcoms: Mapping[str, str] | None = None,
        store_cos_param: Mapping[str, Any] | None = None,
        accepted_at: float | None = None,
        model: str = "",
        ticket: float | None = None,
        asked: Asked | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kind = kind
        self.mps_task_id = mps_task_id
        self.mps_conn_id = mps_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.max_poll_failures = max_poll_failures
        self.abort_on_kill = abort_on_kill
        self.seconds_before_timeout = seconds_before_timeout
        self.xcoms = xcoms
        self.store_cos_param = store_cos_param
        self.accepted_at = accepted_at
        self.model = model
        self.ticket = ticket
        self.asked = asked

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments, for the triggerer."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "kind": self.kind,
                "mps_task_id": self.mps_task_id,
                "mps_conn_id": self.mps_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "max_poll_failures": self.max_poll_failures,
                "abort_on_kill": self.abort_on_kill,
                "seconds_before_timeout": self.seconds_before_timeout,
                "xcoms": self.xcoms,
                "store_cos_param": self.store_cos_param,
                "accepted_at": self.accepted_at,
                "model": self.model,
                "ticket": self.ticket,
                "asked": self.asked,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the task's end, and fire the one event."""
        family = FAMILIES[self.kind]
        hook = MpsHook(self.mps_conn_id)
        xcoms = made = None
        trigger_began = time.monotonic()
        accepted = self.accepted_at is not None
        began = time.time() if self.accepted_at is None else self.accepted_at
        try:
            check_family("mps_task_id", task_id("mps_task_id", self.mps_task_id), family)  # a template makes anything
            status = await hook.await_task(
                family,
                self.mps_task_id,
                poll_interval=self.poll_interval,
                deadline=self._deadline,
                max_poll_failures=self.max_poll_failures,
                on_change=partial(log_change, self.log, accepted),
                accepted_at=self.accepted_at,
                model=self.model,
                ticket=self.ticket,
            )
            made = usage(family, status, self.asked or {})
            family.check(status, in_seconds(time.time() - began, accepted))
            if self.xcoms is not None and self.trigger_id is not None:  # dag.test() gives none, and takes no such end
                xcoms = self._pushed(family, status, hook.settings.site) | {USAGE_XCOM: made}
        except WaitTimeoutError as error:
            event = self._event("timeout", error.written())
        except TaskFailedError as error:
            event = self._event("failed", error.written(), made)
        except MpsError as error:
            event = self._event("error", error.written())
        except Exception as error:
            # What came unexpectedly may quote anything, so its kind alone goes into the event.
            self.log.exception("Waiting for task %s failed", self.mps_task_id)
            event = self._event("error", f"{type(error).__name__} in the triggerer; its log has the details")
        else:
            if xcoms is not None:
                log_files(self.log, family, status)
                count(made)
                yield TaskSuccessEvent(xcoms=xcoms)  # its repr, which Airflow logs, is the state alone
                return
            event = self._event("done", f"{family.title} task {self.mps_task_id} is done")
        if self.seconds_before_timeout is None:  # else no worker began this
            await may_be_resumed(self, trigger_began)
        yield event

    @property
    def _deadline(self) -> float | None:
        timeout = getattr(self, "timeout_after", None)  # a triggerer says
        if self.seconds_before_timeout is None or timeout is None:
            return self.deadline
        if timeout.tzinfo is None:
            timeout = timeout.replace(tzinfo=UTC)
        own: float = timeout.timestamp() - self.seconds_before_timeout
        return own if self.deadline is None else min(own, self.deadline)

    def _pushed(self, family: TaskFamily, status: TaskStatus, site: Site) -> dict[str, Any]:
        files = status.files_to_push(site, self.store_cos_param)
        named = {"task_id": status.task_id, "result": family.result(status), MPS_CONSOLE_XCOM: family.console_url(site)}
        if "cos_uris" not in files:  # a link to a file in a bucket has to be signed, by a worker
            named |= {key: urls[0] for key, urls in files.items() if urls}
        elif CONSOLE_XCOM in files:
            named[CONSOLE_XCOM] = files[CONSOLE_XCOM]
        return files | {key: named[name] for key, name in (self.xcoms or {}).items() if name in named}

    def _event(self, status: str, message: str, made: Usage | None = None) -> TriggerEvent:
        told = {USAGE_XCOM: made} if made else {}
        return TriggerEvent({"status": status, "mps_task_id": self.mps_task_id, "message": message, **told})

    async def on_kill(self) -> None:
        """Abort the task where the API can and the user wants that, and say what goes on."""
        # Airflow cancels this again at each of its syncs, about a second apart: the abort is a task of its own.
        ending = asyncio.create_task(self._end())
        _ending.add(ending)
        ending.add_done_callback(_ending.discard)
        await asyncio.shield(ending)

    async def _end(self) -> None:
        family = FAMILIES[self.kind]
        expired = self._deadline is not None and time.time() >= self._deadline
        if not family.can_abort or not self.abort_on_kill or expired:
            # Airflow is not called to see who ended the wait: the first call stalls its triggerer for seconds (3.3.2).
            # It may have been nobody, of a triggerer that stalled and came back: no word of bills.
            self.log.info(
                "This triggerer no longer waits for %s task %s; nothing was cancelled at MPS.",
                family.title,
                self.mps_task_id,
            )
            return
        try:
            said = await MpsHook(self.mps_conn_id).abort(family, self.mps_task_id, only_if=self._was_marked)
        except Exception:
            self.log.exception("Task %s may go on at MPS and be billed: it could not be aborted", self.mps_task_id)
        else:
            self.log.info(said)

    async def _was_marked(self) -> bool:
        """Whether a user marked the task instance as ended.

        Airflow ends a trigger in the same way where a user clears the task, whose next try goes on with the task at
        MPS, and where a triggerer stalled and came back: its triggers run elsewhere by then (seen on 3.3.2).
        Every question of a trigger goes through its supervisor's client, whose first use builds an API server in that
        process (TriggerRunnerSupervisor.make_client). A connection kept in Airflow's database has been such a question.
        """
        ti = self.task_instance
        if ti is None:
            return False
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
        from asgiref.sync import sync_to_async

        states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        of_run = states.get(ti.run_id, {})
        state = of_run.get(ti.task_id) or of_run.get(f"{ti.task_id}_{ti.map_index}")
        return str(state) in _MARKED
