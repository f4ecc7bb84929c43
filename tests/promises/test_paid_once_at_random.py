"""No request is paid for twice, whatever comes together: faults, killed workers, retries and clears."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_mps.api.client import MpsClient
from airflow_provider_mps.api.errors import AmbiguousCreateError
from airflow_provider_mps.emulator import EmulatedTask, FaultKind, MpsEmulator
from tests.doubles.emulators import emulated
from tests.doubles.task_instances import Outcome, State, TaskInstance
from tests.doubles.ways import OPERATORS, Waiting, Way

RETRIES = 2
STEPS = 14
"""More than a try has: reads and writes of the store, calls and answers, XComs, the deferral."""

# A task that never ends, or that MPS says it has lost, is not for this package to end or to find.
LEFT_OUT = {FaultKind.NEVER_DONE, FaultKind.NOT_FOUND}
BOTH_SORTS = [
    next(operator for operator in OPERATORS if operator.request.repeatable is repeatable)
    for repeatable in (False, True)
]
"""An operator whose creates are never sent again in doubt, and one whose are, under a SessionId."""
CODES = ("RequestLimitExceeded", "AuthFailure.SignatureExpire", "InternalError", "InvalidParameter.ViolationContent")


@dataclass(frozen=True)
class Strike:
    """A fault that strikes the next create, or the next poll of a task."""

    kind: FaultKind
    on_create: bool
    code: str


@dataclass(frozen=True)
class Round:
    """What happens from a clear by the user (or the start) until Airflow says success or failed."""

    strikes: list[Strike]
    kills: list[int | None]
    triggerer_dies: bool
    text: str


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


def rounds(operator: type[Any]) -> st.SearchStrategy[list[Round]]:
    one = st.builds(
        Round,
        strikes=st.lists(strikes(operator), max_size=3),
        kills=st.lists(st.none() | st.integers(0, STEPS), max_size=RETRIES + 1),
        triggerer_dies=st.booleans(),
        text=st.sampled_from(["rain", "snow"]),
    )
    return st.lists(one, min_size=1, max_size=3)


@contextmanager
def kills_strike_calls_too(instance: TaskInstance) -> Iterator[None]:
    """A worker can be killed just before its call is sent, and when the answer is there but not yet read."""
    attempt = MpsClient.attempt

    async def watched(client: MpsClient, action: str, params: dict[str, Any], sending: Any = None) -> dict[str, Any]:
        if sending is None:  # a poller's call: a wait that is lost loses nothing
            return await attempt(client, action, params)
        instance.worker.reach()
        response = await attempt(client, action, params, sending)
        instance.worker.reach()
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MpsClient, "attempt", watched)
        yield


class Story:
    """One task of one DAG run over all of its rounds, and what must be true after each.

    :ivar owed: the tasks that were paid for, while nobody has got their result or an error about them.
    """

    def __init__(self, emulator: MpsEmulator, waiting: Waiting, wait_for_completion: bool) -> None:
        self.emulator = emulator
        self.waiting = waiting
        self.text = ""
        self.owed: list[EmulatedTask] = []
        fields = waiting.cls.request.fields
        edited = "prompt" if "prompt" in fields else "session_context"
        self.edited = fields[edited].name
        self.instance = waiting.task_instance(
            emulator, "mps", timeout=5, retries=RETRIES, wait_for_completion=wait_for_completion
        )
        make = self.instance.make

        def make_edited() -> Any:
            operator = make()
            setattr(operator, edited, self.text)
            return operator

        self.instance.make = make_edited

    def play(self, round_: Round) -> Outcome:
        for strike in round_.strikes:
            action = self.waiting.create if strike.on_create else self.waiting.describe
            self.emulator.fault(strike.kind, action, code=strike.code, seconds=0.1)
        if self.text != round_.text:  # another request: what was made for the one before is not this one's
            self.owed.clear()
        self.text = round_.text
        self.instance.kills, self.instance.triggerer_dies = round_.kills, round_.triggerer_dies
        before = {task.task_id for task in self.emulator.tasks}

        outcome = self.instance.run()

        tasks = {task.task_id: task for task in self.emulator.tasks}
        new = [task for task in tasks.values() if task.task_id not in before]
        paid = self.owed + new
        assert all(task.failure is not None for task in paid[:-1]), "paid again while the first task had not failed"
        described = [r.params["TaskId"] for r in self.emulator.requests if r.action == self.waiting.describe]
        assert set(described) <= set(tasks), "waited for a task that was never created"
        in_doubt = [isinstance(error, AmbiguousCreateError) for error in outcome.errors]
        assert not any(in_doubt[:-1]), "tried again although a paid task may exist"
        if outcome.state is State.SUCCESS:
            assert tasks[outcome.value].params[self.edited] == round_.text
        # What ended well counts as delivered, also where the worker was killed before Airflow knew: a clear makes anew.
        delivered = outcome.state is State.SUCCESS or self.instance.remembered.get("stage") == "done"
        self.owed = [] if any(in_doubt) or delivered else paid
        return outcome


@pytest.mark.parametrize("way", [way for way in Way if way.creates], ids=str)
@pytest.mark.parametrize("operator", BOTH_SORTS, ids=lambda operator: operator.__name__)
def test_whatever_happens_at_most_one_task_is_paid_for_and_it_ends(operator: type[Any], way: Way) -> None:
    @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(rounds(operator), st.booleans())
    # Killed once the TaskId is kept, and again at each later poll; then the user edits the request.
    @example([Round([], [6, 1, 1], False, "rain"), Round([], [], False, "snow")], True)
    def plays(rounds: list[Round], wait_for_completion: bool) -> None:
        with emulated("mps", timeout=0.5, wait_seconds=0.02, run_seconds=0.05) as emulator:
            story = Story(emulator, Waiting(operator, way), wait_for_completion)
            with kills_strike_calls_too(story.instance):
                for round_ in rounds:
                    story.play(round_)
                # The trouble is over, but for faults that have not struck yet: a user who clears it gets a task.
                quiet = Round([], [], False, rounds[-1].text)
                clears = 3 + sum(len(round_.strikes) for round_ in rounds)
                assert any(story.play(quiet).state is State.SUCCESS for _ in range(clears))

    plays()
