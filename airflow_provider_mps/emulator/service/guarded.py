"""The service as several threads may use it: what tests, the control API and the page see of it."""

from __future__ import annotations

import threading

from airflow_provider_mps.emulator.faults import Fault, FaultKind
from airflow_provider_mps.emulator.service.families import FAMILIES
from airflow_provider_mps.emulator.service.mps import Behaviour, MpsService, RecordedRequest
from airflow_provider_mps.emulator.service.tasks import EmulatedTask
from airflow_provider_mps.emulator.signature import OWN_ACCOUNT, Credential


class GuardedService:
    """A service, behind a lock."""

    def __init__(self, credential: Credential, behaviour: Behaviour) -> None:
        self.rules = behaviour.rules
        self._lock = threading.Lock()
        self._service = MpsService(credential, behaviour)

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request so far, in the order of arrival."""
        with self._lock:
            return list(self._service.requests)

    @property
    def tasks(self) -> list[EmulatedTask]:
        """Every task so far, in the order of creation."""
        with self._lock:
            return list(self._service.tasks.values())

    @property
    def refused_for_room(self) -> int:
        """How many creates were refused because ``running_tasks`` of their model ran already."""
        with self._lock:
            return self._service.refused_for_room

    @property
    def faults(self) -> list[Fault]:
        """The faults still to strike, in the order in which they were planned."""
        with self._lock:
            return list(self._service.faults)

    def count(self, action: str) -> int:
        """How many requests named ``action``; ``file`` counts the downloads."""
        return sum(request.action == action for request in self.requests)

    def fault(
        self,
        kind: str,
        action: str | None = None,
        *,
        times: int | None = 1,
        after: int = 0,
        seconds: float = 0.0,
        code: str = "",
        message: str = "",
    ) -> None:
        """Make coming requests go wrong; the arguments are the fields of :class:`Fault`.

        :raises ValueError: there is no such kind (the error lists them), or it cannot strike ``action``.
        """
        fault = Fault(FaultKind(kind), action, times, after, seconds, code, message)
        with self._lock:
            self._service.faults.add(fault)

    def clear_faults(self) -> None:
        """Let all coming requests go well; tasks that were struck stay as they are."""
        with self._lock:
            self._service.faults.clear()

    def add_task(
        self, kind: str = "aigc_audio", *, wait_seconds: float | None = None, run_seconds: float | None = None
    ) -> str:
        """Make a task without a request for it, and return its TaskId.

        :param kind: such as aigc_audio or media.
        :raises ValueError: there is no such kind.
        """
        families = [family for family in FAMILIES.values() if family.kind == kind]
        if not families:
            kinds = ", ".join(dict.fromkeys(family.kind for family in FAMILIES.values()))
            raise ValueError(f"kind must be one of {kinds}, not {kind!r}")
        with self._lock:
            return self._service.add_task(families[0], families[0].sample, wait_seconds, run_seconds).task_id

    def accept_credential(
        self, secret_id: str, secret_key: str, token: str = "", *, account: str = OWN_ACCOUNT
    ) -> None:
        """Accept a further credential.

        :param account: any name: tasks, limits and files belong to an account. Without one it is that of the
            emulator's own keys, as for a credential that a stand-in for STS gave out.
        """
        with self._lock:
            self._service.credentials[secret_id] = Credential(secret_id, secret_key, token, account)

    def reset(self) -> None:
        """Forget all requests, tasks and faults."""
        with self._lock:
            self._service.reset()
