"""The line of those who wait for room, in a service that takes only so many tasks at once."""

import asyncio
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import pytest

from airflow_provider_mps.api import patience, room
from airflow_provider_mps.api.room import OnPlace, line, takes_room
from airflow_provider_mps.api.settings import ClientSettings, CredentialSettings
from airflow_provider_mps.api.tasks import AIGC_AUDIO
from tests.api.conftest import settings
from tests.doubles.in_time import ends

RUN_SECONDS = 0.05
MOMENT = 0.2

pytestmark = pytest.mark.usefixtures("mps_short_waits")

accounts = count()


@pytest.fixture
def account() -> ClientSettings:
    """One that no other test knows."""
    return settings(1, credential=CredentialSettings(secret_id=f"id-{next(accounts)}", secret_key="key"))


@pytest.fixture
def nobody_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has just come may be let out at once; else others go by meanwhile."""
    bearing = replace(patience.patience(), resume_stay=0.0)
    monkeypatch.setattr(room, "patience", lambda: bearing)


@pytest.fixture
def nobody_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is let out is let out at once, and for what was seen."""
    bearing = replace(patience.patience(), room_backoff=1000.0, room_backoff_limit=1000.0, resume_stay=0.0)
    monkeypatch.setattr(room, "patience", lambda: bearing)


class Service:
    """It runs ``cap`` tasks at once, each for a moment."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.running = self.most = self.refused = 0
        self.accepted: list[float] = []

    async def create(self, account: ClientSettings, ticket: float, seen: bool) -> None:
        """Create a task, in line while there is no room; ``seen``: it is waited for where the line is."""
        while self.running >= self.cap:
            self.refused += 1
            await stand_in_line(account, ticket, waits=seen)
        with self._task(ticket):
            if not seen:
                await asyncio.sleep(RUN_SECONDS)
            else:
                with takes_room(account, AIGC_AUDIO, "A", ticket):
                    await asyncio.sleep(RUN_SECONDS)

    @contextmanager
    def _task(self, ticket: float) -> Iterator[None]:
        self.running += 1
        self.most = max(self.most, self.running)
        self.accepted.append(ticket)
        try:
            yield
        finally:
            self.running -= 1


def say_nothing(place: int, of: int) -> None:
    """Where the place does not matter."""


async def stand_in_line(
    account: ClientSettings, ticket: float, model: str = "A", waits: bool = True, on_place: OnPlace = say_nothing
) -> None:
    await line(account, AIGC_AUDIO, model).wait(ticket, waits=waits, on_place=on_place)


def flow(service: Service, account: ClientSettings, tickets: Iterable[float], seen: bool = True) -> None:
    async def together() -> None:
        await asyncio.gather(*(service.create(account, ticket, seen) for ticket in tickets))

    ends(lambda: asyncio.run(together()))


class Waiting:
    """Those who stand in line."""

    def __init__(self) -> None:
        self.let_out: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def add(self, name: str, account: ClientSettings, ticket: float, model: str = "A") -> None:
        async def wait() -> None:
            await stand_in_line(account, ticket, model)
            self.let_out.append(name)

        self._tasks.append(asyncio.create_task(wait()))
        await asyncio.sleep(MOMENT)

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.mark.usefixtures("nobody_stays")
@pytest.mark.parametrize("cap", [1, 3])
def test_first_come_first_served_and_nobody_starves(account: ClientSettings, cap: int) -> None:
    service = Service(cap)
    tickets = [float(number) for number in range(20)]
    flow(service, account, tickets)
    assert service.accepted == tickets
    assert service.most == cap
    assert service.refused <= 3 * len(tickets), "one of them each before there was a line"


def test_where_no_end_is_seen_all_come_in_by_time_alone(account: ClientSettings) -> None:
    service = Service(cap=2)
    tickets = [float(number) for number in range(8)]
    flow(service, account, tickets, seen=False)
    assert sorted(service.accepted) == tickets


def test_two_triggerers_share_the_room_without_knowing_of_each_other(account: ClientSettings) -> None:
    service = Service(cap=3)
    halves = [[float(number) for number in range(first, 20, 2)] for first in range(2)]
    with ThreadPoolExecutor(2) as triggerers:
        list(triggerers.map(lambda half: flow(service, account, half), halves))
    assert sorted(service.accepted) == sorted(halves[0] + halves[1])


@pytest.mark.usefixtures("nobody_tries")
def test_an_end_lets_out_one_the_first(account: ClientSettings) -> None:
    async def see() -> tuple[list[str], list[str]]:
        waiting = Waiting()
        with takes_room(account, AIGC_AUDIO, "A", None):
            for name, ticket in (("third", 3.0), ("first", 1.0), ("second", 2.0)):
                await waiting.add(name, account, ticket)
            before = list(waiting.let_out)
        await asyncio.sleep(MOMENT)
        await waiting.leave()
        return before, waiting.let_out

    assert ends(lambda: asyncio.run(see())) == ([], ["first"])


@pytest.mark.usefixtures("nobody_tries")
def test_who_is_refused_again_keeps_its_place(account: ClientSettings) -> None:
    async def see() -> list[str]:
        waiting = Waiting()
        with takes_room(account, AIGC_AUDIO, "A", None):
            await waiting.add("first", account, 1.0)
            await waiting.add("second", account, 2.0)
        with takes_room(account, AIGC_AUDIO, "A", None):  # somebody else's create was sooner than the first one's
            await waiting.add("first again", account, 1.0)
        await asyncio.sleep(MOMENT)
        await waiting.leave()
        return waiting.let_out

    assert ends(lambda: asyncio.run(see())) == ["first", "first again"]


@pytest.mark.usefixtures("nobody_tries")
def test_the_end_of_a_task_whose_model_is_not_known_is_a_hint_to_all_lines(account: ClientSettings) -> None:
    async def see() -> tuple[list[str], list[str]]:
        waiting = Waiting()
        with takes_room(account, AIGC_AUDIO, "", None):
            for model in ("A", "B"):
                await waiting.add(model, account, 1.0, model)
            before = list(waiting.let_out)
        await asyncio.sleep(MOMENT)
        await waiting.leave()
        return before, sorted(waiting.let_out)

    assert ends(lambda: asyncio.run(see())) == ([], ["A", "B"])


@pytest.mark.usefixtures("nobody_tries")
def test_an_end_of_another_model_or_account_lets_nobody_out(account: ClientSettings) -> None:
    other = replace(account, credential=CredentialSettings(secret_id="other-id", secret_key="key"))

    async def see() -> list[str]:
        waiting = Waiting()
        with takes_room(account, AIGC_AUDIO, "A", None):
            with takes_room(account, AIGC_AUDIO, "B", None), takes_room(other, AIGC_AUDIO, "A", None):
                await waiting.add("A", account, 1.0)
            await asyncio.sleep(MOMENT)
            await waiting.leave()
        return waiting.let_out

    assert ends(lambda: asyncio.run(see())) == []


@pytest.mark.usefixtures("nobody_tries")
def test_the_place_is_told_at_once_and_who_has_left_is_not_counted(account: ClientSettings) -> None:
    async def see() -> list[tuple[int, int]]:
        told: list[tuple[int, int]] = []

        async def one(ticket: float) -> "asyncio.Task[None]":
            waiting = stand_in_line(account, ticket, on_place=lambda place, of: told.append((place, of)))
            task = asyncio.create_task(waiting)
            await asyncio.sleep(MOMENT)
            return task

        with takes_room(account, AIGC_AUDIO, "A", None):
            tasks = [await one(1.0), await one(2.0)]
            tasks[0].cancel()
            await asyncio.sleep(MOMENT)
            tasks.append(await one(3.0))
            for task in tasks:
                task.cancel()
        return told

    assert ends(lambda: asyncio.run(see())) == [(1, 1), (2, 2), (2, 2)]
