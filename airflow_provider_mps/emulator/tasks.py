"""Tasks and how they move with time."""

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from airflow_provider_mps.emulator.marks import doc, guess, seen
from airflow_provider_mps.emulator.synth import MediaFile

FACTS = (
    doc("A task is WAIT, RUN, then DONE or FAIL (AIGC), or WAITING, PROCESSING, FINISH (ProcessMedia, EditMedia)."),
    seen("A TaskId names its family: -AigcAudio-, -AigcVideo-, -AigcImage-, -WorkflowTask-, -EditMediaTask-."),
    seen("A TaskId requested through another family's action, or with another account's keys: ResourceNotFound."),
    guess("A TaskId that never was: ResourceNotFound.TaskNotFound, or InvalidParameterValue.TaskId of a media task."),
    doc("A finished task can be described for 7 days (the China pages; the international text has 3)."),
    doc("FINISH does not mean success: ErrCode and each result in MediaProcessResultSet do."),
    doc("ManageTask (Abort) stops a ProcessMedia task that still waits."),
    guess("ManageTask (Abort) stops an EditMedia task that still waits."),
    doc("A SessionId that was used before is refused: InvalidParameterValue.SessionId (listed for ProcessMedia)."),
    guess("DescribeTasks lists the newest task first."),
    guess("EditMedia refuses a SessionId that was used before in the same way; the emulator remembers it for ever."),
    guess("A task may be DONE for a moment before its URL is there (the fault url_late)."),
)


@dataclass(frozen=True)
class Family:
    """The calls that make, describe and stop one sort of task, and the word for it in a TaskId."""

    kind: str
    create: str
    describe: str
    word: str
    manage: str = ""


FAMILIES = {
    family.create: family
    for family in (
        Family("aigc_audio", "CreateAigcAudioTask", "DescribeAigcAudioTask", "AigcAudio"),
        Family("aigc_video", "CreateAigcVideoTask", "DescribeAigcVideoTask", "AigcVideo"),
        Family("aigc_image", "CreateAigcImageTask", "DescribeAigcImageTask", "AigcImage"),
        Family("media", "ProcessMedia", "DescribeTaskDetail", "WorkflowTask", "ManageTask"),
        Family("media", "EditMedia", "DescribeTaskDetail", "EditMediaTask", "ManageTask"),
    )
}


_MAX_SECONDS = 10**9


class Phase(Enum):
    """Where a task is; each family has its own words for it."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


@dataclass
class EmulatedTask:
    """A task of the emulator; its state follows from the time alone.

    :ivar account: whose keys made it.
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
        """aigc_audio, aigc_video, aigc_image or media."""
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
        """Where the task is now, in the API's word: WAIT, RUN, FAIL, DONE or WAITING, PROCESSING, FINISH."""
        return self.word(self.phase)

    def word(self, phase: Phase) -> str:
        """The API's word for a phase of this task."""
        if self.kind == "media":
            return {Phase.WAITING: "WAITING", Phase.RUNNING: "PROCESSING", Phase.ENDED: "FINISH"}[phase]
        end = "DONE" if self.failure is None else "FAIL"
        return {Phase.WAITING: "WAIT", Phase.RUNNING: "RUN", Phase.ENDED: end}[phase]

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
