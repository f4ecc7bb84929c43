"""Three takes of one prompt, to choose from: the chosen one is kept, and what the others cost is said.

1. `take` makes three takes side by side; MPS bills each of them. One that MPS refuses, or that fails, takes no other
   with it.
2. `compare` lists what came, and what it cost as far as that is known: with your `prices` in the connection, about so
   much.
3. `choose` waits for a person, without a worker. The tab **MPS results** of the run plays the takes, and asks there;
   **Required Actions** asks, too, and leads to that tab. Where nobody answers within ten hours, all of them are kept:
   MPS deletes its own copies after 12.
4. `decide` says what the takes that are not kept have cost, and `keep` keeps the chosen one.

**When not to use it:** before Airflow 3.1, which has no step for a person: there this file defines no DAG. And where
any take will do: `generate_soundtrack` makes one.
"""

import inspect
import logging
import os
from datetime import timedelta
from urllib.parse import urlsplit

import pendulum
from airflow.configuration import conf

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

try:
    from airflow.providers.common.compat.sdk import AirflowFailException
    from airflow.providers.standard.operators.hitl import HITLOperator
    from airflow.sdk import DAG, Param, task
except Exception:  # before Airflow 3.1 it is not there, or says so by an exception of Airflow's own
    HITLOperator = None

log = logging.getLogger("airflow.task")
FOLDER = os.environ.get("SOUNDTRACKS_FOLDER", "file:///tmp/soundtracks")
AIRFLOW = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
RESULTS = AIRFLOW + "/dags/{{ dag.dag_id }}/runs/{{ run_id | urlencode }}/plugin/mps_results_of_run"
TAKES = ["Take 1", "Take 2", "Take 3"]
ALL = "All of them"


def usages(ti) -> dict[str, dict]:
    """What each take made, in the words of the XCom `usage`; of one whose create is in doubt there is none."""
    pushed = (ti.xcom_pull(task_ids="take", key="usage", map_indexes=number) for number in range(len(TAKES)))
    return {name: usage or {"state": "in doubt, see its log"} for name, usage in zip(TAKES, pushed, strict=True)}


def cost(usage: dict) -> str:
    if usage.get("billed") is False:
        return "not billed"
    if "estimated_cost" in usage:
        return f"about {usage['estimated_cost']} {usage['currency']}"
    return (
        "billed, at a price that the connection does not name" if usage["state"] == "DONE" else "billed or not, unknown"
    )


if HITLOperator:
    # Before apache-airflow-providers-standard 1.13 there is but one limit, for the person's answer, too.
    parameters = inspect.signature(HITLOperator.__init__).parameters
    ANSWER_WITHIN = "response_timeout" if "response_timeout" in parameters else "execution_timeout"

    with DAG(
        dag_id="choose_a_take",
        description="Three takes of one prompt, of which a person chooses one",
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
                description="What the music is like. Each take is made from it. MPS takes 2,000 characters at most.",
            ),
        },
        tags=["mps", "audio"],
    ) as dag:
        take = CreateAigcAudioTaskOperator.partial(
            task_id="take",
            model_name="MiniMaxMusic",
            model_version="2.6",
            scene_type="music",
            wait_for_completion=True,
            deferrable=True,
            wait_timeout=1800,
            map_index_template="Take {{ ti.map_index + 1 }}",
        ).expand(prompt=["{{ params.prompt }}"] * len(TAKES))

        @task(trigger_rule="all_done")
        def compare(*, ti) -> str:
            found = usages(ti)
            if not any(usage["state"] == "DONE" for usage in found.values()):
                raise AirflowFailException("There is no take to choose from: see the logs of `take`")
            seconds = {
                name: f", {usage['seconds']:.0f} s" if "seconds" in usage else "" for name, usage in found.items()
            }
            return "\n".join(
                f"- {name}: {usage['state']}{seconds[name]}, {cost(usage)}" for name, usage in found.items()
            )

        choose = HITLOperator(
            task_id="choose",
            subject="Which take is kept?",
            body="*{{ params.prompt }}*\n\n{{ ti.xcom_pull(task_ids='compare') }}\n\n"
            f"[Listen to them]({RESULTS}), and choose here or there. "
            "Where nobody answers within ten hours, all of them are kept.",
            options=[*TAKES, ALL],
            defaults=ALL,
            **{ANSWER_WITHIN: timedelta(hours=10)},
        )

        @task(multiple_outputs=True)
        def decide(choice: dict, *, ti) -> dict:
            [chosen] = choice["chosen_options"]
            made = {name: usage for name, usage in usages(ti).items() if usage["state"] == "DONE"}
            kept = list(made) if chosen == ALL else [chosen]
            if chosen not in (ALL, *made):
                raise AirflowFailException(f"{chosen} was not made; to choose another one, clear `choose`")
            others = {name: cost(usage) for name, usage in usages(ti).items() if name not in kept}
            log.info("Kept: %s. What the others cost: %s", ", ".join(kept), others)
            return {"kept": [made[name]["mps_task_id"] for name in kept], "others": others}

        decided = decide(choose.output)
        MpsToObjectStorageOperator(
            task_id="keep",
            mps_task_ids=decided["kept"],
            destination=f"{FOLDER}/{{{{ dag.dag_id }}}}/{{{{ run_id | replace(':', '-') }}}}",
        )
        take >> compare() >> choose
