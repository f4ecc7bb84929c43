"""What an earlier try means for the next one: the one decision by which no request is paid for twice. Pure: no I/O."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Any, ClassVar, NamedTuple

from airflow_provider_mps.api.codes import Failure

SESSION_SECONDS = 3 * 24 * 3600
"""For how long MPS makes no second task of a SessionId (SDK, EditMediaRequest)."""


class Stage(StrEnum):
    """How far the task of a request has got. The last two are said of what was read."""

    SENDING = "sending"
    """The create is sent, and no answer is known: a paid task may exist."""
    REPORTED = "reported"
    """As before, and an error has said so."""
    CREATED = "created"
    """The TaskId is known."""
    UNFOUND = "unfound"
    """MPS does not know the task under the account of today, which is another one, and an error has said so."""
    DONE = "done"
    """It ended well, or its TaskId was handed over; or an action without a TaskId of ours was answered."""
    FAILED = "failed"
    """It ended in FAIL."""
    UNREADABLE = "unreadable"
    """Something is there that cannot be read: it is broken, or a later version wrote it."""
    DISCARDED = "discarded"
    """Nothing is there, and a clear may have thrown away what was."""


class Again(Enum):
    """Why the request comes up again, after an earlier try."""

    RETRY = "a retry"
    """Nobody asked for it: the earlier try failed, or was lost."""
    CLEAR = "a clear"
    """A user wants it to run once more."""
    UNTOLD = "a retry or a clear"
    """It is not known which. It counts as a retry, for that never pays, and the log says so."""


class Seen(Enum):
    """What MPS answers about the task of an earlier try."""

    KNOWN = "knows it"
    FAILED = "it ended in FAIL"
    NOT_KNOWN = "does not know it"
    """It says so in each of several answers, for one may be wrong."""


class Request(NamedTuple):
    """What is asked for.

    :param repeatable: whether it has a SessionId, by which MPS makes no second task of a second sending.
    :param may_pay_twice: whether the user allowed that (``retry_ambiguous_create``).
    """

    repeatable: bool = False
    may_pay_twice: bool = False


class Earlier(NamedTuple):
    """What is remembered of an earlier try.

    :param stage: how far it got.
    :param again: why the request comes up again.
    :param task_id: the TaskId, once it is known.
    :param session_id: the SessionId that it was sent with, where it has one.
    :param response: what an action without a TaskId of ours answered.
    :param same_request: whether it is about the same request; else the arguments have changed since.
    :param same_account: whether the task was made under the account that is used now.
    :param refused: whether MPS has refused that sending since, which the memory does not say.
    :param session_holds: whether MPS still makes no second task of the SessionId that it was sent with.
    """

    stage: Stage
    again: Again
    task_id: str = ""
    session_id: str = ""
    response: dict[str, Any] | None = None
    same_request: bool = True
    same_account: bool = True
    refused: bool = False
    session_holds: bool = True


class Because(StrEnum):
    """Why a task is created although there was an earlier try."""

    FIRST = "first"
    """Nothing is remembered."""
    DISCARDED = "discarded"
    """A clear may have thrown away what was remembered: an earlier task may be under way and paid for."""
    OTHER_REQUEST = "other_request"
    """What is remembered belongs to another request."""
    SAME_SESSION = "same_session"
    """It is sent again under its SessionId, of which MPS makes one task."""
    REFUSED = "refused"
    """MPS has refused it."""
    REPORTED = "reported"
    """A paid task may exist; an error has said so, and a user cleared it after that."""
    ALLOWED = "allowed"
    """A paid task may exist, and the user allowed a second payment."""
    FAILED = "failed"
    """The earlier task ended in FAIL."""
    DELIVERED = "delivered"
    """The earlier task ended well or was handed over, and a user wants another one."""
    NOT_KNOWN = "not_known"
    """MPS no longer knows the earlier task."""


class Decision:
    """Base of what may follow; equal by class and attributes.

    Not dataclasses: those would take a tenth of the time in which this package is imported.

    :cvar outcome: its name in the metric ``mps.decision``.
    """

    outcome: ClassVar[str]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class _OfTask(Decision):
    """One about the earlier task.

    :param task_id: its TaskId.
    """

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id


class Create(Decision):
    """Create a task. It is paid for; ``because`` says why that is no second payment, or one that a user wants.

    :param because: why.
    :param session_id: the SessionId to send it under, where it is to be the earlier one's.
    :param after: the TaskId of a task that failed, from which a new SessionId follows.
    """

    outcome = "create"
    __match_args__ = ("because",)

    def __init__(self, because: Because, session_id: str = "", after: str = "") -> None:
        self.because = because
        self.session_id = session_id
        self.after = after


class AskAgain(_OfTask):
    """Ask MPS about the earlier task, and decide again by what it answers."""

    outcome = "ask_again"


class Adopt(_OfTask):
    """Go on with the earlier task, which MPS knows: no new one is made."""

    outcome = "adopt"


class Return(Decision):
    """Deliver once more what the earlier try got: it had ended, and what came after it failed. Nothing is paid.

    :param task_id: of a task that ended well or was handed over.
    :param response: or what an action answered.
    :param untold: whether it may have been a clear, by which a user wanted another one.
    """

    outcome = "return"

    def __init__(self, task_id: str = "", response: dict[str, Any] | None = None, untold: bool = False) -> None:
        self.task_id = task_id
        self.response = response
        self.untold = untold


class Doubt(Decision):
    """A paid task may exist, and it was not reported: raise AmbiguousCreateError, and note that it was reported.

    Only a clear after that creates anew.

    :param untold: whether it was reported, and this may be that clear, or a retry.
    """

    outcome = "doubt"

    def __init__(self, untold: bool = False) -> None:
        self.untold = untold


class Elsewhere(_OfTask):
    """The earlier task belongs to another account: raise OtherAccountError, and note that.

    Only a clear after that creates anew.
    """

    outcome = "elsewhere"


class Forget(Decision):
    """A sending that certainly did not run: the memory says again what it said before it."""

    outcome = "forget"


class Keep(Decision):
    """A sending that may have run, under a SessionId: the memory keeps it, and it is sent again, now or by a retry."""

    outcome = "keep"


def decide(earlier: Earlier | None, request: Request, seen: Seen | None = None) -> Decision:
    """What follows from an earlier try.

    :param earlier: what is remembered; None: nothing.
    :param request: what is asked for now.
    :param seen: what MPS answered when it was asked about the earlier task; None: it was not asked yet.
    """
    if earlier is None:
        return Create(Because.FIRST)
    stage, task_id = earlier.stage, earlier.task_id
    clear, untold = earlier.again is Again.CLEAR, earlier.again is Again.UNTOLD
    if stage is Stage.DISCARDED:
        return Create(Because.DISCARDED)
    if stage is Stage.UNREADABLE:
        return Create(Because.ALLOWED) if request.may_pay_twice else Doubt()
    if not earlier.same_request:
        return Create(Because.OTHER_REQUEST)
    if stage is Stage.FAILED:
        return Create(Because.FAILED, after="" if clear else task_id)
    if stage is Stage.DONE and clear:
        return Create(Because.DELIVERED)
    if stage is Stage.DONE and earlier.response is not None:
        return Return(response=earlier.response, untold=untold)
    if not task_id:
        return _in_doubt(earlier, request)
    if seen is None:
        return AskAgain(task_id)
    if seen is Seen.NOT_KNOWN:
        reported = stage is Stage.UNFOUND and clear
        return Create(Because.NOT_KNOWN) if earlier.same_account or reported else Elsewhere(task_id)
    if seen is Seen.FAILED and clear:
        return Create(Because.FAILED)
    return Return(task_id, untold=untold) if stage is Stage.DONE else Adopt(task_id)


def _in_doubt(earlier: Earlier, request: Request) -> Decision:
    """A sending of which no answer is known."""
    reported = earlier.stage is Stage.REPORTED
    if earlier.refused and not request.repeatable:  # else it may have been a repeat of one that is in doubt
        return Create(Because.REFUSED)
    # Another account would make a second task of it.
    if request.repeatable and earlier.same_account and earlier.session_holds:
        return Create(Because.SAME_SESSION, earlier.session_id)
    if reported and earlier.again is Again.CLEAR:
        return Create(Because.REPORTED)
    if request.may_pay_twice:
        return Create(Because.ALLOWED)
    return Doubt(untold=reported and earlier.again is Again.UNTOLD)


def after_failure(failure: Failure | None, request: Request, *, sent: bool, doubted: bool = False) -> Decision:
    """What follows from a sending that failed: Forget, Keep or Doubt.

    :param failure: what the failure means by the table of codes; None: whatever else came while it was under way.
    :param sent: whether the request may have left.
    :param doubted: whether an earlier sending may have run: a refusal of this one says nothing of it.
    """
    if not (failure.may_have_run if failure else sent):
        return Keep() if doubted else Forget()
    return Keep() if request.repeatable else Doubt()
