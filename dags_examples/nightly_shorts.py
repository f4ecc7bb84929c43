"""A short film for each scene of a list, every night; a second DAG runs when they are there."""

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_mps.operators.mps import CreateAigcVideoTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

FOLDER = os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks")
SHORTS = Asset(uri=f"{FOLDER}/shorts")

with DAG(
    dag_id="nightly_shorts",
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    default_args={"retries": 2, "retry_delay": pendulum.duration(seconds=30)},
    tags=["mps", "video"],
) as nightly:

    @task
    def scenes() -> list[dict[str, object]]:
        return [
            {"prompt": "Rain on a neon street, slow dolly", "duration": 5},
            {"prompt": "A paper boat on a river, macro", "duration": 6},
        ]

    make_shorts = CreateAigcVideoTaskOperator.partial(
        task_id="make_shorts",
        model_name="Vidu",
        model_version="q2",
        extra_parameters={"AspectRatio": "9:16"},
        wait_for_completion=True,
        deferrable=True,
        wait_timeout=3600,
        pool="default_pool",  # a pool of its own keeps a night's films from taking every slot
        max_active_tis_per_dagrun=10,
    ).expand_kwargs(scenes())

    MpsToObjectStorageOperator(
        task_id="keep_shorts",
        urls=make_shorts.output["video_urls"],
        destination=f"{FOLDER}/shorts/{{{{ ds_nodash | default('today') }}}}",
        outlets=[SHORTS],
    )

with DAG(
    dag_id="publish_shorts",
    schedule=[SHORTS],
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    tags=["mps", "video"],
) as publish:

    @task(inlets=[SHORTS])
    def list_files(*, inlet_events: dict) -> list[str]:
        """What the transfer said about each file: its URI and its length in bytes."""
        files = inlet_events[SHORTS][-1].extra["files"]
        return [f"{file['uri']}: {file['length']:,} bytes" for file in files]

    list_files()
