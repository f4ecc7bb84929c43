"""A short film for each scene of a list, each kept as soon as it is done; a second DAG hears of them.

A scene that MPS refuses turns the run red, and takes no other film with it.
`publish_shorts` must be switched on (unpaused) as well: Airflow queues no asset events for a DAG that is paused.
MPS bills the seconds of film that it made.

**When not to use it:** here it runs when somebody presses Trigger. For a run every night set `schedule="0 2 * * *"` and
switch it on, and do not press Trigger as well: Airflow then starts a scheduled run beside yours, and both are paid for.
"""

import os

import pendulum

from airflow_provider_mps.operators.mps import CreateAigcVideoTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

try:
    from airflow.sdk import DAG, Asset, Param, task, task_group
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import task, task_group
    from airflow.models.param import Param

FOLDER = os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks")
SHORTS = Asset(uri=f"{FOLDER}/shorts")

with DAG(
    dag_id="nightly_shorts",
    description="A short film for each scene of a list, kept in an asset that publish_shorts waits for",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    default_args={"retries": 2, "retry_delay": pendulum.duration(seconds=30)},
    params={
        "scenes": Param(
            ["Rain on a neon street, slow dolly", "A paper boat on a river, macro"],
            type="array",
            items={"type": "string", "minLength": 1, "maxLength": 2000},
            minItems=1,
            title="Scenes",
            description="One on each line; each makes one film. MPS takes 2,000 characters of each at most.",
        ),
        "seconds": Param(
            5,
            type="integer",
            minimum=1,
            maximum=10,
            title="Seconds",
            description="How long each film is, as far as the model takes that: it is billed by the second.",
        ),
    },
    tags=["mps", "video"],
) as nightly:

    @task
    def scenes(*, params: dict) -> list[dict[str, object]]:
        return [{"prompt": scene, "duration": params["seconds"]} for scene in params["scenes"]]

    @task_group
    def short(prompt: str, duration: int) -> None:
        make = CreateAigcVideoTaskOperator(
            task_id="make",
            model_name="Vidu",
            model_version="q2",
            prompt=prompt,
            duration=duration,
            extra_parameters={"AspectRatio": "9:16"},
            wait_for_completion=True,
            deferrable=True,
            wait_timeout=3600,
            map_index_template="{{ task.prompt[:100] }}",
            pool="default_pool",  # a pool of its own keeps a night's films from taking every slot
            max_active_tis_per_dagrun=10,
        )
        MpsToObjectStorageOperator(
            task_id="keep",
            urls=make.output["video_urls"],
            destination=f"{FOLDER}/shorts/{{{{ run_id | replace(':', '-') }}}}",
            outlets=[SHORTS],
        )

    short.expand_kwargs(scenes())

PUBLISH = """Lists the films of `nightly_shorts` that started it, each when it was kept.

**It must be switched on (unpaused)**, before `nightly_shorts` runs: Airflow queues no asset events for a DAG that is
paused. Up to Airflow 3.3 one run may be for several films; from 3.4 on there is one for each, unless
`[scheduler] batch_asset_events` says otherwise. It reads the events that started it, and no others. Started by hand it
has none, and lists nothing.
"""

with DAG(
    dag_id="publish_shorts",
    description="Runs when nightly_shorts has left films: must be switched on",
    doc_md=PUBLISH,
    schedule=[SHORTS],
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    tags=["mps", "video"],
) as publish:

    @task
    def list_files(**context: object) -> list[str]:
        """What the transfers said about each file: its URI and its length in bytes."""
        # Airflow 2 has another name for it.
        of_assets = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
        events = [event for of_one in of_assets.values() for event in of_one]
        return [f"{file['uri']}: {file['length']:,} bytes" for event in events for file in event.extra["files"]]

    list_files()
