"""DAGs that run once by themselves, in a whole Airflow of any version, and to which something happens on the way."""

import os
import signal
from datetime import timedelta
from typing import Any

import pendulum

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator, ProcessMediaOperator
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

try:
    from airflow.sdk import DAG, task_group
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task_group  # type: ignore[no-redef, attr-defined]

MPS = "tencent_mps_default"


class KilledWhileItWaits(CreateAigcAudioTaskOperator):
    """The process of its first try is killed once the task is known to MPS."""

    def execute(self, context: Any) -> str:
        self.first = context["ti"].try_number == 1
        return super().execute(context)

    def log_change(self, *args: Any) -> None:
        if self.first:
            os.kill(os.getpid(), signal.SIGKILL)
        super().log_change(*args)


class FailsAfterExecute(CreateAigcAudioTaskOperator):
    """What Airflow does after the first try's execute() fails."""

    def post_execute(self, context: Any, result: Any = None) -> None:
        if context["ti"].try_number == 1:
            raise RuntimeError("an outlet, the XCom backend, or this")


def empty(dag_id: str) -> DAG:
    return DAG(
        dag_id=dag_id,
        schedule="@once",
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        is_paused_upon_creation=False,
        default_args={"retries": 1, "retry_delay": timedelta(seconds=1)},
    )


def create(operator: type[CreateAigcAudioTaskOperator], dag_id: str, **arguments: Any) -> Any:
    return operator(
        task_id="create", model_name="GL", model_version="3.0-clip", scene_type="music", prompt=dag_id, **arguments
    )


def transcode(dag_id: str, **arguments: Any) -> Any:
    return ProcessMediaOperator(
        task_id="transcode",
        input_url="https://example.com/film.mp4",
        output_cos={"Bucket": "films-1250000000", "Region": "ap-singapore"},
        media_process_task={"TranscodeTaskSet": [{"Definition": 100010}]},
        session_context=dag_id,
        **arguments,
    )


def keep(dag_id: str, urls: Any) -> None:
    MpsToObjectStorageOperator(task_id="keep", urls=urls, destination=f"file://{os.environ['KEPT_FILES']}/{dag_id}")


here: dict[str, Any] = {"wait_for_completion": True, "deferrable": False, "poll_interval": 1}
there = here | {"deferrable": True}

for with_memory in ("", "_with_memory"):
    for name, operator, conn_id, wait in (
        ("in_the_triggerer", CreateAigcAudioTaskOperator, "held_mps", there),
        ("process_killed", KilledWhileItWaits, MPS, here),
        ("fails_after_execute", FailsAfterExecute, MPS, here),
    ):
        with empty(dag_id := name + with_memory):
            made = create(operator, dag_id, mps_conn_id=conn_id + with_memory, **wait)
            keep(dag_id, made.output["audio_urls"])
    with empty(dag_id := "cleared" + with_memory):
        create(CreateAigcAudioTaskOperator, dag_id, mps_conn_id="held_mps" + with_memory, **there)

with empty("by_a_sensor"):
    made = create(CreateAigcAudioTaskOperator, "by_a_sensor")
    sensor: Any = AigcAudioTaskSensor(
        task_id="wait", mps_task_id=made.output, mode="reschedule", poke_interval=2, timeout=300
    )
    keep("by_a_sensor", sensor.output["audio_urls"])

with empty("film"):
    transcode("film", **there)

with empty("film_cleared"):
    transcode("film_cleared", mps_conn_id="waiting_mps", **there)


@task_group
def attempt() -> None:
    transcode("loop", **here) >> create(FailsAfterExecute, "loop", mps_conn_id=f"{MPS}_with_memory", **here)


if hasattr(attempt, "loop"):  # from Airflow 3.4 on
    with empty("loop"):
        attempt.loop(max_iterations=2)
