"""A user's DAG that a type checker has nothing to say about; `make lint` checks that."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, XComArg, task

from airflow_provider_mps.api.request.soundtrack import lay_soundtrack
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    CreateAigcImageTaskOperator,
    CreateAigcVideoTaskOperator,
    EditMediaOperator,
    MpsApiOperator,
    ProcessMediaOperator,
)
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

with DAG(dag_id="typed", schedule=None, start_date=datetime(2026, 1, 1)) as dag:

    @task
    def describe_music() -> str:
        return "Calm strings"

    music = CreateAigcAudioTaskOperator(
        task_id="music",
        model_name="MiniMaxMusic",
        model_version="2.6",
        scene_type="music",
        prompt=describe_music(),
        additional_parameters={"is_instrumental": True},
        wait_for_completion=True,
        deferrable=True,
        poll_interval=timedelta(seconds=5),
        wait_timeout=1800,
        retries=2,
        pool="mps",
        execution_timeout=timedelta(hours=1),
    )
    sound = AigcAudioTaskSensor(task_id="sound", mps_task_id=music.output, poke_interval=5.0, mode="reschedule")
    picture = CreateAigcImageTaskOperator(task_id="picture", prompt="A fox", output_image_count=1)
    film = CreateAigcVideoTaskOperator(
        task_id="film",
        model_name="{{ params.model }}",
        prompt="A fox runs",
        image_infos=[
            XComArg(picture, "image_urls"),
            "https://example.com/fox.png",
            {"ImageUrl": "https://example.com"},
        ],
        duration="{{ params.seconds }}",
        enhance_prompt=True,
    )
    together = EditMediaOperator(
        task_id="together",
        **lay_soundtrack("cos://films-1250000000/film.mp4", "cos://films-1250000000/music.mp3", length=5),
        cos_region="ap-singapore",
        output_cos={"Bucket": "films-1250000000", "Region": "ap-singapore"},
    )
    smaller = ProcessMediaOperator(
        task_id="smaller",
        input_cos=XComArg(together, "cos_uris"),
        media_process_task={"TranscodeTaskSet": [{"Definition": 100010}]},
        tasks_priority=1,
    )
    templates = MpsApiOperator(task_id="templates", action="DescribeTranscodeTemplates", mps_params={"Limit": 10})
    keep = MpsToObjectStorageOperator(
        task_id="keep", urls=XComArg(music, "audio_urls"), destination="s3://bucket/music"
    )

MpsHook().create_aigc_audio_task(prompt="Calm strings", audio_infos=["https://example.com/reference.mp3"])
