"""The errors: what happened, what it may have cost, what to do. Each can be copied, and pickled to another process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from airflow_provider_mps.api.codes import About, Failure, classify, is_read, trace_of
from airflow_provider_mps.api.digest import digest
from airflow_provider_mps.api.redaction import without_queries

_Error = TypeVar("_Error", bound="MpsError")

WAIT_AGAIN = "Wait for it again"


class MpsError(Exception):
    """Base of all errors of this package. An error has up to four parts, the most important first.

    :param what: what happened; the service's own reason comes before any id.
    :param cost: what it may have cost; None: what the class says. So are the next two.
    :param advice: what to do.
    :param details: what somebody needs who looks into it, such as ids.
    :param task_id: the TaskId that it is about; this and each other id is empty where there is none.
    :param action: the API's action, such as ``CreateAigcAudioTask``.
    :param code: the API's error code.
    :param request_id: the RequestId.
    :param conn_id: the id of the connection.
    :param field: the argument, or the connection's field, that cannot be used.
    """

    retry_helps = False
    """Whether the same, done again, may end well, and pays for nothing twice."""
    in_console: ClassVar[bool] = False
    """Whether MPS's console may show more about it."""
    cost = ""
    advice = ""
    details = ""

    def __init__(
        self,
        what: str = "",
        *,
        cost: str | None = None,
        advice: str | None = None,
        details: str | None = None,
        task_id: str = "",
        action: str = "",
        code: str = "",
        request_id: str = "",
        conn_id: str = "",
        field: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        for name, part in (("cost", cost), ("advice", advice), ("details", details)):
            if part is not None:
                setattr(self, name, part)
        self.task_id = task_id
        self.action = action
        self.code = code
        self.request_id = request_id
        self.conn_id = conn_id
        self.field = field

    def __str__(self) -> str:
        return sentences(self.what, self.cost, self.advice, self.details)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), self.args, vars(self))

    def of_class(self, kind: type[_Error]) -> _Error:
        """The same error as one of another class, below its own."""
        return _made(kind, self.args, vars(self))


class InvalidArgumentError(MpsError, ValueError):
    """Raise when an argument cannot be sent; the message names it. Nothing was sent."""

    cost = "Nothing was sent to MPS, and nothing is billed"
    advice = "Change that argument"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}", field=field)

    def __str__(self) -> str:
        return f"{self.what} (nothing was sent to MPS)"


class InvalidConnectionError(MpsError, ValueError):
    """Raise when the connection's settings cannot be used; the message names the field. Nothing was sent.

    :param problem: what is wrong with the field.
    """

    cost = "Nothing was sent to MPS, and nothing is billed"
    advice = "Change that field of the connection"

    def __init__(self, problem: str, *, field: str = "", conn_id: str = "") -> None:
        named = ", ".join(filter(None, (f"Connection {conn_id}" if conn_id else "", field)))
        super().__init__(f"{named}: {problem}" if named else problem, field=field, conn_id=conn_id)
        self.problem = problem

    def __str__(self) -> str:
        return self.what


class MissingConnectionError(InvalidConnectionError):
    """Raise when there is no connection of this id, or it cannot be read at the moment. Nothing was sent."""

    retry_helps = True

    def __init__(self, conn_id: str, problem: str, advice: str) -> None:
        super().__init__(problem, conn_id=conn_id)
        self.advice = advice


class RunningLoopError(MpsError):
    """Raise when a sync method is called where an event loop runs, which would stand still meanwhile.

    :param twin: the async method that does the same.
    """

    cost = "Nothing was sent to MPS, and nothing is billed"

    def __init__(self, twin: str) -> None:
        super().__init__(
            f"a sync method was called inside of a running event loop: await {twin} instead",
            advice=f"Await {twin} there",
        )


class CallError(MpsError):
    """Raise when a call of the API failed. ``failure`` says what that means.

    :param message: what happened, in plain words.
    :param failure: the kind of failure.
    :param action: the API's action, such as ``CreateAigcAudioTask``.
    :param code: the API's error code, if it answered with one.
    :param request_id: the RequestId, if the service gave one.
    """

    in_console = True
    kind: ClassVar[str] = "an error"
    """What happened, in a word or two, where there is no code."""

    def __init__(self, message: str, *, failure: Failure, action: str, code: str = "", request_id: str = "") -> None:
        known = classify(code)
        super().__init__(
            f"{action}: {message}",
            cost=_capital(failure.of_read if is_read(action) else failure.meaning),
            advice=(known.hint or failure.advice).format(action=action),
            details=sentences(known.more, f"RequestId {request_id}" if request_id else ""),
            action=action,
            code=code,
            request_id=request_id,
        )
        self.reason = message
        self.failure = failure
        self.retry_helps = failure.retry_helps

    @property
    def problem(self) -> str:
        """The code; where there is none, what happened in a word or two."""
        return self.code or self.kind

    def ends_wait(self, title: str, task_id: str, *, known: str = "", trouble: str = "") -> None:
        """Say which task this was about, and what becomes of it.

        :param title: the task's family.
        :param known: the state that it had when MPS last answered.
        :param trouble: how many polls failed, and for how long.
        """
        task, self.task_id = f"{title} task {task_id}", task_id
        if trouble:
            self.what = f"{trouble}: {self.action}: {self.reason}"
        if self.failure is Failure.NOT_FOUND:
            about = f"It is {task}{f', which was {known} before' if known else ''}; if it exists, it may be billed"
            self.details = sentences(about, self.details)
            return
        self.cost = f"{_capital(task)}{f', last known as {known},' if known else ''} goes on at MPS and may be billed"
        if self.retry_helps:
            self.details = sentences(classify(self.code).hint, self.details)
            self.advice = WAIT_AGAIN


class ApiError(CallError):
    """Raise when MPS answered with an error code."""

    @property
    def about(self) -> About:
        """What the error code speaks of."""
        return classify(self.code).about


class NoRoomError(ApiError):
    """Raise when MPS refused a create for now: too many tasks of its model run, or too many calls came in a second.

    Both have one code. Nothing was created, and nothing is billed; a repeat may be accepted.
    """

    @property
    def of_calls(self) -> bool:
        """Whether the message speaks of calls in a second: then a repeat a moment later helps.

        So do those of the gateway that is before all products (github.com/yxw007/vscode-translate-next/issues/20, and
        in Chinese github.com/SUSYUSTC/MathTranslate/issues/21). What MPS says of tasks is not known.
        """
        return any(words in self.reason for words in ("frequency limit", "频率上限"))


class TransportError(CallError):
    """Raise when no answer came: not connected, cut off, timed out."""

    in_console = False
    kind = "no answer"


class UnreadableAnswerError(CallError):
    """Raise when the answer is not a JSON object with ``Response``, is compressed, or is too large."""

    kind = "an unreadable answer"


class MissingTaskIdError(CallError):
    """Raise when MPS accepted a create and gave no TaskId."""

    kind = "no TaskId"


class CredentialError(CallError):
    """Raise when the credential's source gave none; the message names the source. Nothing was sent."""

    in_console = False
    kind = "no keys"


class AmbiguousCreateError(MpsError):
    """Raise when a create was sent and it is not known whether it ran: a paid task may exist.

    :param action: the API's action.
    :param params: the request as it was sent. The message has the names of its fields, the prompt's beginning and the
        digest.
    :param sent_at: when, as a POSIX time; 0: not known.
    :param cause: what went wrong, in a sentence.
    :param request_id: the RequestId, if the service gave one.
    :param code: the API's error code, if it answered with one.
    """

    in_console = True

    def __init__(
        self, action: str, params: dict[str, Any], sent_at: float, cause: str, request_id: str = "", code: str = ""
    ) -> None:
        at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(sent_at)) if sent_at else "a time that is not known"
        trace = trace_of(action)
        prompt = without_queries(params["Prompt"], _PROMPT_SHOWN) if params.get("Prompt") else ""
        super().__init__(
            f"{action} was sent, and it is not known whether it ran: {cause}",
            cost=f"A paid task may exist, so it is not sent again; {trace.cost}",
            advice=f"Look for it in {trace.look}, and create it again only if it is not there",
            details=sentences(
                trace.note,
                f"Tencent Cloud support can look up RequestId {request_id}" if request_id else "",
                f"It was sent at {at}",
                f"Fields sent: {', '.join(map(str, params)) or 'none'}"
                f"{f'; the prompt begins {prompt!r}' if prompt else ''}; digest {digest(action, params)}",
            ),
            action=action,
            code=code,
            request_id=request_id,
        )
        self.params = params
        self.sent_at = sent_at


class OtherAccountError(MpsError):
    """Raise when the task of an earlier try is not known under the connection's present keys, host or region."""


class NotRememberedError(MpsError):
    """Raise when a request is kept back: what it is about to pay for could not be remembered, or the task was ended."""

    retry_helps = True


class DuplicateSessionError(MpsError):
    """Raise when MPS has the task that a create asks for already, and which one it is could not be found out.

    :param session_id: the SessionId of both.
    :param problem: what ended the search for the task.
    :param retry_helps: whether a search later on may find it.
    """

    in_console = True
    cost = "An earlier sending of it arrived: it runs once and is billed once"
    advice = "Find it in the console, and wait for it"

    def __init__(self, action: str, session_id: str, problem: str, *, retry_helps: bool) -> None:
        super().__init__(
            f"{action}: MPS has this task already, and its TaskId could not be found out: {problem}",
            details="Sent again within three days, it creates no second task; it is looked for again. "
            f"SessionId {session_id}",
            action=action,
        )
        self.session_id = session_id
        self.retry_helps = retry_helps


class FirstTaskFailedError(MpsError):
    """Raise when MPS has the task that a create asks for, and it has failed: that SessionId makes no other one.

    :param reason: the service's own.
    """

    cost = "Nothing new was created"
    advice = "Give another SessionId to make a new one: each makes one task"

    def __init__(self, action: str, task_id: str, reason: str) -> None:
        super().__init__(
            f"{action}: MPS has this task already, and it has failed: {without_queries(reason)}",
            details=f"It is task {task_id}",
            action=action,
            task_id=task_id,
        )


class TaskFailedError(MpsError):
    """Raise when a task ended in failure at MPS; the message is the service's own."""

    retry_helps = True
    in_console = True
    advice = "Created again, it is a new task, and may be paid for"


class NoResultError(MpsError):
    """Raise when a task is DONE and MPS gives no URL for it. Asked again, it may; that creates no new task."""

    retry_helps = True
    in_console = True
    cost = "It may be billed"
    advice = "Ask for it again, which creates no new task"


class WaitTimeoutError(MpsError, TimeoutError):
    """Raise when a deadline passed while the task goes on at MPS."""

    retry_helps = True
    in_console = True
    cost = "It goes on at MPS and may be billed there"
    advice = WAIT_AGAIN


class InterruptedWaitError(MpsError):
    """Raise when what waits for a task, or for room, could not go on; a task goes on at MPS."""

    retry_helps = True
    in_console = True
    cost = "The task goes on at MPS and may be billed"
    advice = WAIT_AGAIN


class DownloadError(MpsError):
    """Raise when a file could not be downloaded whole, or could not be stored; nothing was put in its place."""

    cost = "Nothing was kept, and a download costs nothing at MPS"
    advice = "Download it again"

    def __init__(self, message: str, *, retry_helps: bool = True, advice: str | None = None) -> None:
        super().__init__(message, advice=advice)
        self.retry_helps = retry_helps


class ExpiredUrlError(MpsError):
    """Raise when a URL does not work, or no longer (HTTP 403, 404 or 410)."""

    retry_helps = True
    cost = "Nothing was kept, and a download costs nothing at MPS"
    advice = "While MPS knows the task, describing it gives a fresh URL at no cost"


def _made(kind: type[_Error], args: tuple[Any, ...], parts: Mapping[str, Any]) -> _Error:
    """An error made of what another one holds: a constructor's arguments cannot be derived from that."""
    error = kind.__new__(kind)
    error.args = args
    for name, part in parts.items():
        setattr(error, name, part)
    return error


def sentences(*parts: str) -> str:
    """Parts of a message, as far as there are any, as sentences."""
    whole = (part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part)
    return " ".join(part[0].upper() + part[1:] if number else part for number, part in enumerate(whole))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_PROMPT_SHOWN = 60
"""Characters of a prompt in a message."""
