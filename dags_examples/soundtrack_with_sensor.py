"""Submit in one task and wait in another, so that each can be cleared, and be given a pool, on its own.

Each run makes one clip of music, which MPS bills. **Listen** is on the page of `wait_for_soundtrack`.

**When not to use it:** where a triggerer runs, one task that waits (`generate_soundtrack`) is less to look after, and
on Airflow 3.3 and later remembers what it has paid for. Before 3.3 this split is the safer one: set `retries=0` on the
task that creates, and let the sensor have as many as you like.
"""

import os

import pendulum

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

with DAG(
    dag_id="soundtrack_with_sensor",
    description="A soundtrack, with a task that asks for it and a sensor that waits",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    default_args={"retries": 2},
    params={
        "prompt": Param(
            "Rain on a tin roof, slow strings",
            type="string",
            format="multiline",
            minLength=1,
            maxLength=2000,
            title="Prompt",
            description="What the music is like. MPS takes 2,000 characters at most.",
        ),
        "folder": Param(
            os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks"),
            type="string",
            title="Folder",
            description="Where the file is kept. Each run gets a folder of its own in it.",
        ),
    },
    tags=["mps", "audio"],
) as dag:
    create_soundtrack = CreateAigcAudioTaskOperator(
        task_id="create_soundtrack",
        model_name="GL",
        model_version="3.0-clip",
        scene_type="music",
        prompt="{{ params.prompt }}",
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
        destination="{{ params.folder }}/{{ dag.dag_id }}/{{ run_id | replace(':', '-') }}",
    )
