"""Counts what seeded plans of failures cost: with this package, and with the SDK's StandardRetryer.

A plan is a handful of faults for the creates and the polls to come, and of mishaps around each try of the Airflow
task. A caller wants one file. It has an emulator of its own, which plays the plan, and keeps at it as an Airflow task
with two retries does; Airflow's part, and that of the user who reads what an error says, are played here. The waits are
shorter than in use: back-off by a factor of 100, a call is given up after one second, a task takes a fifth of one.
Answers that drip in without an end are left out: the SDK waits for them for ever.

- needed: one task for each caller that got its file.
- duplicates: tasks beyond the first of a caller.
- lost: tasks whose TaskId no caller ever got, while no error said that one may exist.
- told: callers that ended with an error which says so, and what to do.
- unrun: those of them whose create came to the service and was not carried out. Nobody outside of it can know.
- false: those of them for whom the service had got no create at all, or had refused each.

With a memory folder there is no task state store, as before Airflow 3.3; what strikes the store strikes the folder. One
on a disk may be another machine's, so a try that is killed before it comes there leaves a doubt; one in an object
store, for which fsspec's memory stands here, is the same for all.
"""

import argparse
import json
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, fields
from enum import StrEnum
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the short waits
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="no-double-pay-")
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"

import fsspec
import structlog
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.common.retry import StandardRetryer
from tencentcloud.mps.v20190612 import models
from tencentcloud.mps.v20190612.mps_client import MpsClient as SdkClient

from airflow_provider_mps.api.errors import AmbiguousCreateError, OtherAccountError
from airflow_provider_mps.api.patience import SHORT, Patience, short_waits
from airflow_provider_mps.emulator import FaultKind, MpsEmulator
from airflow_provider_mps.execution.folder import Folder
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator

CREATE, DESCRIBE = "CreateAigcAudioTask", "DescribeAigcAudioTask"
RETRIES = 2
AT_ONCE = 24
REFUSALS = ("RequestLimitExceeded", "AuthFailure.SignatureExpire")
CODES = (*REFUSALS, "InternalError")
KINDS = [
    kind
    for kind in FaultKind
    if kind.applies_to(CREATE) and kind.applies_to(DESCRIBE) and kind not in (FaultKind.DRIP, FaultKind.DRIP_HEADERS)
]


@dataclass(frozen=True)
class Strike:
    """A fault for the next request of an action that has none yet."""

    action: str
    kind: FaultKind
    code: str


class Mishap(StrEnum):
    """What goes wrong around ``execute()`` in one try."""

    AFTER = "execute() has returned, and post_execute, an outlet or the push of return_value fails"
    XCOM = "the XCom backend is down"
    STORE = "a write to the task state store fails, once; of a memory folder, see StorageTrouble"
    KEYS = "the connection has the keys of another account from this try on"
    ALARM = "execution_timeout is over"
    KILL = "the worker is killed at a moment"
    KILL_AT_STEP = "the worker is killed before or after a step in the store"


class StorageTrouble(StrEnum):
    """What the storage of a memory folder does wrong in one try."""

    WRITE = "a write fails"
    WRITES = "a write and its repeats fail"
    ANSWER = "a write is done, and its answer is lost"
    READ = "a read fails"


@dataclass(frozen=True)
class Trouble:
    """A mishap of one try.

    :param seconds: after how many an alarm or a kill strikes.
    :param step: at which step in the store the worker is killed, counted from 0; or what the storage does wrong, when.
    """

    mishap: Mishap
    seconds: float
    step: int


@dataclass(frozen=True)
class Plan:
    """What goes wrong for one caller.

    :param tries: for each try of the Airflow task its trouble, or None; past the end all goes well.
    """

    number: int
    strikes: list[Strike]
    tries: list[Trouble | None]


@dataclass
class Count:
    """What callers made, and what came of it."""

    created: int = 0
    needed: int = 0
    duplicates: int = 0
    lost: int = 0
    told: int = 0
    unrun: int = 0
    false: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(*map(sum, zip(astuple(self), astuple(other), strict=True)))


class Killed(SystemExit):
    """The worker is gone. Of what the code still does after this, nothing has an effect."""


@dataclass
class Kept:
    """What Airflow keeps of a task instance: its XComs, and the task state store, which outlives a try."""

    dag_id = run_id = task_id = "create"
    map_index = -1
    max_tries: int = RETRIES
    try_number: int = 0
    stored: dict[str, str] = field(default_factory=dict)
    trouble: Trouble | None = None
    dead: bool = False
    steps: int = 0
    failing_writes: int = 0
    writes: int = 0

    def begin(self, trouble: Trouble | None) -> None:
        """A try begins, in a worker of its own."""
        self.trouble, self.dead, self.steps = trouble, False, 0
        self.try_number += 1
        self.failing_writes, self.writes = int(self.meets(Mishap.STORE)), 0

    def meets(self, mishap: Mishap) -> bool:
        return self.trouble is not None and self.trouble.mishap is mishap

    def xcom_push(self, key: str, value: Any) -> None:
        """A result, which nobody reads here."""
        self._reach()
        if self.meets(Mishap.XCOM):
            raise ConnectionError("the XCom backend is down")

    def get(self, key: str, default: Any = None) -> Any:
        self._reach()
        return json.loads(self.stored[key]) if key in self.stored else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self._reach()
        if self.failing_writes:
            self.failing_writes -= 1
            raise ConnectionError("the store is down")
        self.stored[key] = json.dumps(value)
        self._reach()

    def delete(self, key: str) -> None:
        self._reach()
        self.stored.pop(key, None)
        self._reach()

    def _reach(self) -> None:
        self.dead = self.dead or (self.meets(Mishap.KILL_AT_STEP) and self.trouble.step == self.steps)  # type: ignore[union-attr]
        self.steps += 1
        if self.dead:
            raise Killed

    @contextmanager
    def strikes_the_folder(self) -> Iterator[None]:
        """As :meth:`get` and :meth:`set`, for a memory folder."""
        read, write = Folder.read, Folder._write

        def storage_does_wrong(*troubles: StorageTrouble) -> bool:
            if self.trouble is None or not self.meets(Mishap.STORE):
                return False
            trouble = list(StorageTrouble)[self.trouble.step % len(StorageTrouble)]
            if trouble not in troubles:
                return False
            since = self.writes - self.trouble.step // len(StorageTrouble)
            return 0 <= since < (5 if trouble is StorageTrouble.WRITES else 1)

        def watched_read(folder: Folder) -> object:
            self._reach()
            if storage_does_wrong(StorageTrouble.READ):
                raise ConnectionError("the storage is down")
            return read(folder)

        def watched_write(folder: Folder, path: str, content: bytes, *, exclusive: bool) -> None:
            self._reach()
            fails = storage_does_wrong(StorageTrouble.WRITE, StorageTrouble.WRITES)
            answer_lost = storage_does_wrong(StorageTrouble.ANSWER)
            self.writes += 1
            if not fails:
                write(folder, path, content, exclusive=exclusive)
            self._reach()
            if fails or answer_lost:
                raise ConnectionError("the storage is down")

        with mock.patch.object(Folder, "read", watched_read), mock.patch.object(Folder, "_write", watched_write):
            yield

    @contextmanager
    def struck(self) -> Iterator[None]:
        """As Airflow's ``timeout`` does it: a signal's exception strikes at whatever the main thread does."""

        def strike(*_: object) -> None:
            if self.meets(Mishap.ALARM):
                raise AirflowTaskTimeout("Timeout")
            self.dead = True
            raise Killed

        timed = self.meets(Mishap.ALARM) or self.meets(Mishap.KILL)
        signal.signal(signal.SIGALRM, strike)
        signal.setitimer(signal.ITIMER_REAL, self.trouble.seconds if self.trouble and timed else 0)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


class Setting:
    """An emulator, the connection to it, and the keys of two accounts.

    :ivar keys: those that the connection has.
    :ivar memory: the connection's memory folder; empty: it has none.
    """

    def __init__(self, emulator: MpsEmulator, plan: Plan) -> None:
        self.emulator, self.plan, self.memory = emulator, plan, ""
        self.conn_id = f"mps_{plan.number}"
        self.use("emulator")
        emulator.accept_credential("other-id", "other-key", account="other")

    def use(self, account: str) -> None:
        self.keys = (f"{account}-id", f"{account}-key")
        connection = self.emulator.connection
        connection["login"], connection["password"] = self.keys
        connection["extra"] |= {"timeout": 1, "memory": self.memory}
        os.environ[f"AIRFLOW_CONN_{self.conn_id.upper()}"] = json.dumps(connection)

    def try_all(self, kept: Kept, execute: Callable[[], str], on_kill: Callable[[], None]) -> tuple[str, bool]:
        """What Airflow makes of it with all its retries: the value, and whether an error told of a doubt."""
        troubles = iter(self.plan.tries)
        tries = 1 + RETRIES
        while tries:
            tries -= 1
            kept.begin(next(troubles, None))
            if kept.meets(Mishap.KEYS):
                self.use("other")
            try:
                with kept.struck():
                    value = execute()
                if not kept.dead and not kept.meets(Mishap.AFTER):  # a destructor swallows what a signal raises in it
                    return value, False
            except AirflowTaskTimeout:
                on_kill()
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                if kept.dead:
                    continue
                if isinstance(error, AmbiguousCreateError):
                    return "", True
                if isinstance(error, OtherAccountError):  # the user does what it says: sets the keys back, and clears
                    self.use("emulator")
                    kept.max_tries += 1 + RETRIES
                    tries = 1 + RETRIES
                elif isinstance(error, AirflowFailException):  # which Airflow does not retry
                    return "", False
        return "", False


Caller = Callable[[Setting], tuple[bool, set[str], bool]]
"""Asks for one file: whether it got it, the TaskIds that it got to know, and whether it was told of a doubt."""


def with_this_package(setting: Setting, *, storage: str = "") -> tuple[bool, set[str], bool]:
    kept = Kept()
    context: Any = {"ti": kept} if storage else {"ti": kept, "task_state_store": kept}
    if storage:
        attach("memory", conn_id="keeps", fs=MemoryFileSystem())
        folder = tempfile.mkdtemp(dir=os.environ["AIRFLOW_HOME"])
        setting.memory = f"file://{folder}" if storage == "file" else f"memory://keeps@{folder.strip('/')}"
        setting.use("emulator")
    operators: list[CreateAigcAudioTaskOperator] = []

    def execute() -> str:
        create = CreateAigcAudioTaskOperator(
            task_id="create",
            model_name="MiniMaxMusic",
            model_version="2.6",
            scene_type="music",
            prompt="rain",
            mps_conn_id=setting.conn_id,
            wait_for_completion=True,
            poll_interval=0.05,
            wait_timeout=60,
            max_poll_failures=2,
        )
        operators.append(create)
        return create.execute(context)

    with kept.strikes_the_folder():
        value, told = setting.try_all(kept, execute, lambda: operators[-1].on_kill() if operators else None)
    entries = [json.loads(entry) for entry in kept.stored.values()]
    if storage:
        system = fsspec.filesystem(storage)
        files = system.find(folder)
        entries += [json.loads(system.cat_file(file))["entry"] for file in files if file.endswith(".json")]
    return bool(value), {entry["task_id"] for entry in entries if entry} | {value}, told


def with_the_sdk(setting: Setting, *, in_airflow: bool) -> tuple[bool, set[str], bool]:
    http = HttpProfile(protocol="http", endpoint=f"127.0.0.1:{setting.emulator.port}", reqTimeout=1)
    retryer = StandardRetryer(backoff_fn=lambda tried: 2**tried * SHORT.backoff / Patience().backoff)
    profile = ClientProfile(httpProfile=http, retryer=retryer)
    known: set[str] = set()

    def execute() -> str:
        client = SdkClient(Credential(*setting.keys), "", profile)
        create = models.CreateAigcAudioTaskRequest()
        create.ModelName, create.ModelVersion, create.SceneType = "MiniMaxMusic", "2.6", "music"
        create.Prompt = "rain"
        describe = models.DescribeAigcAudioTaskRequest()
        describe.TaskId = client.CreateAigcAudioTask(create).TaskId
        known.add(describe.TaskId)
        while client.DescribeAigcAudioTask(describe).Status != "DONE":
            time.sleep(0.05)
        return str(describe.TaskId)

    if in_airflow:
        return bool(setting.try_all(Kept(), execute, lambda: None)[0]), known, False
    try:
        return bool(execute()), known, False
    except Exception:
        return False, known, False


CALLERS: dict[str, Caller] = {
    "this package": with_this_package,
    "this package, memory on a disk": partial(with_this_package, storage="file"),
    "this package, memory elsewhere": partial(with_this_package, storage="memory"),
    "SDK, StandardRetryer": partial(with_the_sdk, in_airflow=False),
    "the same, as an Airflow task": partial(with_the_sdk, in_airflow=True),
}


def make_plan(rng: random.Random, number: int) -> Plan:
    strikes = []
    for action in (CREATE, DESCRIBE):
        for _ in range(rng.choices((0, 1, 2, 3), (4, 3, 2, 1))[0]):
            kind = rng.choice(KINDS)
            code = rng.choice(CODES) if kind is FaultKind.ERROR else "InternalError"
            strikes.append(Strike(action, kind, code))
    if rng.random() < 0.2:
        strikes.append(Strike(CREATE, FaultKind.URL_LATE, ""))
    tries: list[Trouble | None] = []
    for _ in range(rng.choices((0, 1, 2, 3), (4, 3, 2, 1))[0]):
        trouble = Trouble(rng.choice(list(Mishap)), 0.002 * 250 ** rng.random(), rng.randrange(12))
        tries.append(rng.choice((trouble, trouble, None)))
    return Plan(number, strikes, tries)


def play(call: Caller, plan: Plan) -> Count:
    with MpsEmulator(wait_seconds=0.1, run_seconds=0.1, requests_per_second=None) as emulator:
        setting = Setting(emulator, plan)
        for strike in plan.strikes:
            emulator.fault(strike.kind, strike.action, code=strike.code, seconds=0.2)
        got, known, told = call(setting)
        created = {task.task_id for task in emulator.tasks}
        answers = [request.answer for request in emulator.requests if request.action == CREATE]
    lost = 0 if told else len(created - known)
    codes = iter(strike.code for strike in plan.strikes if strike.action == CREATE and strike.kind is FaultKind.ERROR)
    came = [next(codes) if answer == FaultKind.ERROR else answer for answer in answers]
    unrun = told and not created
    false = unrun and all(answer in REFUSALS for answer in came)
    duplicates = max(0, len(created) - 1)
    return Count(len(created), int(got), duplicates, lost, int(told), int(unrun and not false), int(false))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", type=int, default=1000, help="how many plans to play")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--caller", choices=CALLERS, action="append", help="only this one; may be repeated")
    arguments = parser.parse_args()
    callers = {name: caller for name, caller in CALLERS.items() if name in (arguments.caller or CALLERS)}
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)

    rng = random.Random(arguments.seed)
    plans = [make_plan(rng, number) for number in range(arguments.plans)]
    counts = {}
    for caller in callers.values():  # once without a fault, so that imports take none of the second of a call
        play(caller, Plan(len(plans), [], []))
    # Forked processes, for a signal strikes only in the main thread of a process.
    with short_waits(), ProcessPoolExecutor(AT_ONCE, get_context("fork")) as pool:
        for name, caller in callers.items():
            counts[name] = sum(pool.map(partial(play, caller), plans), Count())

    columns = [field.name for field in fields(Count)]
    print(f"{arguments.plans} plans, seed {arguments.seed}", "", sep="\n")
    print(f"{'':30}" + "".join(f"{column:>12}" for column in columns))
    for name, count in counts.items():
        print(f"{name:30}" + "".join(f"{number:>12}" for number in astuple(count)))
    print()
    print(json.dumps({"plans": arguments.plans, "seed": arguments.seed, **{n: vars(c) for n, c in counts.items()}}))


if __name__ == "__main__":
    main()
