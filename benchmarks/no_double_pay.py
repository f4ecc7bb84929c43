"""Counts what seeded plans of faults cost: with this package, and with the SDK's StandardRetryer.

A plan is a handful of faults for the creates and the polls to come. A caller wants one file. It has an emulator of
its own, which plays the plan, and keeps at it as an Airflow task with two retries does. The waits are shorter than in
use: back-off by a factor of 100, a call is given up after one second, a task takes a fifth of one. Answers that drip in
without an end are left out: the SDK waits for them for ever.

- needed: one task for each caller that got its file.
- duplicates: tasks beyond the first of a caller.
- lost: tasks whose TaskId no caller ever got, while no error said that one may exist.
- told: callers that ended with an error which says so, and what to do.
"""

import argparse
import json
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the short waits
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="no-double-pay-")
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"

import structlog
from airflow.providers.common.compat.sdk import AirflowFailException
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.common.retry import StandardRetryer
from tencentcloud.mps.v20190612 import models
from tencentcloud.mps.v20190612.mps_client import MpsClient as SdkClient

from airflow_provider_mps.api.errors import AmbiguousCreateError
from airflow_provider_mps.api.patience import SHORT, Patience, short_waits
from airflow_provider_mps.emulator import FaultKind, MpsEmulator
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator

CREATE, DESCRIBE = "CreateAigcAudioTask", "DescribeAigcAudioTask"
RETRIES = 2
AT_ONCE = 24
CODES = ("RequestLimitExceeded", "InternalError", "AuthFailure.SignatureExpire")
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


@dataclass
class Count:
    """What callers made, and what came of it."""

    created: int = 0
    needed: int = 0
    duplicates: int = 0
    lost: int = 0
    told: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(*map(sum, zip(astuple(self), astuple(other), strict=True)))


Caller = Callable[[MpsEmulator, str], tuple[bool, set[str], bool]]
"""Asks for one file: whether it got it, the TaskIds that it got to know, and whether it was told of a doubt."""


class Kept:
    """What Airflow keeps of a task instance: its XComs, and the task state store, which outlives a try."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        """A result, which nobody reads here."""

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.stored[key]) if key in self.stored else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.stored[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.stored.pop(key, None)


def with_this_package(emulator: MpsEmulator, conn_id: str) -> tuple[bool, set[str], bool]:
    kept = Kept()
    context: Any = {"ti": kept, "task_state_store": kept}
    told, value = False, ""
    for _ in range(1 + RETRIES):
        create = CreateAigcAudioTaskOperator(
            task_id="create",
            model_name="MiniMaxMusic",
            model_version="2.6",
            scene_type="music",
            prompt="rain",
            mps_conn_id=conn_id,
            wait_for_completion=True,
            poll_interval=0.05,
            wait_timeout=60,
            max_poll_failures=2,
        )
        try:
            value = create.execute(context)
        except Exception as error:
            told = told or isinstance(error, AmbiguousCreateError)
            if isinstance(error, AirflowFailException):  # which Airflow does not retry
                break
        else:
            break
    known = {json.loads(entry)["task_id"] for entry in kept.stored.values()} | {value}
    return bool(value), known, told


def with_the_sdk(emulator: MpsEmulator, conn_id: str, *, retries: int) -> tuple[bool, set[str], bool]:
    http = HttpProfile(protocol="http", endpoint=f"127.0.0.1:{emulator.port}", reqTimeout=1)
    retryer = StandardRetryer(backoff_fn=lambda tried: 2**tried * SHORT.backoff / Patience().backoff)
    profile = ClientProfile(httpProfile=http, retryer=retryer)
    client = SdkClient(Credential("emulator-id", "emulator-key"), "", profile)
    known: set[str] = set()
    for _ in range(1 + retries):
        try:
            create = models.CreateAigcAudioTaskRequest()
            create.ModelName, create.ModelVersion, create.SceneType = "MiniMaxMusic", "2.6", "music"
            create.Prompt = "rain"
            describe = models.DescribeAigcAudioTaskRequest()
            describe.TaskId = client.CreateAigcAudioTask(create).TaskId
            known.add(describe.TaskId)
            while client.DescribeAigcAudioTask(describe).Status != "DONE":
                time.sleep(0.05)
        except Exception:  # whatever it is, Airflow tries again
            continue
        return True, known, False
    return False, known, False


CALLERS: dict[str, Caller] = {
    "this package": with_this_package,
    "SDK, StandardRetryer": partial(with_the_sdk, retries=0),
    "the same, as an Airflow task": partial(with_the_sdk, retries=RETRIES),
}


def make_plan(rng: random.Random) -> list[Strike]:
    plan = []
    for action in (CREATE, DESCRIBE):
        for _ in range(rng.choices((0, 1, 2, 3), (4, 3, 2, 1))[0]):
            kind = rng.choice(KINDS)
            code = rng.choice(CODES) if kind is FaultKind.ERROR else "InternalError"
            plan.append(Strike(action, kind, code))
    return plan


def play(call: Caller, numbered: tuple[int, list[Strike]]) -> Count:
    conn_id = f"mps_{numbered[0]}"
    with MpsEmulator(wait_seconds=0.1, run_seconds=0.1, requests_per_second=None) as emulator:
        connection = emulator.connection
        connection["extra"] |= {"timeout": 1}
        os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
        for strike in numbered[1]:
            emulator.fault(strike.kind, strike.action, code=strike.code, seconds=0.2)
        got, known, told = call(emulator, conn_id)
        created = {task.task_id for task in emulator.tasks}
    lost = 0 if told else len(created - known)
    return Count(len(created), int(got), max(0, len(created) - 1), lost, int(told))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", type=int, default=1000, help="how many plans to play")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)

    rng = random.Random(arguments.seed)
    plans = list(enumerate(make_plan(rng) for _ in range(arguments.plans)))
    counts = {}
    with short_waits(), ThreadPoolExecutor(AT_ONCE) as pool:
        for name, caller in CALLERS.items():
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
