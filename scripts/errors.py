"""The tables of docs/errors.md, from the table of codes and from what ends a task: ``python -m scripts.errors``.

tests/promises/test_last_lines.py plays each ending, and counts the tries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_mps.api import codes
from airflow_provider_mps.api.codes import Failure, Repeat

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"


@dataclass(frozen=True)
class Ending:
    """What ends an Airflow task.

    :param says: words of its message; ``…`` stands for what differs.
    :param error: its class.
    :param retried: whether Airflow makes another try, where ``retries`` allows one.
    :param means: what happened.
    :param do: what to do.
    """

    says: str
    error: str
    retried: bool
    means: str
    do: str


ARGUMENT, CONNECTION, API, DOWNLOAD = "InvalidArgumentError", "InvalidConnectionError", "ApiError", "DownloadError"
_DOUBT = "[look for it](#a-create-that-is-in-doubt), then clear the task"

ENDINGS = {
    "Before anything is sent": [
        Ending(
            "… (nothing was sent to MPS)",
            ARGUMENT,
            False,
            "the argument that it begins with cannot be sent",
            'change that argument; look at "Rendered Template" for what the template made of it',
        ),
        Ending("Connection …: must be one of", CONNECTION, False, "a field of the connection", "change that field"),
        Ending(
            "Airflow has none of this id, or cannot read it",
            "MissingConnectionError",
            True,
            "there is no such connection, or Airflow's API server or a secrets backend did not answer",
            "make the connection, as the last line says",
        ),
        Ending(
            "must be printable ASCII without spaces; was a line break pasted with it?",
            CONNECTION,
            False,
            "a key, token or region with a line break or a special character",
            "paste it again, without the line break",
        ),
        Ending(
            "is empty or has spaces around it",
            CONNECTION,
            False,
            "SecretId or SecretKey is missing",
            "fill in login and password, or choose another `credential`",
        ),
        Ending(
            "plain http is only for loopback hosts",
            CONNECTION,
            False,
            "`schema` is http, and the host is not this machine",
            "leave `schema` empty",
        ),
        Ending(
            "the international site takes no calls for …",
            CONNECTION,
            False,
            "`region` is one of mainland China",
            "move it to `cos_region`, if it is the bucket's; set `site` to `cn`, if the account is of that site",
        ),
        Ending(
            "no CA bundle at …",
            CONNECTION,
            False,
            "the file that `verify` names is not there on this worker or triggerer",
            "install it there, too",
        ),
        Ending(
            "credential=… gave no keys: …",
            "CredentialError",
            True,
            "the source of the keys does not answer: STS, or the machine's metadata service",
            "read the rest; [where the keys come from](connection.md#where-the-keys-come-from)",
        ),
        Ending(
            "credential=… gave no keys: …",
            "CredentialError",
            False,
            "the source refuses, or is not set up: a variable or a file is missing",
            "set it up, and clear the task",
        ),
        Ending(
            "a sync method was called inside of a running event loop: await … instead",
            "RunningLoopError",
            False,
            "a method of the hook in an `async def`",
            "await the method that it names",
        ),
        Ending(
            "Airflow's task state store could not be written",
            "NotRememberedError",
            True,
            "Airflow's API server or database did not answer; nothing was sent",
            "look at those",
        ),
        Ending(
            "The memory folder … could not be",
            "NotRememberedError",
            True,
            "the folder that the connection's `memory` names could not be read or written; nothing was sent",
            "read the rest; [what the keys need](connection.md#a-memory-of-ones-own)",
        ),
        Ending(
            "there is no such storage here",
            CONNECTION,
            False,
            "what reads the folder that `memory` names is not installed on this worker",
            "for `cos://` install the extra `cos`, for `s3://` `apache-airflow-providers-amazon[s3fs]`",
        ),
    ],
    "About a create": [
        Ending(
            "it is not known whether it ran",
            "AmbiguousCreateError",
            False,
            "the create was sent, and no usable answer came: a paid task may exist",
            _DOUBT,
        ),
        Ending(
            "it is not known whether it ran",
            "AmbiguousCreateError",
            True,
            "the same, with `retry_ambiguous_create=True`: a retry may pay twice",
            "look at the bill",
        ),
        Ending(
            "it was created under another connection",
            "OtherAccountError",
            False,
            "the connection leads elsewhere than in the try before; no new task was created",
            "set it back and clear the task to go on with it; or clear it as it is, for a new one",
        ),
        Ending(
            "MPS has this task already, and its TaskId could not be found out",
            "DuplicateSessionError",
            True,
            "ProcessMedia or EditMedia got the same request before; MPS did not answer the search for its TaskId",
            "a retry searches again, and creates nothing new",
        ),
        Ending(
            "MPS has this task already, and its TaskId could not be found out",
            "DuplicateSessionError",
            False,
            "the same, and MPS refuses the search, or its tasks do not include it",
            "find it in the console's task list; wait for it with `MpsTaskSensor`",
        ),
        Ending(
            "MPS has this task already, and it has failed",
            "FirstTaskFailedError",
            False,
            "a `session_id` of your own was used for a task that failed",
            "give another one",
        ),
        Ending(
            "no room for …",
            "NoRoomError",
            True,
            "too many tasks of the model ran, until `room_timeout` or `execution_timeout` was over (with the hook and "
            "MpsApiOperator: for five minutes); it cost nothing",
            "a retry waits in line anew: [when an account is full](room.md)",
        ),
    ],
    "About a call": [
        Ending(
            "MPS refuses further calls of this account for the moment",
            API,
            True,
            "more calls a second than the account may make; others share it",
            "lower `requests_per_second`",
        ),
        Ending(
            "MPS refused the signature's time or token",
            API,
            True,
            "this machine's clock is off, or the token has expired",
            "set the clock; get a new token",
        ),
        Ending(
            "The call never left this machine",
            "TransportError",
            True,
            "no connection: DNS, firewall, proxy, TLS",
            "look at the network and `proxy`",
        ),
        Ending(
            "no answer within …", "TransportError", True, "a read timed out", "look at the network; raise `timeout`"
        ),
        Ending(
            "the answer is not a JSON object with Response",
            "UnreadableAnswerError",
            True,
            "a proxy's page, or a text that was cut off, as the answer to a read",
            "look at what is between Airflow and MPS",
        ),
        Ending(
            "the answer is compressed",
            "UnreadableAnswerError",
            True,
            "something between Airflow and MPS changes answers",
            "look at that proxy",
        ),
        Ending(
            "MPS does not know the task",
            API,
            False,
            "a wrong TaskId, another account's, one of another family, or one older than MPS keeps",
            "check the TaskId, and that the sensor fits the operator",
        ),
        Ending(
            "Have the CAM action … allowed to these keys",
            API,
            False,
            "the keys may not do this",
            "[allow that action](first-run.md#2-make-keys-and-allow-them-what-the-dag-calls)",
        ),
        Ending(
            "Activate MPS for this account in its console",
            API,
            False,
            "MPS is not activated, or `site` is the other one",
            "[activate it](first-run.md#1-activate-mps)",
        ),
        Ending(
            "MPS_QcsRole, which the MPS console creates and authorizes",
            API,
            False,
            "MPS may not write to the bucket",
            "[create the role](first-run.md#3-a-bucket-if-the-results-are-to-stay-in-cos)",
        ),
        Ending("top it up in the console's Billing Center", API, False, "the account is in arrears", "top it up"),
        Ending(
            "MPS's review refused the prompt or a reference",
            API,
            False,
            "the content was refused at the create; it cost nothing",
            "change it; a retry ends the same way",
        ),
    ],
    "About a wait": [
        Ending(
            "Not ended …",
            "WaitTimeoutError",
            True,
            "`wait_timeout` or `execution_timeout` of an operator is over; the task goes on at MPS",
            "give it more time; a retry goes on waiting for the same task",
        ),
        Ending(
            "Not ended …",
            "AirflowSensorTimeout",
            False,
            "a sensor's `timeout` is over; the task goes on at MPS",
            "clear the sensor to go on waiting",
        ),
        Ending(
            "The triggerer stopped waiting: …",
            "InterruptedWaitError",
            True,
            "the triggerer met trouble for too long; the task goes on at MPS",
            "read the rest; a retry goes on waiting",
        ),
        Ending(
            "FAIL after …",
            "TaskFailedError",
            True,
            "the task of an operator ended in FAIL, for the reason that follows",
            "[a task that failed](#a-task-that-failed); a retry makes a new one",
        ),
        Ending(
            "FAIL after …",
            "TaskFailedError",
            False,
            "a sensor's task ended in FAIL: asked again, it is the same task",
            "clear the Airflow task that created it",
        ),
        Ending(
            "gives no URL of a file", "NoResultError", True, "DONE without a result", "a retry asks again, at no cost"
        ),
    ],
    "About a file": [
        Ending(
            "the URL has expired, or never was good",
            "ExpiredUrlError",
            True,
            "HTTP 403 or 404, also after a while: fetched too late, not allowed, or not there yet",
            "keep files within 12 hours; a sensor on the TaskId gives a fresh URL",
        ),
        Ending(
            "the URL has expired, or never was good",
            "ExpiredUrlError",
            False,
            "HTTP 410, or an answer that says that the URL has expired",
            "the same",
        ),
        Ending(
            "there is no storage for …",
            ARGUMENT,
            False,
            "the Airflow provider for that kind of URI is not installed",
            "install it, such as `apache-airflow-providers-amazon[s3fs]`; for `cos://` the extra `cos`",
        ),
        Ending(
            "is relative: give the path from / on",
            ARGUMENT,
            False,
            "`destination` is a relative path",
            "give a URI, or a path from `/` on",
        ),
        Ending(
            "plain http is taken only where the MPS connection itself leads to this machine",
            ARGUMENT,
            False,
            "a URL with http://",
            "give https",
        ),
        Ending(
            "is a list or dict rendered to text",
            ARGUMENT,
            False,
            "a template made text of a list",
            "pass `op.output[...]` as it is",
        ),
        Ending(
            "holds other content already",
            DOWNLOAD,
            False,
            "a file of that name is there from another run",
            "put `run_id` into `destination`, or set `overwrite=True`",
        ),
        Ending("and max_bytes allows …", DOWNLOAD, False, "larger than `max_bytes`", "raise it"),
        Ending(
            "the server sent a web page", DOWNLOAD, True, "a proxy or a log-in page answered", "look at the network"
        ),
        Ending("not whole within …", DOWNLOAD, True, "slower than `download_timeout`", "raise it"),
        Ending(
            "cut off … times in a row without a new byte",
            DOWNLOAD,
            True,
            "the connection breaks again and again",
            "look at the network; a retry downloads it again",
        ),
    ],
}

_KINDS = {
    Failure.THROTTLED: "refused for now",
    Failure.STALE: "clock or token",
    Failure.SERVER_TROUBLE: "trouble at MPS",
    Failure.UNKNOWN: "says too little",
    Failure.NOT_FOUND: "not found",
    Failure.FINAL: "final",
}
_REPEATS = {Repeat.NEVER: "an error", Repeat.ONCE: "repeated once", Repeat.BACK_OFF: "repeated"}


def endings() -> Iterator[Ending]:
    """All of them."""
    return (ending for section in ENDINGS.values() for ending in section)


def _what_ends_a_task() -> Iterator[str]:
    for title, section in ENDINGS.items():
        yield f"\n### {title}\n"
        rows = [
            (f"`{each.says}`", f"`{each.error}`", "yes" if each.retried else "no", each.means, each.do)
            for each in section
        ]
        yield from _table(("The message says", "Class", "Airflow retries it", "It means", "What to do"), rows)


def _codes() -> Iterator[str]:
    rows = []
    for failure, kind in _KINDS.items():
        listed = sorted(name for name, code in codes.CODES.items() if code.failure is failure)
        listed = [f"`{name}{'*' if name.endswith('.') else ''}`" for name in listed]
        create = "in doubt" if failure.may_have_run else f"{_REPEATS[failure.create]}: it costs nothing"
        if failure is Failure.THROTTLED:
            create = "[wait for room](room.md): it costs nothing"
        again = "polls" if failure.may_have_run else "yes" if failure.retry_helps else "no"
        rows.append((kind, ", ".join(listed) or "any other", _REPEATS[failure.read], create, again))
    yield from _table(("Kind", "Codes", "Polls", "Creates", "Airflow retries it"), rows)


def _hints() -> Iterator[str]:
    rows = [
        (f"`{name}`", ". ".join(filter(None, (code.hint.format(action="ACTION"), code.more))))
        for name, code in sorted(codes.CODES.items())
        if code.hint
    ]
    yield from _table(("Code", "What to do"), rows)


def _places() -> Iterator[str]:
    rows = [(f"`{action}`", trace.look, trace.note) for action, trace in codes.TRACES.items()]
    other = codes.trace_of("")
    rows.append(("any other", other.look, other.note))
    yield from _table(("Create", "Look in", "What is known of that"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return (f"| {' | '.join(line)} |" for line in lines)


_TABLES = {"endings": _what_ends_a_task, "codes": _codes, "hints": _hints, "places": _places}


def page(text: str) -> str:
    """docs/errors.md with its tables made anew."""

    def made(found: re.Match[str]) -> str:
        table = "\n".join(_TABLES[found[2]]()).strip()
        return f"{found[1]}\n{table}\n\n<!-- end -->"

    return re.sub(r"(<!-- (\w+): python -m scripts.errors -->\n).*?<!-- end -->", made, text, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
