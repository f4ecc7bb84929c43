"""A create that is refused because too many tasks run waits for room: it costs nothing, holds no worker, and ends."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_mps.api.errors import AmbiguousCreateError, NoRoomError
from airflow_provider_mps.api.patience import short_waits
from airflow_provider_mps.compat import AirflowFailException, AirflowTaskTimeout
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.triggers.room import MpsRoomTrigger
from scripts.standalone import wait_for
from tests.doubles.airflows import TaskDeferred
from tests.doubles.emulators import CREATE, emulated
from tests.doubles.in_time import ends
from tests.doubles.logs import Lines
from tests.doubles.own_family import PosterOperator
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import Killed, State, TaskInstance, Worker, first_event, trigger_of
from tests.doubles.ways import CREATES_IN_TURN, WAITINGS, Waiting, Way
from tests.promises.test_paid_once_at_random import kills_strike_calls_too

CREATES = CREATES_IN_TURN
BY_NAME = {str(waiting): waiting for waiting in WAITINGS}
HERE = BY_NAME["CreateAigcAudioTaskOperator-operator-sync"]
DEFERRED = BY_NAME["CreateAigcAudioTaskOperator-operator-deferrable"]
BOTH = pytest.mark.parametrize("waiting", [HERE, DEFERRED], ids=str)
EACH = pytest.mark.parametrize("waiting", CREATES, ids=str)
REFUSED = "RequestLimitExceeded"

pytestmark = pytest.mark.usefixtures("mps_short_waits")


@pytest.fixture
def mps() -> Iterator[MpsEmulator]:
    with emulated("mps") as emulator:
        yield emulator


@pytest.fixture
def full(mps: MpsEmulator) -> MpsEmulator:
    """An account in which there is never room."""
    for waiting in CREATES:
        if waiting.cls is not PosterOperator:  # whose action is that of another one
            mps.fault("error", waiting.create, times=None, code=REFUSED)
    return mps


@EACH
@pytest.mark.parametrize("times", [1, 2, 7])
def test_refusals_are_waited_out_and_one_task_is_paid_for(waiting: Waiting, times: int, mps: MpsEmulator) -> None:
    mps.fault("error", waiting.create, times=times, code=REFUSED)
    instance = waiting.task_instance(mps, "mps", retries=0)
    outcome = ends(instance.run)
    assert outcome.state is State.SUCCESS, outcome.errors
    assert [task.task_id for task in mps.tasks] == [outcome.value]
    assert mps.count(waiting.create) == times + 1
    room = [event for event in outcome.events if event.get("status") == "room"]
    assert len(room) == (times if waiting.way.deferrable else 0)


@BOTH
@pytest.mark.parametrize(
    "message",
    [
        "Your current request times equals to `21` in a second, which exceeds the frequency limit `20` for a second.",
        "您当前每秒请求 `21` 次, 超过了每秒频率上限 `20`",
    ],
)
def test_too_many_calls_in_a_second_are_repeated_by_the_worker_first(
    waiting: Waiting, message: str, mps: MpsEmulator
) -> None:
    for times in (1, 3):
        mps.fault("error", waiting.create, times=times, code=REFUSED, message=message)
        outcome = ends(waiting.task_instance(mps, "mps", retries=0, prompt=f"rain {times}").run)
        assert outcome.state is State.SUCCESS
        room = [event for event in outcome.events if event.get("status") == "room"]
        assert len(room) == (times - 1 if waiting.way.deferrable else 0)
    assert len(mps.tasks) == 2


@EACH
def test_room_timeout_ends_the_wait_for_room_and_says_what_it_cost(waiting: Waiting, full: MpsEmulator) -> None:
    instance = waiting.task_instance(full, "mps", retries=1, room_timeout=0.5)
    outcome = ends(instance.run)
    assert outcome.state is State.FAILED
    assert outcome.tries == 2, "a retry waits anew"
    for error in outcome.errors:
        assert isinstance(error, NoRoomError)
        assert not isinstance(error, AirflowFailException)
        assert "(room_timeout)" in str(error)[:100]
        assert "Nothing was created, and nothing is billed" in str(error)
    assert full.tasks == []
    assert instance.stored == {}


@EACH
def test_execution_timeout_counts_the_wait_for_room(waiting: Waiting, full: MpsEmulator, logged: Lines) -> None:
    instance = waiting.task_instance(full, "mps", retries=0, room_timeout=None, execution_timeout=timedelta(seconds=1))
    [error] = ends(instance.run).errors
    assert isinstance(error, NoRoomError | AirflowTaskTimeout)
    assert "execution_timeout" in str(error)[:100]
    assert "othing was created, and nothing is billed" in str(error)
    what, cost, advice = logged.errors[-3:]
    assert "no room for " in what
    assert cost.startswith("Nothing was created")
    assert advice.startswith("A retry of this Airflow task waits anew")
    assert full.tasks == []


@EACH
def test_wait_timeout_counts_from_the_accept(waiting: Waiting, mps: MpsEmulator) -> None:
    refusals = 12  # together they take longer than the task may
    mps.fault("error", waiting.create, times=refusals, code=REFUSED)
    instance = waiting.task_instance(mps, "mps", retries=0, room_timeout=None, wait_timeout=2)
    began = time.monotonic()
    outcome = ends(instance.run)
    assert outcome.state is State.SUCCESS, (outcome.errors, time.monotonic() - began)
    assert len(mps.tasks) == 1


@EACH
def test_a_retry_after_the_wait_for_room_sends_once(waiting: Waiting, mps: MpsEmulator) -> None:
    mps.fault("error", waiting.create, times=None, code=REFUSED)
    instance = waiting.task_instance(mps, "mps", retries=0, room_timeout=0.3)
    assert ends(instance.run).state is State.FAILED
    mps.clear_faults()
    sent = mps.count(waiting.create)
    assert ends(instance.run).state is State.SUCCESS
    assert mps.count(waiting.create) == sent + 1
    assert len(mps.tasks) == 1


@pytest.mark.parametrize("waiting", [waiting for waiting in CREATES if waiting.way.deferrable], ids=str)
def test_while_it_waits_nothing_is_remembered_as_sent(waiting: Waiting, full: MpsEmulator) -> None:
    instance = waiting.task_instance(full, "mps", room_timeout=None)
    with pytest.raises(TaskDeferred) as deferred:
        instance.make().execute(instance.context)
    assert deferred.value.method_name == "execute_in_turn"
    assert isinstance(deferred.value.trigger, MpsRoomTrigger)
    assert instance.stored == {}
    arguments = json.dumps(trigger_of(deferred.value).serialize()[1])
    for secret in (*MUSIC_ARGUMENTS.values(), full.connection["password"]):
        assert str(secret) == MUSIC_ARGUMENTS["model_name"] or json.dumps(secret) not in arguments


def test_a_resumption_that_airflow_repeats_after_its_worker_was_lost_sends_nothing(mps: MpsEmulator) -> None:
    """Before 3.1 a scheduler that starts again resumes with the same event what ran in its own processes."""
    mps.fault("error", DEFERRED.create, code=REFUSED)
    instance = DEFERRED.task_instance(mps, "mps", retries=1)
    with pytest.raises(TaskDeferred) as deferred:
        instance.make().execute(instance.context)
    event = first_event(trigger_of(deferred.value))
    instance.worker = Worker(killed_at=5)  # it has sent, and got no answer
    with kills_strike_calls_too(instance), pytest.raises(Killed):
        instance.make().execute_in_turn(instance.context, event)
    instance.worker = Worker()
    assert instance.remembered["stage"] == "sending"
    with pytest.raises(AmbiguousCreateError):
        instance.make().execute_in_turn(instance.context, event)
    assert len(mps.tasks) == 1


def test_what_such_a_repeat_creates_beside_the_first_ones_task_is_said(mps: MpsEmulator, logged: Lines) -> None:
    """Where the arguments render otherwise by then."""
    mps.fault("error", DEFERRED.create, code=REFUSED)
    instance = DEFERRED.task_instance(mps, "mps", retries=1)
    with pytest.raises(TaskDeferred) as deferred:
        instance.make().execute(instance.context)
    event = first_event(trigger_of(deferred.value))
    with pytest.raises(TaskDeferred):
        instance.make().execute_in_turn(instance.context, event)
    instance.make = DEFERRED.task_instance(mps, "mps", prompt="another one").make
    with pytest.raises(TaskDeferred):
        instance.make().execute_in_turn(instance.context, event)
    assert logged.of(f"{mps.tasks[0].task_id} belongs to another request")
    assert len(mps.tasks) == 2


@pytest.mark.parametrize("waiting", [waiting for waiting in CREATES if waiting.repeatable], ids=str)
def test_a_sending_in_doubt_stays_so_while_its_repeats_find_no_room(waiting: Waiting, mps: MpsEmulator) -> None:
    mps.fault("http_502_after", waiting.create)
    mps.fault("error", waiting.create, times=40, code=REFUSED)
    instance = waiting.task_instance(mps, "mps", retries=0, room_timeout=0.5)
    [error] = ends(instance.run).errors
    assert isinstance(error, NoRoomError)
    assert "may have run and be billed" in str(error)
    mps.clear_faults()
    cleared = ends(instance.run)
    assert cleared.state is State.SUCCESS, cleared.errors
    assert [task.task_id for task in mps.tasks] == [cleared.value], "it is the task of the first sending"


@BOTH
def test_a_worker_that_is_lost_at_any_step_around_a_refusal_costs_no_second_task(waiting: Waiting) -> None:
    for step in range(12):
        with emulated("room") as mps:
            mps.fault("error", waiting.create, times=3, code=REFUSED)
            instance = waiting.task_instance(mps, "room", retries=1)
            instance.kills = [step]
            outcome = ends(instance.run)
            assert len(mps.tasks) <= 1, step
            assert outcome.state is State.SUCCESS or any(not isinstance(e, Killed) for e in outcome.errors), step


@BOTH
def test_a_wait_for_room_survives_a_change_of_the_arguments(waiting: Waiting, mps: MpsEmulator) -> None:
    mps.fault("error", waiting.create, times=4, code=REFUSED)
    instance = waiting.task_instance(mps, "mps", retries=0)
    make, made = instance.make, iter(range(100))

    def another_each_time() -> Any:
        operator = make()
        operator.prompt = f"rain {next(made)}"  # as a template with random() renders
        return operator

    instance.make = another_each_time
    assert ends(instance.run).state is State.SUCCESS
    assert len(mps.tasks) == 1


@BOTH
def test_the_log_says_that_it_waits_and_when_there_was_room(waiting: Waiting, mps: MpsEmulator, logged: Lines) -> None:
    mps.fault("error", waiting.create, times=4, code=REFUSED)
    assert ends(waiting.task_instance(mps, "mps", retries=0).run).state is State.SUCCESS
    [refused] = logged.of("No room yet")
    assert refused.startswith(f"No room yet: {REFUSED}; sent again when there may be room. Nothing was created")
    place = "place 1 of 1 in this triggerer" if waiting.way.deferrable else "on a worker; with deferrable=True"
    assert place in logged.of("Waiting for room")[0]
    assert logged.of("There was room after ")


@pytest.mark.parametrize("waiting", [w for w in CREATES if w.way is Way.OPERATOR_SYNC], ids=str)
def test_a_kill_ends_the_wait_in_the_worker(waiting: Waiting, full: MpsEmulator, logged: Lines) -> None:
    operator = waiting.task_instance(full, "mps", room_timeout=None).make()
    instance = TaskInstance(lambda: operator, retries=0)

    def kill() -> None:
        wait_for("it waits for room", lambda: logged.of("No room yet"), seconds=60)
        operator.on_kill()

    killer = threading.Thread(target=kill)
    with short_waits(room_backoff=60.0):  # the kill comes between two creates
        killer.start()
        [error] = ends(instance.run).errors
    killer.join()
    assert isinstance(error, NoRoomError)
    assert logged.of("No longer waiting for room. Nothing was created, and nothing is billed.")
    assert full.tasks == []


def test_a_kill_amid_a_create_does_not_say_that_nothing_is_billed(logged: Lines) -> None:
    with emulated("hangs", timeout=5) as mps:
        mps.fault("error", CREATE, code=REFUSED)
        mps.fault("hang_after", CREATE)
        operator = HERE.task_instance(mps, "hangs", room_timeout=None).make()

        def kill() -> None:
            wait_for("the create is sent again", lambda: mps.count(CREATE) == 2, seconds=60)
            operator.on_kill()

        killer = threading.Thread(target=kill)
        killer.start()
        [error] = ends(TaskInstance(lambda: operator, retries=0).run).errors
        killer.join()
        assert isinstance(error, AmbiguousCreateError)
        assert mps.count(CREATE) == 2
    assert logged.of("No longer waiting for room. An earlier sending may have run and be billed.")


@pytest.mark.usefixtures("full")
def test_a_kill_in_the_triggerer_says_that_nothing_is_billed(logged: Lines) -> None:
    trigger = MpsRoomTrigger("aigc_audio", "MiniMaxMusic", "mps", time.time(), time.time(), True)
    asyncio.run(trigger.on_kill())
    assert logged.of("nothing was created at MPS, and nothing is billed")


@pytest.mark.usefixtures("mps")
def test_a_create_stays_until_airflow_has_seen_its_process_end_and_lets_others_by() -> None:
    stay = 1.0
    let_out = []

    async def wait(ticket: float, comes_after: float) -> float:
        await asyncio.sleep(comes_after)
        began = time.monotonic()
        trigger = MpsRoomTrigger("aigc_audio", "MiniMaxMusic", "mps", ticket, ticket, True, stay=stay)
        trigger.trigger_id = 1  # as a triggerer does
        async for event in trigger.run():
            assert event.payload["status"] == "room"
            let_out.append(ticket)
        return time.monotonic() - began

    async def both() -> tuple[float, float]:
        return await asyncio.gather(wait(2.0, comes_after=0), wait(1.0, comes_after=stay / 2))

    stayed = ends(lambda: asyncio.run(both()))
    assert min(stayed) >= stay
    assert let_out == [2.0, 1.0]


def test_a_timeout_that_is_none_is_refused_before_anything_is_sent(mps: MpsEmulator) -> None:
    instance = DEFERRED.task_instance(mps, "mps", retries=0, room_timeout="soon")
    [error] = ends(instance.run).errors
    assert "room_timeout" in str(error)
    assert isinstance(error, AirflowFailException)
    assert mps.requests == []


@pytest.mark.parametrize("cap", [1, 3])
@pytest.mark.parametrize("waits", [True, False], ids=["waits", "hands over"])
def test_a_batch_flows_through_a_cap(cap: int, waits: bool) -> None:
    with emulated("capped", running_tasks=cap) as mps:

        def one(number: int) -> State:
            told = MUSIC_ARGUMENTS | {"prompt": f"song {number}", "wait_for_completion": waits, "poll_interval": 0.05}

            def make() -> Any:
                return CreateAigcAudioTaskOperator(task_id="one", mps_conn_id="capped", deferrable=True, **told)

            return TaskInstance(make, retries=0).run().state

        with ThreadPoolExecutor(8) as workers:
            states = list(workers.map(one, range(16)))
        assert states == [State.SUCCESS] * 16
        assert mps.count(CREATE) == 16 + mps.refused_for_room
        assert sorted(task.params["Prompt"] for task in mps.tasks) == sorted(f"song {number}" for number in range(16))
