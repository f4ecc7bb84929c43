"""The connection's ``memory``: a folder in object storage, which remembers what was paid for on every Airflow."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import chain, repeat
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_mps.api.errors import (
    AmbiguousCreateError,
    InvalidArgumentError,
    InvalidConnectionError,
    NotRememberedError,
)
from airflow_provider_mps.compat import AirflowTaskTimeout, ObjectStoragePath
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.execution.folder import Folder
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import MpsApiOperator
from tests.doubles.cos import BUCKET, Cos, CosRequest, Refusal
from tests.doubles.emulators import emulated
from tests.doubles.logs import Lines
from tests.doubles.seen import FILM
from tests.doubles.servers import LoopbackServer
from tests.doubles.task_instances import State, TaskInstance
from tests.doubles.ways import OPERATORS, Waiting, Way
from tests.promises.test_paid_once_at_random import kills_strike_calls_too

CONN_ID = "tencent_mps_default"
AUDIO = OPERATORS[0]
WAITINGS = pytest.mark.parametrize("waiting", [Waiting(AUDIO, way) for way in Way if way.creates], ids=str)
SYNC = Waiting(AUDIO, Way.OPERATOR_SYNC)

Remember = Callable[[str], None]


@pytest.fixture
def mps() -> Iterator[MpsEmulator]:
    with emulated(CONN_ID) as emulator:
        yield emulator


@pytest.fixture
def remember_in(mps: MpsEmulator, monkeypatch: pytest.MonkeyPatch) -> Remember:
    """Set the connection's ``memory``."""

    def change(folder: str) -> None:
        connection = mps.connection
        monkeypatch.setenv(
            f"AIRFLOW_CONN_{CONN_ID.upper()}",
            json.dumps(connection | {"extra": connection["extra"] | {"memory": folder}}),
        )

    return change


@pytest.fixture(params=["file", "cos", "s3"])
def memory(
    request: pytest.FixtureRequest, remember_in: Remember, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ObjectStoragePath:
    """A folder of each kind, which the connection's ``memory`` names."""
    uri = f"file://{tmp_path}/memory"
    if request.param != "file":
        cos = request.getfixturevalue("cos")
        of_aws = {"conn_type": "aws", "login": "moto", "password": "moto"}
        extra = {"endpoint_url": cos.endpoint, "region_name": "us-east-1"}
        monkeypatch.setenv("AIRFLOW_CONN_S3", json.dumps(of_aws | {"extra": extra}))
        uri = f"{request.param}://{request.param}@{BUCKET}/memory"
    remember_in(uri)
    return ObjectStoragePath(uri)


def entries(memory: ObjectStoragePath) -> list[Any]:
    """The files of all entries, oldest number first."""
    memory.fs.invalidate_cache()
    found = [path for path in memory.fs.find(memory.path) if path.endswith(".json")]
    return [json.loads(memory.fs.cat_file(path)) for path in sorted(found)]


def without_store(mps: MpsEmulator, waiting: Waiting = SYNC, **arguments: Any) -> TaskInstance:
    """A task instance on an Airflow that has no task state store."""
    instance = waiting.task_instance(mps, CONN_ID, **arguments)
    instance.has_store = False
    return instance


@WAITINGS
def test_what_fails_after_execute_costs_nothing(mps: MpsEmulator, memory: ObjectStoragePath, waiting: Waiting) -> None:
    instance = without_store(mps, waiting, retries=2)
    instance.fails_after_execute = 2
    outcome = instance.run()
    assert (outcome.state, outcome.tries, outcome.value) == (State.SUCCESS, 3, mps.tasks[0].task_id)
    assert [task.task_id for task in mps.tasks] == [outcome.value]
    again = instance.run()
    assert [task.task_id for task in mps.tasks] == [outcome.value, again.value]


@pytest.mark.parametrize("killed_at", range(8))
def test_a_killed_worker_costs_no_second_task(mps: MpsEmulator, memory: ObjectStoragePath, killed_at: int) -> None:
    instance = without_store(mps, retries=1)
    instance.kills = [killed_at]
    with kills_strike_calls_too(instance):
        outcome = instance.run()
    assert len(mps.tasks) <= 1
    assert outcome.state is State.SUCCESS or isinstance(outcome.errors[-1], AmbiguousCreateError)


def test_a_doubt_is_raised_until_the_user_clears(mps: MpsEmulator, memory: ObjectStoragePath) -> None:
    mps.fault("cut_after", SYNC.create)
    instance = without_store(mps, retries=2)
    assert isinstance(instance.run().errors[-1], AmbiguousCreateError)
    assert [entry["entry"]["stage"] for entry in entries(memory)] == ["reported"]
    assert instance.run().state is State.SUCCESS
    assert len(mps.tasks) == 2
    assert [entry["entry"]["stage"] for entry in entries(memory)] == ["reported", "done"]


def test_a_refused_create_leaves_nothing_that_counts(mps: MpsEmulator, memory: ObjectStoragePath) -> None:
    mps.fault("error", SYNC.create, code="InvalidParameter.ViolationContent")
    instance = without_store(mps, retries=0)
    assert instance.run().state is State.FAILED
    assert [entry["entry"] for entry in entries(memory)] == [None]
    assert instance.run().state is State.SUCCESS
    assert len(mps.tasks) == 1


def test_an_action_that_has_run_is_not_sent_again(mps: MpsEmulator, memory: ObjectStoragePath) -> None:
    arguments: dict[str, Any] = {"action": "CreateAigcVideoTask", "mps_params": FILM}
    instance = TaskInstance(lambda: MpsApiOperator(task_id="call", **arguments), retries=2)
    instance.has_store, instance.fails_after_execute = False, 2
    outcome = instance.run()
    assert [task.task_id for task in mps.tasks] == [outcome.value["TaskId"]]


def test_of_two_processes_of_one_task_instance_one_sends(
    mps: MpsEmulator, memory: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost worker comes back when its retry is just about to send."""
    lost, retry = without_store(mps, retries=0), without_store(mps, retries=0)
    outcomes: list[Any] = []
    call = MpsHook.create

    def first_the_other(hook: MpsHook, *args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(MpsHook, "create", call)
        outcomes.append(retry.run())
        return call(hook, *args, **kwargs)

    monkeypatch.setattr(MpsHook, "create", first_the_other)
    [error] = lost.run().errors
    assert isinstance(error, NotRememberedError)
    assert "another process of this Airflow task" in str(error)
    assert [task.task_id for task in mps.tasks] == [outcomes[0].value]
    assert [entry["entry"]["task_id"] for entry in entries(memory)] == [outcomes[0].value]


@pytest.mark.parametrize(
    ("left", "named"),
    [
        (b'{"version": 1, "ent', "is broken"),
        (b"", "is broken"),
        (b'{"version": 2, "entry": {"task_id": "24000145-AigcAudio-1"}}', "later version .* 24000145-AigcAudio-1"),
        (b'{"version": 1, "try": 1, "started": "", "entry": {"stage": "sent"}}', "is broken"),
    ],
)
def test_what_cannot_be_read_is_in_doubt_by_name(
    mps: MpsEmulator, memory: ObjectStoragePath, left: bytes, named: str
) -> None:
    instance = without_store(mps, retries=0)
    instance.run()
    [path] = [path for path in memory.fs.find(memory.path) if path.endswith(".json")]
    memory.fs.pipe_file(path, left)
    memory.fs.invalidate_cache()
    [error] = instance.run().errors
    assert isinstance(error, AmbiguousCreateError)
    assert re.search(named, str(error))
    assert len(mps.tasks) == 1
    memory.fs.invalidate_cache()
    assert memory.fs.cat_file(path) == left, "it may be all that there is of what was paid for"
    assert instance.run().state is State.SUCCESS


def test_an_answer_of_any_size_is_returned_again(
    mps: MpsEmulator, memory: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"ErrorCode": 0, "RequestId": "the-request", "AudioData": "A" * 2_000_000, "Msg": "好" * 1_000_000}
    connection = json.loads(os.environ[f"AIRFLOW_CONN_{CONN_ID.upper()}"])
    with LoopbackServer(lambda handler: handler.answer({"Response": answer})) as server:
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(connection | {"port": server.server_port}))
        speak: dict[str, Any] = {"action": "TextToSpeech", "mps_params": {"Text": "rain", "VoiceId": "v"}}
        instance = TaskInstance(lambda: MpsApiOperator(task_id="call", **speak), retries=1)
        instance.has_store, instance.fails_after_execute = False, 1
        outcome = instance.run()
        assert (outcome.state, outcome.value, len(server.requests)) == (State.SUCCESS, answer, 1)


def test_a_lost_worker_that_comes_back_says_nothing_of_the_task_of_its_retry(
    mps: MpsEmulator, memory: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sees its own task's FAIL when a retry has made another one, which is under way."""
    mps.fault("fail", SYNC.create, times=1)
    mps.fault("never_done", SYNC.create)
    lost, retry = without_store(mps, retries=1), without_store(mps, retries=1, timeout=1)
    retry.dag_run = lost.dag_run
    wait = MpsHook.await_task

    def first_the_other(hook: MpsHook, *args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(MpsHook, "await_task", wait)
        assert retry.run().tries == 2
        lost.retries = 0
        return wait(hook, *args, **kwargs)

    monkeypatch.setattr(MpsHook, "await_task", first_the_other)
    assert lost.run().tries == 1
    failed, made = mps.tasks
    assert failed.succeeded is made.succeeded is False
    assert [entry["entry"]["stage"] for entry in entries(memory)] == ["failed", "created"]


@WAITINGS
def test_it_is_switched_on_in_the_middle_of_a_run(
    mps: MpsEmulator, memory: ObjectStoragePath, waiting: Waiting, remember_in: Remember
) -> None:
    uri = MpsHook(CONN_ID).settings.memory
    remember_in("")
    mps.fault("never_done", waiting.create)
    instance = waiting.task_instance(mps, CONN_ID, timeout=0.3, retries=0)
    assert instance.run().state is State.FAILED
    [task] = mps.tasks
    task.never_done = False
    remember_in(uri)
    cleared = waiting.task_instance(mps, CONN_ID, retries=1)
    cleared.stored, cleared.try_number, cleared.fails_after_execute = instance.stored, instance.try_number, 1
    outcome = cleared.run()
    assert (outcome.state, outcome.value) == (State.SUCCESS, task.task_id)
    cleared.stored.clear()  # what a clear does from Airflow 3.4 on
    assert [(entry["entry"]["task_id"], entry["entry"]["stage"]) for entry in entries(memory)] == [
        (task.task_id, "done")
    ]
    assert mps.tasks == [task]


def test_switched_on_after_a_clear_has_discarded_an_entry_it_says_so_once(
    mps: MpsEmulator, cos: Cos, remember_in: Remember, logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Airflow's page does from 3.4 on; what is in the folder no clear discards."""
    monkeypatch.setattr("airflow_provider_mps.execution.places.clears_discard", lambda: True)
    instance = SYNC.task_instance(mps, CONN_ID, retries=0)
    instance.clears_discard = True
    instance.run()
    remember_in(f"cos://cos@{BUCKET}/memory")
    instance.run()
    assert len(logged.of("keeps the task state")) == 1
    instance.run()
    assert len(logged.of("keeps the task state")) == 1
    assert len(logged.of("creating, and paying for, a new one")) == 1
    assert len(mps.tasks) == 3


@pytest.mark.parametrize("first_try_is_lost", [False, True])
def test_a_run_that_is_made_again_begins_anew(
    mps: MpsEmulator, memory: ObjectStoragePath, first_try_is_lost: bool
) -> None:
    instance = without_store(mps, retries=1)
    former = instance.run().value
    remade = without_store(mps, retries=1)
    remade.dag_run = replace(remade.dag_run, start_date=remade.dag_run.start_date + timedelta(hours=1))
    remade.kills = [2 if first_try_is_lost else None]
    with kills_strike_calls_too(remade):
        outcome = remade.run()
    if first_try_is_lost:  # with the answer to its create
        assert isinstance(outcome.errors[-1], AmbiguousCreateError)
        outcome = remade.run()
    assert outcome.state is State.SUCCESS
    assert outcome.value != former
    assert len(mps.tasks) == 2 + first_try_is_lost


def test_a_run_of_the_same_name_does_not_hide_what_this_one_has_paid_for(
    mps: MpsEmulator, memory: ObjectStoragePath
) -> None:
    """Of another Airflow with the same DAGs, whose connection names the same folder."""
    instance, other = without_store(mps, retries=1), without_store(mps, retries=0)
    other.dag_run = replace(other.dag_run, start_date=other.dag_run.start_date + timedelta(hours=1))
    make, made = instance.make, iter(range(9))

    def while_the_other_creates() -> Any:
        if next(made) == 1:
            other.run()
        return make()

    instance.make, instance.fails_after_execute = while_the_other_creates, 1
    outcome = instance.run()
    assert outcome.value == mps.tasks[0].task_id
    assert len(mps.tasks) == 2


def test_mapped_task_instances_have_memories_of_their_own(mps: MpsEmulator, memory: ObjectStoragePath) -> None:
    for map_index in range(3):
        instance = without_store(mps, retries=1)
        instance.map_index, instance.fails_after_execute = map_index, 1
        assert instance.run().state is State.SUCCESS
    assert len(mps.tasks) == len(entries(memory)) == 3


def test_it_goes_on_when_airflow_becomes_3_4_in_the_middle_of_a_run(
    mps: MpsEmulator, memory: ObjectStoragePath
) -> None:
    """There a task instance that is in no loop is in the region of the nil UUID."""
    instance = without_store(mps, retries=1)
    instance.fails_after_execute = 1
    make = instance.make

    def by_its_version() -> Any:
        if instance.try_number > 1:
            instance.region_id, instance.region_index = UUID(int=0), -1
        return make()

    instance.make = by_its_version
    assert instance.run().state is State.SUCCESS
    assert len(mps.tasks) == 1


def test_it_tells_nobody_a_prompt_or_a_key(mps: MpsEmulator, memory: ObjectStoragePath) -> None:
    without_store(mps, prompt="a secret of the house").run()
    told = [*memory.fs.find(memory.path), *map(json.dumps, entries(memory))]
    assert [text for text in told if "secret of the house" in text or "emulator-key" in text or "https:" in text] == []


class TestOnADisk:
    @pytest.fixture(params=["file"])
    def memory(self, remember_in: Remember, tmp_path: Path) -> Path:
        remember_in(f"{tmp_path}/memory")
        return tmp_path / "memory"

    @pytest.mark.parametrize("has_store", [False, True])
    def test_a_retry_elsewhere_is_in_doubt_by_name(
        self, mps: MpsEmulator, memory: Path, remember_in: Remember, tmp_path: Path, has_store: bool
    ) -> None:
        instance = without_store(mps, retries=2)
        if has_store:
            instance.has_store = True
            remember_in("")
            instance.run()  # before the memory is set
            instance.kills = [None, 1]  # before the error is raised
        before = len(mps.tasks)
        instance.fails_after_execute = 1
        machines = chain(["one"], repeat("another"))
        make = instance.make

        def on_another_machine() -> Any:
            remember_in(f"{tmp_path}/{next(machines)}")
            return make()

        instance.make = on_another_machine
        error = instance.run().errors[-1]
        assert isinstance(error, AmbiguousCreateError)
        assert "file:// is for one machine" in error.details + str(error)
        assert len(mps.tasks) == before + 1
        instance.kills = []
        assert instance.run().state is State.SUCCESS, "a clear by who has read that"
        assert len(mps.tasks) == before + 2

    @pytest.mark.parametrize("has_store", [False, True])
    def test_a_try_that_ended_before_it_came_to_the_folder_is_no_doubt(
        self, mps: MpsEmulator, memory: Path, has_store: bool
    ) -> None:
        """Without Airflow's store it is not known whether it has come to another one."""
        instance = SYNC.task_instance(mps, CONN_ID, retries=1)
        instance.has_store = has_store
        make, made = instance.make, iter(range(9))

        def killed_at_first() -> Any:
            if not next(made):
                raise MemoryError
            return make()

        instance.make = killed_at_first
        outcome = instance.run()
        assert outcome.state is (State.SUCCESS if has_store else State.FAILED), outcome.errors
        assert isinstance(outcome.errors[-1], MemoryError if has_store else AmbiguousCreateError)
        assert len(mps.tasks) == has_store

    def test_a_timeout_before_it_came_to_the_folder_is_no_doubt(
        self, mps: MpsEmulator, memory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While the connection is looked up, for example: nothing was sent."""
        arrive, times = Folder.arrive, iter(range(9))

        def in_time(folder: Folder) -> None:
            if not next(times):
                raise AirflowTaskTimeout("Timeout")
            arrive(folder)

        monkeypatch.setattr(Folder, "arrive", in_time)
        outcome = without_store(mps, retries=1).run()
        assert outcome.state is State.SUCCESS, outcome.errors
        assert (outcome.tries, len(mps.tasks)) == (2, 1)

    def test_a_wrong_argument_is_no_doubt(self, mps: MpsEmulator, memory: Path) -> None:
        instance = without_store(mps, retries=0, audio_infos=5)
        assert isinstance(instance.run().errors[-1], InvalidArgumentError)
        instance.make = without_store(mps).make
        assert instance.run().state is State.SUCCESS

    @pytest.mark.parametrize("left", ["of a later version", {"stage": "sent", "at": time.time() + 999}])
    def test_what_cannot_be_read_in_airflows_store_is_in_doubt_once(
        self, mps: MpsEmulator, memory: Path, left: object
    ) -> None:
        instance = SYNC.task_instance(mps, CONN_ID, retries=1)
        instance.set("mps_task", left)
        [error] = instance.run().errors
        assert isinstance(error, AmbiguousCreateError)
        assert mps.tasks == []
        instance.fails_after_execute = 1
        outcome = instance.run()
        assert outcome.state is State.SUCCESS, outcome.errors
        assert [task.task_id for task in mps.tasks] == [outcome.value]

    @pytest.mark.parametrize("operator", OPERATORS, ids=lambda cls: cls.__name__)
    def test_a_create_whose_answer_is_lost_is_in_doubt_or_found(
        self, mps: MpsEmulator, memory: Path, operator: type[Any]
    ) -> None:
        waiting = Waiting(operator, Way.OPERATOR_SYNC)
        mps.fault("cut_after", waiting.create)
        outcome = without_store(mps, waiting, retries=1).run()
        [task] = mps.tasks
        if waiting.repeatable:
            assert outcome.value == task.task_id
        else:
            [error] = outcome.errors
            assert isinstance(error, AmbiguousCreateError)

    def test_a_try_that_ended_before_its_create_is_no_doubt(self, mps: MpsEmulator, memory: Path) -> None:
        mps.fault("error", SYNC.create, code="AuthFailure.SecretIdNotFound")
        instance = without_store(mps, retries=0)
        instance.run()
        assert instance.run().state is State.SUCCESS
        assert len(mps.tasks) == 1

    def test_no_half_file_is_left(self, mps: MpsEmulator, memory: Path) -> None:
        without_store(mps).run()
        assert sorted(
            path.suffix for path in memory.rglob("*") if path.is_file() and not path.name.startswith("try-")
        ) == [".json"]

    def test_old_entries_go_when_others_are_written(self, mps: MpsEmulator, memory: Path) -> None:
        for map_index in range(600):  # of 256 shards each gets some
            folder = memory / f"{map_index % 256:02x}" / f"{map_index:032}"
            folder.mkdir(parents=True)
            (folder / "000001.json").write_text("{}")
            age = time.time() - timedelta(days=31 if map_index % 2 else 8).total_seconds()
            os.utime(folder / "000001.json", (age, age))
        for map_index in range(40):
            instance = without_store(mps, retries=0)
            instance.map_index = map_index
            assert instance.run().state is State.SUCCESS
        left = [path.name for path in memory.rglob("*") if path.name.startswith("0" * 20)]
        assert len([name for name in left if not int(name) % 2]) == 300, "younger ones stay"
        assert len(left) < 600


def test_it_cannot_be_written_so_nothing_is_sent(mps: MpsEmulator, cos: Cos, remember_in: Remember) -> None:
    remember_in(f"cos://cos@{BUCKET}/memory")
    cos.rules.append(lambda request: Refusal(403, "AccessDenied") if request.method == "PUT" else None)
    [error] = without_store(mps, retries=0).run().errors
    assert isinstance(error, NotRememberedError)
    assert f"memory folder cos://cos@{BUCKET}/memory" in str(error)
    assert mps.tasks == []


def test_it_cannot_be_read_so_nothing_is_sent(mps: MpsEmulator, cos: Cos, remember_in: Remember) -> None:
    remember_in(f"cos://cos@{BUCKET}/memory")
    cos.rules.append(lambda request: Refusal(500, "InternalError") if request.key.endswith(".json") else None)
    [error] = without_store(mps, retries=0).run().errors
    assert isinstance(error, NotRememberedError)
    assert mps.tasks == []


def test_of_what_a_storage_says_no_query_is_shown(
    mps: MpsEmulator, remember_in: Remember, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some quote the URL of their request, with a token in it."""

    def fail(*args: Any, **kwargs: Any) -> bytes:
        raise ConnectionError("Max retries exceeded with url: https://store.example/mps/1.json?delegation=TOKEN")

    remember_in(f"file://{tmp_path}/memory")
    monkeypatch.setattr(LocalFileSystem, "cat_file", fail)
    [error] = without_store(mps, retries=0).run().errors
    assert isinstance(error, NotRememberedError)
    assert "store.example" in str(error)
    assert "TOKEN" not in str(error)


@pytest.mark.parametrize("refused", ["GET of a listing", "DELETE"])
def test_keys_that_may_only_put_and_get_files_are_enough(
    mps: MpsEmulator, cos: Cos, remember_in: Remember, refused: str
) -> None:
    def rule(request: CosRequest) -> Refusal | None:
        listing = request.method == "GET" and not request.key
        return (
            Refusal(403, "AccessDenied") if (listing if "listing" in refused else request.method == "DELETE") else None
        )

    cos.rules.append(rule)
    remember_in(f"cos://cos@{BUCKET}/memory")
    instance = without_store(mps, retries=1)
    instance.fails_after_execute = 1
    assert instance.run().state is State.SUCCESS
    assert len(mps.tasks) == 1
    instance.fails_after_execute = 0
    assert instance.run().state is State.SUCCESS
    assert len(mps.tasks) == 2


def test_a_storage_that_refuses_no_second_create_is_named_once(
    mps: MpsEmulator, cos: Cos, remember_in: Remember, logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COS in a bucket with versioning."""

    def forget(request: CosRequest) -> None:
        request.headers.pop("x-cos-forbid-overwrite", None)

    cos.rules.append(forget)
    remember_in(f"cos://cos@{BUCKET}/of-a-bucket-with-versions")
    for map_index in range(2):
        instance = without_store(mps, retries=0)
        instance.map_index = map_index
        assert instance.run().state is State.SUCCESS
    assert len(logged.of("does not refuse to create a file that is there")) == 1


@pytest.mark.parametrize("folder", ["memory", "file://memory", "s3://", "/", "cos://a b", "nowhere://a/b"])
def test_a_folder_that_is_none_is_named(mps: MpsEmulator, remember_in: Remember, folder: str) -> None:
    remember_in(folder)
    [error] = without_store(mps, retries=0).run().errors
    assert isinstance(error, InvalidConnectionError)
    assert "memory" in str(error)
    assert mps.requests == []


def test_without_it_the_log_says_what_would_help(mps: MpsEmulator, logged: Lines) -> None:
    without_store(mps).run()
    assert logged.of("The connection's field memory names a folder")


@pytest.mark.parametrize("operator", [AUDIO, MpsApiOperator], ids=lambda operator: operator.__name__)
def test_where_nothing_is_remembered_a_retry_pays_anew_and_warns_of_it(
    mps: MpsEmulator, operator: type[Any], logged: Lines
) -> None:
    instance = without_store(mps)
    if operator is MpsApiOperator:
        arguments: dict[str, Any] = {"action": "CreateAigcVideoTask", "mps_params": FILM}
        instance.make = lambda: MpsApiOperator(task_id="call", mps_conn_id=CONN_ID, **arguments)
    instance.fails_after_execute = 1
    instance.run()
    assert len(mps.tasks) == 2
    assert len([line for line in logged.warnings if "this try sends, and may pay for, its request anew" in line]) == 1
