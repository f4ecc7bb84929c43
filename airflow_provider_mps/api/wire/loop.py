"""An event loop in a thread of its own, for callers that are not async."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Executor, Future, wait
from typing import Any, Self, TypeVar, TypeVarTuple, cast

from airflow_provider_mps.api.errors import MpsError, RunningLoopError

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

_ENDING_SECONDS = 5.0
"""What is interrupted needs a moment to close its connections and to say whether it was sent."""

_HEARING_SECONDS = 0.5
"""A signal that comes in the instant before a thread begins to wait is handled only when that thread wakes up."""


class PrivateLoop:
    """Runs coroutines for a caller that is not async; to be closed by a ``with`` statement.

    The caller's thread only waits. An exception that a signal raises there, such as a time limit's, so
    never strikes inside of asyncio's own callbacks, which may log and swallow it. What it interrupts is cancelled.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_ENDING_SECONDS)
            self._loop = self._thread = None

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine to its end, and return what it returns or raise what it raises.

        :raises RunningLoopError: this thread runs an event loop itself.
        """
        if in_a_loop():
            coroutine.close()
            raise RunningLoopError(getattr(coroutine, "__qualname__", "its async twin"))
        outcome: Future[_T] = Future()
        running: list[asyncio.Task[None]] = []
        context = contextvars.copy_context()
        loop: asyncio.AbstractEventLoop | None = None

        async def run() -> None:
            try:
                outcome.set_result(await coroutine)
            except BaseException as error:
                outcome.set_exception(error)

        def begin(loop: asyncio.AbstractEventLoop) -> None:
            running.append(loop.create_task(run(), context=context))
            running[0].add_done_callback(never_began)

        def never_began(*_: object) -> None:
            """Settle what was cancelled before its first step; all else is settled already."""
            coroutine.close()
            outcome.cancel()

        def end() -> None:
            if running:
                running[0].cancel()
            else:
                never_began()

        # A signal may strike between any two of these steps.
        try:
            loop = self._started()
            loop.call_soon_threadsafe(begin, loop)
            while not outcome.done():
                wait((outcome,), _HEARING_SECONDS)
            return outcome.result()
        except BaseException as error:
            # Raised by the coroutine itself; anything else has a signal raised in this thread.
            if outcome.done() and outcome.exception() is error:
                raise
            if loop is None:
                coroutine.close()
                raise
            # The loop keeps the order: `begin`, if it was called at all, has filled `running` before.
            loop.call_soon_threadsafe(end)
            _wait_for_end(outcome, loop)
            ended = None
            with contextlib.suppress(TimeoutError, CancelledError):
                ended = outcome.exception(0)
            # It counts for more than the signal's error: it says whether a paid task may exist.
            if isinstance(ended, MpsError):
                raise ended from error
            raise

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            made: Future[asyncio.AbstractEventLoop] = Future()
            thread = threading.Thread(target=_serve, args=(made,), name="mps-calls", daemon=True)
            thread.start()
            self._thread, self._loop = thread, made.result()
        return self._loop


def _wait_for_end(outcome: Future[Any], loop: asyncio.AbstractEventLoop) -> None:
    """Wait for what was cancelled to end, as long as that may take.

    A memory that is written (``Sending.note``) keeps the loop from its turns, however slow its storage is: to give it
    up would leave a note of a create that was never sent. Such a time does not count.
    """
    left = _ENDING_SECONDS
    while not outcome.done() and left > 0:
        turn = threading.Event()
        loop.call_soon_threadsafe(turn.set)
        while not turn.wait(_HEARING_SECONDS):
            pass
        began = time.monotonic()
        wait((outcome,), min(left, _HEARING_SECONDS))
        left -= min(time.monotonic() - began, _HEARING_SECONDS)


class _Loop(asyncio.SelectorEventLoop):
    """Gives what blocks to daemon threads: a name look-up that hangs would hold up the end of asyncio's own."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Args], _T], *args: *_Args
    ) -> asyncio.Future[_T]:
        return super().run_in_executor(executor, func, *args) if executor else in_daemon_thread(lambda: func(*args))


def in_daemon_thread(function: Callable[[], _T]) -> asyncio.Future[_T]:
    """Run a blocking function in a thread whose end nobody waits for, the end of the process included."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(value: _T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast("_T", value))

    def work() -> None:
        value, raised = None, None
        try:
            value = function()
        except BaseException as error:
            raised = error
        with contextlib.suppress(RuntimeError):  # the loop ended before the answer came
            loop.call_soon_threadsafe(settle, value, raised)

    threading.Thread(target=contextvars.copy_context().run, args=(work,), name="mps-blocking", daemon=True).start()
    return future


def in_a_loop() -> bool:
    """Whether this thread runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _serve(made: Future[asyncio.AbstractEventLoop]) -> None:
    loop = _Loop()
    made.set_result(loop)
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
