"""From two prompts to a finished film: AI video and AI music side by side, then one laid under the other.

MPS stores the parts and the film in a bucket of yours, and a copy of the film is kept. MPS bills each of the three
tasks. **Watch** on the page of `lay_music_under_video` plays the film.

**Before you use it:** the account needs the role MPS_QcsRole and a bucket, which the environment variables
`SOUNDTRACKS_BUCKET` and `SOUNDTRACKS_REGION` name; and this package its extra `cos`.

**When not to use it:** where the video exists already: leave `make_video` out, and give its URL to `lay_soundtrack`.
"""

import os

import pendulum

from airflow_provider_mps.api import lay_soundtrack
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    CreateAigcVideoTaskOperator,
    EditMediaOperator,
)
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

BUCKET = {
    "Bucket": os.environ.get("SOUNDTRACKS_BUCKET", "films-1250000000"),
    "Region": os.environ.get("SOUNDTRACKS_REGION", "ap-singapore"),
}
RUN = "{{ dag.dag_id }}/{{ run_id | replace(':', '-') | replace('+', '-') }}"
STORE = {"CosBucketName": BUCKET["Bucket"], "CosBucketRegion": BUCKET["Region"], "CosBucketPath": f"parts/{RUN}"}
SECONDS = 5

with DAG(
    dag_id="soundtrack_for_a_video",
    description="A film with a soundtrack, both from prompts",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    default_args={"retries": 2, "retry_delay": pendulum.duration(seconds=30)},
    params={
        "video": Param(
            "A lighthouse at dusk, slow aerial shot",
            type="string",
            format="multiline",
            minLength=1,
            maxLength=2000,
            title="Video",
            description="What is to be seen, and how the camera moves.",
        ),
        "music": Param(
            "Calm strings and a distant horn, 60 bpm",
            type="string",
            format="multiline",
            minLength=1,
            maxLength=2000,
            title="Music",
            description="What is to be heard: mood, instruments, tempo.",
        ),
        "folder": Param(
            os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks"),
            type="string",
            title="Folder",
            description="Where the film is kept. Each run gets a folder of its own in it.",
        ),
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
        output_object_path=f"/films/{RUN}.mp4",
        **wait,
    )
    keep_film = MpsToObjectStorageOperator(
        task_id="keep_film",
        urls=lay_music_under_video.output["cos_urls"],
        destination="{{ params.folder }}/{{ dag.dag_id }}/{{ run_id | replace(':', '-') }}",
    )
    [make_video, make_music] >> lay_music_under_video
