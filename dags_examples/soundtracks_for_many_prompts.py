"""A soundtrack for each prompt of a list: made and kept one by one, all waiting in the triggerer.

The list comes from the form; in its place `prompts` may read it from a table or a file. Each prompt makes one song,
which MPS bills, and each is kept as soon as it is done: a prompt that MPS refuses turns the run red, and takes no other
song with it. The mapped tasks are listed under their prompts.

**When not to use it:** for thousands of prompts, give `create` a pool of its own with `--include-deferred`
(how many slots: docs/room.md), so that one run does not take every slot; and mind `[core] max_map_length`.
"""

import os

import pendulum

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

try:
    from airflow.sdk import DAG, Param, task, task_group
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task, task_group
    from airflow.models.param import Param

with DAG(
    dag_id="soundtracks_for_many_prompts",
    description="A soundtrack for each prompt of a list, side by side",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
    catchup=False,
    default_args={"retries": 2},
    params={
        "prompts": Param(
            ["A sunrise over the harbour", "A chase through the market", "The last tram home"],
            type="array",
            items={"type": "string", "minLength": 1, "maxLength": 2000},
            minItems=1,
            title="Prompts",
            description="One on each line; each makes one song. MPS takes 2,000 characters of each at most.",
        ),
        "folder": Param(
            os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks"),
            type="string",
            title="Folder",
            description="Where the files are kept. Each run gets a folder of its own in it.",
        ),
    },
    tags=["mps", "audio"],
) as dag:

    @task
    def prompts(*, params: dict) -> list[str]:
        return [f"Film music, one minute: {prompt}" for prompt in params["prompts"]]

    @task_group
    def soundtrack(prompt: str) -> None:
        create = CreateAigcAudioTaskOperator(
            task_id="create",
            model_name="MiniMaxMusic",
            model_version="2.6",
            scene_type="music",
            prompt=prompt,
            wait_for_completion=True,
            deferrable=True,
            wait_timeout=1800,
            map_index_template="{{ task.prompt[:100] }}",
        )
        MpsToObjectStorageOperator(
            task_id="keep",
            urls=create.output["audio_urls"],
            destination="{{ params.folder }}/{{ dag.dag_id }}/{{ run_id | replace(':', '-') }}",
        )

    soundtrack.expand(prompt=prompts())
