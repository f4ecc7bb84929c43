"""A file in every way to wait for it, kept by a transfer; a seeded part of the creates is killed at a random moment."""

import logging
import os
import random
import signal
import threading
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, TaskGroup

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator, ProcessMediaOperator
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator


def maybe_killed(context):
    """End this process as the kernel does when memory is short: a third of the creates, each in its first try."""
    ti = context["ti"]
    chance = random.Random(f"{os.environ['CHAOS_SEED']} {ti.run_id} {ti.task_id}")
    if ti.try_number == 1 and chance.random() < 1 / 3:
        timer = threading.Timer(chance.uniform(0, 2), os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
        logging.getLogger("airflow.task").info("This process is killed in %.2f s, unless it has ended", timer.interval)


def keep(way: str, task: Any, key: str, mps_conn_id: str = "mps_quick") -> None:
    """Keep the files that a task handed on."""
    MpsToObjectStorageOperator(
        task_id="keep",
        urls=task.output[key],
        destination=f"{os.environ['CHAOS_KEPT']}/{{{{ run_id }}}}/{way}",
        mps_conn_id=mps_conn_id,
    )


WISH = "https://example.com/{{{{ run_id }}}}/{way}"
OPERATORS: dict[str, Any] = {
    "here": {},
    "deferred": {"deferrable": True},
    "without_room": {"deferrable": True, "mps_conn_id": "mps_capped"},
}
SENSORS: dict[str, Any] = {"poke": {}, "reschedule": {"mode": "reschedule"}, "deferred_sensor": {"deferrable": True}}
SONG: dict[str, Any] = {"model_name": "MiniMaxMusic", "model_version": "2.6", "scene_type": "music"}
QUICK = {"mps_conn_id": "mps_quick"}
SONG |= {"task_id": "create", "pre_execute": maybe_killed}

with DAG("chaos", schedule=None, default_args={"retries": 4, "retry_delay": timedelta(seconds=5)}):
    for way, how in OPERATORS.items():
        with TaskGroup(way):
            song = CreateAigcAudioTaskOperator(
                prompt=WISH.format(way=way), wait_for_completion=True, **(QUICK | SONG | how)
            )
            keep(way, song, "audio_urls")

    for way, how in SENSORS.items():
        with TaskGroup(way):
            song = CreateAigcAudioTaskOperator(prompt=WISH.format(way=way), **(QUICK | SONG))
            wait = AigcAudioTaskSensor(
                task_id="wait", mps_task_id=song.output, poke_interval=5, timeout=600, **(QUICK | how)
            )
            keep(way, wait, "audio_urls")

    with TaskGroup("media"):
        film = ProcessMediaOperator(
            task_id="create",
            mps_conn_id="mps_slow",
            input_url=WISH.format(way="media"),
            output_cos={"Bucket": "films-1250000000", "Region": "ap-singapore"},
            output_dir="/{{ run_id }}/",
            media_process_task={"TranscodeTaskSet": [{"Definition": 100010}]},
            wait_for_completion=True,
            deferrable=True,
            pre_execute=maybe_killed,
        )
        keep("media", film, "cos_urls", mps_conn_id="mps_slow")
