"""Many waits share one account: paced, adaptive, isolated, and gone without a trace."""

import asyncio
import contextvars
import gc
import json
import logging
import math
import random
import time
import tracemalloc
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.api.errors import ApiError, WaitTimeoutError
from airflow_provider_mps.api.patience import patience, short_waits
from airflow_provider_mps.api.tasks import AIGC_AUDIO, AIGC_VIDEO, MEDIA, TaskFamily, TaskState, TaskStatus
from airflow_provider_mps.api.waiting import poller as polling
from airflow_provider_mps.api.waiting.pace import Pace
from airflow_provider_mps.api.waiting.poller import Poller, Report, poller
from airflow_provider_mps.api.wire import settings as wire_settings
from airflow_provider_mps.api.wire.client import MAX_CONNECTIONS
from airflow_provider_mps.emulator import MpsEmulator
from tests.api.conftest import settings
from tests.doubles.emulators import DESCRIBE
from tests.doubles.in_time import ends
from tests.doubles.servers import Handler, LoopbackServer, hang, open_connections

LIMIT = 20.0
FAST = 2000.0
"""Requests a second, where the pace is not what the test is about."""


class Call(NamedTuple):
    """A call of one of several processes, and whether the service answered or throttled it."""

    at: float
    process: int
    allowed: bool


async def until(so: Callable[[], bool]) -> None:
    while not so():  # noqa: ASYNC110 - what is waited for happens in another thread, or to the loop itself
        await asyncio.sleep(0.005)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """Run on a loop of its own. Every test ends with no task but its own, which means that the poller has ended."""

    async def run_and_look() -> Any:
        result = await work()
        await until(lambda: len(asyncio.all_tasks()) == 1)
        return result

    return ends(lambda: asyncio.run(run_and_look()))


async def waits(found: Poller, task_ids: list[str], interval: float = 0.01, **how: Any) -> list[Any]:
    """Wait for all; errors are given like results."""
    each = (found.wait(AIGC_AUDIO, task_id, poll_interval=interval, **how) for task_id in task_ids)
    return await asyncio.gather(*each, return_exceptions=True)


def never_done(emulator: MpsEmulator, count: int) -> list[str]:
    return [emulator.add_task(run_seconds=3600.0) for _ in range(count)]


def asked(emulator: MpsEmulator) -> list[str]:
    """The TaskIds in the order in which they were polled."""
    return [request.params["TaskId"] for request in emulator.requests if request.action == DESCRIBE]


# The pace, on a clock of the test's own.


@given(lateness=st.lists(st.floats(0.0, 0.5), min_size=2, max_size=200))
def test_however_late_calls_leave_no_second_has_more_than_the_limit(lateness: list[float]) -> None:
    pace, left, now = Pace(LIMIT), [], 1000.0
    for late in lateness:
        now = max(now, pace.next_call) + late
        pace.leaves(now)
        left.append(now)
    for first, last in zip(left, left[int(LIMIT) :], strict=False):
        assert last - first >= 1.0


def test_calls_leave_evenly_at_97_percent() -> None:
    pace, left = Pace(LIMIT), [1000.0]
    for _ in range(100):
        pace.leaves(left[-1])
        left.append(pace.next_call)
    assert {round(after - before, 6) for before, after in pairwise(left[1:])} == {round(1 / (0.97 * LIMIT), 6)}


def test_a_burst_of_throttled_calls_cuts_the_rate_once_and_quiet_brings_it_back() -> None:
    pace = Pace(LIMIT)
    full = pace.rate
    for after in (0.0, 0.1, 0.9):
        pace.throttled(1000.0 + after, 1000.05 + after)
    assert pace.rate == pytest.approx(0.8 * full)
    pace.throttled(1002.0, 1002.05)
    assert pace.rate == pytest.approx(0.8 * 0.8 * full)
    rates = []
    for second in range(1003, 1200):
        pace.leaves(float(second))
        rates.append(pace.rate)
    assert rates == sorted(rates)
    assert rates[-1] == full


def shared_by(paces: list[Pace], seconds: float, seed: int, leave_after: float = math.inf) -> list[Call]:
    """In virtual time: a server with a rolling second, and paces that do not know of each other.

    :param leave_after: seconds after which all of them but the first call no more.
    """
    chance = random.Random(seed)
    accepted: deque[float] = deque()
    seen: list[Call] = []
    calls = [(chance.random(), index) for index in range(len(paces))]
    while (call := min(calls))[0] < seconds:
        now, index = call
        if index and now > leave_after:
            calls[index] = (math.inf, index)
            continue
        paces[index].leaves(now)
        arrives = now + 0.002 * chance.random()
        while accepted and accepted[0] <= arrives - 1.0:
            accepted.popleft()
        allowed = len(accepted) < LIMIT
        if allowed:
            accepted.append(arrives)
        else:
            paces[index].throttled(now, arrives)
        seen.append(Call(now, index, allowed))
        calls[index] = (paces[index].next_call + 0.002 * chance.random(), index)
    return seen


@pytest.mark.parametrize("seed", range(3))
def test_three_processes_settle_near_fair_shares_of_one_limit(seed: int) -> None:
    calls = [call for call in shared_by([Pace(LIMIT) for _ in range(3)], 120.0, seed) if call.at > 30.0]
    answered = Counter(call.process for call in calls if call.allowed)
    assert answered.total() >= 0.85 * LIMIT * 90.0
    assert len(calls) - answered.total() < 0.02 * len(calls)
    assert all(each > LIMIT * 90.0 / 3 / 2 for each in answered.values())


@pytest.mark.parametrize("seed", range(3))
def test_what_processes_leave_unused_is_soon_taken_up_without_throttled_calls(seed: int) -> None:
    calls = [call for call in shared_by([Pace(LIMIT) for _ in range(3)], 240.0, seed, 120.0) if call.at > 120.0]
    assert all(call.allowed for call in calls)
    a_minute_later = [call for call in calls if 180.0 < call.at <= 190.0]
    assert len(a_minute_later) >= 0.95 * LIMIT * 10.0


# Waiting.


def test_a_task_that_has_ended_is_asked_for_once(emulator: MpsEmulator) -> None:
    task_ids = [emulator.add_task(wait_seconds=0.0, run_seconds=0.0) for _ in range(50)]

    async def work() -> list[TaskStatus]:
        return await waits(poller(settings(emulator.port, requests_per_second=FAST)), task_ids)

    statuses = run(work)
    assert [(status.task_id, status.state) for status in statuses] == [(each, TaskState.DONE) for each in task_ids]
    assert sorted(asked(emulator)) == sorted(task_ids)


def test_all_waits_of_an_account_share_one_poller_and_few_connections(emulator: MpsEmulator) -> None:
    task_ids = never_done(emulator, 40)
    account = settings(emulator.port, requests_per_second=FAST)

    async def work() -> tuple[bool, int]:
        pollers = [poller(account) for _ in range(2)]
        everyone = asyncio.create_task(waits(pollers[0], task_ids))
        await until(lambda: emulator.count(DESCRIBE) >= 200)
        links = len(open_connections(emulator.port))
        everyone.cancel()
        return pollers[0] is pollers[1], links

    shared, links = run(work)
    assert shared
    assert 1 <= links <= MAX_CONNECTIONS


def test_hundreds_that_start_together_start_paced_and_not_at_once(emulator: MpsEmulator) -> None:
    task_ids = never_done(emulator, 300)

    async def work() -> float:
        began = time.monotonic()
        everyone = asyncio.create_task(waits(poller(settings(emulator.port)), task_ids, interval=0.2))
        await until(lambda: emulator.count(DESCRIBE) >= 20)
        everyone.cancel()
        return began

    began = run(work)
    for number, request in enumerate(emulator.requests):
        # Never earlier than this, however slow the machine is; the first call may be made good for a little.
        assert request.at - began >= 0.2 + number / (0.97 * LIMIT) - Pace.CATCH_UP_SECONDS


def test_when_not_all_fit_they_are_asked_in_turn_and_newcomers_too(emulator: MpsEmulator) -> None:
    old, new = never_done(emulator, 12), never_done(emulator, 3)
    account = settings(emulator.port, requests_per_second=100.0)

    async def work() -> int:
        first = asyncio.create_task(waits(poller(account), old))
        await until(lambda: emulator.count(DESCRIBE) >= 36)
        before = emulator.count(DESCRIBE)
        later = asyncio.create_task(waits(poller(account), new))
        await until(lambda: emulator.count(DESCRIBE) >= before + 60)
        first.cancel()
        later.cancel()
        return before

    before = run(work)
    order = asked(emulator)
    turns = Counter(order[:36])
    assert max(turns.values()) - min(turns[task_id] for task_id in old) <= 1
    turns = Counter(order[before : before + 60])
    assert all(3 <= turns[task_id] <= 5 for task_id in old + new)


@pytest.mark.parametrize("own_limit", [None, 15.0])
def test_each_action_keeps_its_own_limit_or_the_users(emulator: MpsEmulator, own_limit: float | None) -> None:
    account = settings(emulator.port, requests_per_second=own_limit)
    limits = {AIGC_AUDIO: 20.0, AIGC_VIDEO: 50.0, MEDIA: 100.0}
    tasks = {family: emulator.add_task(family.kind, run_seconds=3600.0) for family in limits}

    async def work() -> float:
        began = time.monotonic()
        found = poller(account)
        waits = (found.wait(family, tasks[family], poll_interval=0.001) for family in limits for _ in range(10))
        everyone = asyncio.gather(*waits, return_exceptions=True)
        await until(lambda: all(emulator.count(family.describe) >= 30 for family in limits))
        everyone.cancel()
        return began

    began = run(work)
    for family, limit in limits.items():
        times = [request.at for request in emulator.requests if request.action == family.describe]
        for number, at in enumerate(times):
            # Never earlier than this, however slow the machine is.
            assert at - began >= number / (0.97 * (own_limit or limit)) - Pace.CATCH_UP_SECONDS


def test_an_action_that_may_be_called_seldom_holds_up_no_other(
    emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {AIGC_AUDIO.describe: 0.5, AIGC_VIDEO.describe: 50.0}
    monkeypatch.setattr(wire_settings, "documented_rate", rates.__getitem__)
    tasks = {family: emulator.add_task(family.kind, run_seconds=3600.0) for family in (AIGC_AUDIO, AIGC_VIDEO)}

    async def work() -> None:
        found = poller(settings(emulator.port))
        waits = (found.wait(family, tasks[family], poll_interval=0.001) for family in tasks for _ in range(10))
        everyone = asyncio.gather(*waits, return_exceptions=True)
        await until(lambda: emulator.count(AIGC_VIDEO.describe) >= 30)
        everyone.cancel()

    run(work)
    assert emulator.count(AIGC_AUDIO.describe) < 15


def test_an_action_that_is_throttled_slows_no_other(emulator: MpsEmulator) -> None:
    tasks = {
        family: emulator.add_task(family.kind, wait_seconds=0.0, run_seconds=0.0) for family in (AIGC_AUDIO, AIGC_VIDEO)
    }
    emulator.fault("error", DESCRIBE, code="RequestLimitExceeded", times=3)
    reports: list[Report] = []

    async def work() -> list[Any]:
        found = poller(settings(emulator.port), reports.append)
        return await asyncio.gather(*(found.wait(family, tasks[family], poll_interval=0.01) for family in tasks))

    assert [status.state for status in run(work)] == [TaskState.DONE] * 2
    [report] = reports
    assert report.throttled == 3
    # Both rates together: all of video's, and audio's after one to three cuts.
    assert 0.97 * (50 + LIMIT / 2) < report.rate < 0.97 * (50 + LIMIT)


def test_throttled_polls_slow_the_poller_and_fail_no_wait(emulator: MpsEmulator) -> None:
    task_id = emulator.add_task(wait_seconds=0.0, run_seconds=0.0)
    emulator.fault("error", DESCRIBE, code="RequestLimitExceeded", times=3)
    reports: list[Report] = []

    async def work() -> list[TaskStatus]:
        return await waits(poller(settings(emulator.port), reports.append), [task_id])

    (status,) = run(work)
    assert status.state is TaskState.DONE
    assert [(report.waiting, report.polls, report.throttled) for report in reports] == [(0, 4, 3)]
    assert reports[0].rate < 0.97 * LIMIT


def test_a_wait_tells_each_new_state_where_it_waits(emulator: MpsEmulator) -> None:
    who = contextvars.ContextVar[str]("who")
    told: list[tuple[str, str]] = []

    async def one(name: str) -> None:
        who.set(name)
        await poller(settings(emulator.port, requests_per_second=FAST)).wait(
            AIGC_AUDIO,
            emulator.add_task(wait_seconds=0.0, run_seconds=0.3),
            poll_interval=0.02,
            on_change=lambda status, _: told.append((who.get(), status.word)),
        )

    async def work() -> None:
        await asyncio.gather(*(asyncio.create_task(one(name)) for name in ("a", "b")))

    run(work)
    assert sorted(told) == [("a", "DONE"), ("a", "RUN"), ("b", "DONE"), ("b", "RUN")]


@pytest.mark.usefixtures("mps_short_waits")
def test_what_fails_is_said_where_it_is_waited_for(emulator: MpsEmulator) -> None:
    """As the triggerer needs it, which finds a line's task by the context."""
    who = contextvars.ContextVar[str]("who")
    said: list[tuple[str, str]] = []

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append((who.get("nobody"), record.getMessage().partition(";")[0]))

    async def one(name: str) -> None:
        who.set(name)
        await waits(poller(settings(emulator.port, requests_per_second=FAST)), [emulator.add_task()])

    async def work() -> None:
        await asyncio.gather(*(asyncio.create_task(one(name)) for name in ("a", "b")))

    emulator.fault("error", "DescribeAigcAudioTask", code="InternalError", times=2)  # of each the first
    log, told = logging.getLogger("airflow_provider_mps.api.failure_log"), Told()
    log.addHandler(told)
    try:
        run(work)
    finally:
        log.removeHandler(told)
    assert {("a", "A poll failed: InternalError"), ("b", "A poll failed: InternalError")} <= set(said)
    assert {name for name, _ in said} == {"a", "b"}


def test_a_deadline_ends_a_wait_whose_poll_hangs() -> None:
    with LoopbackServer(hang) as server:

        async def work() -> list[Any]:
            return await waits(poller(settings(server.server_port)), ["the-task"], deadline=time.time() + 0.3)

        (error,) = run(work)
    assert isinstance(error, WaitTimeoutError)
    assert "the-task" in str(error)


# Isolation.


def one_refused(handler: Handler) -> None:
    """A service that refuses one task for good, and has done all others."""
    if json.loads(handler.received.body)["TaskId"] == "refused":
        handler.answer({"Response": {"Error": {"Code": "InvalidParameter", "Message": "no"}, "RequestId": "r"}})
    else:
        handler.answer(
            {"Response": {"Status": "DONE", "AudioInfos": [{"Url": "https://a.example/b"}], "RequestId": "r"}}
        )


def test_the_error_of_one_task_is_that_tasks_alone() -> None:
    with LoopbackServer(one_refused) as server:

        async def work() -> list[Any]:
            return await waits(poller(settings(server.server_port, requests_per_second=FAST)), ["a", "refused", "b"])

        results = run(work)
    assert [type(result) for result in results] == [TaskStatus, ApiError, TaskStatus]


def test_a_listener_that_fails_ends_its_own_wait_alone(emulator: MpsEmulator) -> None:
    def listener(status: TaskStatus, seconds: float) -> None:
        raise LookupError(status.word)

    async def work() -> list[Any]:
        found = poller(settings(emulator.port, requests_per_second=FAST))
        task_ids = [emulator.add_task(wait_seconds=0.0, run_seconds=0.0) for _ in range(3)]
        good = asyncio.create_task(waits(found, task_ids[1:]))
        return await waits(found, task_ids[:1], on_change=listener) + await good

    assert [type(result) for result in run(work)] == [LookupError, TaskStatus, TaskStatus]


def test_an_account_whose_service_hangs_slows_no_other(emulator: MpsEmulator) -> None:
    reports: list[Report] = []
    with LoopbackServer(hang) as server:

        async def work() -> tuple[list[Any], bool]:
            hanging = poller(settings(server.server_port), reports.append)
            stuck = asyncio.create_task(waits(hanging, [f"t{n}" for n in range(30)]))
            await until(lambda: len(server.requests) == MAX_CONNECTIONS)
            task_ids = [emulator.add_task(wait_seconds=0.0, run_seconds=0.0) for _ in range(5)]
            statuses = await waits(poller(settings(emulator.port)), task_ids)
            waiting = not stuck.done()
            stuck.cancel()
            return statuses, waiting

        statuses, waiting = run(work)
    assert all(status.state is TaskState.DONE for status in statuses)
    assert waiting
    # No poll is sent that would spend its time waiting for a connection.
    assert [report.polls for report in reports] == [MAX_CONNECTIONS]


@pytest.mark.parametrize(
    ("hanging", "hang_at_most"),
    [([MEDIA], MAX_CONNECTIONS // 2), ([MEDIA, AIGC_VIDEO], MAX_CONNECTIONS - 1)],
    ids=["one", "two"],
)
def test_actions_that_hang_leave_connections_to_the_others(hanging: list[TaskFamily], hang_at_most: int) -> None:
    names = {family.describe for family in hanging}
    polls: Counter[str] = Counter()

    def respond(handler: Handler) -> None:
        action = handler.received.headers["x-tc-action"]
        polls[action] += 1
        if action in names:
            hang(handler)
        handler.answer({"Response": {"Status": "RUN", "RequestId": "r"}})

    with LoopbackServer(respond) as server:

        async def work() -> None:
            found = poller(settings(server.server_port, requests_per_second=FAST))
            families = [*hanging, AIGC_AUDIO]  # the last in line
            waits = (found.wait(family, f"t{n}", poll_interval=0.01) for family in families for n in range(30))
            everyone = asyncio.gather(*waits, return_exceptions=True)
            await until(lambda: polls[AIGC_AUDIO.describe] >= 50)
            everyone.cancel()

        run(work)
        assert sum(polls[name] for name in names) == hang_at_most


def test_a_poller_that_breaks_leaves_nobody_waiting_and_the_next_one_works(
    emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = settings(emulator.port, requests_per_second=FAST)
    task_ids = [emulator.add_task(wait_seconds=0.0, run_seconds=0.0) for _ in range(3)]
    told: list[Any] = []

    def broken(pace: Pace, now: float) -> None:
        raise ZeroDivisionError

    async def work() -> tuple[list[Any], list[Any]]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context.get("exception")))
        with monkeypatch.context() as patch:
            patch.setattr(Pace, "leaves", broken)
            before = await waits(poller(account), task_ids)
        return before, await waits(poller(account), task_ids)

    before, after = run(work)
    assert [type(error) for error in before] == [RuntimeError] * 3
    assert [status.state for status in after] == [TaskState.DONE] * 3
    gc.collect()  # the broken poller's own exception is reported when its task is thrown away
    assert [type(error) for error in told] == [ZeroDivisionError]


def test_a_report_that_fails_ends_no_wait(emulator: MpsEmulator, caplog: pytest.LogCaptureFixture) -> None:
    def on_report(report: Report) -> None:
        raise ConnectionError("no metrics today")

    async def work() -> list[Any]:
        task_id = emulator.add_task(wait_seconds=0.0, run_seconds=0.2)
        return await waits(poller(settings(emulator.port), on_report), [task_id])

    with short_waits(report=0.05):
        (status,) = run(work)
    assert status.state is TaskState.DONE
    assert "could not report" in caplog.text


# What is said, and what is left.


def test_a_poller_logs_now_and_then_and_never_for_a_poll(
    emulator: MpsEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger=polling.__name__)

    async def work() -> None:
        everyone = asyncio.create_task(
            waits(poller(settings(emulator.port, requests_per_second=FAST)), never_done(emulator, 5))
        )
        await until(lambda: emulator.count(DESCRIBE) >= 100)
        if patience().report < 1:
            await until(lambda: bool(caplog.records))
        everyone.cancel()

    run(work)
    assert not caplog.records
    emulator.reset()
    with short_waits(report=0.3):
        run(work)
    lines = [record.getMessage() for record in caplog.records]
    assert lines
    assert "5 tasks waited for" in lines[0]
    assert len(lines) < emulator.count(DESCRIBE) / 10


def test_ten_thousand_that_join_and_leave_leave_nothing(emulator: MpsEmulator) -> None:
    (task_id,) = never_done(emulator, 1)
    account = settings(emulator.port, requests_per_second=FAST)

    async def join_and_leave(count: int) -> None:
        waiting = [
            asyncio.create_task(poller(account).wait(AIGC_AUDIO, task_id, poll_interval=60.0)) for _ in range(count)
        ]
        await asyncio.sleep(0)
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)

    async def work() -> tuple[int, int]:
        stays = asyncio.create_task(poller(account).wait(AIGC_AUDIO, task_id, poll_interval=60.0))
        await until(lambda: emulator.count(DESCRIBE) > 0)
        tracemalloc.start()
        for _ in range(20):
            await join_and_leave(500)
        gc.collect()
        taken = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, polling.__file__)])
        tracemalloc.stop()
        kept = sum(trace.size for trace in taken.statistics("filename"))
        tasks = len(asyncio.all_tasks())
        stays.cancel()
        return kept, tasks

    kept, tasks = run(work)
    assert kept < 200_000, "bytes; the waits that are gone had some millions"
    assert tasks == 3, "this one, the wait that stays and the poller"
    assert not open_connections(emulator.port)
