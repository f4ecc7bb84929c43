"""A batch larger than what an account may run at once, through a whole Airflow: how long, at what cost, in what order.

    PYTHONPATH=. python benchmarks/batch.py [--quick] [--scenario S] [--way W] [--at-once] [--creates N]

`airflow standalone` with a LocalExecutor of four slots and one triggerer; the emulator, in this process, lets only so
many tasks run at once. All creates are mapped tasks of one run. Every ten seconds a run of another DAG is started,
whose one task needs a worker for a moment. A way that has not ended after twice the ideal time is cut off.
The 20 s scenario takes about 40 minutes, the 60 s one 2 hours, or 45 minutes with the ways at once; `--quick` a few.
In the capacity scenarios the triggerer holds 20 waits at most, beside a batch of 80: a way takes 8 minutes with tasks
of 15 s, and 25 with tasks of 60 s. `--creates 6` is for trying whether a way works.

Ways, each a DAG of batch_dags/batch.py:

``this_package``            creates wait for room in the triggerer, and so do the tasks that they made
``this_package_in_a_pool``  the same, in a pool of the cap's size with include_deferred
``this_package_in_a_larger_pool``  in one of the size that docs/room.md recommends
``this_package_in_a_larger_pool_often_polled``  and each task is polled every second
``naive_deferred``          the SDK with its StandardRetryer, 20 retries by Airflow with exponential backoff, and a wait
                            in the triggerer
``naive_in_the_worker``     the same, and polls with sleeps between them in the worker

Columns of the table; a JSON line for each way has more:

- makespan: from the run's start to its end; ideal: creates x seconds / cap.
- busy: the mean share of the cap that was in use, from the first accept to the last end.
- refused: creates refused for want of room, for each one accepted.
- held: seconds of worker slots held, from Airflow's event log; runs: how often a worker ran a task, for each create.
- failed, paid: task instances that failed; tasks that the emulator made.
- seen: how long after a task's end it was seen at most.
- in order: of all pairs of creates, those accepted in the order in which they first came.
- queued: how long the other DAG's task waited for a worker after its run was started, median and longest.
- cpu: seconds of CPU of all of Airflow's processes; of them for each worker run; and those of the workers for each run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import psutil

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone, wait_for

DAGS = Path(__file__).with_name("batch_dags")
CREATE = "CreateAigcAudioTask"


@dataclass(frozen=True)
class Scenario:
    """So many creates of tasks that last so many seconds, of which only ``cap`` run at once.

    :param capacity: of the triggerer.
    """

    creates: int
    cap: int
    seconds: float
    capacity: int = 1000

    @property
    def ideal(self) -> float:
        return self.creates * self.seconds / self.cap

    @property
    def pools(self) -> dict[str, int]:
        """The slots of the pool of each way that has one."""
        turnaround = 6.0  # docs/room.md
        larger = math.ceil(self.cap * (1 + turnaround / self.seconds))
        larger_ones = ("this_package_in_a_larger_pool", "this_package_in_a_larger_pool_often_polled")
        return {"this_package_in_a_pool": self.cap, **dict.fromkeys(larger_ones, larger)}


SCENARIOS = {
    "20s": Scenario(200, 10, 20.0),
    "60s": Scenario(60, 3, 60.0),
    "quick": Scenario(40, 4, 5.0),
    "capacity": Scenario(80, 4, 15.0, capacity=20),
    "capacity-60s": Scenario(80, 4, 60.0, capacity=20),
}
WAYS = (
    "this_package",
    "this_package_in_a_pool",
    "this_package_in_a_larger_pool",
    "this_package_in_a_larger_pool_often_polled",
    "naive_deferred",
    "naive_in_the_worker",
)


class Batch:
    """One way's run in an Airflow of its own."""

    def __init__(self, way: str, scenario: Scenario, folder: Path) -> None:
        self.way, self.scenario = way, scenario
        self.emulator = MpsEmulator(wait_seconds=0.0, run_seconds=scenario.seconds, running_tasks=scenario.cap)
        self._folder = folder

    def measure(self) -> dict[str, Any]:
        """Run it, and return what was seen."""
        with self.emulator:
            env = {
                "AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(self.emulator.connection),
                "BATCH_CREATES": str(self.scenario.creates),
                "AIRFLOW__TRIGGERER__CAPACITY": str(self.scenario.capacity),
            }
            with AirflowStandalone(self._folder, DAGS, env) as self.airflow:
                wait_for("the other DAG has run", lambda: self._another("success"), seconds=120)
                if slots := self.scenario.pools.get(self.way):
                    self.airflow.api("POST", "/pools", {"name": "songs", "slots": slots, "include_deferred": True})
                before = self._cpu()
                run_id = self.airflow.trigger(self.way)
                with suppress(RuntimeError):
                    self.airflow.wait_for_run(self.way, run_id, seconds=max(120.0, 2 * self.scenario.ideal))
                return self._row(run_id, self._cpu() - before)

    def _cpu(self) -> Counter[str]:
        """Seconds of CPU of Airflow's processes by component; of a task's process once it has ended."""
        cpu: Counter[str] = Counter()
        for process in self.airflow.processes():
            with suppress(psutil.NoSuchProcess):
                title = " ".join(process.cmdline())
                kinds = ("scheduler", "worker", "triggerer", "dag-processor", "api")
                kind = next((kind for kind in kinds if kind in title), "other")
                cpu[kind] += sum(process.cpu_times()[:4])
        return cpu

    def _row(self, run_id: str, cpu: Counter[str]) -> dict[str, Any]:
        scenario = self.scenario
        run = self.airflow.api("GET", f"/dags/{self.way}/dagRuns/{run_id}")
        ended = run["end_date"] is not None
        tis = self.airflow.mapped(self.way, run_id, "create")
        states = Counter(ti["state"] or "none" for ti in tis)
        runs = list(self._runs())
        tasks = self.emulator.tasks
        now = time.monotonic()
        accepted = {task.params["Prompt"]: task.created_at for task in tasks}
        requests = [request for request in self.emulator.requests if request.action == CREATE]
        first: dict[str, float] = {}
        for request in requests:
            first.setdefault(request.params["Prompt"], request.at)
        came = [accepted.get(prompt, now) for prompt in first]
        pairs = Counter(mine <= theirs for mine, theirs in combinations(came, 2))
        ends = [min(task.done_at or now, now) for task in tasks]
        done = {task.task_id: task.done_at for task in tasks if task.done_at is not None}
        busy = sum(end - task.created_at for task, end in zip(tasks, ends, strict=True))
        spent = max(ends) - min(task.created_at for task in tasks)
        queued = sorted(self._queued(run["queued_at"]))
        seen: dict[str, float] = {}
        for request in self.emulator.requests:
            task_id = request.params.get("TaskId")
            if task_id in done and request.at >= done[task_id]:
                seen.setdefault(task_id, request.at - done[task_id])
        return {
            "way": self.way,
            "creates": scenario.creates,
            "cap": scenario.cap,
            "seconds": scenario.seconds,
            "ended": ended,
            "makespan_s": round(seconds(run["start_date"], run["end_date"]), 1) if ended else None,
            "ideal_s": scenario.ideal,
            "busy": round(busy / spent / scenario.cap, 3),
            "states": states,
            "done": states["success"],
            "failed": states["failed"] + states["upstream_failed"],
            "paid": len(tasks),
            "paid_twice": len(tasks) - len(accepted),
            "refused_for_room": self.emulator.refused_for_room,
            "answers": Counter(request.answer for request in requests),
            "in_order": round(pairs[True] / max(1, pairs.total()), 3),
            "most_overtaken": max(sum(theirs < mine for theirs in came[place:]) for place, mine in enumerate(came)),
            "seen_median_s": round(statistics.median(seen.values()), 1),
            "seen_latest_s": round(max(seen.values()), 1),
            "held_s": round(sum(runs)),
            "runs": len(runs),
            "run_median_s": round(statistics.median(runs), 1),
            "run_longest_s": round(max(runs), 1),
            "another_runs": len(queued),
            "another_queued_median_s": round(statistics.median(queued), 1),
            "another_queued_longest_s": round(queued[-1], 1),
            "cpu_s": {kind: round(each, 1) for kind, each in cpu.items()},
        }

    def _runs(self) -> Iterator[float]:
        """How long each time was that a worker ran a task of the batch, by the event log."""
        events: dict[int, list[tuple[str, str]]] = {}
        log = self.airflow.all("/eventLogs", "event_logs", dag_id=self.way, task_id="create", order_by="event_log_id")
        for entry in log:
            events.setdefault(entry["map_index"], []).append((entry["event"], entry["when"]))
        now = datetime.now().astimezone().isoformat()
        for of_task in events.values():
            for (event, at), (_, after) in pairwise([*of_task, ("", now)]):
                if event == "running":
                    yield seconds(at, after)

    def _another(self, state: str) -> list[dict[str, Any]]:
        """Runs of the other DAG in a state."""
        return list(self.airflow.all("/dags/another/dagRuns", "dag_runs", state=state))

    def _queued(self, since: str) -> Iterator[float]:
        """How long each task of the other DAG that was due since then waited for a worker."""
        now = datetime.now().astimezone().isoformat()  # some may be waiting still
        for run in [*self._another("success"), *self._another("running"), *self._another("queued")]:
            if seconds(since, run["run_after"]) > 0:
                ti = self.airflow.task("another", run["dag_run_id"], "small")
                yield seconds(run["run_after"], ti["start_date"] or now)


def seconds(since: str, until: str) -> float:
    """Between two times of the REST API."""
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a table in Markdown."""
    heads = [
        "way",
        "makespan / ideal",
        "busy",
        "seen",
        "refused",
        "held",
        "runs",
        "failed",
        "paid",
        "in order",
        "queued",
        "cpu",
    ]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        wanted, paid = row["creates"], row["paid"]
        cpu = sum(row["cpu_s"].values())
        ratio = row["makespan_s"] and f"{row['makespan_s'] / row['ideal_s']:.2f}"
        lines.append(
            [
                row["way"],
                ratio or f"not finished: {row['done']} of {wanted}",
                f"{100 * row['busy']:.0f} %",
                f"{row['seen_latest_s']} s",
                f"{row['refused_for_room'] / paid:.2f}",
                f"{row['held_s']} s",
                f"{row['runs'] / wanted:.2f}",
                str(row["failed"]),
                f"{paid} of {wanted}",
                f"{100 * row['in_order']:.0f} %",
                f"{row['another_queued_median_s']} s, {row['another_queued_longest_s']} s",
                f"{cpu:.0f} s; {cpu / row['runs']:.2f} s; {row['cpu_s'].get('worker', 0) / row['runs']:.3f} s",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Measure the ways of each scenario, and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small scenario, to try this")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), action="append", help="all but quick where not given")
    parser.add_argument("--way", choices=WAYS, action="append", help="all of them where not given")
    parser.add_argument("--at-once", action="store_true", help="all ways at the same time, each in an Airflow")
    parser.add_argument("--creates", type=int, help="so many creates instead of the scenario's")
    arguments = parser.parse_args()
    names = ["quick"] if arguments.quick else arguments.scenario or ["20s", "60s"]
    for name in list(os.environ):
        if name.startswith("AIRFLOW_"):
            del os.environ[name]

    for name in names:
        scenario, ways = SCENARIOS[name], arguments.way or WAYS
        scenario = replace(scenario, creates=arguments.creates or scenario.creates)
        print(f"\n{scenario.creates} creates, {scenario.seconds:g} s each, {scenario.cap} at once", flush=True)

        def measure(way: str, scenario: Scenario = scenario) -> dict[str, Any]:
            folder = Path(tempfile.mkdtemp(prefix="batch-"))
            try:
                row = Batch(way, scenario, folder).measure()
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            print(json.dumps(row), flush=True)
            return row

        with ThreadPoolExecutor(len(ways) if arguments.at_once else 1) as pool:
            rows = list(pool.map(measure, ways))
        print(f"\n{table(rows)}", flush=True)


if __name__ == "__main__":
    main()
