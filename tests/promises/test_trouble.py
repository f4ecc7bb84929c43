"""Trouble is never silent: a warning at once, then one a minute with counts, then a line when all is well again."""

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.api import failure_log as trouble
from airflow_provider_mps.api.patience import short_waits
from airflow_provider_mps.compat import AirflowSensorTimeout
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator
from tests.doubles.emulators import emulated
from tests.doubles.logs import Lines, no_secret_in
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import State, TaskInstance
from tests.doubles.ways import CREATES_IN_TURN, OPERATORS, SENSORS, WAITINGS, WAITINGS_IN_TURN, Waiting, Way

ONE_OF_EACH_WAY = [Waiting((OPERATORS if way.creates else SENSORS)[0], way) for way in Way]
IN_ONE_PROCESS = [waiting for waiting in ONE_OF_EACH_WAY if waiting.way is not Way.SENSOR_RESCHEDULE]
TROUBLE: dict[str, tuple[dict[str, Any], str]] = {
    "throttled": ({"kind": "error", "code": "RequestLimitExceeded"}, "RequestLimitExceeded"),
    "5xx": ({"kind": "http_502"}, "an unreadable answer"),
    "server trouble": ({"kind": "error", "code": "InternalError"}, "InternalError"),
    "unknown code": ({"kind": "error", "code": "NobodyKnows.This"}, "NobodyKnows.This"),
    "cut": ({"kind": "cut_before"}, "no answer"),
    "hanging": ({"kind": "hang"}, "no answer"),
}
"""The emulator's fault, and what a log calls it."""

Report = Callable[[float], None]


@pytest.fixture
def mps() -> Iterator[MpsEmulator]:
    with emulated("mps") as emulator:
        yield emulator


@pytest.fixture
def report_every() -> Iterator[Report]:
    """Let trouble be said again after so many seconds: 0 or infinitely many, so that no time is measured."""

    with ExitStack() as stack:
        yield lambda seconds: stack.enter_context(short_waits(report=seconds))


def warnings(logged: Lines) -> list[str]:
    return [line for line in logged.warnings if re.search(r"\bfailed\b.*again in about", line)]


def well_again(logged: Lines) -> list[str]:
    return logged.of("answered again, after ")


@pytest.mark.parametrize("fault", TROUBLE)
@pytest.mark.parametrize("waiting", ONE_OF_EACH_WAY, ids=str)
def test_polls_that_fail_are_a_warning_at_once_and_a_line_when_all_is_well(
    waiting: Waiting, fault: str, logged: Lines, report_every: Report
) -> None:
    report_every(math.inf)
    told, word = TROUBLE[fault]
    # Long enough that no healthy answer of a busy machine is late; so one that hangs is enough.
    times, timeout = (1, 3.0) if fault == "hanging" else (3, 30.0)
    with emulated("mps", timeout=timeout) as mps:
        mps.fault(**told, action=waiting.describe, times=times)
        outcome = waiting.task_instance(mps, "mps", retries=0, max_poll_failures=100).run()
    assert outcome.state is State.SUCCESS, outcome.errors
    [warning] = warnings(logged)
    assert warning.startswith(f"A poll failed: {word}; asked again in about ")
    assert "; the task goes on at MPS meanwhile (" in warning[:110]
    [well] = well_again(logged)
    assert re.match(rf"The polls are answered again, after {times} failed in ", well)
    assert no_secret_in(logged.lines)


@pytest.mark.parametrize("waiting", WAITINGS_IN_TURN, ids=str)
def test_every_class_says_so(waiting: Waiting, mps: MpsEmulator, logged: Lines, report_every: Report) -> None:
    report_every(math.inf)
    mps.fault("error", waiting.describe, code="InternalError")
    assert waiting.task_instance(mps, "mps", retries=0, max_poll_failures=100).run().state is State.SUCCESS
    assert (len(warnings(logged)), len(well_again(logged))) == (1, 1)


@pytest.mark.parametrize("waiting", ONE_OF_EACH_WAY, ids=str)
def test_later_warnings_have_counts(waiting: Waiting, mps: MpsEmulator, logged: Lines, report_every: Report) -> None:
    report_every(0)
    mps.fault("error", waiting.describe, times=4, code="InternalError")
    assert waiting.task_instance(mps, "mps", retries=0, max_poll_failures=100).run().state is State.SUCCESS
    first, *others = warnings(logged)
    assert first.startswith("A poll failed: InternalError; ")
    assert [line.partition(" failed over ")[0] for line in others] == [f"{n} polls in a row" for n in (2, 3, 4)]
    assert len(well_again(logged)) == 1


@pytest.mark.parametrize("waiting", ONE_OF_EACH_WAY, ids=str)
def test_what_comes_and_goes_within_a_minute_is_said_once(
    waiting: Waiting, mps: MpsEmulator, logged: Lines, report_every: Report
) -> None:
    report_every(math.inf)
    for answered in (0, 1, 2):
        mps.fault("error", waiting.describe, after=answered, code="RequestLimitExceeded")
    mps.fault("unknown_status", waiting.describe, times=3)
    assert waiting.task_instance(mps, "mps", retries=0).run().state is State.SUCCESS
    assert (len(warnings(logged)), len(well_again(logged))) == (1, 1)


def test_a_minute_of_mixed_trouble_is_counted(logged: Lines, report_every: Report) -> None:
    polls = trouble.Trouble.of_polls()
    report_every(math.inf)
    for call in range(19):
        if call % 3:
            polls.failed("InternalError" if call == 4 else "RequestLimitExceeded", "asked again in about 10 s")
        else:
            polls.answered()
    report_every(0)
    polls.failed("RequestLimitExceeded", "asked again in about 10 s")
    first, last = warnings(logged)
    assert first == "A poll failed: RequestLimitExceeded; asked again in about 10 s"
    assert re.fullmatch(
        r"11 of 16 polls failed in the last \S+ s, 10 with RequestLimitExceeded; asked again in about 10 s", last
    )


@pytest.mark.parametrize("waiting", [w for w in CREATES_IN_TURN if w.way is Way.OPERATOR_SYNC], ids=str)
def test_a_create_that_is_repeated_says_so(
    waiting: Waiting, mps: MpsEmulator, logged: Lines, report_every: Report
) -> None:
    report_every(math.inf)
    mps.fault("error", waiting.create, times=3, code="RequestLimitExceeded")
    assert waiting.task_instance(mps, "mps", retries=0).run().state is State.SUCCESS
    [warning] = logged.of("No room yet")
    assert warning.startswith("No room yet: RequestLimitExceeded; sent again when there may be room. Nothing was ")
    assert logged.of("There was room after ")


def test_a_create_that_is_in_doubt_and_repeated_says_that_it_makes_one_task(
    mps: MpsEmulator, logged: Lines, report_every: Report
) -> None:
    report_every(math.inf)
    [repeatable, *_] = [w for w in WAITINGS if w.repeatable and w.way is Way.OPERATOR_SYNC]
    mps.fault("cut_after", repeatable.create)
    assert repeatable.task_instance(mps, "mps", retries=0).run().state is State.SUCCESS
    assert "; one SessionId makes one task (" in warnings(logged)[0]
    assert len(mps.tasks) == 1


def test_a_read_by_the_hook_says_so(mps: MpsEmulator, logged: Lines, report_every: Report) -> None:
    report_every(math.inf)
    mps.fault("error", "DescribeTasks", times=2, code="InternalError")
    MpsHook("mps").call("DescribeTasks", {"Status": "FINISH"})
    [warning] = warnings(logged)
    assert warning.startswith("A call failed: InternalError; asked again in about ")
    assert "goes on at MPS" not in warning
    assert len(well_again(logged)) == 1


def test_a_download_that_is_cut_off_says_so(
    mps: MpsEmulator, logged: Lines, report_every: Report, tmp_path: Path
) -> None:
    report_every(math.inf)
    create = Waiting(OPERATORS[0], Way.OPERATOR_SYNC).task_instance(mps, "mps")
    urls = create.run().xcoms["audio_urls"]
    mps.fault("file_cut", "file", times=2)
    keep = MpsToObjectStorageOperator(task_id="keep", urls=urls, mps_conn_id="mps", destination=tmp_path.as_uri())
    assert TaskInstance(lambda: keep, retries=0).run().state is State.SUCCESS
    [warning] = warnings(logged)
    assert re.match(r"A download failed: cut off; asked again in about \S+ s, for the (rest|whole file) \(", warning)
    assert len(well_again(logged)) == 1
    assert no_secret_in(logged.lines)


@pytest.mark.parametrize("waiting", IN_ONE_PROCESS, ids=str)
def test_a_wait_that_trouble_ended_says_which_task_it_was_and_how_much_trouble(
    waiting: Waiting, mps: MpsEmulator, logged: Lines
) -> None:
    mps.fault("error", waiting.describe, after=1, times=None, code="InternalError")
    [error] = waiting.task_instance(mps, "mps", retries=0).run().errors
    told = str(error)
    assert mps.tasks[0].task_id in told
    assert re.search(r"\d polls in a row failed over \S+ \w+: DescribeAigcAudioTask: InternalError", told)
    assert re.search("last known as (WAIT|RUN), goes on at MPS and may be billed", told)
    assert "A retry of this Airflow task goes on waiting for it" in told
    assert "the call was sent and may have run" not in told


@pytest.mark.parametrize("waiting", ONE_OF_EACH_WAY, ids=str)
def test_a_wait_that_timed_out_in_trouble_says_what_was_last_known(waiting: Waiting, mps: MpsEmulator) -> None:
    mps.fault("error", waiting.describe, after=1, times=None, code="RequestLimitExceeded")
    instance = waiting.task_instance(mps, "mps", retries=0, timeout=2, max_poll_failures=1000)
    [error] = instance.run().errors
    assert "It goes on at MPS" in str(error)
    assert re.search(r"It was last known as (WAIT|RUN)\.", str(error))
    assert re.search(r"The last \d+ polls in a row failed over ", str(error))


def ends_after(told: list[str], state: str) -> list[int]:
    """After how many seconds, by the log, a task had a state."""
    return [int(found[1]) for line in told if (found := re.search(rf"{state} after (\d+) s(?! of waiting)", line))]


@pytest.mark.parametrize("state", ["DONE", "FAIL"])
@pytest.mark.parametrize("way", [way for way in Way if way.creates], ids=str)
def test_times_count_from_the_accept_also_in_a_later_try(way: Way, state: str, mps: MpsEmulator, logged: Lines) -> None:
    waiting = Waiting(OPERATORS[0], way)
    if state == "FAIL":
        mps.fault("fail", waiting.create, message="out of tune")
    first = waiting.task_instance(mps, "mps", retries=0, wait_for_completion=False)
    first.run()
    mps.fault("unknown_status", waiting.describe)  # so that there is something to wait for
    retry = waiting.task_instance(mps, "mps", retries=0)
    retry.stored["mps_task"] = json.dumps(first.remembered | {"at": first.remembered["at"] - 1000})
    logged.lines.clear()
    retry.run()
    assert len(mps.tasks) == 1
    told = ends_after(logged.lines, state)
    assert len(told) > 1 or state == "DONE"
    assert min(told) >= 1000


@pytest.mark.parametrize("waiting", ONE_OF_EACH_WAY, ids=str)
def test_a_sensor_counts_from_its_own_begin_and_says_so(waiting: Waiting, mps: MpsEmulator, logged: Lines) -> None:
    assert waiting.task_instance(mps, "mps", retries=0).run().state is State.SUCCESS
    lines = logged.of(": DONE after ")
    assert lines
    assert {line.endswith(" s of waiting") for line in lines} == {not waiting.way.creates}


@pytest.mark.parametrize("waiting", ONE_OF_EACH_WAY, ids=str)
def test_a_failed_task_ends_in_three_short_lines(waiting: Waiting, mps: MpsEmulator, logged: Lines) -> None:
    mps.fault("fail", OPERATORS[0].request.action, message="The prompt names a person.")
    arguments: dict[str, Any] = {}
    if not waiting.way.creates:
        arguments["mps_task_id"] = MpsHook("mps").create_aigc_audio_task(**MUSIC_ARGUMENTS)
    [error] = waiting.task_instance(mps, "mps", retries=0, **arguments).run().errors
    what, cost, advice = logged.errors
    waited = "" if waiting.way.creates else " of waiting"
    assert re.fullmatch(rf"FAIL after \d+ s{waited}: The prompt names a person\.", what)
    assert cost == "Whether a task that failed is billed is not known"
    assert advice.endswith(f": {mps.url}/")
    assert str(error).startswith(what)


@pytest.mark.parametrize("limit", ["timeout", "execution_timeout"])
@pytest.mark.parametrize("waiting", ONE_OF_EACH_WAY, ids=str)
def test_so_does_a_wait_whose_time_is_over(waiting: Waiting, limit: str, mps: MpsEmulator, logged: Lines) -> None:
    # A sensor that reschedules keeps execution_timeout only for each poke, as every sensor of Airflow does.
    if limit == "execution_timeout" and waiting.way is Way.SENSOR_RESCHEDULE:
        limit = "timeout"
    mps.fault("unknown_status", waiting.describe, times=None)
    limits: dict[str, Any] = {limit: 1 if limit == "timeout" else timedelta(seconds=1)}
    [error] = waiting.task_instance(mps, "mps", retries=0, **limits).run().errors
    what, cost, advice = logged.errors[-3:]  # before them there may be a line of Airflow's own
    assert what.startswith("Not ended after 1 s")
    assert what in str(error)
    assert cost == "It goes on at MPS and may be billed there"
    retried = not isinstance(error, AirflowSensorTimeout)
    to_do = "A retry of this Airflow task goes on" if retried else "Airflow does not retry a sensor's timeout: clear"
    assert advice.startswith(to_do)
    assert advice.endswith(f": {mps.url}/")
