"""How many creates of one run are under way at once where nobody says, and that they hold nothing else of it up."""

from collections import Counter
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, TaskGroup

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator, MpsApiOperator

CAPACITY = 20
SONG = {"model_name": "MiniMaxMusic", "model_version": "2.6", "scene_type": "music"}
BEHIND = (0, "absolute")
AS_ALL = (1, "downstream")


@pytest.fixture(autouse=True)
def capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__TRIGGERER__CAPACITY", str(CAPACITY))


def made(mapped: bool, group: Any = None, dag_args: Any = None, **arguments: Any) -> Any:
    """The operator, plain or mapped, as a DAG file makes it."""
    arguments = {"task_id": "create", "deferrable": True, **SONG, **arguments}
    group_args: Any = {"default_args": group or {}}
    with DAG("dag", schedule=None, default_args=dag_args or {}), TaskGroup("group", **group_args):
        if mapped:
            return CreateAigcAudioTaskOperator.partial(**arguments).expand(prompt=["rain"])
        return CreateAigcAudioTaskOperator(prompt="rain", **arguments)


MAPPED = pytest.mark.parametrize("mapped", [False, True], ids=["plain", "mapped"])


def limit(operator: Any) -> int | None:
    return operator.max_active_tis_per_dagrun  # type: ignore[no-any-return]


def weight(operator: Any) -> tuple[int, str]:
    return operator.priority_weight, str(getattr(operator.weight_rule, "value", operator.weight_rule))


@MAPPED
def test_it_is_half_of_what_a_triggerer_holds_and_creates_come_behind_all_others(mapped: bool) -> None:
    operator = made(mapped)
    assert limit(operator) == CAPACITY // 2
    assert weight(operator) == BEHIND
    by_default_args = made(mapped, dag_args={"deferrable": True, "retries": 3})
    assert (limit(by_default_args), weight(by_default_args)) == (CAPACITY // 2, BEHIND)


@MAPPED
def test_creates_that_wait_on_a_worker_have_none(mapped: bool) -> None:
    operator = made(mapped, deferrable=False)
    assert (limit(operator), weight(operator)) == (None, AS_ALL)


@MAPPED
@pytest.mark.parametrize("where", ["arguments", "default_args", "group", "dag"])
@pytest.mark.parametrize(("named", "put_in"), [(3, 3), (100, 100), (0, None)])
def test_who_names_it_has_what_is_named_and_0_is_no_limit(
    mapped: bool, where: str, named: int, put_in: int | None
) -> None:
    arguments = {"max_active_tis_per_dagrun": named}
    ways: dict[str, dict[str, Any]] = {
        "arguments": arguments,
        "default_args": {"default_args": arguments},
        "group": {"group": arguments},
        "dag": {"dag_args": arguments},
    }
    operator = made(mapped, **ways[where])
    assert (limit(operator), weight(operator)) == (put_in, AS_ALL)


@MAPPED
@pytest.mark.parametrize("named", [{"priority_weight": 7}, {"weight_rule": "upstream"}])
def test_a_weight_that_somebody_names_stays(mapped: bool, named: dict[str, Any]) -> None:
    for ways in (named, {"dag_args": named}, {"group": named}):
        operator = made(mapped, **ways)
        assert limit(operator) == CAPACITY // 2
        assert weight(operator) == (named.get("priority_weight", 1), named.get("weight_rule", "downstream"))


@pytest.mark.usefixtures("airflow_db")
def test_seven_hundred_creates_behind_a_window_hold_up_nothing_else_of_their_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Airflow's scheduler looks for what it can queue, when the first creates have ended."""
    from airflow.executors.local_executor import LocalExecutor
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    creates, ended, window = 700, 10, 350
    monkeypatch.setenv("AIRFLOW__TRIGGERER__CAPACITY", str(2 * window))
    with DAG("window", schedule=None, max_active_tasks=64) as dag:
        partial = CreateAigcAudioTaskOperator.partial(task_id="create", deferrable=True, **SONG)
        create = partial.expand(prompt=[f"song {number}" for number in range(creates)])
        keep = MpsApiOperator.partial(task_id="keep", action="DescribeTasks").expand(mps_params=[{}] * creates)
        create >> keep
    with create_session() as session:
        run_id = run_of(dag, session)
        for ti in session.query(TaskInstance).filter_by(dag_id="window", run_id=run_id):
            if ti.task_id == "keep":
                ti.state = "scheduled" if ti.map_index < ended else None
            else:
                under_way = ended <= ti.map_index < ended + window - 1
                ti.state = "success" if ti.map_index < ended else "deferred" if under_way else "scheduled"
        session.flush()
        scheduler = SchedulerJobRunner(Job(), executors=[LocalExecutor(parallelism=64)])
        queued = Counter(ti.task_id for ti in scheduler._executable_task_instances_to_queued(64, session))
        session.rollback()
    assert queued == {"keep": ended, "create": 1}


def run_of(dag: DAG, session: Any) -> str:
    """A run with all its task instances, in Airflow's database."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.dag import DagModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    DagBundlesManager().sync_bundles_to_db(session=session)
    lazy = LazyDeserializedDAG.from_dag(dag)
    session.flush()
    SerializedDAG.bulk_write_to_db("dags-folder", None, [lazy], session=session)
    SerializedDagModel.write_dag(lazy, bundle_name="dags-folder", session=session)
    session.flush()
    session.get(DagModel, dag.dag_id).is_paused = False
    scheduled = lazy._real_dag
    now = pendulum.now("UTC")
    run = scheduled.create_dagrun(
        run_id="run",
        run_after=now,
        run_type=DagRunType.MANUAL,
        state=DagRunState.RUNNING,
        logical_date=now,
        data_interval=(now, now),
        triggered_by=DagRunTriggeredByType.TEST,
        session=session,
    )
    run.dag = scheduled
    for _ in range(2):
        run.task_instance_scheduling_decisions(session=session)
    session.flush()
    return str(run.run_id)
