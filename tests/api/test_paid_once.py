"""The decision by which no request is paid for twice: every state it can be asked about, and every life it can lead."""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from airflow_provider_mps.api.codes import Failure
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
    Forget,
    Request,
    Return,
    Seen,
    Stage,
    after_failure,
    decide,
)

BOTH = (False, True)
REQUESTS = [Request(*flags) for flags in product(BOTH, BOTH)]
RESPONSES: list[dict[str, Any] | None] = [None, {}]
EARLIER = [
    Earlier(stage, again, task_id, "airflow-1", response, *flags)
    for stage in Stage
    for again in Again
    for task_id in ("", "first")
    for response in RESPONSES
    for flags in product(BOTH, BOTH, BOTH, BOTH)
]
STATES = [(earlier, request, seen) for earlier in EARLIER for request in REQUESTS for seen in (None, *Seen)]
DECIDED = [(state, decide(*state)) for state in STATES]


def creates(*reasons: Because) -> Iterator[tuple[Earlier, Request, Seen | None]]:
    """The states in which a task is created, for one of these reasons."""
    for state, decision in DECIDED:
        if isinstance(decision, Create) and decision.because in reasons:
            yield state


def test_with_nothing_remembered_a_task_is_created() -> None:
    assert all(decide(None, request) == Create(Because.FIRST) for request in REQUESTS)


def test_what_may_exist_and_was_not_reported_is_in_doubt_whoever_asks() -> None:
    unknown = (Stage.SENDING, Stage.UNREADABLE)
    for (earlier, request, _), decision in DECIDED:
        if earlier.stage in unknown and earlier.same_request and not earlier.task_id and not earlier.refused:
            may_repeat = request.repeatable and earlier.same_account and earlier.session_holds
            if earlier.stage is Stage.SENDING and may_repeat:
                assert decision == Create(Because.SAME_SESSION, earlier.session_id)
            else:
                assert decision == (Create(Because.ALLOWED) if request.may_pay_twice else Doubt())


def test_what_cannot_be_read_is_never_new_whatever_else_is_made_of_it() -> None:
    for (earlier, request, _), decision in DECIDED:
        if earlier.stage is Stage.UNREADABLE and not request.may_pay_twice:
            assert decision == Doubt()


def test_only_a_clear_makes_a_second_one_of_what_is_paid_for() -> None:
    found = list(creates(Because.DELIVERED, Because.REPORTED))
    assert found
    assert {earlier.again for earlier, _, _ in found} == {Again.CLEAR}
    assert {earlier.stage for earlier, _, _ in found} == {Stage.DONE, Stage.REPORTED}


def test_a_second_payment_is_allowed_only_by_who_pays() -> None:
    assert all(request.may_pay_twice for _, request, _ in creates(Because.ALLOWED))


def test_a_task_is_lost_only_where_mps_says_so_under_its_own_account_or_a_user_was_told() -> None:
    for earlier, _, seen in creates(Because.NOT_KNOWN):
        assert seen is Seen.NOT_KNOWN
        assert earlier.same_account or (earlier.stage is Stage.UNFOUND and earlier.again is Again.CLEAR)


def test_a_task_that_failed_is_made_anew_and_no_other() -> None:
    for earlier, _, seen in creates(Because.FAILED):
        assert earlier.stage is Stage.FAILED or (seen is Seen.FAILED and earlier.again is Again.CLEAR)


@pytest.mark.parametrize("seen", [Seen.KNOWN, Seen.FAILED, None])
def test_a_retry_creates_nothing_beside_a_task_that_is_known(seen: Seen | None) -> None:
    for (earlier, _, asked), decision in DECIDED:
        known = earlier.task_id and earlier.stage in (Stage.CREATED, Stage.UNFOUND, Stage.DONE) and earlier.same_request
        if known and asked is seen and earlier.again is not Again.CLEAR:
            assert isinstance(decision, (Adopt, Return, AskAgain))


def test_mps_is_asked_once() -> None:
    for (earlier, request, seen), decision in DECIDED:
        if isinstance(decision, AskAgain):
            assert seen is None
            assert all(not isinstance(decide(earlier, request, answer), AskAgain) for answer in Seen)


def test_what_cannot_be_told_from_a_retry_is_one_and_says_so() -> None:
    for (earlier, request, seen), untold in DECIDED:
        if earlier.again is Again.UNTOLD:
            if isinstance(untold, (Return, Doubt)):
                as_clear = decide(earlier._replace(again=Again.CLEAR), request, seen)
                assert not untold.untold or isinstance(as_clear, Create), "where a clear is something else"
                untold = copy(untold)
                untold.untold = False
            assert untold == decide(earlier._replace(again=Again.RETRY), request, seen)


def test_every_reason_and_every_outcome_is_met() -> None:
    decisions = [decision for _, decision in DECIDED] + [decide(None, REQUESTS[0])]
    assert {decision.because for decision in decisions if isinstance(decision, Create)} == set(Because)
    assert {type(decision) for decision in decisions} == {Create, AskAgain, Adopt, Return, Doubt, Elsewhere}


@pytest.mark.parametrize("failure", [None, *Failure], ids=str)
def test_a_sending_is_forgotten_only_where_it_certainly_did_not_run(failure: Failure | None) -> None:
    for request, sent, doubted in product(REQUESTS, BOTH, BOTH):
        decision = after_failure(failure, request, sent=sent, doubted=doubted)
        may_have_run = failure.may_have_run if failure else sent
        assert isinstance(decision, Forget) is (not may_have_run and not doubted)
        assert isinstance(decision, Doubt) is (may_have_run and not request.repeatable)


@dataclass(frozen=True)
class Life:
    """A task instance's life so far, as far as money goes.

    :ivar earlier: what is remembered.
    :ivar owed: whether a task is paid for, or may be, that nobody got and nobody was told of.
    :ivar account: whether the connection is still the one under which it was made.
    """

    earlier: Earlier | None = None
    owed: bool = False
    account: bool = True


def lives_after(life: Life, request: Request, again: Again, seen: Seen) -> Iterator[tuple[Decision, Life]]:
    """What one more try can lead to, wherever its worker is lost: the decision, and the life after it."""
    earlier = life.earlier and life.earlier._replace(again=again, same_account=life.account)
    decision = decide(earlier, request)
    if isinstance(decision, AskAgain):
        decision = decide(earlier, request, seen)
        life = replace(life, owed=life.owed and seen is not Seen.FAILED)
    known: Any = earlier
    match decision:
        case Create():
            session_id = decision.session_id or "airflow-1" if request.repeatable else ""
            sending = Earlier(Stage.SENDING, again, session_id=session_id)
            yield decision, life  # lost before it was noted, or refused and taken back
            yield decision, Life(sending, owed=life.owed)  # lost between note and sending
            yield decision, Life(sending._replace(refused=True), owed=life.owed)  # refused, and that was not noted
            yield decision, Life(sending, owed=True)  # accepted, and the answer was lost
            yield decision, Life(sending, owed=True, account=False)  # the same, and the connection was changed
            yield decision, Life(sending._replace(stage=Stage.REPORTED), owed=False)  # the same, with an error
            created = Earlier(Stage.CREATED, again, task_id="first")
            yield decision, Life(created, owed=True)
            yield decision, Life(created._replace(stage=Stage.FAILED))  # nobody is owed what failed, with an error
            yield decision, Life(created._replace(stage=Stage.DONE))
        case Adopt():
            yield decision, life
            yield decision, Life(known._replace(stage=Stage.DONE))
            yield decision, Life(known._replace(stage=Stage.FAILED))
            yield decision, replace(life, account=False)  # the connection was changed meanwhile
        case Return():
            yield decision, life
        case Doubt():
            yield decision, life  # lost before that was noted
            yield decision, Life(Earlier(Stage.REPORTED, again))
        case Elsewhere():
            yield decision, life
            yield decision, replace(life, earlier=known._replace(stage=Stage.UNFOUND), owed=False)


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_in_no_life_is_a_second_task_paid_for_before_somebody_got_the_first_or_was_told(request_: Request) -> None:
    """Every life there is, of any length: they are few, for what is remembered is little."""
    unreadable = Life(Earlier(Stage.UNREADABLE, Again.RETRY), owed=True)
    seen_lives, to_visit = set[str](), [Life(), unreadable]
    while to_visit:
        life = to_visit.pop()
        if repr(life) in seen_lives:
            continue
        seen_lives.add(repr(life))
        for again, seen in product(Again, (Seen.KNOWN, Seen.FAILED) if life.account else Seen):
            for decision, next_life in lives_after(life, request_, again, seen):
                if isinstance(decision, Create) and life.owed and seen is not Seen.FAILED:
                    holds = life.earlier is not None and life.earlier.session_holds
                    deduplicated = decision.session_id and life.account and holds
                    assert request_.may_pay_twice or deduplicated, (life, again, decision)
                to_visit.append(next_life)
        if life.earlier and life.earlier.session_id:  # nothing happens for three days
            to_visit.append(replace(life, earlier=life.earlier._replace(session_holds=False)))
    assert len(seen_lives) > 10
