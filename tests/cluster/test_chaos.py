"""Files are asked for in every way while all parts of a cluster are killed, stopped and restarted."""

import hashlib
import itertools
import json
import random
import re
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scripts.standalone import wait_for
from tests.cluster.conftest import Fire
from tests.cluster.emulators import Paid
from tests.cluster.leaks import Search, plant, remove_planted

pytestmark = pytest.mark.cluster

DAG_ID = "chaos"
WAYS = ("here", "deferred", "without_room", "poke", "reschedule", "deferred_sensor", "media")
EMULATORS = ("quick", "capped", "slow")
CREATES = ("CreateAigcAudioTask", "ProcessMedia")
RUNS = 11
SECONDS_BETWEEN_RUNS = 12
CREATE_SECONDS = 0.7
STOPPED_SECONDS = 40
LEFT_DOWN_SECONDS = 5

Event = tuple[float, str, Callable[[], Any]]


def events(fire: Fire) -> list[Event]:
    """What happens to the cluster, and after how many seconds; a seeded order at seeded times."""
    chance, cluster = random.Random(fire.seed), fire.cluster
    fates: list[list[Event]] = [
        [
            (0, "worker1 killed", partial(cluster.kill, "worker1")),
            (LEFT_DOWN_SECONDS, "worker1 started", partial(cluster.start_component, "worker1")),
        ],
        [
            (0, "triggerer1 killed", partial(cluster.kill, "triggerer1")),
            (LEFT_DOWN_SECONDS, "triggerer1 started", partial(cluster.start_component, "triggerer1")),
        ],
        [
            (0, "triggerer2 stopped", partial(cluster.signal, "triggerer2", signal.SIGSTOP)),
            (STOPPED_SECONDS, "triggerer2 goes on", partial(cluster.signal, "triggerer2", signal.SIGCONT)),
        ],
        [(0, "PostgreSQL restarted", partial(cluster.restart, "postgres"))],
        [(0, "API server restarted", partial(cluster.restart, "api-server"))],
    ]
    chance.shuffle(fates)
    begin, all_of_them = 15.0, []
    for fate in fates:
        all_of_them += [(begin + delay, what, act) for delay, what, act in fate]
        begin += chance.uniform(15, 35)
    return all_of_them


def play(fire: Fire) -> list[str]:
    """Start the runs, and let the events happen; what leaks meanwhile, and is deleted later."""
    search = Search(fire.cluster, fire.secret_key)
    runs: list[Event] = [
        (number * SECONDS_BETWEEN_RUNS, f"run {number} started", partial(start_run, fire, f"run-{number}"))
        for number in range(RUNS)
    ]
    leaks = []
    began = time.monotonic()
    for at, what, act in sorted([*runs, *events(fire)], key=lambda event: event[0]):
        time.sleep(max(0.0, began + at - time.monotonic()))
        print(f"{time.monotonic() - began:5.0f} s: {what}", flush=True)
        act()
        leaks += search.database()
    return leaks


def start_run(fire: Fire, run_id: str) -> None:
    fire.cluster.api("POST", f"/dags/{DAG_ID}/dagRuns", {"dag_run_id": run_id, "logical_date": None})


def wait_for_all(fire: Fire, seconds: float) -> None:
    def ended() -> bool:
        runs = fire.cluster.api("GET", f"/dags/{DAG_ID}/dagRuns?limit=100")["dag_runs"]
        return len(runs) == RUNS and all(run["state"] in ("success", "failed") for run in runs)

    wait_for("all runs have ended", ended, seconds)


@dataclass
class Tally:
    """What became of the files that were wanted; all but the first three must stay empty.

    :ivar named: not kept, and the create's error says that a paid task may exist.
    :ivar named_in_vain: of these, how many had no task at MPS.
    :ivar duplicates: paid for more than once.
    :ivar lost: neither kept nor named.
    :ivar orphans: TaskIds of tasks that were paid for, whose file is not kept and which no error names.
    :ivar wrong: what is kept is not what MPS made.
    """

    kept: int = 0
    named: int = 0
    named_in_vain: int = 0
    duplicates: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def count(self, wish: str, tasks: list[Paid], files: frozenset[tuple[int, str]], errors: str) -> None:
        named = "AmbiguousCreateError" in errors
        if len(tasks) > 1:
            self.duplicates.append(wish)
        if len(files) == 1 and any(files == task.files for task in tasks):
            self.kept += 1
            return
        if files:
            self.wrong.append(wish)
        if named:
            self.named += 1
            self.named_in_vain += not tasks
        else:
            self.lost.append(wish)
            self.orphans += [task.task_id for task in tasks]


def logs_of(fire: Fire, run_id: str, task_id: str, kind: str = "") -> str:
    """The logs of task instances; with ``kind``, only those whose names go on like that."""
    logs = fire.cluster.home.glob(f"logs/dag_id={DAG_ID}/run_id={run_id}/task_id={task_id}/*.log{kind}")
    return "".join(log.read_text(errors="replace") for log in logs)


def held(folder: Path) -> frozenset[tuple[int, str]]:
    """Length and SHA-256 of each file in a folder."""
    contents = [path.read_bytes() for path in folder.glob("*")]
    return frozenset((len(content), hashlib.sha256(content).hexdigest()) for content in contents)


def test_each_file_is_paid_once_and_kept_or_named_while_the_cluster_is_under_fire(
    fire: Fire, capfd: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    cluster, emulators = fire.cluster, fire.emulators
    for name in EMULATORS:
        emulators.plan_faults(name, fire.seed, CREATE_SECONDS)
    cluster.unpause(DAG_ID)
    with capfd.disabled():
        print(f"\nCHAOS_SEED={fire.seed}")
        leaks = play(fire)
    wait_for_all(fire, seconds=420)
    seconds = time.monotonic() - began

    paid: defaultdict[str, list[Paid]] = defaultdict(list)
    for task in itertools.chain(*map(emulators.paid, EMULATORS)):
        paid[task.wish].append(task)
    tally = Tally()
    for run_id, way in itertools.product((f"run-{number}" for number in range(RUNS)), WAYS):
        wish = f"https://example.com/{run_id}/{way}"
        tally.count(wish, paid.pop(wish, []), held(fire.kept / run_id / way), logs_of(fire, run_id, f"{way}.create"))
    # All creates are made slow, which is not counted as a fault.
    answers = [
        "ok" if answer == "slow" and action in CREATES else answer
        for name in EMULATORS
        for action, answer in emulators.answers(name)
    ]
    faulty = sum(answer != "ok" for answer in answers)
    triggerers = logs_of(fire, "*", "*", ".trigger.*")
    # A triggerer that was stopped and comes back cannot know who ended its waits: it says that it may be nobody.
    billed = [
        said
        for said in re.findall(r'"event":"([^"]*billed[^"]*)"', triggerers)
        if "If nobody has ended the Airflow task, another triggerer goes on with it." not in said
    ]

    search = Search(cluster, fire.secret_key)
    planted = cluster.home / "planted.log"
    plant(cluster, planted, fire.secret_key)
    found_in_logs, found_in_database = search.logs(), search.database()
    remove_planted(cluster, planted)
    leaks += search.logs() + search.database()

    line = {
        "test": DAG_ID,
        "seed": fire.seed,
        "seconds": round(seconds),
        "files_wanted": RUNS * len(WAYS),
        **asdict(tally),
        "strangers": list(paid),
        "aborted": [task.task_id for task in emulators.paid("slow") if task.aborted],
        "leaks": leaks,
        "creates_killed": logs_of(fire, "*", "*.create").count('"signal_name":"SIGKILL"'),
        "on_kill_called": triggerers.count("invoking on_kill"),
        "false_alarms": billed,
        "faulty_answers": f"{faulty / len(answers):.1%} of {len(answers)}",
        "started_again_unasked": cluster.unasked_ends,
    }
    with capfd.disabled():
        print(json.dumps(line))
    assert (len(found_in_logs), len(found_in_database)) == (1, 2), "the search did not find what was planted"
    names = ("duplicates", "lost", "orphans", "wrong", "strangers", "aborted", "leaks", "false_alarms")
    assert {name: line[name] for name in names} == {name: [] for name in names}
