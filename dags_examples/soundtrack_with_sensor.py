"""Submit in one task and wait in another, so that each can be cleared, and be given a pool, on its own."""

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

with DAG(
    dag_id="soundtrack_with_sensor",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    default_args={"retries": 2},
    params={"folder": os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks")},
    tags=["mps", "audio"],
) as dag:
    create_soundtrack = CreateAigcAudioTaskOperator(
        task_id="create_soundtrack",
        model_name="GL",
        model_version="3.0-clip",
        scene_type="music",
        prompt="Rain on a tin roof, slow strings, for {{ ds }}",
    )
    wait_for_soundtrack = AigcAudioTaskSensor(
        task_id="wait_for_soundtrack",
        mps_task_id=create_soundtrack.output,
        mode="reschedule",  # frees the worker between two polls, without a triggerer
        poke_interval=10,
        timeout=1800,
    )
    keep_file = MpsToObjectStorageOperator(
        task_id="keep_file",
        urls=wait_for_soundtrack.output["audio_urls"],
        destination="{{ params.folder }}/{{ run_id | replace(':', '-') }}",
    )
