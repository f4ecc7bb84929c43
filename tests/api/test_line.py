"""The line of those who wait for room: the policy with its clock in hand, whole batches in virtual time, and a loop."""

import asyncio
import time
from dataclasses import replace
from functools import partial
from itertools import count

import pytest

from airflow_provider_mps.api.patience import Patience
from airflow_provider_mps.api.tasks import AIGC_AUDIO
from airflow_provider_mps.api.waiting.line import Line, Waiting
from airflow_provider_mps.api.waiting.lines import OnPlace, room, takes_room
from airflow_provider_mps.api.wire.settings import ClientSettings, CredentialSettings
from tests.api.conftest import settings
from tests.doubles.full_account import STAY_SECONDS, Batch, World
from tests.doubles.virtual_time import in_virtual_time

PATIENCE = Patience()
NO_PROBES = PATIENCE._replace(room_backoff=1e6, room_backoff_limit=1e6)
DAY = 86400.0

accounts = count()


@pytest.fixture
def account() -> ClientSettings:
    """One that no other test knows."""
    return settings(1, credential=CredentialSettings(secret_id=f"id-{next(accounts)}", secret_key="key"))


class InLine:
    """A line, and those who have joined it."""

    def __init__(self, patience: Patience) -> None:
        self.line = Line(patience)
        self._joined: list[Waiting] = []

    def join(self, now: float, *tickets: float, stay: float = 0.0, waits: bool = True) -> None:
        for ticket in tickets:
            age = max(0.0, now - ticket)
            self._joined.append(self.line.join(now, ticket, age=age, stay=stay, waits=waits))

    @property
    def order(self) -> list[float]:
        """The tickets of those who wait, by place."""
        places = {self.line.place(waiting): waiting.ticket for waiting in self._joined}
        return [places[place] for place in sorted(places) if place]

    def due(self, now: float) -> list[float]:
        """The tickets of those who are let out."""
        return [waiting.ticket for waiting in self.line.due(now)]

    def until(self, end: float) -> list[tuple[float, float]]:
        """When who is let out by then, if nothing else happens."""
        found = []
        while (at := self.line.next_at()) <= end:
            found += [(at, ticket) for ticket in self.due(at)]
        return found


def test_an_end_lets_out_one_the_first_that_was_refused() -> None:
    line = InLine(NO_PROBES)
    line.join(10.0, 3.0, 1.0, 2.0)
    assert line.order == [1.0, 2.0, 3.0]
    assert line.due(10.0) == []
    line.line.ended(20.0)
    assert line.due(20.0) == [1.0]
    assert line.until(100.0) == []


def test_who_is_refused_keeps_its_place_and_the_first_tries_again_after_10_20_and_40_seconds() -> None:
    line = InLine(NO_PROBES)
    line.join(10.0, 1.0, 2.0)
    line.line.ended(20.0)
    left_at = 20.0
    assert line.due(left_at) == [1.0]
    for pause in (10.0, 20.0, 40.0):
        back = left_at + 3.0
        line.join(back, 1.0)
        assert line.order == [1.0, 2.0]
        left_at = back + pause
        assert line.until(left_at) == [(left_at, 1.0)]
    line.join(left_at + 3.0, 1.0)
    assert line.until(DAY) == [], "a fourth refusal is believed"


def test_an_end_that_is_old_at_a_refusal_is_not_tried_again() -> None:
    line = InLine(NO_PROBES)
    line.join(10.0, 1.0)
    line.line.ended(20.0)
    assert line.due(20.0) == [1.0]
    line.join(20.0 + PATIENCE.room_late + 1.0, 1.0)  # the workers were busy
    assert line.until(DAY) == []


def test_an_end_stands_for_a_place_until_any_create_was_accepted() -> None:
    line = InLine(NO_PROBES)
    line.join(10.0, 1.0)
    line.line.ended(20.0)
    assert line.due(20.0) == [1.0]
    line.line.accepted(21.0, None)  # one that has just begun was sooner
    line.join(23.0, 1.0)
    assert line.until(DAY) == []


def test_an_end_before_there_is_a_line_counts_for_the_next_that_comes_soon() -> None:
    line = InLine(NO_PROBES)
    line.line.ended(20.0)
    line.join(30.0, 30.0)
    assert line.due(30.0) == [30.0]
    line.line.ended(40.0)
    line.join(40.0 + PATIENCE.room_late + 1.0, 31.0)
    assert line.until(DAY) == []


def test_who_has_just_come_lets_others_by() -> None:
    line = InLine(NO_PROBES)
    line.join(10.0, 2.0)
    line.join(10.0, 1.0, stay=8.0)
    line.line.ended(11.0)
    line.line.ended(12.0)
    assert line.due(12.0) == [2.0]
    assert line.until(100.0) == [(18.0, 1.0)]


def test_who_has_left_is_not_let_out_and_not_counted() -> None:
    line = Line(NO_PROBES)
    first, second = (line.join(10.0, ticket, age=0.0, stay=0.0, waits=True) for ticket in (1.0, 2.0))
    line.leave(first)
    assert (line.place(second), len(line)) == (1, 1)
    line.ended(20.0)
    assert line.due(20.0) == [second]


def probe(line: InLine) -> float:
    """When the next one, of ticket 0, is let out, as nothing else happens."""
    while True:
        at = line.line.next_at()
        if due := line.due(at):
            assert due == [0.0]
            return at


def pauses(line: InLine) -> list[float]:
    """Seconds between the probes of one that is refused again and again."""
    found, last = [], 0.0
    line.join(last, 0.0)
    for _ in range(40):
        at = probe(line)
        found.append(at - last)
        last = at
        line.join(at + 1.0, 0.0)
    return found


def test_probes_look_for_room_ever_less_often_while_they_are_refused() -> None:
    line = InLine(PATIENCE)
    line.line.accepted(0.0, None)
    probes = pauses(line)
    assert probes == pytest.approx(sorted(probes))
    assert probes[0] == PATIENCE.room_backoff
    assert probes[-1] == pytest.approx(600.0)


def test_where_no_end_can_be_seen_a_probe_comes_each_minute() -> None:
    assert max(pauses(InLine(PATIENCE))) == pytest.approx(PATIENCE.room_backoff_limit)


def test_an_accepted_probe_is_soon_followed_by_another() -> None:
    line = InLine(PATIENCE)
    line.line.accepted(0.0, None)
    pauses(line)
    at = probe(line)
    line.line.accepted(at + 1.0, 0.0)
    line.join(at + 1.0, 0.0)
    assert probe(line) - (at + 1.0) == pytest.approx(300.0)


def test_hints_bring_the_next_probe_forward_and_no_more() -> None:
    line = InLine(PATIENCE)
    line.join(0.0, 0.0)
    for _ in range(100):
        line.line.hint()
    assert probe(line) == 2.5
    line.join(3.0, 0.0)
    assert probe(line) == 2.5 + 1.25 * 5.0, "the pause after it is as long as if none had been given"


def test_who_hands_over_counts_as_accepted_when_one_that_left_later_is_back() -> None:
    line = InLine(PATIENCE)
    line.join(0.0, *range(20), waits=False)
    assert line.until(10.0) == [(5.0, 0), (10.0, 1)]
    line.join(11.0, 1, waits=False)
    assert line.until(15.0) == [(15.0, 1)], (
        "the pause is 5 s * 1.25 for the refused one, and * 0.8 for the accepted one"
    )
    line.join(16.0, 0, waits=False)
    assert line.order[0] == 0, "it is back after all"
    assert line.until(15.0 + 6.25) == [(15.0 + 6.25, 0)]


def test_who_is_known_keeps_its_place_whatever_the_clock_says() -> None:
    line = InLine(NO_PROBES)
    line.join(10.0, 1.0, 2.0)
    line.line.ended(20.0)
    assert line.due(20.0) == [1.0]
    line.line.join(30.0, 1.0, age=0.0, stay=0.0, waits=True)
    line.line.ended(31.0)
    assert line.due(31.0) == [1.0]


@pytest.mark.parametrize("waits", [True, False], ids=["waited for", "handed over"])
@pytest.mark.parametrize("room_late", [0.0, 30.0])
@pytest.mark.parametrize(("creates", "cap", "seconds"), [(100, 10, 20.0), (60, 3, 60.0), (30, 1, 60.0)])
def test_a_batch_flows_in_virtual_time(creates: int, cap: int, seconds: float, room_late: float, waits: bool) -> None:
    [outcome] = World(Batch(creates, cap, seconds, waits), room_late=room_late).run()
    assert len(outcome.accepted) == creates
    assert outcome.makespan <= (1.4 if waits else 2.1) * (seconds + room_late) / seconds
    assert outcome.refused_each <= (3.7 if room_late else 2.2)


def test_first_come_first_served() -> None:
    [outcome] = World(Batch(60, 3, 60.0, begins=0.0)).run()
    assert outcome.in_order > 0.95, "but for those that have just come back"


# A worker's run takes 4 s, and all creates begin at once: the first that are let out wait behind all the others.
@pytest.mark.parametrize(
    ("creates", "cap", "seconds", "slots"),
    [(200, 1, 120.0, 4), (200, 3, 120.0, 4), (200, 10, 240.0, 4), (60, 1, 240.0, 2), (200, 1, 240.0, 16)],
)
def test_creates_that_hand_over_do_not_flood_the_workers(creates: int, cap: int, seconds: float, slots: int) -> None:
    for sensors in (False, True):
        batch = Batch(creates, cap, seconds, waits=False, sensors=sensors, begins=0.0)
        world = World(batch, slots=slots, run_seconds=(4.0, 4.0))
        [outcome] = world.run()
        assert outcome.refused_each <= 2.5
        assert outcome.makespan <= 1.2
        if not sensors:  # these take two runs each, whatever the line does
            assert world.busy_share <= 0.12


def test_ends_of_another_model_do_not_flood_the_workers() -> None:
    slow = Batch(60, 1, 120.0, waits=False, sensors=True, begins=0.0)
    busy = replace(slow, creates=1000, cap=10, seconds=20.0, model="B")
    for of_slow in (slow, replace(slow, waits=True)):
        for outcome in World(of_slow, busy, slots=16, run_seconds=(3.0, 5.0)).run():
            assert outcome.refused_each <= 2.5


@pytest.mark.parametrize("batches", [1, 2])
def test_more_creates_than_a_triggerer_holds_flow_where_each_run_has_a_window(batches: int) -> None:
    """Of waits that are not loaded, Airflow loads the oldest first: those for room are older than those for tasks."""
    all_at_once = [Batch(80, 4, 15.0), Batch(80, 4, 60.0, model="B")][:batches]
    small = {"capacity": 20, "slots": 4, "run_seconds": (1.0, 3.0), "seen_late": 5.0}
    windows = World(*(replace(batch, window=10) for batch in all_at_once), **small).run()  # type: ignore[arg-type]
    for outcome in windows:
        assert len(outcome.ends) == outcome.batch.creates
        assert max(outcome.unseen) <= 20.0
        assert outcome.makespan <= 1.35
    without = World(*all_at_once, **small).run()  # type: ignore[arg-type]
    assert max(max(outcome.unseen) for outcome in without) > 180.0


@pytest.mark.parametrize("waits", [True, False], ids=["waited for", "handed over"])
def test_triggerers_share_the_room_without_knowing_of_each_other(waits: bool) -> None:
    outcomes = World(*(Batch(100, 10, 20.0, waits, triggerer=number) for number in range(2))).run()
    first, last = sorted(outcome.ended for outcome in outcomes)
    assert last <= 2 * first
    assert last <= 1.8 * 2 * 100 * 20.0 / 10


def stand(
    account: ClientSettings, ticket: float, model: str = "A", on_place: OnPlace | None = None, stay: float = 8.0
) -> "asyncio.Task[None]":
    said = on_place or (lambda place, of: None)
    return asyncio.create_task(room(account, AIGC_AUDIO, model, ticket, waits=True, stay=stay, on_place=said))


async def leave(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_the_place_is_said_at_once_and_then_about_once_a_minute(account: ClientSettings) -> None:
    async def see() -> list[tuple[int, int]]:
        said: list[tuple[int, int]] = []

        def say(place: int, of: int) -> None:
            said.append((place, of))

        with takes_room(account, AIGC_AUDIO, "A", None):
            others = [stand(account, ticket) for ticket in range(5)]
            await asyncio.sleep(STAY_SECONDS / 2)
            last = stand(account, 5.0, on_place=say)
            await asyncio.sleep(STAY_SECONDS / 4)
            await leave(*others[3:])
            await asyncio.sleep(120)
            await leave(*others, last)
        return said

    at_once, *later = in_virtual_time(see())
    assert at_once == (6, 6)
    assert 1 <= len(later) <= 2
    assert max(later) <= (4, 4)


def test_an_end_lets_out_one_of_its_own_account_and_model(account: ClientSettings) -> None:
    other = replace(account, credential=CredentialSettings(secret_id="other-id", secret_key="key"))

    async def see() -> list[bool]:
        with takes_room(account, AIGC_AUDIO, "A", None):
            tasks = [stand(account, ticket) for ticket in (1.0, 2.0, 3.0)]
            tasks += [stand(*key) for ticket in (1.0, 2.0) for key in ((account, ticket, "B"), (other, ticket))]
            await asyncio.sleep(STAY_SECONDS + 0.1)  # at its end a first probe leaves each line
            before = [task.done() for task in tasks]
        await asyncio.sleep(0.1)
        after = [task.done() for task in tasks]
        await leave(*tasks)
        return [is_out and not was_out for was_out, is_out in zip(before, after, strict=True)]

    assert in_virtual_time(see()) == [False, True, False, False, False, False, False]


def test_the_end_of_a_task_whose_model_is_not_known_hastens_the_probes_of_its_family(account: ClientSettings) -> None:
    async def seconds(*, hint: bool) -> float:
        tasks = [stand(account, 1.0, model, stay=0.0) for model in ("A", "B")]
        await asyncio.sleep(0.1)
        if hint:
            with takes_room(account, AIGC_AUDIO, "", None):
                pass
        await asyncio.gather(*tasks)
        return asyncio.get_running_loop().time()

    assert [in_virtual_time(seconds(hint=hint)) for hint in (True, False)] == [2.5, 5.0]


def test_a_clock_that_is_set_back_changes_nothing(account: ClientSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()

    async def see() -> list[int]:
        places: list[int] = []
        tasks = []
        for clock in (now, now + 1, now - 3600, now - 7200):
            monkeypatch.setattr(time, "time", partial(float, clock))
            tasks.append(stand(account, clock, on_place=lambda place, of: places.append(place)))
            await asyncio.sleep(0.1)
        await leave(*tasks)
        return places

    assert in_virtual_time(see()) == [1, 2, 3, 4]
