"""The faults that a test can plan, and the list of those still to come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum

from airflow_provider_mps.emulator.service.families import FAMILIES

FILE = "file"
"""Stands for an action's name where a fault strikes the download of a result."""

_MOST = 10**9


class Scope(Enum):
    """What a fault strikes."""

    CALL = "any API call"
    CREATE = "a call that makes a task"
    DESCRIBE = "a call that describes a task"
    TASK = "the task that a call makes"
    FILE = "the download of a result"


class FaultKind(StrEnum):
    """A way to go wrong.

    :ivar scope: what it strikes.
    :ivar processed: whether the request is carried out, so that a create makes a task.
    """

    scope: Scope
    processed: bool

    def __new__(cls, value: str, scope: Scope = Scope.CALL, processed: bool = False) -> FaultKind:
        """Make a member; the defaults serve a look-up by only the value: ``FaultKind("error")``."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.scope = scope
        member.processed = processed
        return member

    ERROR = "error", Scope.CALL, False
    """The API error ``code``."""
    ERROR_AFTER = "error_after", Scope.CALL, True
    """The API error ``code``, although the request was carried out."""
    HTTP_502 = "http_502", Scope.CALL, False
    """A gateway's HTML page."""
    HTTP_502_AFTER = "http_502_after", Scope.CALL, True
    CUT_BEFORE = "cut_before", Scope.CALL, False
    """The connection is closed without a byte."""
    CUT_AFTER = "cut_after", Scope.CALL, True
    CUT_MID = "cut_mid", Scope.CALL, True
    """Half of the body that Content-Length announces, then the connection is closed."""
    SLOW = "slow", Scope.CALL, True
    """The answer comes ``seconds`` late."""
    HANG = "hang", Scope.CALL, False
    """No answer until the client leaves."""
    HANG_AFTER = "hang_after", Scope.CALL, True
    DRIP = "drip", Scope.CALL, True
    """Headers at once, then a byte of the body now and then, without an end."""
    DRIP_HEADERS = "drip_headers", Scope.CALL, True
    """A byte of the headers now and then, without an end."""
    NOT_JSON = "not_json", Scope.CALL, True
    NOT_OBJECT = "not_object", Scope.CALL, True
    """JSON, but not an object with ``Response``."""
    WRONG_CONTENT_TYPE = "wrong_content_type", Scope.CALL, True
    """The right answer under the label text/html: nothing is wrong for a client."""
    GZIP = "gzip", Scope.CALL, True
    """The right answer, compressed, whatever Accept-Encoding says."""
    HUGE = "huge", Scope.CALL, True
    """An answer of 11 MiB."""
    REDIRECT = "redirect", Scope.CALL, False
    """307 to the address in ``message``, else to the emulator, which counts a request that follows."""
    CONTENT_REFUSED = "content_refused", Scope.CREATE, False
    """InvalidParameter.ViolationContent: the review refuses the content."""
    NO_TASK_ID = "no_task_id", Scope.CREATE, True
    """Accepted, but the answer lacks the TaskId."""
    REFUSED_INSIDE = "refused_inside", Scope.CREATE, False
    """The create is refused as a success: the Status FAIL, ``message``, and no TaskId, as of CloneViral."""
    UNKNOWN_STATUS = "unknown_status", Scope.DESCRIBE, True
    """Status is PAUSED, a word that the reference does not have."""
    DONE_WITHOUT_URL = "done_without_url", Scope.DESCRIBE, True
    """The task is done, but every list of results is null."""
    NOT_FOUND = "not_found", Scope.DESCRIBE, False
    """ResourceNotFound."""
    NEVER_DONE = "never_done", Scope.TASK, True
    """The task runs for ever."""
    FAIL = "fail", Scope.TASK, True
    """The task fails with ``message``."""
    URL_LATE = "url_late", Scope.TASK, True
    """The first answer that says DONE has null lists; from the second on the results are there."""
    FILE_CUT = "file_cut", Scope.FILE, False
    """Half of the bytes that Content-Length announces, then the connection is closed."""
    FILE_SHORT = "file_short", Scope.FILE, False
    """Half of the file, as if that were all of it."""
    FILE_SLOW = "file_slow", Scope.FILE, False
    """The download begins ``seconds`` late."""
    FILE_EXPIRED = "file_expired", Scope.FILE, False
    """403, as for a URL whose time is over."""

    @classmethod
    def _missing_(cls, value: object) -> FaultKind:
        raise ValueError(f"there is no fault of kind {value!r:.99}; there are: {', '.join(cls)}")

    def applies_to(self, action: str) -> bool:
        """Say whether this can strike ``action``: a name such as CreateAigcAudioTask, or ``file``."""
        match self.scope:
            case Scope.CALL:
                return action != FILE
            case Scope.CREATE | Scope.TASK:
                return action in FAMILIES
            case Scope.DESCRIBE:
                return action in {family.describe for family in FAMILIES.values()}
            case Scope.FILE:
                return action == FILE


@dataclass
class Fault:
    """A fault that waits for its requests.

    :ivar action: the action that it strikes; None: any to which the kind applies.
    :ivar times: how many requests it strikes; None: all to come.
    :ivar after: how many it lets pass first.
    :ivar seconds: the delay of the kinds ``slow`` and ``file_slow``.
    :ivar code: the API error code of the kinds ``error`` and ``error_after``.
    :ivar message: the error's message, the failed task's message, or the address of a redirect.
    """

    kind: FaultKind
    action: str | None = None
    times: int | None = 1
    after: int = 0
    seconds: float = 0.0
    code: str = ""
    message: str = ""

    def __post_init__(self) -> None:
        self.kind = FaultKind(self.kind)
        if self.action is not None and not self.kind.applies_to(self.action):
            raise ValueError(f"a fault of kind {self.kind} strikes {self.kind.scope.value}, not {self.action}")
        if self.kind in (FaultKind.ERROR, FaultKind.ERROR_AFTER) and not self.code:
            raise ValueError(f"a fault of kind {self.kind} needs the error's code")
        for name, least in (("times", 1), ("after", 0), ("seconds", 0)):
            number = getattr(self, name)
            if not (name == "times" and number is None) and not least <= number <= _MOST:
                raise ValueError(f"{name} must be from {least} to {_MOST:,}, not {number!r:.20}")


class FaultPlan:
    """The faults still to come, in the order in which they were planned."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def add(self, fault: Fault) -> None:
        """Plan a fault, after those that are planned already."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Forget all that is planned."""
        self._faults.clear()

    def take(self, action: str, *scopes: Scope) -> Fault | None:
        """Give the fault of one of ``scopes`` that strikes this request, if any, and count the request."""
        for fault in list(self._faults):
            if (
                fault.kind.scope not in scopes
                or fault.action not in (None, action)
                or not fault.kind.applies_to(action)
            ):
                continue
            if fault.after:
                fault.after -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
            return fault
        return None
