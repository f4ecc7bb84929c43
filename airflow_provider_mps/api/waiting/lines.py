"""The lines of an event loop, one for each account, family and model: who waits in them, and what takes the room."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary

from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.tasks import TaskFamily
from airflow_provider_mps.api.waiting.line import Line, Waiting
from airflow_provider_mps.api.wire.settings import ClientSettings

OnPlace: TypeAlias = Callable[[int, int], None]


class _TimedLine:
    """A line on the clock of this event loop."""

    def __init__(self) -> None:
        self.line = Line(patience())
        self._let_out: dict[Waiting, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, ticket: float, *, waits: bool, stay: float, on_place: OnPlace) -> None:
        loop = asyncio.get_running_loop()
        age = max(0.0, time.time() - ticket)
        waiting = self.line.join(loop.time(), ticket, age=age, stay=stay, waits=waits)
        let_out = self._let_out[waiting] = loop.create_future()
        self.changed()
        try:
            while not let_out.done():
                on_place(self.line.place(waiting), len(self.line))
                report = patience().report  # spread, so that thousands that came together do not report together
                # wait(), for wait_for() would cancel the future.
                await asyncio.wait([let_out], timeout=report * random.uniform(0.8, 1.2))  # noqa: S311
        finally:
            del self._let_out[waiting]
            # Cancelled or not. One that was let out, and never comes back, is given up by the line in time.
            self.line.leave(waiting)
            self.changed()

    def changed(self) -> None:
        """Let out whom there may be room for, and see to it that this is called again when that may change."""
        loop = asyncio.get_running_loop()
        for waiting in self.line.due(loop.time()):
            if waiting in self._let_out:
                self._let_out[waiting].set_result(None)
        at = self.line.next_at()
        if self._timer:
            if self._timer.when() == at:
                return
            self._timer.cancel()
        self._timer = None if at == math.inf else loop.call_at(at, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self.changed()


_Key: TypeAlias = tuple[str, str, str]
_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[_Key, _TimedLine]] = WeakKeyDictionary()


def _lines_here() -> WeakValueDictionary[_Key, _TimedLine]:
    return _lines.setdefault(asyncio.get_running_loop(), WeakValueDictionary())


def _line(settings: ClientSettings, family: TaskFamily, model: str) -> _TimedLine:
    key = settings.account, family.kind, model
    lines = _lines_here()
    found = lines.get(key)
    if found is None:
        found = lines[key] = _TimedLine()
    return found


async def room(
    settings: ClientSettings,
    family: TaskFamily,
    model: str,
    ticket: float,
    *,
    waits: bool,
    stay: float,
    on_place: OnPlace,
) -> None:
    """Wait in line until there is likely to be room for another task of a model.

    :param model: as ``RequestShape.model_of`` names it.
    :param ticket: POSIX time at which MPS refused the create first: it names the create for as long as it waits.
    :param waits: whether the task, once it is created, will be waited for in this event loop.
    :param stay: for how many seconds it lets others by.
    :param on_place: is called with the place and how many wait, at once and then about once a minute.
    """
    await _line(settings, family, model).wait(ticket, waits=waits, stay=stay, on_place=on_place)


@contextmanager
def takes_room(settings: ClientSettings, family: TaskFamily, model: str, ticket: float | None) -> Iterator[None]:
    """While this is open, a task is waited for in this event loop; when it is left without an error, it has ended.

    :param model: as ``RequestShape.model_of`` names it; empty: not known, so that its end is a hint to all of its
        family.
    :param ticket: that of its create, if it waited for room.
    """
    if not model:
        yield
        for key, line in list(_lines_here().items()):
            if key[:2] == (settings.account, family.kind):
                line.line.hint()
                line.changed()
        return
    line = _line(settings, family, model)
    now = asyncio.get_running_loop().time
    line.line.accepted(now(), ticket)
    line.changed()
    try:
        yield
    except BaseException:
        # Ended by a user, a deadline or the end of the process: the task may go on, and still take its room.
        line.line.lost()
        line.changed()
        raise
    line.line.ended(now())
    line.changed()
