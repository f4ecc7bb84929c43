"""Make one soundtrack after the other until a person is pleased with one, which is then published.

1. `create` makes a take, which MPS bills, and `keep` keeps it at once: MPS deletes its own copy after 12 hours.
2. `verdict` waits for a person, without a worker and without the triggerer: **Required Actions** on the run's page.
   **Listen**, on the page of this iteration's `create`, plays the take.
3. **Publish** ends the loop, and `publish` copies this take. **Another one** makes a further take, of another prompt
   where one is typed in. **Give up** ends the loop, and so does nobody's answer within three days.

After five takes, each of them paid for, the run fails: this is a limit of its cost. All takes stay in the folder
`takes`. The iterations are task instances of their own: each pays for one take, also where Airflow retries it.

**When not to use it:** before Airflow 3.4, which has no loops: there this file defines no DAG, and `approve_soundtrack`
asks about one take (from 3.1 on).
"""

import os
from datetime import timedelta

import pendulum

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

try:
    from airflow.sdk import LoopDecision
except ImportError:  # before Airflow 3.4
    LoopDecision = None

FOLDER = os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks")
RUN = "{{ dag.dag_id }}/{{ run_id | replace(':', '-') }}"
PUBLISH, ANOTHER, GIVE_UP = "Publish", "Another one", "Give up"

if LoopDecision:
    from airflow.providers.standard.operators.hitl import HITLOperator
    from airflow.sdk import DAG, Asset, ObjectStoragePath, Param, task, task_group
    from airflow.sdk.exceptions import AirflowSkipException

    PUBLISHED = Asset(uri=f"{FOLDER}/published")
    PROMPT = {"type": "string", "format": "multiline", "maxLength": 2000, "title": "Prompt"}

    with DAG(
        dag_id="make_until_it_pleases",
        description="One soundtrack after the other, until a person publishes one",
        doc_md=__doc__,
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Singapore"),
        catchup=False,
        default_args={"retries": 2, "retry_delay": pendulum.duration(seconds=30)},
        params={
            "prompt": Param(
                "A warm jingle of brass and hand claps, 110 bpm",
                description="What the music is like. MPS takes 2,000 characters at most.",
                minLength=1,
                **PROMPT,
            ),
        },
        tags=["mps", "audio"],
    ) as dag:

        @task_group
        def takes():
            create = CreateAigcAudioTaskOperator(
                task_id="create",
                model_name="MiniMaxMusic",
                model_version="2.6",
                scene_type="music",
                # `loop.previous` is what the verdict on the take before has returned.
                prompt="{{ (loop.previous['params_input'].get('prompt') if loop.index else '') or params.prompt }}",
                wait_for_completion=True,
                deferrable=True,
                wait_timeout=1800,
            )
            keep = MpsToObjectStorageOperator(
                task_id="keep",
                urls=create.output["audio_urls"],
                destination=f"{FOLDER}/takes/{RUN}/{{{{ loop.index + 1 }}}}",
            )
            keep >> HITLOperator(
                task_id="verdict",
                subject="Take {{ loop.index + 1 }} of at most {{ loop.max_iterations }}: publish it?",
                # No URL of the take: it may be signed, and this text stays. Whoever may see the run has the button.
                body="""\
Listen to it: open `create` of this iteration, and press **Listen**.

The take is kept as `{{ ti.xcom_pull(task_ids='takes.keep')[0] }}`.
""",
                options=[PUBLISH, ANOTHER, GIVE_UP],
                defaults=GIVE_UP,
                params={
                    "prompt": Param("", description="For another one. Empty: the prompt of the run.", **PROMPT),
                },
                response_timeout=timedelta(days=3),
            )

        def pleased(*, loop):
            """Stop, unless the answer is "Another one"."""
            [answer] = loop.result["chosen_options"]
            return LoopDecision(stop=answer != ANOTHER, reason=answer)

        @task(outlets=[PUBLISHED])
        def publish(folder: str, *, ti) -> list[str]:
            # Outside of the loop, what a task in it has returned is a sequence, an item for each iteration.
            if ti.xcom_pull(task_ids="takes.verdict")[-1]["chosen_options"] != [PUBLISH]:
                raise AirflowSkipException("No take was published: see the folder of the takes.")
            target = ObjectStoragePath(folder)
            target.mkdir(parents=True, exist_ok=True)
            published = []
            for take in ti.xcom_pull(task_ids="takes.keep")[-1]:
                file = target / take.rpartition("/")[2]
                file.write_bytes(ObjectStoragePath(take).read_bytes())
                published.append(str(file))
            return published

        takes.loop(max_iterations=5, until=pleased) >> publish(f"{FOLDER}/published/{RUN}")
