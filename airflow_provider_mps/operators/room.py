"""Creates that MPS refuses for want of room: they wait in line, in the triggerer or here, and cost nothing."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Never

from airflow_provider_mps.api.errors import AmbiguousCreateError, CallError, Failure, NoRoomError
from airflow_provider_mps.api.patience import patience
from airflow_provider_mps.api.requests import seconds
from airflow_provider_mps.api.trouble import in_words
from airflow_provider_mps.compat import AirflowTaskTimeout
from airflow_provider_mps.telling import tell
from airflow_provider_mps.triggers.room import MpsRoomTrigger
from airflow_provider_mps.waiting import InterruptedWaitError, WaitsForTask, airflows_timeout

if TYPE_CHECKING:
    from airflow_provider_mps.api.requests import RequestShape
    from airflow_provider_mps.hooks.mps import MpsHook
    from airflow_provider_mps.operators.memory import Memory

_REPORT_SECONDS = 60.0
_HEARING_SECONDS = 1.0
"""How soon a kill ends the wait here: Airflow's signal handler only calls ``on_kill``, and the code goes on."""


@dataclass
class Turn:
    """A create's place among those that wait for room, over all trips of a try to the triggerer and back.

    :param began: POSIX time at which the try began.
    :param ticket: POSIX time of the first refusal; None: it was not refused yet.
    :param over: whether the triggerer says that there was no room in time.
    :param told: whether the log says already that it waits.
    :param in_doubt: whether an earlier create was sent of which no answer is known.
    """

    began: float
    ticket: float | None = None
    over: bool = False
    told: bool = False
    in_doubt: bool = False

    @property
    def cost(self) -> str:
        """What the waiting costs."""
        if self.in_doubt:
            return "An earlier sending may have run and be billed"
        return "Nothing was created, and nothing is billed"

    @property
    def waited(self) -> float:
        """For how many seconds it has waited for room."""
        return 0.0 if self.ticket is None else max(0.0, time.time() - self.ticket)


class WaitsForRoom(WaitsForTask):
    """An operator whose create may be refused because too many tasks of its model run."""

    request: ClassVar[RequestShape]
    deferrable: bool
    wait_for_completion: bool
    retry_ambiguous_create: bool
    room_timeout: float | timedelta | None
    _turn: Turn | None = None
    _killed = False

    def check_wait(self, *flags: str) -> None:
        """Check ``room_timeout``, too."""
        super().check_wait(*flags)
        if self.room_timeout is not None:
            seconds("room_timeout", self.room_timeout)

    def turn_after(self, event: Mapping[str, Any] | None) -> Turn:
        """The place of a create for which the triggerer's wait is over.

        :raises InterruptedWaitError: the triggerer could not wait.
        """
        given = event if isinstance(event, dict) else {}
        try:
            turn = Turn(float(given["began"]), float(given["ticket"]), given["status"] == "timeout", told=True)
        except (KeyError, TypeError, ValueError):
            raise InterruptedWaitError(f"The trigger's event names no place in line: {sorted(given)}") from None
        if given["status"] == "error":
            raise InterruptedWaitError(
                f"The triggerer stopped waiting for room: {given.get('message')}",
                cost=turn.cost,
                advice="A retry of this Airflow task waits anew",
            )
        return turn

    def submit(self, hook: MpsHook, memory: Memory, params: dict[str, Any], turn: Turn) -> None:
        """Create the task; while MPS refuses it for want of room, wait: in the triggerer, or here.

        :raises NoRoomError: there was no room in time.
        """
        self._turn = turn
        pause, report_at = patience().room_backoff, 0.0
        while True:
            turn.in_doubt = memory.in_doubt
            if turn.over or self._is_late(turn):
                self._give_up(turn)
            try:
                hook.create(
                    self.request,
                    params,
                    next_session=not getattr(self, "session_id", None),
                    notes=memory,
                    until=self.execution_ends_at(turn),
                    in_line=True,
                )
            except AmbiguousCreateError as error:
                error.retry_helps = self.retry_ambiguous_create
                raise
            except NoRoomError as error:
                refusal, turn.in_doubt = error, memory.in_doubt
            except CallError as error:
                if error.failure is Failure.NEVER_SENT and self._is_late(turn):
                    self._give_up(turn)
                raise
            else:
                self._turn = None
                if turn.told:
                    self.log.info("There was room after %s.", in_words(turn.waited))
                return
            now = time.time()
            if turn.ticket is None:
                turn.ticket = now
                if refusal.of_calls:
                    self._pause(turn, patience().backoff * random.uniform(2, 3))  # noqa: S311
                    continue
            if not turn.told:
                turn.told = True
                self.log.warning(
                    "No room yet: %s; sent again when there may be room. %s (%s).",
                    refusal.problem,
                    turn.cost,
                    refusal.what,
                )
            if self._is_late(turn):
                self._give_up(turn)
            if self.deferrable:
                self._defer_for_room(turn, turn.ticket, self.request.model_of(params))
            if now >= report_at:
                report_at = now + _REPORT_SECONDS
                self.log.info(
                    "Waiting for room for %s, on a worker; with deferrable=True, none would be held.",
                    in_words(turn.waited),
                )
            self._pause(turn, random.uniform(pause / 2, pause))  # noqa: S311
            pause = min(1.5 * pause, patience().room_backoff_limit)

    def end_waiting_for_room(self) -> None:
        """The Airflow task is killed: say what that costs, if it waits for room, and wait no longer."""
        self._killed = True
        if self._turn and self._turn.ticket is not None:
            self.log.warning("No longer waiting for room. %s.", self._turn.cost)

    def execution_ends_at(self, turn: Turn) -> float | None:
        """When ``execution_timeout`` is over, as a POSIX time. Airflow itself does not keep it while it is deferred."""
        limit = self.execution_timeout
        return turn.began + seconds("execution_timeout", limit) if limit else None

    def _limits(self, turn: Turn) -> dict[str, float]:
        """What ends the wait for room, and at which POSIX time."""
        limits = {"execution_timeout": self.execution_ends_at(turn)}
        if self.room_timeout is not None and turn.ticket is not None:
            limits["room_timeout"] = turn.ticket + seconds("room_timeout", self.room_timeout)
        return {name: at for name, at in limits.items() if at is not None}

    def _is_late(self, turn: Turn) -> bool:
        """Whether it has waited for room for as long as it may."""
        return turn.ticket is not None and time.time() >= min(self._limits(turn).values(), default=math.inf)

    def _defer_for_room(self, turn: Turn, ticket: float, model: str) -> None:
        deadline = min(self._limits(turn).values(), default=None)
        self.defer(
            trigger=MpsRoomTrigger(
                kind=self.family.kind,
                model=model,
                mps_conn_id=self.mps_conn_id,
                ticket=ticket,
                began=turn.began,
                waits=self.wait_for_completion,
                deadline=deadline,
            ),
            method_name="execute_in_turn",
            timeout=airflows_timeout(deadline),
        )

    def _pause(self, turn: Turn, pause: float) -> None:
        """Wait here, within the limits."""
        until = min([time.time() + pause, *self._limits(turn).values()])
        try:
            while (left := until - time.time()) > 0 and not self._killed:
                time.sleep(min(left, _HEARING_SECONDS))
        except AirflowTaskTimeout as error:
            late = self._no_room(turn)
            tell(self, late)
            raise AirflowTaskTimeout(f"execution_timeout: {late}") from error
        if self._killed:
            raise self._no_room(turn, "the Airflow task was ended")

    def _give_up(self, turn: Turn) -> Never:
        limits = self._limits(turn)
        raise self._no_room(turn, min(limits, key=lambda name: limits[name], default="the wait was ended"))

    def _no_room(self, turn: Turn, ended_by: str = "") -> NoRoomError:
        error = NoRoomError(
            f"no room for {in_words(turn.waited)}{f' ({ended_by})' if ended_by else ''}",
            failure=Failure.THROTTLED,
            action=self.request.action,
        )
        error.cost = turn.cost
        error.advice = "A retry of this Airflow task waits anew; an Airflow pool keeps a batch within the room"
        return error
