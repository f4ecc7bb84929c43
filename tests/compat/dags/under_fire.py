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
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG


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


def dag_of(dag_id: str, operator: type[CreateAigcAudioTaskOperator], **arguments: Any) -> DAG:
    with empty(dag_id) as dag:
        made: Any = operator(
            task_id="create", model_name="GL", model_version="3.0-clip", scene_type="music", prompt=dag_id, **arguments
        )
        urls = made.output["audio_urls"]
        if not arguments:
            sensor: Any = AigcAudioTaskSensor(
                task_id="wait", mps_task_id=made.output, mode="reschedule", poke_interval=2, timeout=300
            )
            urls = sensor.output["audio_urls"]
        MpsToObjectStorageOperator(task_id="keep", urls=urls, destination=f"file://{os.environ['KEPT_FILES']}/{dag_id}")
    return dag


here: dict[str, Any] = {"wait_for_completion": True, "deferrable": False, "poll_interval": 1}
there = here | {"deferrable": True}

in_the_triggerer = dag_of("in_the_triggerer", CreateAigcAudioTaskOperator, **there)
by_a_sensor = dag_of("by_a_sensor", CreateAigcAudioTaskOperator)
process_killed = dag_of("process_killed", KilledWhileItWaits, **here)
fails_after_execute = dag_of("fails_after_execute", FailsAfterExecute, **here)

with empty("film") as film:
    ProcessMediaOperator(
        task_id="create",
        input_url="https://example.com/film.mp4",
        output_cos={"Bucket": "films-1250000000", "Region": "ap-singapore"},
        media_process_task={"TranscodeTaskSet": [{"Definition": 100010}]},
        **there,
    )
