"""Tasks and how they move with time, and what a family of them is."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

from airflow_provider_mps.emulator.media.synth import MediaFile
from airflow_provider_mps.emulator.service.facts import doc, guess, seen
from airflow_provider_mps.emulator.service.shapes import Shape

FindInput = Callable[[dict[str, Any]], MediaFile]
UrlOf = Callable[[MediaFile], str]

FACTS = (
    doc("A task is WAIT, RUN, then DONE or FAIL (AIGC), or WAITING, PROCESSING, FINISH (ProcessMedia, EditMedia)."),
    doc("Voices are processing, then success or fail; their answers have an ErrorCode, 0 or, at work, 100.", "2026-10"),
    guess("The ErrorCode of voices that failed is 1000."),
    doc("A task of ProcessImage is FINISH, too, and each result in its answer says whether it succeeded.", "2026-10"),
    doc("Scenario films are PENDING, RUNNING, then FINISHED, STOP, FAILED or TIMEOUT.", "2026-10"),
    doc("DescribeAigcTaskList lists scenario films, with their requests and X-TC-RequestClient.", "2026-10"),
    guess("DescribeAigcTaskList lists the newest task first."),
    doc("QueryHunyuan3DTask answers about a task that is not there by an ErrorCode, as a success.", "2026-10"),
    doc(
        "CloneViral may refuse with the Status FAIL and no TaskId, as a success (the fault refused_inside).", "2026-10"
    ),
    seen("A TaskId names its family: -AigcAudio-, -AigcVideo-, -AigcImage-, -WorkflowTask-."),
    doc("A TaskId of EditMedia has -EditMedia- in its sample; -EditMediaTask- was seen, too.", "2026-10"),
    seen("A TaskId requested through another family's action, or with another account's keys: ResourceNotFound."),
    guess("A TaskId that never was: ResourceNotFound.TaskNotFound, or InvalidParameterValue.TaskId of a media task."),
    doc("A finished task can be described for 7 days (the China pages; the international text has 3)."),
    doc("FINISH does not mean success: ErrCode and each result in MediaProcessResultSet do."),
    doc("ManageTask (Abort) stops a ProcessMedia task that still waits."),
    guess("ManageTask (Abort) stops an EditMedia task that still waits."),
    doc("A SessionId that was used before is refused: InvalidParameterValue.SessionId (listed for ProcessMedia)."),
    guess("DescribeTasks lists the newest task first; a ScrollToken that was never given out is an empty page."),
    doc("EditMedia's OutputObjectPath may be a folder; the file's name in it is a guess.", "2026-10"),
    guess("EditMedia refuses a SessionId that was used before in the same way; the emulator remembers it for ever."),
    guess("A task may be DONE for a moment before its URL is there (the fault url_late)."),
)


_MAX_SECONDS = 10**9


class Phase(Enum):
    """Where a task is; each family has its own words for it."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class Family:
    """One sort of task: the calls that make, describe and stop it, its fields, and what it makes.

    :cvar describe: the action that describes such a task; ``manage``: the one that stops it.
    :cvar word: what a TaskId has in it.
    :cvar shape: the fields of ``create``, of which ``required`` must be given.
    :cvar needs_room: whether only so many tasks of one model run at once.
    :cvar words: of a task that waits, runs, has succeeded, has failed; they stand in ``state_field``.
    :cvar accepted: what the answer to a create has beside the TaskId.
    :cvar sample: the fields of a task that is made without a request.
    """

    kind: str
    create: str
    describe: str
    word: str
    manage: str = ""
    shape: ClassVar[Shape]
    required: tuple[str, ...] = ()
    needs_room: bool = True
    words: tuple[str, str, str, str] = ("WAIT", "RUN", "DONE", "FAIL")
    state_field: str = "Status"
    accepted: ClassVar[dict[str, Any]] = {}
    sample: ClassVar[dict[str, Any]] = {}

    def check(self, params: dict[str, Any]) -> None:
        """Check what the shape does not say.

        :raises ApiError: the request does not fit.
        """

    def output_files(self, task: EmulatedTask, find_input: FindInput) -> list[MediaFile]:
        """The files that a task makes when it succeeds.

        :param find_input: gives the file that a MediaInputInfo names.
        """
        raise NotImplementedError

    def answer(self, task: EmulatedTask, phase: Phase, url_of: UrlOf, *, null_results: bool) -> dict[str, Any]:
        """The fields of the answer of ``describe``.

        :param url_of: gives the address under which a file is served.
        :param null_results: leave all results out, as if the service had lost them.
        """
        raise NotImplementedError

    def bucket(self, params: dict[str, Any]) -> dict[str, str]:
        """The StoreCosParam of a request: where in a bucket of the user's its files go; empty: to MPS's own store."""
        return params.get("StoreCosParam") or {}

    def not_found(self) -> dict[str, Any] | None:
        """What ``describe`` answers about a task that is not there, where that is no error."""
        return None

    def usage(self, task: EmulatedTask) -> Iterator[tuple[str, int]]:
        """What DescribeUsageData counts of a task: the type of work, and how much."""
        yield from ()


@dataclass
class EmulatedTask:
    """A task of the emulator; its state follows only from the time.

    :ivar account: whose keys made it.
    :ivar request_client: what X-TC-RequestClient said of who made it.
    :ivar made: the request that is carried out; ``params`` but for what the service silently replaces.
    :ivar url_late: the first answer that says DONE has no result yet.
    :ivar created_at: monotonic seconds, comparable between the processes of one machine.
    :ivar failure: why the task fails at its end; None: it succeeds.
    :ivar sign: what a URL must carry to get at the task's files.
    :ivar files: what the task makes if it succeeds.
    """

    family: Family
    params: dict[str, Any]
    wait_seconds: float
    run_seconds: float
    account: str = ""
    request_client: str = ""
    made: dict[str, Any] = field(default_factory=dict)
    never_done: bool = False
    failure: str | None = None
    url_late: bool = False
    task_id: str = field(init=False)
    created_at: float = field(default_factory=time.monotonic)
    sign: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    aborted_at: float | None = None
    files: list[MediaFile] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("wait_seconds", "run_seconds"):
            seconds = getattr(self, name)
            if not isinstance(seconds, int | float) or not 0 <= seconds <= _MAX_SECONDS:
                raise ValueError(f"{name} must be a number from 0 to {_MAX_SECONDS:,}, not {seconds!r:.20}")
        self.task_id = f"24000145-{self.family.word}-{uuid.uuid4().hex}"

    @property
    def kind(self) -> str:
        """Of which sort it is, such as aigc_audio."""
        return self.family.kind

    @property
    def action(self) -> str:
        """The action that makes such a task."""
        return self.family.create

    @property
    def session_id(self) -> str:
        """What the request gave as SessionId, or an empty string."""
        return str(self.params.get("SessionId", ""))

    @property
    def started_at(self) -> float:
        """When waiting ends, in monotonic seconds."""
        return self.created_at + self.wait_seconds

    @property
    def done_at(self) -> float | None:
        """When the task ends, in monotonic seconds; None: never."""
        if self.aborted_at is not None:
            return self.aborted_at
        return None if self.never_done else self.started_at + self.run_seconds

    @property
    def ended_at(self) -> float | None:
        """When the task ends, in POSIX seconds; None: never."""
        return None if self.done_at is None else posix(self.done_at)

    @property
    def phase(self) -> Phase:
        """Where the task is now."""
        now = time.monotonic()
        if self.done_at is not None and now >= self.done_at:
            return Phase.ENDED
        return Phase.WAITING if now < self.started_at else Phase.RUNNING

    @property
    def state(self) -> str:
        """Where the task is now, in the API's word, such as RUN or PROCESSING."""
        return self.word(self.phase)

    def word(self, phase: Phase) -> str:
        """The API's word for a phase of this task."""
        waits, runs, good, bad = self.family.words
        end = good if self.failure is None else bad
        return {Phase.WAITING: waits, Phase.RUNNING: runs, Phase.ENDED: end}[phase]

    @property
    def succeeded(self) -> bool:
        """Whether the task has made its files."""
        return self.phase is Phase.ENDED and self.failure is None

    def abort(self) -> None:
        """End the task as ManageTask does."""
        self.aborted_at = time.monotonic()
        self.failure = "The task was aborted."


def posix(moment: float) -> float:
    """A moment of the monotonic clock in POSIX seconds."""
    return time.time() - (time.monotonic() - moment)
