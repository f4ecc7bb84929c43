"""The one table of what can go wrong with a call: whether it may have run, and may be sent again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Repeat(Enum):
    """How often the same call may be sent again after a failure."""

    NEVER = "never"
    ONCE = "once"
    BACK_OFF = "backing off"


class Failure(Enum):
    """The kinds of failure, and what each means for the user's money and for a repeat of the call.

    Source: the error code pages of the MPS API reference, read for what they say about the call having run.

    :ivar meaning: in a message about a call that makes or changes something.
    :ivar of_read: in a message about a read, which makes nothing and costs nothing.
    :ivar advice: what to do, where the code itself has no hint.
    :ivar may_have_run: whether the call may have run, and a create may have made a paid task.
    :ivar read: how often a read may be sent again.
    :ivar create: how often a call may be that makes or changes something.
    """

    THROTTLED = (
        "MPS refused the call before it ran; nothing is billed",
        "MPS refuses further calls of this account for the moment",
        "Try again later, or make fewer calls at the same time",
        False,
        Repeat.BACK_OFF,
        Repeat.BACK_OFF,
    )
    NEVER_SENT = (
        "the call never left this machine; nothing is billed",
        "the call never left this machine",
        "Look at the network, the proxy and the endpoint, as this machine sees them; then try again",
        False,
        Repeat.BACK_OFF,
        Repeat.BACK_OFF,
    )
    STALE = (
        "MPS refused the signature's time or token; nothing is billed",
        "MPS refused the signature's time or token",
        "Look at this machine's clock and at the keys",
        False,
        Repeat.ONCE,
        Repeat.ONCE,
    )
    SERVER_TROUBLE = (
        "the call was sent and may have run",
        "there was no usable answer, which says nothing about the task",
        "Try again later; if it lasts, look at the network and the proxy",
        True,
        Repeat.BACK_OFF,
        Repeat.NEVER,
    )
    UNKNOWN = (
        "the service does not say whether the call ran",
        "there was no usable answer, which says nothing about the task",
        "Try again later; if it lasts, ask Tencent Cloud support",
        True,
        Repeat.BACK_OFF,
        Repeat.NEVER,
    )
    NOT_FOUND = (
        "MPS does not know the task",
        "MPS does not know the task, or not for this account, or not as a task of this kind",
        "Check the TaskId, and that the connection leads to the account, host and region that created it",
        False,
        Repeat.NEVER,
        Repeat.NEVER,
    )
    FINAL = (
        "the call did not run; nothing is billed, and a repeat would end the same way",
        "a repeat would end the same way",
        "Change what is named",
        False,
        Repeat.NEVER,
        Repeat.NEVER,
    )

    def __init__(
        self, meaning: str, of_read: str, advice: str, may_have_run: bool, read: Repeat, create: Repeat
    ) -> None:
        self.meaning = meaning
        self.of_read = of_read
        self.advice = advice
        self.may_have_run = may_have_run
        self.read = read
        self.create = create

    @property
    def retry_helps(self) -> bool:
        """Whether the same call, made again later, may get an answer."""
        return self.read is not Repeat.NEVER


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
# only its sub-codes; the longest match wins. A code has two parts at most: `classify` looks at no third.
CODES = {
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
        Failure.FINAL,
        About.KEYS,
        "Check the connection's login (SecretId), which was deleted, disabled or mistyped, and its site: intl and cn "
        "have keys of their own",
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
    "ResourceNotFound.TaskId": Code(Failure.NOT_FOUND, About.TASK),  # of QueryHunyuan3DTask, inside of a success
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
    found = (CODES.get(f"{first}.{rest.partition('.')[0]}") or CODES.get(f"{first}.")) if rest else None
    return found or CODES.get(first) or Code(Failure.UNKNOWN)


def is_read(action: str) -> bool:
    """Whether an action changes nothing, as its name says: such a call may be sent again at any time."""
    return action.startswith(("Describe", "List", "Get", "Query"))


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
TRACES = {
    "CreateAigcVideoTask": Trace("MPS bills the seconds that it made", _LOOK, _NOTE),
    "CreateAigcImageTask": Trace("MPS bills the images that it made", _LOOK, _NOTE),
    "CreateAigcAudioTask": Trace(
        "MPS bills music by the song",
        "that day's usage in the console",
        "Neither AIGC Task Management nor CloudAudit is known to list audio, and DescribeUsageData does not count it",
    ),
}
_SCENARIO = Trace(
    "see MPS's pricing page",
    "the answer of DescribeAigcTaskList",
    "It lists such tasks with their requests (RequestBody)",
)
SCENARIOS = ("CreateVideoRedrawTask", "CreateAiDramaTask", "CreateAiFissionTask", "CreateDocToVideoTask")
TRACES |= dict.fromkeys(SCENARIOS, _SCENARIO)
_OTHER_TRACE = Trace("see MPS's pricing page", "the console's task list", "CloudAudit records calls, too")


def trace_of(action: str) -> Trace:
    """What is known of a create of an action that is in doubt."""
    return TRACES.get(action, _OTHER_TRACE)
