"""A soundtrack for each prompt of a list: one mapped task each, all waiting in the triggerer.

The list comes from the form; in its place `prompts` may read it from a table or a file. Each prompt makes one song,
which MPS bills. The mapped tasks are listed under their prompts.

**When not to use it:** for thousands of prompts, give `create_soundtracks` a pool of its own, so that one run does not
take every slot; and mind `[core] max_map_length`.
"""

import os

import pendulum

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

try:
    from airflow.sdk import DAG, Param, task
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task
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

    create_soundtracks = CreateAigcAudioTaskOperator.partial(
        task_id="create_soundtracks",
        model_name="MiniMaxMusic",
        model_version="2.6",
        scene_type="music",
        wait_for_completion=True,
        deferrable=True,
        wait_timeout=1800,
        map_index_template="{{ task.prompt[:100] }}",
    ).expand(prompt=prompts())

    MpsToObjectStorageOperator(
        task_id="keep_files",
        urls=create_soundtracks.output["audio_urls"],
        destination="{{ params.folder }}/{{ dag.dag_id }}/{{ run_id | replace(':', '-') }}",
    )
