"""A soundtrack for each prompt of a list: one mapped task each, all waiting in the triggerer."""

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

with DAG(
    dag_id="soundtracks_for_many_prompts",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    default_args={"retries": 2},
    params={"folder": os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks")},
    tags=["mps", "audio"],
) as dag:

    @task
    def prompts() -> list[str]:
        moods = ("a sunrise over the harbour", "a chase through the market", "the last tram home")
        return [f"Film music for {mood}, one minute" for mood in moods]

    create_soundtracks = CreateAigcAudioTaskOperator.partial(
        task_id="create_soundtracks",
        model_name="MiniMaxMusic",
        model_version="2.6",
        scene_type="music",
        wait_for_completion=True,
        deferrable=True,
        wait_timeout=1800,
    ).expand(prompt=prompts())

    MpsToObjectStorageOperator(
        task_id="keep_files",
        urls=create_soundtracks.output["audio_urls"],
        destination="{{ params.folder }}/{{ run_id | replace(':', '-') }}",
    )
