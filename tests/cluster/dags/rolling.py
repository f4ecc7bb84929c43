"""Two hundred waits in the triggerers; and creates for which there is room for five at once."""

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator

SONG: dict[str, Any] = {"model_name": "MiniMaxMusic", "model_version": "2.6", "scene_type": "music"}
SONG |= {"wait_for_completion": True, "deferrable": True}
RETRIED: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=5)}

with DAG("rolling", schedule=None, default_args=RETRIED):
    CreateAigcAudioTaskOperator.partial(task_id="wait", mps_conn_id="mps_long", **SONG).expand(
        prompt=[f"wait {number}" for number in range(200)]
    )

with DAG("room", schedule=None, default_args=RETRIED):
    CreateAigcAudioTaskOperator.partial(task_id="ask", mps_conn_id="mps_crowded", **SONG).expand(
        prompt=[f"ask {number}" for number in range(30)]
    )
