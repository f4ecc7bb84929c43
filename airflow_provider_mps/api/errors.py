"""What can go wrong with MPS, each kind saying whether the call may have run and may be sent again."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, ClassVar, Self

from airflow_provider_mps.api.redaction import digest, without_queries


class Repeat(Enum):
    """How often the same call may be sent again after a failure."""

    NEVER = "never"
    ONCE = "once"
    BACK_OFF = "backing off"


@dataclass(frozen=True)
class Rule:
    """What a kind of failure means for the user's money and for a repeat of the call.

    :param meaning: in a message about a call that makes or changes something.
    :param of_read: in a message about a read, which makes nothing and costs nothing.
    :param advice: what to do, where the code itself has no hint.
    """

    meaning: str
    of_read: str
    advice: str
    may_have_run: bool
    read: Repeat
    create: Repeat


class Failure(Enum):
    """The kinds of failure; the one table that clients, hooks, operators, sensors and triggers look up.

    Source: the error code pages of the MPS API reference, read for what they say about the call having run.
    """

    THROTTLED = Rule(
        "MPS refused the call before it ran; nothing is billed",
        "MPS refuses further calls of this account for the moment",
        "Try again later, or let fewer Airflow tasks call at the same time, by a pool",
        False,
        Repeat.BACK_OFF,
        Repeat.BACK_OFF,
    )
    NEVER_SENT = Rule(
        "the call never left this machine; nothing is billed",
        "the call never left this machine",
        "Look at the network, the proxy and the endpoint, as this machine sees them; then try again",
        False,
        Repeat.BACK_OFF,
        Repeat.BACK_OFF,
    )
    STALE = Rule(
        "MPS refused the signature's time or token; nothing is billed",
        "MPS refused the signature's time or token",
        "Look at this machine's clock and at the keys",
        False,
        Repeat.ONCE,
        Repeat.ONCE,
    )
    SERVER_TROUBLE = Rule(
        "the call was sent and may have run",
        "there was no usable answer, which says nothing about the task",
        "Try again later; if it lasts, look at the network and the proxy",
        True,
        Repeat.BACK_OFF,
        Repeat.NEVER,
    )
    UNKNOWN = Rule(
        "the service does not say whether the call ran",
        "there was no usable answer, which says nothing about the task",
        "Try again later; if it lasts, ask Tencent Cloud support",
        True,
        Repeat.BACK_OFF,
        Repeat.NEVER,
    )
    NOT_FOUND = Rule(
        "MPS does not know the task",
        "MPS does not know the task, or not for this account, or not as a task of this kind",
        "Check the TaskId, and that the connection leads to the account and region that created it",
        False,
        Repeat.NEVER,
        Repeat.NEVER,
    )
    FINAL = Rule(
        "the call did not run; nothing is billed, and a repeat would end the same way",
        "a repeat would end the same way",
        "Change what is named, and clear the Airflow task; Airflow does not retry this",
        False,
        Repeat.NEVER,
        Repeat.NEVER,
    )

    @property
    def may_have_run(self) -> bool:
        """Whether the call may have run, and a create may have made a paid task."""
        return self.value.may_have_run

    @property
    def retry_helps(self) -> bool:
        """Whether the same call, made again later, may get an answer."""
        return self.value.read is not Repeat.NEVER


class About(Enum):
    """What an error code speaks of, where somebody acts on that."""

    KEYS = "the keys"
    ACCOUNT = "what the account may do"
    FIELD_NAME = "a field that the service does not have"
    SESSION = "a SessionId that was used before"
    TASK = "a task"
    OTHER = "something else"


@dataclass(frozen=True)
class Code:
    """What an error code stands for.

    :param failure: what it means for money and for a repeat.
    :param about: what it speaks of.
    :param hint: what to do about it, in a short line; ``{action}`` stands for the action that was called.
    :param more: what else helps with that, in sentences.
    """

    failure: Failure
    about: About = About.OTHER
    hint: str = ""
    more: str = ""


# The CAM action follows from the action's name (MPS console, "Access management").
_ALLOW = "Have the CAM action mps:{action} allowed to these keys"
_PRESET = "The preset policy QcloudMPSFullAccess allows all of MPS"
# What MPS answers without that role is not documented: these codes are those that speak of the bucket or of rights.
_ROLE = "Storing in COS needs the service role MPS_QcsRole, which the MPS console creates and authorizes"
_ACTIVATE = "Activate MPS for this account in its console"
_SITE = "The connection's site must be that of the account"

# A code stands for its sub-codes too ("AuthFailure" for "AuthFailure.SecretIdNotFound"), one with a dot at its end for
# its sub-codes alone; the longest match wins. A code has two parts at most: `classify` looks at no third.
_CODES = {
    "RequestLimitExceeded": Code(Failure.THROTTLED),
    "LimitExceeded.CreateTask": Code(Failure.THROTTLED),
    "AuthFailure.SignatureExpire": Code(
        Failure.STALE, About.KEYS, "Set this machine's clock: MPS refuses one that is off by more than 300 s"
    ),
    "AuthFailure.TokenFailure": Code(
        Failure.STALE, About.KEYS, "The temporary keys have expired or their token is wrong: get new ones"
    ),
    "InternalError": Code(Failure.SERVER_TROUBLE),
    "ServiceUnavailable": Code(Failure.SERVER_TROUBLE),
    "ResourceInsufficient": Code(Failure.SERVER_TROUBLE),
    "ResourceUnavailable": Code(Failure.SERVER_TROUBLE),
    "FailedOperation.NetWorkError": Code(Failure.SERVER_TROUBLE),
    "FailedOperation.UserArrears": Code(
        Failure.FINAL,
        About.ACCOUNT,
        "The account is in arrears: top it up in the console's Billing Center",
    ),
    "FailedOperation.InvalidMpsUser": Code(Failure.FINAL, About.ACCOUNT, _ACTIVATE, _SITE),
    "FailedOperation.InvalidUser": Code(Failure.FINAL, About.ACCOUNT, _ACTIVATE, _SITE),
    "FailedOperation.CosStatusInavlid": Code(
        Failure.FINAL, About.ACCOUNT, "COS is suspended for this account: see its console", _ROLE
    ),
    "FailedOperation.TaskNotFound": Code(Failure.NOT_FOUND, About.TASK),
    "AuthFailure": Code(Failure.FINAL, About.KEYS),
    "AuthFailure.SecretIdNotFound": Code(
        Failure.FINAL, About.KEYS, "Check the connection's login (SecretId): it was deleted, disabled, or mistyped"
    ),
    "AuthFailure.SignatureFailure": Code(
        Failure.FINAL, About.KEYS, "Check the connection's password (SecretKey): it does not belong to the SecretId"
    ),
    "AuthFailure.UnauthorizedOperation": Code(Failure.FINAL, About.KEYS, _ALLOW, _PRESET),
    "UnauthorizedOperation": Code(Failure.FINAL, About.ACCOUNT, _ALLOW, f"{_PRESET}. {_ROLE}"),
    "InvalidParameter": Code(Failure.FINAL),
    "InvalidParameter.ViolationContent": Code(
        Failure.FINAL, About.OTHER, "MPS's review refused the prompt or a reference, and will again: change it"
    ),
    "InvalidParameterValue": Code(Failure.FINAL),
    # The SDK's list of error codes has this one for the field; that a repeat gets it is not documented.
    "InvalidParameterValue.SessionId": Code(Failure.FINAL, About.SESSION),
    "InvalidParameterValue.UserUnRegister": Code(Failure.FINAL, About.ACCOUNT, _ACTIVATE, _SITE),
    "InvalidRequest": Code(Failure.FINAL),
    "MissingParameter": Code(Failure.FINAL),
    "UnknownParameter": Code(Failure.FINAL, About.FIELD_NAME),
    "UnsupportedOperation": Code(Failure.FINAL),
    "UnsupportedProtocol": Code(Failure.FINAL),
    "UnsupportedRegion": Code(
        Failure.FINAL,
        About.ACCOUNT,
        "Leave the connection's region empty, or give one of its site",
        "The international site takes none of mainland China. The region of a COS bucket is another matter",
    ),
    "RequestSizeLimitExceeded": Code(Failure.FINAL),
    "InvalidAction": Code(Failure.FINAL, About.ACCOUNT),
    "ActionOffline": Code(Failure.FINAL, About.ACCOUNT),
    "NoSuchVersion": Code(Failure.FINAL, About.ACCOUNT),
    "NoSuchProduct": Code(Failure.FINAL, About.ACCOUNT),
    "LimitExceeded": Code(Failure.FINAL),
    "IpNotInWhitelist": Code(Failure.FINAL, About.ACCOUNT),
    "IpInBlacklist": Code(Failure.FINAL, About.ACCOUNT),
    "ResourceNotFound": Code(Failure.NOT_FOUND, About.TASK),
    "ResourceNotFound.TaskNotFound": Code(Failure.NOT_FOUND, About.TASK),
    # Each of the other sub-codes names what is missing, which is not a task: a template, a person, a bucket.
    "ResourceNotFound.": Code(Failure.FINAL),
    "ResourceNotFound.CosBucketNotExist": Code(
        Failure.FINAL, About.ACCOUNT, "Check the bucket's name and region", _ROLE
    ),
    "ResourceNotFound.CosBucketNameInvalid": Code(
        Failure.FINAL, About.ACCOUNT, "Check the bucket's name: it ends in the account's APPID"
    ),
    "ResourceNotFound.UserUnregister": Code(Failure.FINAL, About.ACCOUNT, _ACTIVATE, _SITE),
    "InvalidParameterValue.TaskId": Code(Failure.NOT_FOUND, About.TASK),
}


def classify(code: str) -> Code:
    """What an error code of the API stands for; unknown codes are in doubt."""
    first, _, rest = code.partition(".")
    found = (_CODES.get(f"{first}.{rest.partition('.')[0]}") or _CODES.get(f"{first}.")) if rest else None
    return found or _CODES.get(first) or Code(Failure.UNKNOWN)


def is_read(action: str) -> bool:
    """Whether an action changes nothing, as its name says: such a call may be sent again at any time."""
    return action.startswith(("Describe", "List", "Get"))


@dataclass(frozen=True)
class Trace:
    """What is known of a create that is in doubt: what it may have cost, and where a user can look for its task.

    :param note: what is known of these places.
    """

    cost: str
    look: str
    note: str


# Source of the costs: MPS's pricing pages; of where to look: the console, as it was seen in 2026-08.
_LOOK = "AIGC Task Management in the console"
_NOTE = "It lists TaskIds with their prompts; CloudAudit records the creates"
_TRACES = {
    "CreateAigcVideoTask": Trace("MPS bills the seconds that it made", _LOOK, _NOTE),
    "CreateAigcImageTask": Trace("MPS bills the images that it made", _LOOK, _NOTE),
    "CreateAigcAudioTask": Trace(
        "MPS bills music by the song",
        "that day's usage",
        "The MPS console and DescribeUsageData show the usage; neither AIGC Task Management nor CloudAudit is known to "
        "list audio",
    ),
}
_OTHER_TRACE = Trace("see MPS's pricing page", "the console's task list", "CloudAudit records calls, too")
_PROMPT_SHOWN = 60


class MpsError(Exception):
    """Base of all errors of this package. ``retry_helps`` says whether running the task again may help.

    An error has up to four parts, the most important first. Airflow's page shows about 100 characters of a line of
    log: where an Airflow task ends with an error, each of the first three is a line of its own.

    :param what: what happened; the service's own reason comes before any id.
    :param cost: what it may have cost.
    :param advice: what to do.
    :param details: what somebody needs who looks into it, such as ids.
    """

    retry_helps = False
    in_console: ClassVar[bool] = False
    """Whether MPS's console may show more about it."""
    cost = ""
    advice = ""
    details = ""

    def __init__(
        self, what: str = "", *, cost: str | None = None, advice: str | None = None, details: str | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        for name, part in (("cost", cost), ("advice", advice), ("details", details)):
            if part is not None:
                setattr(self, name, part)

    def __str__(self) -> str:
        return sentences(self.what, self.cost, self.advice, self.details)

    def written(self) -> str:
        """All of its parts, a line each, for :meth:`read` in another process."""
        return "\n".join((self.what, self.cost, self.advice, self.details))

    @classmethod
    def read(cls, written: str) -> Self:
        """The error that was written; where a text has fewer lines, the class says the rest."""
        what, *rest = written.split("\n")
        return cls(what, **dict(zip(("cost", "advice", "details"), rest, strict=False)))

    def lines(self, console: str = "") -> list[str]:
        """What happened, what it may have cost, what to do: those that there are, for a line of log each.

        :param console: the URL of the console's page, which is told where that may show more.
        """
        advice = f"{self.advice.removesuffix('.')}: {console}" if console and self.in_console else self.advice
        return [line for line in (self.what, self.cost, advice) if line]


def sentences(*parts: str) -> str:
    """Parts of a message, as far as there are any, as sentences."""
    whole = (part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part)
    return " ".join(part[0].upper() + part[1:] if number else part for number, part in enumerate(whole))


_NOT_SHOWN = re.compile(r"//[^/]*@|[?#;@=\s]|:(?!//)")


def shown(value: object) -> str:
    """What was given, for a message: its type, and the beginning of a text; no query, password or value of a key."""
    kind = type(value).__name__
    if isinstance(value, str):
        beginning = _NOT_SHOWN.split(value[:200])[0][:40]
        return f"{kind} {beginning!r}{'' if beginning == value else '...'}"
    if value is None or isinstance(value, (bool, float, timedelta)):
        return repr(value)
    if isinstance(value, int) and abs(value) < 10**18:  # Python refuses to write very large ones
        return repr(value)
    return kind


class InvalidArgumentError(MpsError, ValueError):
    """Raise when an argument cannot be sent; the message names it. Nothing was sent."""

    cost = "Nothing was sent to MPS, and nothing is billed."
    advice = "Change that argument and clear the Airflow task; Airflow does not retry this."

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"{argument}: {problem}")
        self.argument = argument

    def __str__(self) -> str:
        return f"{self.what} (nothing was sent to MPS)"


class InvalidConnectionError(MpsError, ValueError):
    """Raise when the connection's settings cannot be used; the message names the field. Nothing was sent."""

    cost = "Nothing was sent to MPS, and nothing is billed."
    advice = "Change that field of the Airflow connection and clear the Airflow task; Airflow does not retry this."

    def __str__(self) -> str:
        return self.what


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
        self.reason = message
        super().__init__(
            f"{action}: {message}",
            cost=_capital(failure.value.of_read if is_read(action) else failure.value.meaning),
            advice=(known.hint or failure.value.advice).format(action=action),
            details=sentences(known.more, f"RequestId {request_id}" if request_id else ""),
        )
        self.failure = failure
        self.action = action
        self.code = code
        self.request_id = request_id

    @property
    def retry_helps(self) -> bool:  # type: ignore[override]
        """Whether running the task again may help: as the kind of failure says."""
        return self.failure.retry_helps

    @property
    def problem(self) -> str:
        """The code; where there is none, what happened in a word or two."""
        return self.code or self.kind

    def ends_wait(self, task: str, *, known: str = "", trouble: str = "") -> None:
        """Say which task this was about, and what becomes of it.

        :param task: the task's family and TaskId.
        :param known: the state that it had when MPS last told it.
        :param trouble: how many polls failed, and for how long.
        """
        if trouble:
            self.what = f"{trouble}: {self.action}: {self.reason}"
        if self.failure is Failure.NOT_FOUND:
            about = f"It is {task}{f', which was {known} before' if known else ''}; if it exists, it may be billed"
            self.details = sentences(about, self.details)
            return
        self.cost = f"{_capital(task)}{f', last known as {known},' if known else ''} goes on at MPS and may be billed"
        if self.retry_helps:
            self.details = sentences(classify(self.code).hint, self.details)
            self.advice = "A retry of this Airflow task goes on waiting for it"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


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
    :param sent_at: when, as a POSIX time.
    :param cause: what went wrong, in a sentence.
    :param request_id: the RequestId, if the service gave one.
    """

    in_console = True

    def __init__(self, action: str, params: dict[str, Any], sent_at: float, cause: str, request_id: str = "") -> None:
        at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(sent_at))
        trace = _TRACES.get(action, _OTHER_TRACE)
        prompt = without_queries(params["Prompt"], _PROMPT_SHOWN) if params.get("Prompt") else ""
        support = f"Tencent Cloud support can look up RequestId {request_id}" if request_id else ""
        super().__init__(
            f"{action} was sent, and it is not known whether it ran: {cause}",
            cost=f"A paid task may exist, so it is not sent again; {trace.cost}",
            advice=f"Look for it in {trace.look}, then clear the Airflow task to send it anew",
            details=sentences(
                trace.note,
                support,
                f"It was sent at {at}",
                "A create operator sends it anew by itself, at the risk of paying twice, with "
                "retry_ambiguous_create=True",
                f"Fields sent: {', '.join(map(str, params)) or 'none'}"
                f"{f'; the prompt begins {prompt!r}' if prompt else ''}; digest {digest(action, params)}",
            ),
        )
        self.action = action
        self.params = params
        self.sent_at = sent_at
        self.request_id = request_id


class TaskFailedError(MpsError):
    """Raise when a task ended in failure at MPS; the message is the service's own."""

    retry_helps = True
    in_console = True
    advice = "A retry makes, and may pay for, a new task"


class NoResultError(MpsError):
    """Raise when a task is DONE and MPS gives no URL for it; a retry asks again, and creates no new task."""

    retry_helps = True
    in_console = True


class WaitTimeoutError(MpsError, TimeoutError):
    """Raise when a deadline passed while the task goes on at MPS; a retry goes on waiting for it."""

    retry_helps = True
    in_console = True
    cost = "It goes on at MPS and may be billed there"
    advice = "A retry of this Airflow task goes on waiting for it"


class DownloadError(MpsError):
    """Raise when a file could not be downloaded whole, or could not be stored; nothing was put in its place."""

    cost = "Nothing was kept, and a download costs nothing at MPS"

    def __init__(self, message: str, *, retry_helps: bool = True, advice: str | None = None) -> None:
        again = "A retry of the Airflow task downloads it again" if retry_helps else None
        super().__init__(message, advice=advice or again)
        self.retry_helps = retry_helps


class ExpiredUrlError(MpsError):
    """Raise when a URL no longer works (HTTP 403, 404 or 410)."""
