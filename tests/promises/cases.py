"""Cases: a fault, what it strikes, and a way to wait; generated from what the emulator and the package have."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_mps.emulator import FaultKind
from tests.doubles.emulators import emulated
from tests.doubles.task_instances import Outcome
from tests.doubles.ways import WAITINGS, Waiting

TRIES = 2
AT_ONCE = 16
"""Cases to play at the same time, each with an emulator of its own: nearly all of their time is waiting."""

THROTTLED = "RequestLimitExceeded"
STALE = "AuthFailure.SignatureExpire"
FINAL = "InvalidParameter.ViolationContent"
CODES = (THROTTLED, STALE, FINAL, "InternalError", "FailedOperation.CreateAIGCTaskFailed", "NobodyKnows.This")
"""One code, or more, of each class in the API's list of error codes."""

NEVER_ANSWER = {FaultKind.HANG, FaultKind.HANG_AFTER, FaultKind.DRIP, FaultKind.DRIP_HEADERS}


@dataclass(frozen=True)
class Case:
    """A fault that strikes one action of one way to wait."""

    waiting: Waiting
    action: str
    kind: FaultKind
    code: str = ""
    forever: bool = False

    def __str__(self) -> str:
        fault = f"{self.kind}({self.code})" if self.code else self.kind
        return f"{self.waiting}-{self.action}-{fault}{'-forever' if self.forever else ''}"

    @property
    def strikes_create(self) -> bool:
        return self.action != self.waiting.describe


def cases() -> Iterator[Case]:
    """Whatever the emulator can do wrong, to whatever the package can wait with."""
    for waiting in WAITINGS:
        for action in (waiting.create, waiting.describe) if waiting.way.creates else (waiting.describe,):
            for kind in filter(lambda kind: kind.applies_to(action), FaultKind):
                codes = {FaultKind.ERROR: CODES, FaultKind.ERROR_AFTER: ("InternalError",)}.get(kind, ("",))
                for code in codes:
                    case = Case(waiting, action, kind, code)
                    yield case
                    yield replace(case, forever=True)


def of_each_fault() -> Iterator[Case]:
    """Of these, what proves that faults reach the decision and that it is carried out.

    Each fault strikes creates without a SessionId and with one, and polls of operators and of sensors: once with the
    one, for good with the other, and over the classes and ways to wait in turn. What follows from a fault is decided by
    a pure function, each of whose states is walked elsewhere (``tests/api/test_paid_once.py``).
    """
    alike: dict[tuple[FaultKind, str, bool], list[Case]] = {}
    for case in cases():
        alike.setdefault((case.kind, case.code, case.strikes_create), []).append(case)
    for turn, struck in enumerate(alike.values()):
        for other in (False, True):
            chosen = [
                case
                for case in struck
                if (case.waiting.repeatable if case.strikes_create else case.waiting.way.creates) is other
                and case.forever is bool((turn + other) % 2)
            ]
            yield chosen[turn % len(chosen)]


@dataclass
class Played:
    """A case that was played to its end.

    :ivar tasks: the TaskIds that the emulator has made for it; a sensor's own task is not among them.
    :ivar described: the TaskIds that were polled.
    """

    outcome: Outcome
    tasks: set[str]
    described: set[str]


def play(case: Case, timeout: float, message: str = "", **arguments: Any) -> Played:
    """Play a case with an emulator of its own.

    :param timeout: seconds that a try may wait.
    :param message: what the service says of the fault.
    :param arguments: of the emulator.
    """
    conn_id = re.sub(r"\W", "_", f"mps_{case}")
    # Where no answer ever comes it may be given up soon. Elsewhere a slow machine must not look like a fault.
    with emulated(conn_id, timeout=2 if case.kind in NEVER_ANSWER else 30, **arguments) as emulator:
        instance = case.waiting.task_instance(emulator, conn_id, timeout=timeout, retries=TRIES - 1)
        others = {task.task_id for task in emulator.tasks}
        times = None if case.forever else 1
        emulator.fault(case.kind, case.action, times=times, code=case.code, seconds=0.2, message=message)
        outcome = instance.run()
        tasks = {task.task_id for task in emulator.tasks}
        requests = [request for request in emulator.requests if request.action == case.waiting.describe]
        return Played(outcome, tasks - others, {request.params["TaskId"] for request in requests} - others)
