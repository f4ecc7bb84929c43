"""MpsTaskTrigger: the wait for a task, in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_mps.api.errors import MpsError, TaskFailedError, WaitTimeoutError
from airflow_provider_mps.api.request.convert import task_id
from airflow_provider_mps.api.tasks import TaskFamily, TaskStatus, check_family, family_named, in_seconds
from airflow_provider_mps.api.tasks.usage import Asked, usage_of
from airflow_provider_mps.compat import XCom, clears_discard
from airflow_provider_mps.hooks.metrics import count_usage
from airflow_provider_mps.hooks.mps import NOTHING_CANCELLED, MpsHook
from airflow_provider_mps.triggers.base import OR_ANOTHER_GOES_ON, may_be_resumed
from airflow_provider_mps.triggers.events import WaitEnded
from airflow_provider_mps.triggers.without_worker import WithoutWorkerTrigger

_MARKED = ("success", "failed", "skipped")
"""The states that a user can give a task instance to end it."""

_PLAYLISTS = ("m3u8", "mpd")

# An event loop holds its tasks only weakly (asyncio.create_task): these have to outlive their caller.
_ending: set[asyncio.Task[None]] = set()


def log_change(log: Any, accepted: bool, status: TaskStatus, seconds: float) -> None:
    """Say that a task's state has changed, so many seconds after MPS accepted it, or after its wait began."""
    log.info("Task %s: %s after %s", status.task_id, status.word, in_seconds(seconds, accepted))


def log_files(log: Any, family: TaskFamily, status: TaskStatus) -> None:
    """Say what came out: number, length and format; not where, for a URL may be signed."""
    formats = Counter(
        f"{suffix} (a playlist: one file of several)" if suffix in _PLAYLISTS else suffix for suffix in status.formats
    )
    lengths = [f"{duration} s" for duration in status.durations]
    log.info(
        "%s task %s is %s: %s%s",
        family.title,
        status.task_id,
        status.word,
        ", ".join(f"{count} {kind}" for kind, count in formats.items()) or "no file",
        f" ({', '.join(lengths)})" if lengths else "",
    )


class MpsTaskTrigger(WithoutWorkerTrigger):
    """Waits until a task has ended, and fires one event that says how; the result itself is not in it.

    The event is ``{"status": "done" | "failed" | "timeout" | "error", "mps_task_id", "message", ...}``, a
    :class:`~airflow_provider_mps.triggers.events.WaitEnded`. With ``xcoms``, a task that is done ends the Airflow task
    instead (docs/decisions/0012-tasks-without-a-worker.md).
    All triggers of one account share one poller, which keeps under the account's limit.

    :param kind: the task's family: a kind of this package's, such as ``aigc_audio`` or ``media``, or ``module:NAME`` of
        a TaskFamily that triggerers can import.
    :param mps_task_id: the TaskId.
    :param mps_conn_id: the Airflow connection.
    :param poll_interval: seconds between two polls, while the account's limit allows that.
    :param deadline: POSIX time after which to give up, or None.
    :param max_poll_failures: failed polls in a row, over at least five minutes, that end the wait.
    :param abort_on_kill: whether to abort the task where the API can, when a user marks the Airflow task as ended;
        not for a task that something else created.
    :param seconds_before_timeout: see :class:`~airflow_provider_mps.triggers.without_worker.WithoutWorkerTrigger`;
        so are ``xcoms`` and ``store_cos_param``.
    :param accepted_at: when MPS accepted the task, as a POSIX time; None where that is not known.
    :param model: whose room the task takes (``RequestShape.model_of``); empty: not known.
    :param ticket: the name that its create had in line, if it waited for room.
    :param asked: what the request says for the XCom ``usage``.
    :param stay: for how many seconds at least it stays (``triggers.base.least_stay``).
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
        stay: float | None = None,
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
        self.stay = stay

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
                "stay": self.stay,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the task's end, and fire the one event."""
        hook = MpsHook(self.mps_conn_id)
        made = None
        trigger_began = time.monotonic()
        accepted = self.accepted_at is not None
        began = time.time() if self.accepted_at is None else self.accepted_at
        try:
            family = family_named("kind", self.kind)
            check_family("mps_task_id", task_id("mps_task_id", self.mps_task_id), family)  # a template makes anything
            status = await hook.await_task(
                family,
                self.mps_task_id,
                poll_interval=self.poll_interval,
                deadline=self.ends_at,
                max_poll_failures=self.max_poll_failures,
                on_change=partial(log_change, self.log, accepted),
                accepted_at=self.accepted_at,
                model=self.model,
                ticket=self.ticket,
            )
            # Before check(), which raises for a task that failed: its event has the usage, too.
            made = usage_of(family, status, self.asked or {}, hook.settings.prices)
            family.check(status, in_seconds(time.time() - began, accepted))
            success = await self.success(family, status, hook.settings, made)
        except WaitTimeoutError as error:
            ended = WaitEnded.by(error, "timeout", self.mps_task_id)
        except TaskFailedError as error:
            ended = WaitEnded.by(error, "failed", self.mps_task_id, made)
        except MpsError as error:
            ended = WaitEnded.by(error, "error", self.mps_task_id)
        except Exception as error:
            # What came unexpectedly may quote anything, so only its kind goes into the event.
            self.log.exception("Waiting for task %s failed", self.mps_task_id)
            problem = f"{type(error).__name__} in the triggerer; its log has the details"
            ended = WaitEnded("error", self.mps_task_id, problem)
        else:
            if success is not None:
                log_files(self.log, family, status)
                count_usage(made, self.task_instance)
                yield success
                return
            ended = WaitEnded("done", self.mps_task_id, f"{family.title} task {self.mps_task_id} is done")
        if self.begun_by_worker:
            await may_be_resumed(self, trigger_began)
        yield ended.written()

    async def on_kill(self) -> None:
        """Abort the task where the API can and the user wants that, and say what goes on."""
        # Airflow cancels this again at each of its syncs, about a second apart: the abort is a task of its own.
        ending = asyncio.create_task(self._end())
        _ending.add(ending)
        ending.add_done_callback(_ending.discard)
        await asyncio.shield(ending)

    async def _end(self) -> None:
        family = family_named("kind", self.kind)
        expired = self.ends_at is not None and time.time() >= self.ends_at
        if not family.can_abort or not self.abort_on_kill or expired:
            # Airflow is not called to see who ended the wait: the first call stalls its triggerer for seconds (3.3.2).
            # It may have been nobody, of a triggerer that stalled and came back.
            self.log.info(
                "%s: this triggerer no longer waits for %s task %s. %s",
                NOTHING_CANCELLED,
                family.title,
                self.mps_task_id,
                OR_ANOTHER_GOES_ON,
            )
            return
        hook = MpsHook(self.mps_conn_id)
        try:
            said = await hook.abort(family, self.mps_task_id, only_if=partial(self._is_nobodys, hook))
        except Exception:
            self.log.exception("It may go on at MPS and be billed: task %s could not be aborted", self.mps_task_id)
        else:
            self.log.info(said)

    async def _is_nobodys(self, hook: MpsHook) -> bool:
        """Whether no try of the Airflow task goes on with the task at MPS: a user marked it as ended, or cleared it
        where that discards what is remembered of it.

        Airflow ends a trigger in the same way where a triggerer stalled and came back: its triggers run elsewhere by
        then (seen on 3.3.2).
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
        # A mapped one goes by its task_id and map_index (the Execution API's get_task_instance_states).
        state = of_run.get(ti.task_id) or of_run.get(f"{ti.task_id}_{ti.map_index}")
        if str(state) in _MARKED:
            return True
        if not clears_discard() or hook.settings.memory:
            return False
        return await sync_to_async(_is_superseded)(ti)


def _is_superseded(ti: Any) -> bool:
    """Whether another try has taken a task instance's place, as after a clear.

    Airflow 3.4 refuses a trigger to read an XCom then: ``_resolve_trigger_token`` of the Execution API's xcoms.py.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        XCom.get_one(key="mps_none", dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)
    except AirflowRuntimeError as error:
        return (error.error.detail or {}).get("status_code") == HTTPStatus.FORBIDDEN
    return False
