"""How waits share an account's 20 status calls a second. Prints one JSON line for each row, the ideal beside it.

    python benchmarks/polling.py [--quick] > polling.jsonl

All waits run as the triggerer runs them, the emulator in another process, and nothing else should run on the machine.
Tasks last a lognormal time (median 60 s, sigma 0.4, seeded), scaled by the row's ``time_factor``. Everything takes
about 55 minutes, ``--quick`` about two: fewer tasks, shorter ones. The rows:

``poller``         N triggers of this package in one triggerer: the delay from a task's end to its event, beside that of
                   an even round robin; CPU, memory, connections and the loop's longest stall.
``asleep``         N triggers that only sleep: what Python, Airflow and greenback take of memory and stalls themselves.
``three_pollers``  three processes that share the limit and do not know of each other.
``peer_left``      two of three such processes leave: the seconds until the third has 90 % of the limit, beside those
                   that it takes by a fixed growth.
``resumed``        N waits in two processes, while workers ask for the result of each ended one outside of their pace,
                   as they do for a resumed task, three a second; and the same waits without those calls.
``independent``    N waits, each on its own, asking once an interval; ten refused answers in a row end one.
``dbt_cloud``      N triggers of apache-airflow-providers-dbt-cloud against a fake of its API under the same limit.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import math
import multiprocessing
import os
import random
import selectors
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from service import Service

LIMIT = 20.0
INTERVAL = 5.0
MEDIAN_SECONDS = 60.0
SIGMA = 0.4
REFUSALS_IN_A_ROW = 10
DESCRIBE = "DescribeAigcAudioTask"
TRIGGERER = "airflow.jobs.triggerer_job_runner"  # a triggerer has imported this before its first trigger


@dataclass
class Waited:
    """What a triggerer's process measured of its own waits.

    :ivar ends: the event's status and the monotonic time, by TaskId.
    :ivar cpu_seconds: of the process, from the last trigger's start to the end.
    :ivar start_stall: seconds of the event loop's longest turn while the triggers started, collections left out.
    :ivar stall: the same, after that.
    :ivar collections: seconds of each full run of Python's garbage collector.
    """

    ends: dict[str, tuple[str, float]] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    bytes_each: float = 0.0
    start_stall: float = 0.0
    stall: float = 0.0
    collections: list[float] = field(default_factory=list)


class StallMeter(selectors.DefaultSelector):
    """A loop's selector that knows how long the loop was away between two looks, full collections left out."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0
        self.collections: list[float] = []
        self._back = self._collecting = time.monotonic()
        self._collected = 0.0
        gc.callbacks.append(self._on_collection)

    def select(self, timeout: float | None = None) -> Any:
        self.longest = max(self.longest, time.monotonic() - self._back - self._collected)
        found = super().select(timeout)
        self._collected = 0.0
        self._back = time.monotonic()
        return found

    def take(self) -> float:
        """The longest stall since the last time."""
        longest, self.longest = self.longest, 0.0
        return longest

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] == 2:
            if phase == "start":
                self._collecting = time.monotonic()
            else:
                self.collections.append(time.monotonic() - self._collecting)
                self._collected += self.collections[-1]


async def by_trigger(task_id: str) -> str:
    """Wait with this package's trigger; the status of its event."""
    from airflow_provider_mps.triggers.mps import MpsTaskTrigger

    async for event in MpsTaskTrigger("aigc_audio", task_id, poll_interval=INTERVAL).run():
        return str(event.payload["status"])
    raise AssertionError("a trigger fires an event")


async def on_its_own(task_id: str) -> str:
    """Wait with a client of one's own."""
    from airflow_provider_mps.api.errors import CallError
    from airflow_provider_mps.api.tasks import AIGC_AUDIO
    from airflow_provider_mps.api.wire.client import MpsClient
    from airflow_provider_mps.hooks.mps import MpsHook

    hook = MpsHook()
    await hook.aload()
    refused = 0
    async with MpsClient(hook.settings) as client:
        while refused < REFUSALS_IN_A_ROW:
            try:
                response = await client.attempt(DESCRIBE, {"TaskId": task_id})
            except CallError:
                refused += 1
            else:
                refused = 0
                if AIGC_AUDIO.status(task_id, response).state.ended:
                    return "done"
            await asyncio.sleep(INTERVAL)
    return "failed"


async def asleep(task_id: str) -> str:
    """Wait for nothing."""
    await asyncio.sleep(20.0)
    return "done"


def triggerer(way: Callable[[str], Awaitable[str]], connection: dict[str, Any], parent: Any) -> None:
    """The process that waits. It says when it is ready, is given the TaskIds, and reports what it measured.

    The first of the tasks is over already: a triggerer seldom starts from nothing.
    """
    os.environ["AIRFLOW_HOME"] = tempfile.gettempdir()
    os.environ["AIRFLOW_CONN_TENCENT_MPS_DEFAULT"] = json.dumps(connection)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - Airflow's log
    import greenback

    __import__(TRIGGERER)
    logging.disable(logging.CRITICAL)
    parent.send("ready")
    task_ids: list[str] = parent.recv()
    meter = StallMeter()
    waited = Waited()

    async def run_trigger(task_id: str) -> None:
        await greenback.ensure_portal()
        waited.ends[task_id] = (await way(task_id), time.monotonic())

    async def run() -> None:
        await asyncio.create_task(run_trigger(task_ids[0]))
        gc.collect()
        before = psutil.Process().memory_info().rss
        meter.take()
        meter.collections.clear()
        tasks = []
        for task_id in task_ids[1:]:
            # Airflow's create_triggers() lets the loop turn twice for each.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(run_trigger(task_id)))
        await asyncio.sleep(2.0)
        waited.start_stall = meter.take()
        cpu = time.process_time()
        await asyncio.sleep(3.0)
        waited.bytes_each = (psutil.Process().memory_info().rss - before) / len(tasks)
        await asyncio.gather(*tasks)
        waited.cpu_seconds = time.process_time() - cpu
        waited.stall = meter.take()

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(meter)) as runner:
        runner.run(run())
    waited.collections = meter.collections
    parent.send(waited)


def most_connections(pid: int, until: Connection) -> int:
    """The most connections that a process had at any look, until it has something to say."""
    most = 0
    while not until.poll(1.0):
        most = max(most, len(psutil.Process(pid).net_connections("tcp")))
    return most


def row_of_waits(name: str, way: Callable[[str], Awaitable[str]], number: int, factor: float) -> dict[str, Any]:
    """Run so many waits to their end, and report how they went."""
    draw = random.Random(number)
    seconds = [MEDIAN_SECONDS * factor * math.exp(draw.gauss(0.0, SIGMA)) for _ in range(number)]
    spawn = multiprocessing.get_context("spawn")
    with Service() as service:
        connection, theirs = spawn.Pipe()
        process = spawn.Process(target=triggerer, args=(way, service.connection, theirs))
        process.start()
        connection.recv()
        connection.send(service.make_tasks([0.0, *seconds]))
        assert process.pid
        connections = most_connections(process.pid, connection)
        waited: Waited = connection.recv()
        process.join()
        state = service.state()
    ends = waited.ends
    answers = state["answers"].get(DESCRIBE, {})
    asked = sum(answers.values()) or 1
    done = {task["task_id"]: task["done_at"] for task in state["tasks"]}
    delays = sorted(at - done[task_id] for task_id, (status, at) in ends.items() if status == "done")
    between = max(INTERVAL, number / LIMIT)
    return {
        "row": name,
        "n": number,
        "time_factor": factor,
        "failed": sum(status != "done" for status, _ in ends.values()),
        "asked": asked,
        "throttled_share": round(answers.get("RequestLimitExceeded", 0) / asked, 4),
        "delay_mean_s": round(statistics.fmean(delays), 2),
        "ideal_delay_mean_s": between / 2,
        "delay_p99_s": round(delays[int(0.99 * len(delays))], 2),
        "ideal_delay_p99_s": round(0.99 * between, 2),
        "cpu_ms_per_poll": round(1000 * waited.cpu_seconds / asked, 2),
        "kib_per_trigger": round(waited.bytes_each / 1024, 1),
        "connections": connections,
        "start_stall_ms": round(1000 * waited.start_stall, 1),
        "stall_ms": round(1000 * waited.stall, 1),
        "full_collections_ms": [round(1000 * seconds) for seconds in waited.collections],
    }


def settings_for(connection: dict[str, Any]) -> Any:
    """The emulator's account as settings."""
    from airflow_provider_mps.api.wire.settings import ClientSettings, CredentialSettings

    keys = CredentialSettings(secret_id=connection["login"], secret_key=connection["password"])
    return ClientSettings(connection["host"], keys, port=connection["port"], scheme="http")


def sharing_process(
    connection: dict[str, Any], task_ids: list[str], seconds: float, quiet_seconds: float, parent: Any
) -> None:
    """Wait for so many seconds for tasks that do not end; sends each second's time, polls and throttled."""
    from airflow_provider_mps.api.patience import Patience, in_force
    from airflow_provider_mps.api.tasks import AIGC_AUDIO
    from airflow_provider_mps.api.waiting import poller as polling
    from airflow_provider_mps.api.waiting.pace import Pace

    Pace.QUIET_SECONDS = quiet_seconds
    seen: list[tuple[float, int, int]] = []

    async def run() -> None:
        poller = polling.poller(
            settings_for(connection), lambda report: seen.append((time.monotonic(), report.polls, report.throttled))
        )
        waits = [poller.wait(AIGC_AUDIO, task_id, poll_interval=INTERVAL) for task_id in task_ids]
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*waits)
        except TimeoutError:
            pass

    parent.send("ready")
    parent.recv()
    with in_force(Patience(report=1.0)):
        asyncio.run(run())
    parent.send(seen)


def together(target: Callable[..., None], arguments: list[tuple[Any, ...]]) -> list[Any]:
    """Run a process for each of the arguments, started at one moment; what each sends at its end."""
    spawn = multiprocessing.get_context("spawn")
    ends = []
    for each in arguments:
        mine, theirs = spawn.Pipe()
        spawn.Process(target=target, args=(*each, theirs)).start()
        ends.append(mine)
    for end in ends:
        end.recv()
    for end in ends:
        end.send("go")
    return [end.recv() for end in ends]


def shared(seconds: list[float], quiet_seconds: float | None = None) -> list[list[tuple[float, int, int]]]:
    """A process with 300 waits for each of those numbers of seconds; what each has seen."""
    from airflow_provider_mps.api.waiting.pace import Pace

    quiet = Pace.QUIET_SECONDS if quiet_seconds is None else quiet_seconds
    with Service() as service:
        wishes = [(service.connection, service.make_tasks([3600.0] * 300), each, quiet) for each in seconds]
        return together(sharing_process, wishes)


def row_of_three(settle: float, seconds: float) -> dict[str, Any]:
    """Three processes for so many seconds, after the first ones in which they settle."""
    reports = shared([settle + seconds] * 3)
    began = max(seen[0][0] for seen in reports) + settle
    ended = min(seen[-1][0] for seen in reports)
    late = [[report for report in seen if began < report[0] <= ended] for seen in reports]
    answered = [sum(polls - throttled for _, polls, throttled in seen) / (ended - began) for seen in late]
    asked = sum(polls for seen in late for _, polls, _ in seen)
    return {
        "row": "three_pollers",
        "settled_after_s": settle,
        "measured_s": round(ended - began, 1),
        "share_of_limit": round(sum(answered) / LIMIT, 3),
        "throttled_share": round(sum(throttled for seen in late for _, _, throttled in seen) / asked, 4),
        "shares_of_fair": [round(3 * each / LIMIT, 2) for each in answered],
    }


def row_of_peer_left(settle: float, seconds: float) -> dict[str, Any]:
    """Two of three processes leave after the first seconds; how soon the third has 90 % of the limit."""
    row: dict[str, Any] = {"row": "peer_left", "settled_after_s": settle}
    for name, quiet in (("seconds", None), ("seconds_by_fixed_growth", math.inf)):
        stays, *leave = shared([settle + seconds, settle, settle], quiet)
        left = max(seen[-1][0] for seen in leave)
        after = [(at - left, polls, throttled) for at, polls, throttled in stays if at > left]
        fast = [at for at, polls, throttled in after if polls - throttled >= 0.9 * LIMIT]
        row[name] = round(fast[0], 1) if fast else None
        row[f"throttled_{name}"] = sum(throttled for _, _, throttled in after)
    return row


def resumed_process(connection: dict[str, Any], task_ids: list[str], resumes: float, parent: Any) -> None:
    """Wait for tasks, and ask for so many of the ended ones a second once more; sends when each wait ended, by TaskId.

    :param resumes: questions a second that come from no poller, each over a connection of its own.
    """
    from airflow_provider_mps.api.patience import Patience, in_force
    from airflow_provider_mps.api.tasks import AIGC_AUDIO
    from airflow_provider_mps.api.waiting import poller as polling
    from airflow_provider_mps.api.wire.client import MpsClient

    settings = settings_for(connection)
    counts = [0, 0]
    ends: dict[str, float] = {}

    def count(report: Any) -> None:
        counts[0] += report.polls
        counts[1] += report.throttled

    async def run() -> None:
        poller = polling.poller(settings, count)
        ended: asyncio.Queue[str] = asyncio.Queue()
        asking: set[asyncio.Task[None]] = set()

        async def wait(task_id: str) -> None:
            await poller.wait(AIGC_AUDIO, task_id, poll_interval=INTERVAL)
            ends[task_id] = time.monotonic()
            ended.put_nowait(task_id)

        async def ask(task_id: str) -> None:
            async with MpsClient(settings) as client:
                await client.acall(DESCRIBE, {"TaskId": task_id})

        async def resume() -> None:
            while True:
                await asyncio.sleep(random.expovariate(resumes))
                question = asyncio.create_task(ask(await ended.get()))
                asking.add(question)
                question.add_done_callback(asking.discard)

        resuming = asyncio.create_task(resume()) if resumes else None
        await asyncio.gather(*(wait(task_id) for task_id in task_ids))
        if resuming:
            resuming.cancel()
        await asyncio.gather(*asking)

    parent.send("ready")
    parent.recv()
    with in_force(Patience(report=1.0)):
        asyncio.run(run())
    parent.send((ends, *counts))


def row_of_resumed(number: int, factor: float, resumes: float) -> dict[str, Any]:
    """So many waits in two processes, which ask for so many of the ended ones a second once more."""
    draw = random.Random(number)
    seconds = [MEDIAN_SECONDS * factor * math.exp(draw.gauss(0.0, SIGMA)) for _ in range(number)]
    with Service() as service:
        task_ids = service.make_tasks(seconds)
        halves = [(service.connection, task_ids[half::2], resumes / 2) for half in range(2)]
        sent = together(resumed_process, halves)
        done = {task["task_id"]: task["done_at"] for task in service.state()["tasks"]}
    delays = sorted(at - done[task_id] for ends, _, _ in sent for task_id, at in ends.items())
    polls, throttled = (sum(each[index] for each in sent) for index in (1, 2))
    return {
        "row": "resumed",
        "n": number,
        "time_factor": factor,
        "resumed_a_second": resumes,
        "delay_mean_s": round(statistics.fmean(delays), 2),
        "delay_p99_s": round(delays[int(0.99 * len(delays))], 2),
        "ideal_delay_mean_s": max(INTERVAL, number / LIMIT) / 2,
        "polls": polls,
        "throttled_share": round(throttled / polls, 4),
    }


def row_of_dbt_cloud(number: int, factor: float) -> dict[str, Any]:
    """The same waits by another provider's trigger, in an environment of its own."""
    needs = [f"apache-airflow=={version('apache-airflow')}", "apache-airflow-providers-dbt-cloud", "aiohttp", "trustme"]
    command = ["uv", "run", "--quiet", "--no-project", "--python", sys.executable]
    for need in needs:
        command += ["--with", need]
    command += ["python", str(Path(__file__).with_name("dbt_cloud.py")), str(number), str(MEDIAN_SECONDS * factor)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        last = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        return {"row": "dbt_cloud", "n": number, "skipped": f"its environment could not be made: {last}"}
    measured: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return {"row": "dbt_cloud", "n": number, "time_factor": factor} | measured


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description="How waits share an account's 20 status calls a second.")
    parser.add_argument("--quick", action="store_true", help="about a minute: fewer tasks, shorter ones")
    quick = parser.parse_args().quick

    def show(row: dict[str, Any]) -> None:
        print(json.dumps(row), flush=True)

    # At 5,000 the first round takes 258 s, so its tasks are shorter: the run is to end within 5 minutes or so.
    for number, factor in [(40, 0.1), (200, 0.1)] if quick else [(10, 1), (200, 1), (1000, 1), (2000, 1), (5000, 0.5)]:
        show(row_of_waits("poller", by_trigger, number, factor))
    if not quick:
        for number in (1000, 5000):
            show(row_of_waits("asleep", asleep, number, 0.0))
    show(row_of_three(5.0, 10.0) if quick else row_of_three(30.0, 120.0))
    show(row_of_peer_left(10.0, 60.0) if quick else row_of_peer_left(60.0, 240.0))
    for resumes in (0.0, 3.0):
        show(row_of_resumed(200, 0.1, resumes) if quick else row_of_resumed(1000, 1, resumes))
    for number, factor in [(200, 0.1)] if quick else [(100, 1), (200, 1), (1000, 1)]:
        show(row_of_waits("independent", on_its_own, number, factor))
        show(row_of_dbt_cloud(number, factor))


if __name__ == "__main__":
    main()
