"""The ways to put a batch through an account's cap, a DAG each; and another DAG, which wants a worker meanwhile."""

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseHook, BaseOperator, task

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.triggers.mps import MpsTaskTrigger

PROMPTS = [f"Tune number {number}" for number in range(int(os.environ["BATCH_CREATES"]))]
SONG = {"model_name": "MiniMaxMusic", "model_version": "2.6", "scene_type": "music"}

# What a user writes who has met the cap: more retries, further apart.
RETRIES = {
    "retries": 20,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=5),
}


def sdk_client() -> Any:
    """The SDK's own client, which repeats a throttled call as its StandardRetryer does: three tries in seconds."""
    from tencentcloud.common.credential import Credential
    from tencentcloud.common.profile.client_profile import ClientProfile
    from tencentcloud.common.profile.http_profile import HttpProfile
    from tencentcloud.common.retry import StandardRetryer
    from tencentcloud.mps.v20190612.mps_client import MpsClient

    connection = BaseHook.get_connection("tencent_mps_default")
    http = HttpProfile(protocol="http", endpoint=f"{connection.host}:{connection.port}")
    credential = Credential(connection.login, connection.password)
    return MpsClient(credential, "", ClientProfile(httpProfile=http, retryer=StandardRetryer()))


def create(client: Any, prompt: str) -> str:
    from tencentcloud.mps.v20190612 import models

    request = models.CreateAigcAudioTaskRequest()
    request.ModelName, request.ModelVersion, request.SceneType = SONG.values()
    request.Prompt = prompt
    return str(client.CreateAigcAudioTask(request).TaskId)


class NaiveOperator(BaseOperator):
    """Creates with the SDK, and waits in the triggerer."""

    def __init__(self, *, prompt: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt

    def execute(self, context: Any) -> None:
        trigger = MpsTaskTrigger("aigc_audio", create(sdk_client(), self.prompt))
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Any, event: dict[str, Any]) -> str:
        if event["status"] != "done":
            raise RuntimeError(event["message"])
        return str(event["mps_task_id"])


waited = {"wait_for_completion": True, "deferrable": True}

with DAG("this_package", schedule=None):
    CreateAigcAudioTaskOperator.partial(task_id="create", **SONG, **waited).expand(prompt=PROMPTS)

with DAG("this_package_in_a_pool", schedule=None):
    pooled = CreateAigcAudioTaskOperator.partial(task_id="create", pool="songs", **SONG, **waited)
    pooled.expand(prompt=PROMPTS)

with DAG("this_package_in_a_larger_pool", schedule=None):
    pooled = CreateAigcAudioTaskOperator.partial(task_id="create", pool="songs", **SONG, **waited)
    pooled.expand(prompt=PROMPTS)

with DAG("this_package_in_a_larger_pool_often_polled", schedule=None):
    pooled = CreateAigcAudioTaskOperator.partial(task_id="create", pool="songs", poll_interval=1, **SONG, **waited)
    pooled.expand(prompt=PROMPTS)

with DAG("naive_deferred", schedule=None, default_args=RETRIES):
    NaiveOperator.partial(task_id="create").expand(prompt=PROMPTS)

with DAG("naive_in_the_worker", schedule=None, default_args=RETRIES):

    @task(task_id="create")
    def create_and_wait(prompt: str) -> str:
        from tencentcloud.mps.v20190612 import models

        client = sdk_client()
        describe = models.DescribeAigcAudioTaskRequest()
        describe.TaskId = create(client, prompt)
        while client.DescribeAigcAudioTask(describe).Status not in ("DONE", "FAIL"):
            time.sleep(5)
        return str(describe.TaskId)

    create_and_wait.expand(prompt=PROMPTS)

# By a schedule: a run that is started through the API server may stop all of it for a minute, where it is on SQLite.
with DAG(
    "another",
    schedule=timedelta(seconds=10),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    is_paused_upon_creation=False,
):

    @task
    def small() -> None:
        """Nothing but a worker's slot is needed for this."""

    small()
