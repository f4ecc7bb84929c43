"""Two hundred waits in the triggerers."""

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator

with DAG("rolling", schedule=None, default_args={"retries": 2, "retry_delay": timedelta(seconds=5)}):
    CreateAigcAudioTaskOperator.partial(
        task_id="wait",
        mps_conn_id="mps_long",
        model_name="MiniMaxMusic",
        model_version="2.6",
        scene_type="music",
        wait_for_completion=True,
        deferrable=True,
    ).expand(prompt=[f"wait {number}" for number in range(200)])
