"""How to add a family of tasks: one entry, the request's fields, an operator and a sensor of a few lines each."""

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_mps.api.requests import Field, RequestShape, prompt, text
from airflow_provider_mps.api.tasks import FAMILIES, aigc_family
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import CreateTaskOperator
from airflow_provider_mps.sensors.mps import TaskSensor
from tests.doubles.task_instances import run_task

# The 20 lines. That they go to the actions for images is for the emulator's sake, which knows no other ones.

POSTER = aigc_family("poster", "AIGC poster", "DescribeAigcImageTask", {"poster_urls": "ImageUrls"})

POSTER_REQUEST = RequestShape(
    action="CreateAigcImageTask",
    fields={"model_name": Field("ModelName", text), "prompt": Field("Prompt", prompt)},
    needs_one_of=("prompt",),
)


class CreatePosterOperator(CreateTaskOperator):
    family, request = POSTER, POSTER_REQUEST
    template_fields = ("mps_conn_id", *POSTER_REQUEST.fields)

    def __init__(self, *, model_name: str | None = None, prompt: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.prompt = prompt


class PosterSensor(TaskSensor):
    family = POSTER


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    """The entry, as if it stood in api/tasks.py with the others."""
    FAMILIES[POSTER.kind] = POSTER
    yield
    del FAMILIES[POSTER.kind]


@pytest.mark.parametrize("deferrable", [False, True])
def test_it_creates_and_waits_in_every_mode(emulator: MpsEmulator, deferrable: bool) -> None:
    create = CreatePosterOperator(
        task_id="create",
        model_name="Kling",
        prompt="A fox",
        wait_for_completion=True,
        deferrable=deferrable,
        poll_interval=0.1,
    )
    task_id, xcoms = run_task(create)
    [task] = emulator.tasks
    assert (task.task_id, task.params) == (task_id, {"ModelName": "Kling", "Prompt": "A fox"})
    assert len(xcoms["poster_urls"]) == 1
    assert xcoms["result"]["ImageUrls"] == xcoms["poster_urls"]

    wait = PosterSensor(task_id="wait", mps_task_id=task_id, deferrable=deferrable, poke_interval=0.1)
    result, sensed = run_task(wait)
    assert result == xcoms["result"]
    assert sensed["poster_urls"] == xcoms["poster_urls"]
