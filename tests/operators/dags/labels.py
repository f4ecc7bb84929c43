"""A mapped create whose labels are its prompts."""

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator

PROMPTS = ["x" * 251, "rain"]

with DAG(
    dag_id="labels",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    default_args={"retries": 2, "retry_delay": timedelta(0)},
) as dag:
    CreateAigcAudioTaskOperator.partial(
        task_id="songs",
        model_name="MiniMaxMusic",
        model_version="2.6",
        scene_type="music",
        map_index_template="{{ task.prompt }}",
    ).expand(prompt=PROMPTS)
