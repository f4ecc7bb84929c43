"""Takes as a user would make them: two mapped songs that MPS keeps, and one that it stores in the user's bucket.

And what a task may have pushed that no honest service answers.
"""

from typing import Any

import pendulum
from airflow.sdk import DAG

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator, TextToSpeechAsyncOperator

SONG: dict[str, Any] = {
    "model_name": "MiniMaxMusic",
    "model_version": "2.6",
    "scene_type": "music",
    "output_audio_format": "mp3",
}
BUCKET = "songs-1250000000"
STORE = {"CosBucketName": BUCKET, "CosBucketRegion": "ap-singapore", "CosBucketPath": "/takes/"}
WAITING: dict[str, Any] = {"wait_for_completion": True, "poll_interval": 0.1}
NO_HTTPS = [
    "javascript:alert(1)",
    "data:text/html,x",
    "//other.example.com/a.mp3",
    "http://other.example.com/a.mp3",
    "http://127.0.0.1.example.com/a.mp3",
    "ftp://127.0.0.1/a.mp3",
    "file:///etc/passwd",
    "https://",
    "https://[::1",
    "no URL",
    "",
]
ELSEWHERE = "https://other.example.com/a.mp3?x=1"
OF_ANOTHER_BUCKET = "https://private-1250000000.cos.ap-singapore.myqcloud.com/takes/secret.mp3"
PUSHED: dict[str, dict[str, Any]] = {
    "no_https": {"audio_urls": NO_HTTPS},
    "no_texts": {"audio_urls": {"Url": "https://a"}, "video_urls": "https://a", "image_urls": [["https://a"], None, 7]},
    "elsewhere": {"cos_urls": [f"{ELSEWHERE}\r\nSet-Cookie: a=b", OF_ANOTHER_BUCKET]},
}


IN_THE_STORE_OF_MPS = "https://mps-results-1311402212.cos.ap-guangzhou.myqcloud.com/a.mp3"


class PushesVoice(TextToSpeechAsyncOperator):
    """Has the fields of a voice-over, and asks nobody."""

    def execute(self, context: Any) -> str:
        context["ti"].xcom_push(key="audio_urls", value=[IN_THE_STORE_OF_MPS])
        return ""


class Pushes(CreateAigcAudioTaskOperator):
    """Has the fields of a create, and asks nobody."""

    def execute(self, context: Any) -> str:
        for key, value in PUSHED[self.task_id].items():
            context["ti"].xcom_push(key=key, value=value)
        return ""


with DAG(dag_id="takes", schedule=None, start_date=pendulum.datetime(2026, 1, 1)) as dag:
    CreateAigcAudioTaskOperator.partial(task_id="song", **SONG, **WAITING).expand(prompt=["rain", "wind"])
    CreateAigcAudioTaskOperator(task_id="stored", prompt="sun", store_cos_param=STORE, **SONG, **WAITING)
    PushesVoice(task_id="voice", text="rain", voice_id="v")
    for task_id in PUSHED:
        Pushes(task_id=task_id, prompt="nothing", store_cos_param=STORE, **SONG)
