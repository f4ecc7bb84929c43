"""DAGs that create with MpsHook in a task of their author's own, one DAG for each way to do so."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_mps.hooks.mps import MpsHook

RAIN: Any = {"model_name": "MiniMaxMusic", "model_version": "2.6", "scene_type": "music", "prompt": "rain"}
FIELDS = {"ModelName": "MiniMaxMusic", "ModelVersion": "2.6", "SceneType": "music", "Prompt": "rain"}
WAYS: dict[str, Callable[[MpsHook], Any]] = {
    "create_aigc_audio_task": lambda hook: hook.create_aigc_audio_task(**RAIN),
    "acreate_task": lambda hook: asyncio.run(hook.acreate_task("aigc_audio", **RAIN)),
    "call": lambda hook: hook.call("CreateAigcAudioTask", FIELDS),
    "acall": lambda hook: asyncio.run(hook.acall("CreateAigcAudioTask", FIELDS)),
}


def create_with(create: Callable[[MpsHook], Any]) -> DAG:
    with DAG(
        dag_id=f"hook_{name}",
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1),
        default_args={"retries": 2, "retry_delay": timedelta(0)},
    ) as dag:

        @task
        def create_once() -> Any:
            return create(MpsHook())

        create_once()
    return dag


for name, way in WAYS.items():
    globals()[name] = create_with(way)
