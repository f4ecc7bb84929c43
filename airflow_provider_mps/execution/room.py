"""Creates that MPS refuses for want of room: they wait in line, in the triggerer or here, and cost nothing."""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Never

from airflow_provider_mps.api.codes import Failure
from airflow_provider_mps.api.errors import CallError, InterruptedWaitError, NoRoomError
from airflow_provider_mps.api.failure_log import in_words
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.request.convert import seconds
from airflow_provider_mps.compat import AirflowTaskTimeout
from airflow_provider_mps.errors import airflows
from airflow_provider_mps.execution.reporting import tell
from airflow_provider_mps.execution.waiting import WaitsForTask, airflows_timeout
from airflow_provider_mps.triggers.base import least_stay
from airflow_provider_mps.triggers.events import RoomWaitEnded
from airflow_provider_mps.triggers.room import MpsRoomTrigger

if TYPE_CHECKING:
    from airflow_provider_mps.api.request.shape import RequestShape
    from airflow_provider_mps.execution.memory import Memory

_KILL_SEEN_SECONDS = 1.0
"""How soon a kill ends the wait here: Airflow's signal handler only calls ``on_kill``, and the code goes on."""


class RoomWait:
    """A create's wait for room, over all deferrals of a try.

    :param began: POSIX time at which the try began.
    :param ticket: POSIX time of the first refusal: since when it waits, and its name in line. None: not refused yet.
    :param over: whether the triggerer says that there was no room in time.
    :param said: whether the log says already that it waits.
    :ivar pause: seconds to the next attempt, of a wait on the worker.
    :ivar report_at: POSIX time from which the log may say again that it waits there.
    """

    def __init__(self, began: float, ticket: float | None = None, over: bool = False, said: bool = False) -> None:
        self.began = began
        self.ticket = ticket
        self.over = over
        self.said = said
        self.pause, self.report_at = patience().room_backoff, 0.0

    @property
    def waited(self) -> float:
        """For how many seconds it has waited for room."""
        return 0.0 if self.ticket is None else max(0.0, time.time() - self.ticket)


class WaitsForRoom(WaitsForTask):
    """An operator whose create may be refused because too many tasks of its model run."""

    request: RequestShape
    deferrable: bool
    wait_for_completion: bool
    room_timeout: float | timedelta | None
    _memory: Memory | None = None
    _room_wait: RoomWait | None = None
    _killed = False

    @property
    def _cost_of_room(self) -> str:
        """What the waiting costs."""
        if self._memory and self._memory.in_doubt:
            return "An earlier sending may have run and be billed"
        return "Nothing was created, and nothing is billed"

    def check_wait(self, *flags: str) -> None:
        """Check ``room_timeout``, too."""
        super().check_wait(*flags)
        if self.room_timeout is not None:
            seconds("room_timeout", self.room_timeout)

    def room_wait_after(self, event: Mapping[str, Any] | None) -> RoomWait:
        """That of a create whose wait in the triggerer is over.

        :raises InterruptedWaitError: the triggerer could not wait.
        """
        ended = RoomWaitEnded.read(event)
        wait = RoomWait(ended.began, ended.ticket, ended.status == "timeout", said=True)
        if ended.status == "error":
            raise InterruptedWaitError(
                f"The triggerer stopped waiting for room: {ended.message}",
                cost=self._cost_of_room,
                advice="A retry of this Airflow task waits anew",
            )
        return wait

    def check_room_wait(self, wait: RoomWait) -> None:
        """Make sure that there is time left for a create to be sent.

        :raises NoRoomError: it has waited for room for as long as it may.
        """
        self._room_wait = wait
        if wait.over or self._is_late(wait):
            self._give_up(wait)

    def wait_for_room(self, error: CallError, wait: RoomWait, model: str) -> None:
        """Wait until a create that failed is to be sent again: in the triggerer, or here.

        :param error: why it failed; what is no want of room is raised.
        :param model: whose room it wants.
        :raises NoRoomError: there was no room in time.
        """
        if not isinstance(error, NoRoomError):
            # The time was over before it left: that is the end of the wait, and no trouble of the network.
            if error.failure is Failure.NEVER_SENT and self._is_late(wait):
                self._give_up(wait)
            raise error
        now = time.time()
        if wait.ticket is None:
            wait.ticket = now
            # Too many calls a second, which says nothing about room: sent again a moment later, out of line.
            if error.of_calls:
                self._pause(wait, patience().backoff * random.uniform(2, 3))  # noqa: S311
                return
        if not wait.said:
            wait.said = True
            self.log.warning(
                "No room yet: %s; sent again when there may be room. %s (%s).",
                error.problem,
                self._cost_of_room,
                error.what,
            )
        if self._is_late(wait):
            self._give_up(wait)
        if self.deferrable:
            # Raises TaskDeferred: what follows is the wait on a worker.
            self._defer_for_room(wait, wait.ticket, model)
        if now >= wait.report_at:
            wait.report_at = now + patience().report
            self.log.info(
                "Waiting for room for %s, on a worker; with deferrable=True, none would be held.",
                in_words(wait.waited),
            )
        self._pause(wait, random.uniform(wait.pause / 2, wait.pause))  # noqa: S311
        wait.pause = min(1.5 * wait.pause, patience().room_backoff_limit)

    def had_room(self, wait: RoomWait) -> None:
        """The create was accepted."""
        self._room_wait = None
        if wait.said:
            self.log.info("There was room after %s.", in_words(wait.waited))

    def end_waiting_for_room(self) -> None:
        """The Airflow task is killed: say what that costs, if it waits for room, and wait no longer."""
        # Airflow calls on_kill at execution_timeout, too, while it handles that error: then a retry goes on.
        self._killed = not isinstance(sys.exception(), AirflowTaskTimeout)
        if self._room_wait and self._room_wait.ticket is not None:
            self.log.warning("No longer waiting for room. %s.", self._cost_of_room)

    def execution_ends_at(self, wait: RoomWait) -> float | None:
        """When ``execution_timeout`` is over, as a POSIX time. Airflow itself does not keep it while it is deferred."""
        limit = self.execution_timeout
        return wait.began + seconds("execution_timeout", limit) if limit else None

    def _limits(self, wait: RoomWait) -> dict[str, float]:
        """What ends the wait for room, and at which POSIX time."""
        limits = {"execution_timeout": self.execution_ends_at(wait)}
        if self.room_timeout is not None and wait.ticket is not None:
            limits["room_timeout"] = wait.ticket + seconds("room_timeout", self.room_timeout)
        return {name: at for name, at in limits.items() if at is not None}

    def _is_late(self, wait: RoomWait) -> bool:
        """Whether it has waited for room for as long as it may."""
        return wait.ticket is not None and time.time() >= min(self._limits(wait).values(), default=math.inf)

    def _defer_for_room(self, wait: RoomWait, ticket: float, model: str) -> None:
        deadline = min(self._limits(wait).values(), default=None)
        self.defer(
            trigger=MpsRoomTrigger(
                kind=self.family.kind,
                model=model,
                mps_conn_id=self.mps_conn_id,
                ticket=ticket,
                began=wait.began,
                waits=self.wait_for_completion,
                deadline=deadline,
                stay=least_stay(),
            ),
            method_name="execute_in_turn",
            timeout=airflows_timeout(deadline),
        )

    def _pause(self, wait: RoomWait, pause: float) -> None:
        """Wait here, within the limits."""
        until = min([time.time() + pause, *self._limits(wait).values()])
        try:
            while (left := until - time.time()) > 0 and not self._killed:
                time.sleep(min(left, _KILL_SEEN_SECONDS))
        except AirflowTaskTimeout as error:
            late = airflows(self._no_room(wait))
            tell(self, late)
            raise AirflowTaskTimeout(f"execution_timeout: {late}") from error
        if self._killed:
            raise self._no_room(wait, "the Airflow task was ended")

    def _give_up(self, wait: RoomWait) -> Never:
        limits = self._limits(wait)
        raise self._no_room(wait, min(limits, key=lambda name: limits[name], default="the wait was ended"))

    def _no_room(self, wait: RoomWait, ended_by: str = "") -> NoRoomError:
        error = NoRoomError(
            f"no room for {in_words(wait.waited)}{f' ({ended_by})' if ended_by else ''}",
            failure=Failure.THROTTLED,
            action=self.request.action,
        )
        error.cost = self._cost_of_room
        error.advice = "A retry of this Airflow task waits anew; an Airflow pool keeps a batch within the room"
        return error
