"""The loop that sync callers use: no signal is lost in it, and nothing that blocks holds up its end."""

import asyncio
import gc
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from airflow_provider_mps.api.codes import Failure
from airflow_provider_mps.api.errors import AmbiguousCreateError, TransportError
from airflow_provider_mps.api.wire.client import MpsClient
from airflow_provider_mps.api.wire.loop import PrivateLoop
from airflow_provider_mps.emulator import MpsEmulator
from tests.api.conftest import settings
from tests.doubles.emulators import CREATE, DESCRIBE
from tests.doubles.in_time import ends

ALARMS = 150


class Alarm(BaseException):
    """What the test's signal raises, as Airflow's execution_timeout does."""


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    """Raise :class:`Alarm` in this thread after so many seconds; 0: not at all."""

    def strike(*_: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, strike)
    gc.disable()  # what is raised in a callback of the collector, such as hypothesis has, is lost
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    gc.enable()
    signal.signal(signal.SIGALRM, before)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # where it strikes before the call begins
def test_each_alarm_ends_a_call_as_itself_or_in_doubt(emulator: MpsEmulator, alarm: Callable[[float], None]) -> None:
    chance = random.Random(7)
    emulator.fault("hang_after", CREATE, times=None)  # no call ends by itself
    reported: list[dict[str, Any]] = []
    ended: list[BaseException] = []

    def create() -> None:
        with MpsClient(settings(emulator.port)) as client:
            client.run(_noting(client.create(CREATE, {"Prompt": "rain"}), reported))

    for _ in range(ALARMS):
        try:
            alarm(chance.uniform(0.0001, 0.03))
            create()
        except BaseException as error:
            ended.append(error)
    assert len(ended) == ALARMS
    gc.collect()
    assert {type(error) for error in ended} == {Alarm, AmbiguousCreateError}
    assert not [error for error in ended if "no answer within" in str(error)], "one was not heard in time"
    assert reported == []


async def _noting(call: Any, reported: list[dict[str, Any]]) -> Any:
    """A call whose event loop is watched for exceptions that it would log and swallow."""
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    return await call


def test_what_an_alarm_interrupts_is_cancelled(alarm: Callable[[float], None]) -> None:
    cancelled = threading.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with PrivateLoop() as loop:
        alarm(0.05)
        with pytest.raises(Alarm):
            loop.run(work())
        assert cancelled.is_set()


def test_what_is_cancelled_before_its_first_step_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    began = False

    async def work() -> None:
        nonlocal began
        began = True

    def interrupted() -> None:
        with PrivateLoop() as loop:
            loop.run(asyncio.sleep(0))
            inner: Any = loop._loop
            create_task = inner.create_task

            def cancelled(coroutine: Any, **options: Any) -> Any:
                monkeypatch.setattr(inner, "create_task", create_task)
                task = create_task(coroutine, **options)
                task.cancel()
                return task

            monkeypatch.setattr(inner, "create_task", cancelled)
            loop.run(work())

    with pytest.raises(CancelledError):
        ends(interrupted)
    assert not began


def test_an_alarm_before_the_work_began_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    began = False

    async def work() -> None:
        nonlocal began
        began = True

    with PrivateLoop() as loop:
        loop.run(asyncio.sleep(0))
        inner: Any = loop._loop
        call_soon = inner.call_soon_threadsafe

        def struck(*arguments: Any) -> Any:
            monkeypatch.setattr(inner, "call_soon_threadsafe", call_soon)
            raise Alarm

        monkeypatch.setattr(inner, "call_soon_threadsafe", struck)
        with pytest.raises(Alarm):
            loop.run(work())
        loop.run(asyncio.sleep(0))
    assert not began


@pytest.mark.usefixtures("endless_names")
def test_a_name_server_that_hangs_keeps_no_call_beyond_its_time() -> None:
    def call() -> None:
        with MpsClient(settings(443, host="mps.example", scheme="https", timeout=0.5)) as client:
            client.run(client.attempt(CREATE, {"Prompt": "rain"}))

    with pytest.raises(TransportError, match=r"no answer within 0\.5 s") as failed:
        ends(call)
    assert failed.value.failure.may_have_run  # nobody watched whether it was sent


@pytest.mark.usefixtures("endless_names")
def test_a_name_server_that_hangs_keeps_no_read_beyond_its_time() -> None:
    def call() -> None:
        with MpsClient(settings(443, host="mps.example", scheme="https")) as client:
            client.call(DESCRIBE, {"TaskId": "one"}, within=0.5)

    with pytest.raises(TransportError, match=r"no answer within 0\.5 s"):
        ends(call)


@pytest.mark.usefixtures("endless_names")
def test_a_name_server_that_hangs_keeps_no_create_beyond_its_deadline() -> None:
    def call() -> None:
        with MpsClient(settings(443, host="mps.example", scheme="https"), until=time.time() + 0.5) as client:
            client.run(client.create(CREATE, {"Prompt": "rain"}))

    with pytest.raises(TransportError) as failed:
        ends(call)
    assert failed.value.failure is Failure.NEVER_SENT
