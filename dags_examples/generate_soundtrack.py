"""Ask MPS for a soundtrack, wait for it in the triggerer, keep the file.

Each run makes one song, which MPS bills. **Listen** on the page of `create_soundtrack` plays it.

**When not to use it:** for a list of prompts, see `soundtracks_for_many_prompts`; where a person decides what is
published, `approve_soundtrack`. Without a triggerer, set `deferrable=False`, or see `soundtrack_with_sensor`.
To run it every day, set `schedule="@daily"`, and do not press Trigger as well: that is another run, and another song.
"""

import os

import pendulum

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

with DAG(
    dag_id="generate_soundtrack",
    description="A soundtrack from a prompt, kept as a file",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    default_args={"retries": 2},
    params={
        "prompt": Param(
            "A calm piano piece for a morning news show, 90 bpm",
            type="string",
            format="multiline",
            minLength=1,
            maxLength=2000,
            title="Prompt",
            description="What the music is like: mood, instruments, tempo. MPS takes 2,000 characters at most.",
        ),
        "format": Param(
            "wav",
            type="string",
            enum=["wav", "mp3"],
            title="Format",
            description="WAV is whole, MP3 is small.",
        ),
        "folder": Param(
            os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks"),
            type="string",
            title="Folder",
            description_md="Where the file is kept: a path, or a URI such as `s3://bucket/soundtracks`. "
            "Each run gets a folder of its own in it.",
        ),
    },
    tags=["mps", "audio"],
) as dag:
    create_soundtrack = CreateAigcAudioTaskOperator(
        task_id="create_soundtrack",
        model_name="MiniMaxMusic",
        model_version="2.6",
        scene_type="music",
        prompt="{{ params.prompt }}",
        output_audio_format="{{ params.format }}",
        wait_for_completion=True,
        deferrable=True,
        wait_timeout=1800,
    )
    MpsToObjectStorageOperator(
        task_id="keep_file",
        urls=create_soundtrack.output["audio_urls"],
        destination="{{ params.folder }}/{{ dag.dag_id }}/{{ run_id | replace(':', '-') }}",
    )
