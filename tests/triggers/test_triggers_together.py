"""Many triggers at once: one look-up of their connection, keys that are replaced meanwhile, and the metrics."""

import asyncio
import json
import math
import time
from configparser import ConfigParser
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_mps import compat
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from airflow_provider_mps.triggers.room import MpsRoomTrigger
from tests.doubles.emulators import DESCRIBE
from tests.doubles.in_time import ends
from tests.doubles.logs import Lines
from tests.doubles.recorded_stats import RecordedStats
from tests.doubles.seen import MUSIC_ARGUMENTS

CONN_ID = "tencent_mps_default"
REFUSED = "AuthFailure.SecretIdNotFound"


async def event(mps_task_id: str, **arguments: Any) -> dict[str, Any]:
    """The event of a trigger that waits for the task."""
    async for fired in MpsTaskTrigger("aigc_audio", mps_task_id, poll_interval=0.05, **arguments).run():
        return dict(fired.payload)
    raise AssertionError("no event")


def done_task(emulator: MpsEmulator) -> str:
    return emulator.add_task(wait_seconds=0.0, run_seconds=0.0)


def change_keys(emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put other keys into the connection."""
    emulator.accept_credential("second-id", "second-key")
    connection = emulator.connection | {"login": "second-id", "password": "second-key"}
    monkeypatch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(connection))


def asked_with(emulator: MpsEmulator) -> list[str]:
    """The SecretId of each poll."""
    return [request.headers["authorization"].split("Credential=")[1].split("/")[0] for request in emulator.requests]


def test_triggers_that_start_together_look_the_connection_up_once_and_later_ones_anew(
    emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    get = compat.connection_and_extra

    async def counted(conn_id: str) -> Any:
        looked_up.append(conn_id)
        return await get(conn_id)

    monkeypatch.setattr(compat, "connection_and_extra", counted)

    async def work() -> list[Any]:
        together = await asyncio.gather(*(event(done_task(emulator)) for _ in range(10)))
        assert looked_up == ["tencent_mps_default"]
        change_keys(emulator, monkeypatch)
        await asyncio.sleep(1.1)  # what they share is old by then
        return [*together, await event(done_task(emulator))]

    assert {fired["status"] for fired in ends(lambda: asyncio.run(work()))} == {"done"}
    assert asked_with(emulator) == ["emulator-id"] * 10 + ["second-id"]


def test_keys_replaced_in_the_connection_are_taken_up_when_the_old_ones_are_refused(
    emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def work() -> dict[str, Any]:
        waits = asyncio.create_task(event(emulator.add_task(wait_seconds=0.0, run_seconds=3.0)))
        await asyncio.sleep(1.1)
        change_keys(emulator, monkeypatch)
        emulator.fault("error", DESCRIBE, code=REFUSED)
        return await waits

    assert ends(lambda: asyncio.run(work()))["status"] == "done"
    used = asked_with(emulator)
    assert used == sorted(used)
    assert set(used) == {"emulator-id", "second-id"}


def test_keys_that_are_refused_and_not_replaced_end_the_wait(emulator: MpsEmulator) -> None:
    emulator.fault("error", DESCRIBE, code=REFUSED, times=None)
    fired = ends(lambda: asyncio.run(event(done_task(emulator))))
    assert fired["status"] == "error"
    assert REFUSED in fired["message"]
    assert emulator.count(DESCRIBE) == 1


def test_a_connection_that_is_wrong_ends_its_own_triggers_alone(
    emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", json.dumps(emulator.connection | {"login": ""}))

    async def wrong() -> str:
        async for fired in MpsTaskTrigger("aigc_audio", done_task(emulator), "wrong").run():
            return str(fired.payload["status"])
        raise AssertionError("no event")

    async def work() -> Any:
        return await asyncio.gather(wrong(), event(done_task(emulator)))

    status, fired = ends(lambda: asyncio.run(work()))
    assert status == "error"
    assert fired["status"] == "done"


def test_the_metrics_tell_of_creates_polls_and_waits(emulator: MpsEmulator, stats: RecordedStats) -> None:
    emulator.fault("error", DESCRIBE, code="RequestLimitExceeded")
    task_id = MpsHook().create_aigc_audio_task(**MUSIC_ARGUMENTS)
    assert ends(lambda: asyncio.run(event(task_id)))["status"] == "done"
    assert stats.counted["mps.submitted"] == 1
    assert stats.counted["mps.polls"] == emulator.count(DESCRIBE)
    assert stats.counted["mps.throttled"] == 1
    assert stats.gauges["mps.waiting"] == 0
    assert 0 < stats.gauges["mps.rate"] < 0.97 * 20
    (_, unseen, of_kind), (name, waited, tags) = stats.timings
    assert (name, tags) == ("mps.wait_duration", {"kind": "aigc_audio", "state": "DONE"})
    assert waited > timedelta(0)
    assert of_kind == {"kind": "aigc_audio"}
    assert waited > unseen > timedelta(0)


def test_an_end_that_was_seen_late_is_said_to_be_by_how_much(
    emulator: MpsEmulator, stats: RecordedStats, logged: Lines
) -> None:
    accepted = {"soon": time.time(), "late": time.time() - 200}
    for how, at in accepted.items():
        assert ends(lambda at=at: asyncio.run(event(done_task(emulator), accepted_at=at)))["status"] == "done"  # type: ignore[misc]
        assert bool(logged.of("The task may have ended up to 3 min")) == (how == "late")
    unseen = [waited.total_seconds() for name, waited, _ in stats.timings if name == "mps.detection_delay"]
    assert [seconds > 60 for seconds in unseen] == [False, True]


@pytest.mark.usefixtures("mps_short_waits", "emulator")
@pytest.mark.parametrize("option", ["capacity", "default_capacity"])
def test_a_triggerer_that_is_half_full_of_creates_without_room_says_so_once(
    monkeypatch: pytest.MonkeyPatch, stats: RecordedStats, logged: Lines, option: str
) -> None:
    # Not Airflow's own: 3 reads the old name as the new one, and 2.11 knows only the old.
    config = ConfigParser()
    config.read_dict({"triggerer": {option: "10"}})
    monkeypatch.setattr("airflow_provider_mps.triggers.crowd.conf", config)

    async def waits(number: int) -> None:
        trigger = MpsRoomTrigger("aigc_audio", "MiniMaxMusic", "tencent_mps_default", number, number, True)
        async for _ in trigger.run():
            pass

    async def crowd(number: int) -> None:
        tasks = [asyncio.create_task(waits(number)) for number in range(number)]
        await asyncio.sleep(0)
        assert stats.gauges["mps.waiting_for_room"] == number
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    for number, said in ((5, 0), (8, 1)):
        asyncio.run(crowd(number))
        assert len(logged.of("creates wait for room in this triggerer, which holds 10 waits")) == said
    assert logged.of("6 creates wait for room")
    assert stats.gauges["mps.waiting_for_room"] == 0


@pytest.mark.usefixtures("emulator")
def test_creates_without_room_that_start_together_join_the_line_one_by_one(logged: Lines) -> None:
    async def waits(ticket: float) -> None:
        async for _ in MpsRoomTrigger("aigc_audio", "MiniMaxMusic", CONN_ID, ticket, ticket, True, stay=60.0).run():
            pass

    async def most_at_once() -> int:
        now = time.time()
        tasks = [asyncio.create_task(waits(now + number)) for number in range(100)]
        joined = [0]
        while joined[-1] < len(tasks):
            await asyncio.sleep(0)  # the event loop's next turn
            joined.append(len(logged.of("in this triggerer. Waiting costs nothing")))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return max(after - before for before, after in pairwise(joined))

    assert ends(lambda: asyncio.run(most_at_once())) == 1


def fail_to_read(monkeypatch: pytest.MonkeyPatch, times: float, hangs: bool = False) -> None:
    """Let Airflow fail so often when it is asked for a connection, or never answer."""
    get, failed = compat.connection_and_extra, 0

    async def failing(conn_id: str) -> Any:
        nonlocal failed
        if failed < times:
            failed += 1
            if hangs:
                await asyncio.Event().wait()
            raise ConnectionError("no API server at postgres://airflow:secret@db")
        return await get(conn_id)

    monkeypatch.setattr(compat, "connection_and_extra", failing)


@pytest.mark.usefixtures("mps_short_waits")
def test_a_connection_that_cannot_be_read_is_read_again(
    emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch, logged: Lines
) -> None:
    fail_to_read(monkeypatch, 3)
    assert ends(lambda: asyncio.run(event(done_task(emulator))))["status"] == "done"
    [said] = logged.of("tencent_mps_default could not be read (ConnectionError)")
    assert said.startswith("A look-up of the connection failed: ConnectionError; read again in about ")
    assert logged.of("The look-ups of the connection are answered again, after ")
    assert not logged.of("secret@db")


@pytest.mark.usefixtures("mps_short_waits")
def test_a_connection_that_stays_unreadable_ends_the_wait_like_failed_polls(
    emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_read(monkeypatch, math.inf)
    fired = ends(lambda: asyncio.run(event(done_task(emulator))))
    assert fired["status"] == "error"
    assert "tencent_mps_default could not be read (ConnectionError)" in fired["message"]


@pytest.mark.parametrize("hangs", [False, True], ids=["fails", "hangs"])
def test_a_deadline_holds_while_the_connection_cannot_be_read(
    hangs: bool, emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_read(monkeypatch, math.inf, hangs)
    fired = ends(lambda: asyncio.run(event(done_task(emulator), deadline=time.time() + 0.5)))
    assert fired["status"] == "timeout"
    assert "It goes on at MPS" in fired["message"]
