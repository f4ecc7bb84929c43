"""A film from two prompts, by five tasks of MPS: a picture, a film that begins with it, music, both together, a copy.

1. `make_picture` makes the first picture; `make_music` makes the music meanwhile.
2. `make_film` begins with that picture.
3. `lay_music_under_film` lays one under the other.
4. `make_small_copy` makes a small film of it, and `keep_films` keeps both.

What each task makes goes to the next through a bucket of yours, by its URL without a signature: the package signs it
where it is handed to a model, for an hour. **View**, **Watch** and **Listen** on the tasks' pages show what they made.
MPS bills each of the five.

**Before you use it:** the account needs the role MPS_QcsRole and a bucket, which the environment variables
`SOUNDTRACKS_BUCKET` and `SOUNDTRACKS_REGION` name; and this package its extra `cos`.

**When not to use it:** to try the package for little money: `generate_soundtrack` makes one song.
"""

import os

import pendulum

from airflow_provider_mps.api import lay_soundtrack
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    CreateAigcImageTaskOperator,
    CreateAigcVideoTaskOperator,
    EditMediaOperator,
    ProcessMediaOperator,
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


def made_by(task_id: str) -> str:
    """The URL of the file that a task has stored in the bucket."""
    return f"{{{{ ti.xcom_pull(task_ids='{task_id}', key='cos_urls')[0] }}}}"


with DAG(
    dag_id="film_from_a_picture",
    description="Picture, film, music, both together and a small copy: five tasks of MPS in a row",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    default_args={
        "retries": 2,
        "retry_delay": pendulum.duration(seconds=30),
        "wait_for_completion": True,
        "deferrable": True,
        "wait_timeout": 3600,
    },
    params={
        "scene": Param(
            "A lighthouse on a cliff at dusk, oil painting",
            type="string",
            format="multiline",
            minLength=1,
            maxLength=1000,
            title="Scene",
            description="The first picture, and what the film shows. MPS takes 1,000 characters for a picture at most.",
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
            description="Where both films are kept. Each run gets a folder of its own in it.",
        ),
    },
    tags=["mps", "video", "audio", "image"],
) as dag:
    make_picture = CreateAigcImageTaskOperator(
        task_id="make_picture",
        model_name="GEM",
        model_version="2.5",
        prompt="{{ params.scene }}",
        store_cos_param=STORE,
    )
    make_film = CreateAigcVideoTaskOperator(
        task_id="make_film",
        model_name="Kling",
        model_version="2.1",
        prompt="{{ params.scene }}, the light turns, slow zoom",
        image_url=made_by("make_picture"),
        duration=SECONDS,
        store_cos_param=STORE,
    )
    make_music = CreateAigcAudioTaskOperator(
        task_id="make_music",
        model_name="MiniMaxMusic",
        model_version="2.6",
        scene_type="music",
        prompt="{{ params.music }}",
        store_cos_param=STORE,
    )
    lay_music_under_film = EditMediaOperator(
        task_id="lay_music_under_film",
        **lay_soundtrack(video=made_by("make_film"), audio=made_by("make_music"), length=SECONDS),
        output_cos=BUCKET,
        output_object_path=f"/films/{RUN}/film.mp4",
    )
    make_small_copy = ProcessMediaOperator(
        task_id="make_small_copy",
        input_cos=made_by("lay_music_under_film"),
        output_cos=BUCKET,
        media_process_task={
            # 100010: MPS's preset template for an MP4 of 360 lines.
            "TranscodeTaskSet": [{"Definition": 100010, "OutputObjectPath": f"/films/{RUN}/small.mp4"}]
        },
    )
    keep_films = MpsToObjectStorageOperator(
        task_id="keep_films",
        urls=[lay_music_under_film.output["cos_urls"], make_small_copy.output["cos_urls"]],
        destination="{{ params.folder }}/{{ dag.dag_id }}/{{ run_id | replace(':', '-') }}",
    )
    make_picture >> make_film
    [make_film, make_music] >> lay_music_under_film >> make_small_copy
