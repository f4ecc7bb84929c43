"""No request is paid for twice, whatever comes together: faults, killed workers, retries, clears, a memory in trouble.

The lives of a task instance are generated: the same few at each run, or new ones, and more, where MPS_FUZZ_EXAMPLES
says how many of each sort (`make fuzz`).
"""

import itertools
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_mps.api.errors import AmbiguousCreateError
from airflow_provider_mps.api.wire.client import MpsClient
from airflow_provider_mps.emulator import EmulatedTask, FaultKind, MpsEmulator
from airflow_provider_mps.execution.folder import Folder
from tests.doubles.emulators import emulated
from tests.doubles.logs import Lines
from tests.doubles.task_instances import DagRun, Outcome, State, TaskInstance
from tests.doubles.ways import OPERATORS, Waiting, Way

NEW = int(os.environ.get("MPS_FUZZ_EXAMPLES", "0"))
RETRIES = (0, 1, 2)
STEPS = 16
"""More than a try has: reads and writes of the memory, calls and answers, XComs, the deferral."""

# A task that never ends, or that MPS says it has lost, is not for this package to end or to find.
LEFT_OUT = {FaultKind.NEVER_DONE, FaultKind.NOT_FOUND}
BOTH_SORTS = [
    next(operator for operator in OPERATORS if operator.request.repeatable is repeatable)
    for repeatable in (False, True)
]
"""An operator whose creates are never sent again in doubt, and one whose are, under a SessionId."""
CODES = ("RequestLimitExceeded", "AuthFailure.SignatureExpire", "InternalError", "InvalidParameter.ViolationContent")
DOUBTS = ("paid task may exist", "task that may exist", "earlier task may be under way and paid for")
"""What is said of a task whose TaskId nobody knows."""
ANEW = re.compile("paying for, a new one|not waited for|no longer knows|creating anew")
"""What is said of one whose TaskId is known, when another one is made."""


class Kept(Enum):
    """Where what is paid for is remembered: whether there is a memory folder, a store, and whether clears empty it."""

    STORE = (False, True, False)
    DISCARDED = (False, True, True)
    FOLDER = (True, False, False)
    FOLDER_AND_STORE = (True, True, True)


class Write(Enum):
    """How a write of the memory goes."""

    WELL = "well"
    FAILS = "it fails"
    ANSWER_LOST = "it is done, and its answer is lost"


WRITES = [(Write.WELL,) * 2, *((bad,) * row for bad in (Write.FAILS, Write.ANSWER_LOST) for row in (1, 5))]
"""Of five in a row that fail, what was to be written is not."""


@dataclass(frozen=True)
class Strike:
    """A fault that strikes the next create, or the next poll of a task."""

    kind: FaultKind
    on_create: bool
    code: str = ""


@dataclass(frozen=True)
class Round:
    """What happens from a clear by the user (or the start) until Airflow says success or failed.

    A clear after ``retries`` was lowered does not show in ``max_tries``.
    """

    strikes: tuple[Strike, ...] = ()
    kills: tuple[int | None, ...] = ()
    triggerer_dies: bool = False
    text: str = "rain"
    retries: int = 0
    writes: tuple[Write, ...] = ()
    slow: bool = False
    fails_after_execute: int = 0
    remade: bool = False


def strikes(operator: type[Any]) -> st.SearchStrategy[Strike]:
    actions = {True: operator.request.action, False: operator.family.describe}
    possible = [
        Strike(kind, on_create, code)
        for on_create, action in actions.items()
        for kind in FaultKind
        if kind.applies_to(action) and kind not in LEFT_OUT
        for code in {FaultKind.ERROR: CODES, FaultKind.ERROR_AFTER: ("InternalError",)}.get(kind, ("",))
    ]
    return st.sampled_from(possible)


def seldom() -> st.SearchStrategy[bool]:
    return st.sampled_from([False] * 5 + [True])


def rounds(operator: type[Any]) -> st.SearchStrategy[list[Round]]:
    one = st.builds(
        Round,
        strikes=st.lists(strikes(operator), max_size=3).map(tuple),
        kills=st.lists(st.none() | st.integers(0, STEPS), max_size=max(RETRIES) + 1).map(tuple),
        triggerer_dies=st.booleans(),
        text=st.sampled_from(["rain", "rain", "snow"]),
        retries=st.sampled_from(RETRIES),
        writes=st.lists(st.sampled_from(WRITES), max_size=3).map(lambda rows: tuple(itertools.chain(*rows))),
        slow=seldom(),
        fails_after_execute=st.sampled_from([0, 0, 1]),
        remade=seldom(),
    )
    return st.lists(one, min_size=1, max_size=4)


@contextmanager
def kills_strike_calls_too(instance: TaskInstance, sent_at: list[float] | None = None) -> Iterator[None]:
    """A worker can be killed just before its call is sent, and when the answer is there but not yet read.

    Each request is marked by its place in ``sent_at``, if given: a slow emulator may make a task when its client has
    given up.
    """
    attempt = MpsClient.attempt

    async def watched(client: MpsClient, action: str, params: Any, sending: Any = None, **given: Any) -> Any:
        if sending is None:  # a poller's call: a wait that is lost loses nothing
            return await attempt(client, action, params, **given)
        instance.worker.reach()
        if sent_at is not None:
            sending.mark = str(len(sent_at))
            sent_at.append(time.monotonic())
        response = await attempt(client, action, params, sending, **given)
        instance.worker.reach()
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MpsClient, "attempt", watched)
        yield


class Story:
    """One task instance over all of its rounds, and what must be true after each.

    :ivar said: what its tries have said at the levels WARNING and ERROR, with the time (monotonic).
    :ivar sent_at: when each of its creates was sent.
    """

    def __init__(self, emulator: MpsEmulator, waiting: Waiting, waits: bool, kept: Kept) -> None:
        self.emulator = emulator
        self.waiting = waiting
        self.round = Round()
        self.writes: Iterator[Write] = iter(())
        self.said: list[tuple[float, str]] = []
        self.sent_at: list[float] = []
        self.of_former_runs: set[str] = set()
        fields = waiting.cls.request.fields
        edited = "prompt" if "prompt" in fields else "session_context"
        self.edited = fields[edited].name
        self.instance = waiting.task_instance(emulator, "mps", timeout=5, wait_for_completion=waits)
        _, self.instance.has_store, self.instance.clears_discard = kept.value
        make = self.instance.make

        def make_edited() -> Any:
            operator = make()
            setattr(operator, edited, self.round.text)
            if self.round.slow:
                operator.execution_timeout = timedelta(seconds=0.3)
            return operator

        self.instance.make = make_edited

    def say(self, level: str, line: str) -> None:
        if level in ("warning", "error", "exception") and not self.instance.worker.dead:
            self.said.append((time.monotonic(), line))

    def play(self, round_: Round) -> Outcome:
        instance = self.instance
        for strike in round_.strikes:
            action = self.waiting.create if strike.on_create else self.waiting.describe
            self.emulator.fault(strike.kind, action, code=strike.code, seconds=0.1)
        self.round = round_
        if round_.remade:
            self.of_former_runs = {task.task_id for task in self.emulator.tasks}
            instance.dag_run, instance.try_number = DagRun(), 0
            instance.stored.clear()
        instance.retries, instance.fails_after_execute = round_.retries, round_.fails_after_execute
        instance.kills, instance.triggerer_dies = list(round_.kills), round_.triggerer_dies
        instance.slow_writes = 0.2 if round_.slow else 0.0
        self.writes = iter(round_.writes)
        instance.failing_writes = (write is Write.FAILS for write in round_.writes)

        outcome = instance.run()

        tasks = {task.task_id: task for task in self.emulator.tasks}
        described = [r.params["TaskId"] for r in self.emulator.requests if r.action == self.waiting.describe]
        assert set(described) <= set(tasks), "waited for a task that was never created"
        in_doubt = [isinstance(error, AmbiguousCreateError) for error in outcome.errors]
        assert not any(in_doubt[:-1]), "tried again although a paid task may exist"
        if outcome.state is State.SUCCESS:
            assert tasks[outcome.value].params[self.edited] == round_.text
        self.nothing_was_paid_for_twice_without_a_word()
        return outcome

    def nothing_was_paid_for_twice_without_a_word(self) -> None:
        of_this_run = [task for task in self.emulator.tasks if task.task_id not in self.of_former_runs]
        for number, later in enumerate(of_this_run):
            for first in of_this_run[:number]:
                assert first.failure is not None or self.was_told(first, later), f"{first} and, silently, {later}"

    def was_told(self, first: EmulatedTask, later: EmulatedTask) -> bool:
        sent_at = self.sent_at[int(first.request_client.rpartition(";")[2])]
        return any(
            (first.task_id in line and ANEW.search(line)) or any(doubt in line for doubt in DOUBTS)
            for at, line in self.said
            if sent_at <= at <= later.created_at
        )


@contextmanager
def the_folder_has_trouble(story: Story) -> Iterator[None]:
    """A worker can be killed before and after each read and write of the memory folder; writes can go wrong."""
    read, write = Folder.read, Folder._write

    def watched_read(folder: Folder) -> object:
        story.instance.worker.reach()
        return read(folder)

    def watched_write(folder: Folder, path: str, content: bytes, *, exclusive: bool) -> None:
        story.instance.worker.reach()
        time.sleep(story.instance.slow_writes)
        goes = next(story.writes, Write.WELL)
        if goes is Write.FAILS:
            raise ConnectionError("the storage is down")
        write(folder, path, content, exclusive=exclusive)
        story.instance.worker.reach()
        if goes is Write.ANSWER_LOST:
            raise ConnectionError("the answer of the storage was lost")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Folder, "read", watched_read)
        patch.setattr(Folder, "_write", watched_write)
        yield


@pytest.mark.parametrize("way", [way for way in Way if way.creates], ids=str)
@pytest.mark.parametrize("operator", BOTH_SORTS, ids=lambda operator: operator.__name__)
def test_nothing_is_paid_for_twice_without_a_word_and_it_ends_well(
    operator: type[Any], way: Way, tmp_path: Path, logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = iter(range(10**6))

    @settings(
        max_examples=NEW or 12,
        deadline=None,
        derandomize=not NEW,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(rounds(operator), st.booleans(), st.sampled_from(Kept))
    # Killed once the TaskId is kept, and again at each later poll; then the user edits the request.
    @example([Round(kills=(6, 1, 1), retries=2), Round(text="snow")], True, Kept.STORE)
    # Killed while the create is under way, with no retry left to say so; then the user clears it.
    @example([Round(kills=(5,)), Round()], True, Kept.STORE)
    def plays(rounds: list[Round], waits: bool, kept: Kept) -> None:
        with_folder, _, discards = kept.value
        monkeypatch.setattr("airflow_provider_mps.execution.places.clears_discard", lambda: discards)
        folder = f"{tmp_path}/{next(folders)}" if with_folder else ""
        with emulated("mps", timeout=0.5, memory=folder, wait_seconds=0.02, run_seconds=0.05) as emulator:
            story = Story(emulator, Waiting(operator, way), waits, kept)
            with (
                kills_strike_calls_too(story.instance, story.sent_at),
                the_folder_has_trouble(story),
                logged.heard_by(story.say),
            ):
                for round_ in rounds:
                    story.play(round_)
                # The trouble is over, but for faults that have not struck yet: a user who clears it gets a task.
                quiet = Round(text=rounds[-1].text, retries=2)
                clears = 4 + sum(len(round_.strikes) for round_ in rounds)
                assert any(story.play(quiet).state is State.SUCCESS for _ in range(clears))

    plays()
