"""Generate a soundtrack, listen to it, and publish it once a person has approved it.

1. `create_soundtrack` makes a take, which MPS bills.
2. `keep_take` keeps it at once: MPS deletes its own copy after 12 hours, and people sleep.
3. `approve` waits for a person, without a worker, in Airflow's own approval step. The tab **MPS results** of the run
   plays the take, and asks there; **Required Actions** asks, too, and leads to that tab.
4. `publish` copies what was approved. A rejected take ends here, and stays in the folder `takes`. Where nobody answers
   within three days, the take counts as rejected.

**When not to use it:** before Airflow 3.1, which has no approval step: there this file defines no DAG. And where nobody
is there to answer: `generate_soundtrack` does not ask.
"""

import inspect
import os
from datetime import timedelta
from urllib.parse import urlsplit

import pendulum
from airflow.configuration import conf

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

try:
    from airflow.sdk import DAG, Asset, ObjectStoragePath, Param, task
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import task
    from airflow.io.path import ObjectStoragePath
    from airflow.models.param import Param

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
except Exception:  # before Airflow 3.1 it is not there, or says so by an exception of Airflow's own
    ApprovalOperator = None

FOLDER = os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks")
AIRFLOW = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
RESULTS = AIRFLOW + "/dags/{{ dag.dag_id }}/runs/{{ run_id | urlencode }}/plugin/mps_results_of_run"
RUN = "{{ dag.dag_id }}/{{ run_id | replace(':', '-') }}"
PUBLISHED = Asset(uri=f"{FOLDER}/published")

if ApprovalOperator:
    # Before apache-airflow-providers-standard 1.13 there is but one limit, for the person's answer, too.
    parameters = inspect.signature(HITLOperator.__init__).parameters
    ANSWER_WITHIN = "response_timeout" if "response_timeout" in parameters else "execution_timeout"

    with DAG(
        dag_id="approve_soundtrack",
        description="A soundtrack that a person approves before it is published",
        doc_md=__doc__,
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
        catchup=False,
        default_args={"retries": 2, "retry_delay": pendulum.duration(seconds=30)},
        params={
            "prompt": Param(
                "A warm jingle of brass and hand claps, 110 bpm",
                type="string",
                format="multiline",
                minLength=1,
                maxLength=2000,
                title="Prompt",
                description="What the music is like. MPS takes 2,000 characters at most.",
            ),
        },
        tags=["mps", "audio"],
    ) as dag:
        create_soundtrack = CreateAigcAudioTaskOperator(
            task_id="create_soundtrack",
            model_name="MiniMaxMusic",
            model_version="2.6",
            scene_type="music",
            prompt="{{ params.prompt }}",
            wait_for_completion=True,
            deferrable=True,
            wait_timeout=1800,
        )
        keep_take = MpsToObjectStorageOperator(
            task_id="keep_take",
            urls=create_soundtrack.output["audio_urls"],
            destination=f"{FOLDER}/takes/{RUN}",
        )
        approve = ApprovalOperator(
            task_id="approve",
            subject="Publish this soundtrack?",
            # No URL of the take: it may be signed, and this text stays. Whoever may see the run may hear it there.
            body="*{{ params.prompt }}*\n\n"
            f"[Listen to it]({RESULTS}), and decide here or there. "
            "Where nobody answers within three days, it is rejected.\n\n"
            "The take is kept as `{{ ti.xcom_pull(task_ids='keep_take')[0] }}`.",
            defaults="Reject",
            **{ANSWER_WITHIN: timedelta(days=3)},
        )

        @task(outlets=[PUBLISHED])
        def publish(takes: list[str], folder: str) -> list[str]:
            target = ObjectStoragePath(folder)
            target.mkdir(parents=True, exist_ok=True)
            published = [target / take.rpartition("/")[2] for take in takes]
            for take, file in zip(takes, published, strict=True):
                file.write_bytes(ObjectStoragePath(take).read_bytes())
            return [str(file) for file in published]

        keep_take >> approve >> publish(keep_take.output, f"{FOLDER}/published/{RUN}")
