"""A soundtrack a day: ask MPS for it, wait in the triggerer, keep the file."""

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

with DAG(
    dag_id="generate_soundtrack",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    default_args={"retries": 2},
    params={
        "prompt": "A calm piano piece for a morning news show, 90 bpm",
        "folder": os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks"),
    },
    tags=["mps", "audio"],
) as dag:
    create_soundtrack = CreateAigcAudioTaskOperator(
        task_id="create_soundtrack",
        model_name="MiniMaxMusic",
        model_version="2.6",
        scene_type="music",
        prompt="{{ params.prompt }}",
        output_audio_format="wav",
        wait_for_completion=True,
        deferrable=True,
        wait_timeout=1800,
    )
    MpsToObjectStorageOperator(
        task_id="keep_file",
        urls=create_soundtrack.output["audio_urls"],
        destination="{{ params.folder }}/{{ run_id | replace(':', '-') }}",
    )
