"""MpsRoomTrigger: a create's wait for room, in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_mps.api.errors import MpsError
from airflow_provider_mps.api.tasks import family_named
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.triggers.base import OR_ANOTHER_GOES_ON, may_be_resumed, stay_of
from airflow_provider_mps.triggers.crowd import crowd
from airflow_provider_mps.triggers.events import RoomWaitEnded

_READING_AGAIN_SECONDS, _READINGS = 5.0, 10


class MpsRoomTrigger(BaseTrigger):
    """Waits in line until there is likely to be room for another task of a model; nothing is sent meanwhile.

    The event is ``{"status": "room" | "timeout" | "error", "ticket", "began", "message"}``, a
    :class:`~airflow_provider_mps.triggers.events.RoomWaitEnded`. The line is that of its account, family and model in
    this triggerer; several triggerers do not know of each other.

    :param kind: the family of the task to be created, such as ``aigc_audio``.
    :param model: whose room it takes.
    :param mps_conn_id: the Airflow connection.
    :param ticket: POSIX time of the first refusal: names the create for as long as it waits.
    :param began: POSIX time at which the Airflow task's try began; the event gives it back.
    :param waits: whether the task, once it is created, is waited for in a triggerer.
    :param deadline: POSIX time after which to give up, or None.
    :param stay: for how many seconds at least it stays (``triggers.base.least_stay``).
    """

    def __init__(
        self,
        kind: str,
        model: str,
        mps_conn_id: str,
        ticket: float,
        began: float,
        waits: bool,
        deadline: float | None = None,
        stay: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kind = kind
        self.model = model
        self.mps_conn_id = mps_conn_id
        self.ticket = ticket
        self.began = began
        self.waits = waits
        self.deadline = deadline
        self.stay = stay

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What Airflow makes the trigger anew from, in another triggerer."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "kind": self.kind,
                "model": self.model,
                "mps_conn_id": self.mps_conn_id,
                "ticket": self.ticket,
                "began": self.began,
                "waits": self.waits,
                "deadline": self.deadline,
                "stay": self.stay,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait in line."""
        with crowd.one_more():
            event = await self._in_line()
        yield event

    async def _in_line(self) -> TriggerEvent:
        began = time.monotonic()
        try:
            async with asyncio.timeout(None if self.deadline is None else max(0.0, self.deadline - time.time())):
                hook = MpsHook(self.mps_conn_id)
                await hook.aload_patiently(_READING_AGAIN_SECONDS, _READINGS)
                from airflow_provider_mps.api.waiting.lines import room

                await room(
                    hook.settings,
                    family_named("kind", self.kind),
                    self.model,
                    self.ticket,
                    waits=self.waits,
                    stay=stay_of(self),
                    on_place=self._log_place,
                )
        except TimeoutError:
            ended = "timeout", "there was no room in time"
        except MpsError as error:
            ended = "error", error.what
        except Exception as error:
            # What came unexpectedly may quote anything, so only its kind goes into the event.
            self.log.exception("Waiting for room failed")
            ended = "error", f"{type(error).__name__} in the triggerer; its log has the details"
        else:
            self.log.info("There may be room after %.0f s: a worker sends the create.", self._waited)
            ended = "room", "there may be room"
        # Outside of the deadline above: after a timeout or an error, too, a worker resumes the task.
        await may_be_resumed(self, began)
        status, message = ended
        return RoomWaitEnded(status, self.ticket, self.began, message).written()

    @property
    def _waited(self) -> float:
        return max(0.0, time.time() - self.ticket)

    def _log_place(self, place: int, of: int) -> None:
        self.log.info(
            "Waiting for room (%s) for %.0f s: place %d of %d in this triggerer. Waiting costs nothing.",
            self.model,
            self._waited,
            place,
            of,
        )

    async def on_kill(self) -> None:
        """Say that nothing is lost; Airflow calls this when a user ends or clears the task."""
        self.log.info(
            "No longer waiting for room: nothing was created at MPS, and nothing is billed. %s", OR_ANOTHER_GOES_ON
        )
