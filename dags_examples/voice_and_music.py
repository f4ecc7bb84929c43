"""A voice and music under a film of yours, by four tasks of MPS: a voice, what it says, music, all of it together.

    design_voice > speak > keep_voice
                         \\
              make_music  > lay_under_film > keep_film

The voice is made from a description, and its `VoiceId` stays good: leave `design_voice` out, and give `speak` the id of
a voice that you have. **Listen** and **Watch** on the tasks' pages play what they made.

**Before you use it:** the account needs the role MPS_QcsRole and a bucket with the film, which the environment
variables `SOUNDTRACKS_BUCKET` and `SOUNDTRACKS_REGION` name; and this package its extra `cos`.

**When not to use it:** for a text of a few words that has to be there at once: `MpsApiOperator` with the action
`TextToSpeech` answers with the sound itself.
"""

import os

import pendulum

from airflow_provider_mps.api import lay_soundtrack
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    DesignVoiceAsyncOperator,
    EditMediaOperator,
    TextToSpeechAsyncOperator,
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
SECONDS, SPOKEN_SECONDS = 5, 4

tracks = lay_soundtrack(
    video="{{ params.film }}",
    audio="{{ ti.xcom_pull(task_ids='make_music', key='cos_urls')[0] }}",
    gain=0.3,  # under the voice
    length=SECONDS,
)
voice = {"UrlInputInfo": {"Url": "{{ ti.xcom_pull(task_ids='speak', key='audio_urls')[0] }}"}, "Type": "URL"}
tracks["file_infos"].append({"Id": "voice", "InputInfo": voice})
tracks["compose_config"]["Tracks"].append(
    {"Type": "Audio", "Items": [{"Type": "Audio", "Audio": {"SourceMedia": {"FileId": "voice"}}}]}
)

with DAG(
    dag_id="voice_and_music",
    description="A voice and music under a film: four tasks of MPS",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    default_args={"retries": 2, "retry_delay": pendulum.duration(seconds=30)},
    params={
        "film": Param(
            f"cos://{BUCKET['Bucket']}/film.mp4",
            type="string",
            minLength=1,
            maxLength=2000,
            title="Film",
            description="The film that they go under: cos://bucket/key, or a URL that MPS can reach.",
        ),
        "voice": Param(
            "A narrator of films, low and warm, in no hurry",
            type="string",
            minLength=1,
            maxLength=500,
            format="multiline",
            title="Voice",
            description="What the voice is like.",
        ),
        "text": Param(
            "On a stormy night the old bell tower struck twelve.",
            type="string",
            minLength=1,
            maxLength=2000,
            format="multiline",
            title="Text",
            description="What it says.",
        ),
        "music": Param(
            "Calm strings and a distant horn, 60 bpm",
            type="string",
            minLength=1,
            maxLength=2000,
            format="multiline",
            title="Music",
            description="What is to be heard under it: mood, instruments, tempo.",
        ),
        "folder": Param(
            os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks"),
            type="string",
            title="Folder",
            description="Where the film and the voice are kept. Each run gets a folder of its own in it.",
        ),
    },
    tags=["mps", "audio", "voice"],
) as dag:
    wait = {"wait_for_completion": True, "deferrable": True, "wait_timeout": 3600}
    keep = "{{ params.folder }}/{{ dag.dag_id }}/{{ run_id | replace(':', '-') }}"

    design_voice = DesignVoiceAsyncOperator(task_id="design_voice", prompt="{{ params.voice }}", **wait)
    speak = TextToSpeechAsyncOperator(
        task_id="speak",
        text="{{ params.text }}",
        voice_id="{{ ti.xcom_pull(task_ids='design_voice', key='result')['VoiceId'] }}",
        ext_param={"synExt": {"duration": SPOKEN_SECONDS}},
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
    lay_under_film = EditMediaOperator(
        task_id="lay_under_film",
        **tracks,
        cos_region=BUCKET["Region"],
        output_cos=BUCKET,
        output_object_path=f"/films/{RUN}.mp4",
        **wait,
    )
    # MPS's own store keeps it for a day at most.
    keep_voice = MpsToObjectStorageOperator(task_id="keep_voice", urls=speak.output["audio_urls"], destination=keep)
    keep_film = MpsToObjectStorageOperator(
        task_id="keep_film", urls=lay_under_film.output["cos_urls"], destination=keep
    )
    design_voice >> speak
    [speak, make_music] >> lay_under_film
