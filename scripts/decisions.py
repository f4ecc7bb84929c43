"""The table of docs/guarantees.md, made by the decision itself: ``python -m scripts.decisions`` writes it anew."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_mps.api.paid_once import (
    Adopt,
    Again,
    AskAgain,
    Because,
    Create,
    Decision,
    Doubt,
    Earlier,
    Elsewhere,
    Request,
    Return,
    Seen,
    Stage,
    decide,
)

PAGE = Path(__file__).parents[1] / "docs" / "guarantees.md"
BEGIN, END = "<!-- made by python -m scripts.decisions -->\n\n", "\n<!-- end -->"

PLAIN, SESSION, ALLOWED = Request(), Request(repeatable=True), Request(may_pay_twice=True)


@dataclass(frozen=True)
class Row:
    """What an earlier try may have left.

    :ivar left: in words.
    :ivar earlier: for the decision; a retry and a clear are filled in.
    """

    left: str
    earlier: Earlier | None
    request: Request = PLAIN
    seen: Seen | None = None


def left(stage: Stage, task_id: str = "", same_request: bool = True, same_account: bool = True) -> Earlier:
    return Earlier(stage, Again.RETRY, task_id, same_request=same_request, same_account=same_account)


ROWS = (
    Row("nothing", None),
    Row(
        "nothing, and Airflow may have discarded it (a clear on 3.4; `[state_store] clear_on_success`)",
        left(Stage.DISCARDED),
    ),
    Row("what belongs to other arguments", left(Stage.CREATED, "t", same_request=False)),
    Row("what cannot be read", left(Stage.UNREADABLE)),
    Row("it was being sent, and no error has said so (`sending`)", left(Stage.SENDING)),
    Row("it was being sent, and an error has said so (`reported`)", left(Stage.REPORTED)),
    Row("either, with a SessionId", left(Stage.SENDING), SESSION),
    Row("`sending` with a SessionId of three days ago", left(Stage.SENDING)._replace(session_holds=False), SESSION),
    Row("`sending` with a SessionId under another account", left(Stage.SENDING, same_account=False), SESSION),
    Row("either, with `retry_ambiguous_create=True`", left(Stage.SENDING), ALLOWED),
    Row("a task (`created`)", left(Stage.CREATED, "t"), seen=Seen.KNOWN),
    Row("a task that has ended in FAIL since", left(Stage.CREATED, "t"), seen=Seen.FAILED),
    Row("a task that ended well or was handed over (`done`)", left(Stage.DONE, "t"), seen=Seen.KNOWN),
    Row("the answer of another action (`done`)", left(Stage.DONE)._replace(response={})),
    Row("a task that ended in FAIL (`failed`)", left(Stage.FAILED, "t")),
    Row("a task that MPS does not know", left(Stage.CREATED, "t"), seen=Seen.NOT_KNOWN),
    Row("the same, made under another account", left(Stage.CREATED, "t", same_account=False), seen=Seen.NOT_KNOWN),
    Row(
        "the same, and an error has said so (`unfound`)",
        left(Stage.UNFOUND, "t", same_account=False),
        seen=Seen.NOT_KNOWN,
    ),
)

_WARNED = {Because.DISCARDED, Because.OTHER_REQUEST, Because.ALLOWED, Because.DELIVERED, Because.NOT_KNOWN}


def in_words(row: Row, again: Again) -> str:
    """What is decided."""
    earlier = row.earlier and row.earlier._replace(again=again)
    decision: Decision = decide(earlier, row.request)
    if isinstance(decision, AskAgain):
        decision = decide(earlier, row.request, row.seen)
    match decision:
        case Create(Because.SAME_SESSION):
            return "sends it again under its SessionId"
        case Create(because) if because in _WARNED or row.seen is Seen.FAILED:
            return "creates a task, after a WARNING"
        case Create():
            return "creates a task"
        case Adopt() if row.seen is Seen.FAILED:
            return "TaskFailedError"
        case Adopt():
            return "goes on with it"
        case Return():
            return "returns it once more"
        case Doubt():
            return "AmbiguousCreateError"
        case Elsewhere():
            return "OtherAccountError"
    raise AssertionError(decision)


def table() -> str:
    """Of what was left, what a retry and a clear do."""
    lines = ["| Left by an earlier try | A retry | A clear |", "|---|---|---|"]
    lines += [f"| {row.left} | {in_words(row, Again.RETRY)} | {in_words(row, Again.CLEAR)} |" for row in ROWS]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page with the table as it is now."""
    old = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    return old.sub(lambda _: BEGIN + table() + END, PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(page())
