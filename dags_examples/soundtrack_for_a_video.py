"""From two prompts to a finished film: AI video and AI music side by side, then one laid under the other."""

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_mps.api.compose import lay_soundtrack
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    CreateAigcVideoTaskOperator,
    EditMediaOperator,
)
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

BUCKET = {
    "Bucket": os.environ.get("SOUNDTRACKS_BUCKET", "films-1250000000"),
    "Region": os.environ.get("SOUNDTRACKS_REGION", "ap-singapore"),
}
STORE = {"CosBucketName": BUCKET["Bucket"], "CosBucketRegion": BUCKET["Region"], "CosBucketPath": "parts"}
SECONDS = 5

with DAG(
    dag_id="soundtrack_for_a_video",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    default_args={"retries": 2, "retry_delay": pendulum.duration(seconds=30)},
    params={
        "video": "A lighthouse at dusk, slow aerial shot",
        "music": "Calm strings and a distant horn, 60 bpm",
        "folder": os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks"),
    },
    tags=["mps", "video", "audio"],
) as dag:
    wait = {"wait_for_completion": True, "deferrable": True, "wait_timeout": 3600}

    make_video = CreateAigcVideoTaskOperator(
        task_id="make_video",
        model_name="Kling",
        model_version="2.1",
        prompt="{{ params.video }}",
        duration=SECONDS,
        store_cos_param=STORE,
        **wait,
    )
    make_music = CreateAigcAudioTaskOperator(
        task_id="make_music",
        model_name="MiniMaxMusic",
        model_version="2.6",
        scene_type="music",
        prompt="{{ params.music }}",
        store_cos_param=STORE,
        **wait,
    )
    lay_music_under_video = EditMediaOperator(
        task_id="lay_music_under_video",
        **lay_soundtrack(
            video="{{ ti.xcom_pull(task_ids='make_video', key='cos_urls')[0] }}",
            audio="{{ ti.xcom_pull(task_ids='make_music', key='cos_urls')[0] }}",
            gain=0.8,
            length=SECONDS,
        ),
        output_cos=BUCKET,
        output_object_path="/films/{{ ds_nodash | default('film') }}.mp4",
        **wait,
    )
    keep_film = MpsToObjectStorageOperator(
        task_id="keep_film",
        urls=lay_music_under_video.output["cos_urls"],
        destination="{{ params.folder }}/{{ run_id | replace(':', '-') }}",
    )
    [make_video, make_music] >> lay_music_under_video
