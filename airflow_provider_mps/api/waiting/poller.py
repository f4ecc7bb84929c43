"""Many waits on one account: one poller for each account and event loop, paced under the limit of each action."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from weakref import WeakKeyDictionary, WeakValueDictionary

from airflow_provider_mps.api.codes import Failure
from airflow_provider_mps.api.errors import CallError
from airflow_provider_mps.api.failure_log import GOES_ON, Trouble
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.tasks import TaskFamily, TaskStatus, in_seconds
from airflow_provider_mps.api.waiting.pace import Pace
from airflow_provider_mps.api.wire.client import MAX_CONNECTIONS, MpsClient
from airflow_provider_mps.api.wire.settings import ClientSettings

log = logging.getLogger(__name__)

FIRST_POLL_SECONDS = 1.0
"""No task is done at once: the first poll comes this long after the wait began, or one interval if that is less."""

OnChange = Callable[[TaskStatus, float], None]
OnEnd = Callable[[float], None]


class Tolerance:
    """Says when the failures of one wait are too many to go on.

    :param max_failures: failures in a row that end the wait, if they also last ``Patience.poll_trouble``.
    :param waited: for how many seconds the wait goes on already.
    """

    __slots__ = ("_began", "_first_failure", "_known", "_max_failures", "_not_found", "_stale", "in_a_row")

    def __init__(self, max_failures: int, waited: float = 0.0) -> None:
        self._max_failures = max_failures
        self._began = time.monotonic() - waited
        self._first_failure = 0.0
        self._known = self._not_found = self._stale = False
        self.in_a_row = 0

    @property
    def unknown(self) -> bool:
        """Whether MPS said that it does not know the task, and nothing else of it."""
        return self._not_found and not self._known

    def answered(self) -> None:
        self._known = True
        self._stale = False
        self.in_a_row = 0

    def failed(self, error: CallError) -> None:
        """Take note of a failed poll.

        :raises CallError: the error itself, when the wait is to end with it.
        """
        now = time.monotonic()
        if error.failure is Failure.NOT_FOUND:
            self._not_found = True
            if now - self._began < patience().not_found_grace:
                return
        # The client reads its keys anew after a STALE one, so the first of a row is worth another poll, whatever failed
        # before it.
        stale = error.failure is Failure.STALE
        if not error.retry_helps or (stale and self._stale):
            raise error
        self._stale = self._stale or stale
        if not self.in_a_row:
            self._first_failure = now
        self.in_a_row += 1
        if self.in_a_row >= self._max_failures and now - self._first_failure >= patience().poll_trouble:
            raise error

    def is_exhausted_by(self, error: CallError) -> bool:
        """Whether the wait is to end with this failed poll."""
        try:
            self.failed(error)
        except CallError:
            return True
        return False

    def pause(self, interval: float) -> float:
        """Seconds until the next poll after a failed one: full jitter, over twice as long after each."""
        doubled = interval * 2 ** min(self.in_a_row, 10)
        return random.uniform(0, min(doubled, max(patience().poll_backoff_limit, interval)))  # noqa: S311


@dataclass(frozen=True)
class Report:
    """What a poller did since its last report.

    :param waiting: tasks that are waited for now.
    :param polls: polls sent.
    :param throttled: how many of them were throttled.
    :param rate: calls a second that the poller allows itself now, of all actions together.
    """

    waiting: int
    polls: int
    throttled: int
    rate: float


class _Waiter:
    """One task that somebody waits for."""

    __slots__ = (
        "accepted",
        "at_last",
        "context",
        "done_at",
        "family",
        "future",
        "interval",
        "on_change",
        "on_end",
        "seen_at",
        "started",
        "task_id",
        "tolerance",
        "trouble",
    )

    def __init__(
        self,
        family: TaskFamily,
        task_id: str,
        interval: float,
        max_failures: int,
        on_change: OnChange | None,
        on_end: OnEnd | None,
        accepted_at: float | None,
        trouble: Trouble,
    ) -> None:
        self.family = family
        self.task_id = task_id
        self.interval = interval
        self.tolerance = Tolerance(max_failures)
        self.on_change = on_change
        self.on_end = on_end
        self.accepted = accepted_at is not None
        self.trouble = trouble
        loop = asyncio.get_running_loop()
        self.started = loop.time() - (0.0 if accepted_at is None else max(0.0, time.time() - accepted_at))
        self.seen_at = self.started
        self.future: asyncio.Future[TaskStatus] = loop.create_future()
        self.done_at = 0.0
        self.at_last = False
        """Whether its deadline was over when it began: it is polled once, and ends."""
        self.context = contextvars.copy_context()  # so that what happens is logged where it is waited for

    def answered(self, status: TaskStatus, now: float) -> None:
        self.tolerance.answered()
        self.context.run(self.trouble.answered)
        if status.word != self.trouble.known:
            self.trouble.known = status.word
            if self.on_change:
                self.context.run(self.on_change, status, now - self.started)
        if not status.state.ended:
            self.seen_at = now
        if self.family.lacks_files(status):
            self.done_at = self.done_at or now
            if now - self.done_at < patience().result_grace:
                return
        if status.state.ended:
            if self.on_end:
                self.context.run(self.on_end, now - self.seen_at)
            self.future.set_result(status)

    def failed(self, error: CallError) -> float:
        """Take note of a failed poll; seconds until the next one.

        :raises CallError: the wait is to end with it.
        """
        try:
            self.tolerance.failed(error)
        except CallError:
            trouble = self.trouble
            error.ends_wait(self.family.title, self.task_id, known=trouble.known, trouble=trouble.row_in_words(1))
            raise
        pause = self.tolerance.pause(self.interval)
        meanwhile = "" if error.failure is Failure.NOT_FOUND else GOES_ON
        self.context.run(self.trouble.call_failed, error, pause, meanwhile)
        return pause

    def expire(self) -> None:
        if not self.future.done():
            waited = in_seconds(asyncio.get_running_loop().time() - self.started, self.accepted)
            known = not self.tolerance.unknown
            error = self.family.still_running(self.task_id, waited, known=known, trouble=self.trouble)
            self.future.set_exception(error)


class _Lane:
    """The tasks that one action polls, in the order in which they are due, at that action's own pace."""

    def __init__(self, requests_per_second: float) -> None:
        self.pace = Pace(requests_per_second)
        self.asking: set[asyncio.Task[None]] = set()
        """Its calls that are under way."""
        self._queue: list[tuple[float, int, _Waiter]] = []
        self._order = itertools.count()
        self._gone = 0

    @property
    def is_empty(self) -> bool:
        """Whether nobody is queued."""
        return not self._queue

    @property
    def ready_at(self) -> float:
        """When its next call may leave, on the loop's clock; somebody is queued."""
        return max(self._queue[0][0], self.pace.next_call)

    def push(self, waiter: _Waiter, due: float) -> bool:
        """Queue a task; whether it is now the first."""
        heapq.heappush(self._queue, (due, next(self._order), waiter))
        return self._queue[0][2] is waiter

    def pop(self) -> _Waiter:
        return heapq.heappop(self._queue)[2]

    def left(self) -> None:
        """Take note that somebody in the queue no longer waits; when they are many, they are thrown out."""
        self._gone += 1
        # Only then: thousands of waits may end together, and a pass through the queue for each would take long.
        if self._gone > len(self._queue) // 2:
            self._queue = [entry for entry in self._queue if not entry[2].future.done()]
            heapq.heapify(self._queue)
            self._gone = 0


class Poller:
    """Polls the tasks of one account, one after the other, for as long as somebody waits.

    :param settings: the account and how to reach it.
    :param on_report: is called with what was done, once a minute and at the end.
    """

    def __init__(self, settings: ClientSettings, on_report: Callable[[Report], None] | None = None) -> None:
        self._client = MpsClient(settings)
        self._on_report = on_report
        self._settings = settings
        self._lanes: dict[str, _Lane] = {}
        self._waiters: set[_Waiter] = set()
        self._wake = asyncio.Event()
        self._polls = self._throttled = 0
        self._running: asyncio.Task[None] | None = None

    async def wait(
        self,
        family: TaskFamily,
        task_id: str,
        *,
        poll_interval: float,
        deadline: float | None = None,
        max_failures: int = 10,
        on_change: OnChange | None = None,
        on_end: OnEnd | None = None,
        accepted_at: float | None = None,
        trouble: Trouble | None = None,
    ) -> TaskStatus:
        """Wait until a task has ended, well or not.

        :param poll_interval: seconds between two polls, while the account's limit allows that.
        :param deadline: POSIX time after which to give up. One that is over already is given up after one poll, within
            30 seconds: it may begin late, in a process that was full, and the task be done.
        :param max_failures: failed polls in a row, over at least five minutes, that end the wait.
        :param on_change: is called with each new state, and the seconds since the accept or, without one, since the
            wait began.
        :param on_end: is called when the task was seen to have ended, with for how many seconds at most that went
            unseen: since the last poll that found it running, or since the accept.
        :param accepted_at: when MPS accepted the task, as a POSIX time, if that is known.
        :param trouble: says what fails, in this caller's own context.
        :raises WaitTimeoutError: the deadline passed; the task goes on.
        :raises CallError: the polls failed for good.
        """
        loop = asyncio.get_running_loop()
        trouble = trouble or Trouble.of_polls()
        waiter = _Waiter(family, task_id, poll_interval, max_failures, on_change, on_end, accepted_at, trouble)
        timer = None
        if deadline is not None:
            left = deadline - time.time()
            waiter.at_last = left <= 0
            timer = loop.call_later(patience().at_last if waiter.at_last else left, waiter.expire)
        self._waiters.add(waiter)
        if not self._running:
            # An empty context: this task outlives the wait that began it, and its log lines belong to none.
            self._running = loop.create_task(self._run(), context=contextvars.Context())
        first = 0.0 if waiter.at_last else loop.time() + min(FIRST_POLL_SECONDS, poll_interval)
        self._enqueue(waiter, first)
        try:
            return await waiter.future
        finally:
            if timer:
                timer.cancel()
            self._leave(waiter)

    def _enqueue(self, waiter: _Waiter, due: float) -> None:
        if self._lane(waiter).push(waiter, due):
            self._wake.set()

    def _lane(self, waiter: _Waiter) -> _Lane:
        action = waiter.family.describe
        if action not in self._lanes:
            self._lanes[action] = _Lane(self._settings.rate(action))
        return self._lanes[action]

    def _leave(self, waiter: _Waiter) -> None:
        # Its entry stays in the queue: `_run` and `_Lane.left` know by the future that nobody waits.
        waiter.future.cancel()
        self._waiters.discard(waiter)
        self._lane(waiter).left()
        if not self._waiters:
            self._wake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        report_at = loop.time() + patience().report
        try:
            while self._waiters:
                now = loop.time()
                if now >= report_at:
                    self._report()
                    report_at = now + patience().report
                lane = min(self._lanes_that_may_call(), key=_ready_at, default=None)
                if lane and lane.ready_at <= now:
                    waiter = lane.pop()
                    if not waiter.future.done():
                        lane.pace.leaves(now)
                        task = loop.create_task(self._ask(waiter, now))
                        lane.asking.add(task)
                        task.add_done_callback(partial(self._asked, lane))
                else:
                    await self._pause(min(report_at, lane.ready_at) if lane else report_at)
        finally:
            self._running = None
            for lane in self._lanes.values():
                for task in lane.asking:
                    task.cancel()
            for waiter in self._waiters:
                if not waiter.future.done():
                    waiter.future.set_exception(RuntimeError("the poller ended before the task did"))
            self._report()
            await self._client.aclose()

    def _lanes_that_may_call(self) -> list[_Lane]:
        """The lanes with somebody queued that may have one more connection.

        Calls that hang keep theirs for long. So beside others a lane has half of them at most, and leaves a first one
        to each that has none: whichever hang, the others go on, if there are no more lanes than connections.
        """
        free = MAX_CONNECTIONS - sum(len(lane.asking) for lane in self._lanes.values())
        queued = [lane for lane in self._lanes.values() if not lane.is_empty]
        if not free:
            return []
        if len(queued) < 2:
            return queued
        without = sum(not lane.asking for lane in queued)
        most = MAX_CONNECTIONS // 2 if free > without else 1
        return [lane for lane in queued if len(lane.asking) < most]

    async def _pause(self, until: float) -> None:
        """Sleep until then, or until something changes."""
        timer = asyncio.get_running_loop().call_at(until, self._wake.set)
        await self._wake.wait()
        timer.cancel()
        self._wake.clear()

    def _asked(self, lane: _Lane, task: asyncio.Task[None]) -> None:
        lane.asking.discard(task)
        self._wake.set()  # `_run` may sleep without regard to what is due in a lane that had its share

    async def _ask(self, waiter: _Waiter, left_at: float) -> None:
        loop = asyncio.get_running_loop()
        self._polls += 1
        pause = waiter.interval
        try:
            try:
                status = await self._client.attempt(
                    waiter.family.describe,
                    {"TaskId": waiter.task_id},
                    read=partial(waiter.family.status, waiter.task_id),
                )
            except CallError as error:
                if error.failure is Failure.THROTTLED:
                    self._throttled += 1
                    self._lane(waiter).pace.throttled(left_at, loop.time())
                # While the answer was under way, its deadline may have passed, or its caller have left.
                if not waiter.future.done():
                    pause = waiter.failed(error)
            else:
                if not waiter.future.done():
                    waiter.answered(status, loop.time())
        except Exception as error:
            if not waiter.future.done():
                waiter.future.set_exception(error)
        if waiter.at_last:
            # Only after the answer: the one poll of a wait that began too late may find the task done.
            waiter.expire()
        if not waiter.future.done():
            self._enqueue(waiter, loop.time() + pause)

    def _report(self) -> None:
        rate = sum(lane.pace.rate for lane in self._lanes.values())
        report = Report(len(self._waiters), self._polls, self._throttled, rate)
        self._polls = self._throttled = 0
        if report.polls and report.waiting:
            log.info(
                "%s: %d tasks waited for, %d polls since the last line (%d throttled), at most %.1f a second",
                self._settings.host,
                report.waiting,
                report.polls,
                report.throttled,
                report.rate,
            )
        try:
            if self._on_report:
                self._on_report(report)
        except Exception:
            log.exception("The poller of %s could not report; it goes on", self._settings.host)


_ready_at = attrgetter("ready_at")

_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[ClientSettings, Poller]]
_pollers = WeakKeyDictionary()


def poller(settings: ClientSettings, on_report: Callable[[Report], None] | None = None) -> Poller:
    """The poller of this event loop for an account, as long as somebody waits or holds it; else a new one."""
    of_loop = _pollers.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    found = of_loop.get(settings)
    if found is None:
        found = of_loop[settings] = Poller(settings, on_report)
    return found
