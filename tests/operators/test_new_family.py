"""How to add a family of tasks: one entry, the request's fields, an operator and a sensor of a few lines each."""

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from airflow_provider_mps.api.request.convert import prompt, text
from airflow_provider_mps.api.request.shape import Field, RequestShape
from airflow_provider_mps.api.tasks import FAMILIES, TaskFamily
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.create import CreateTaskOperator
from airflow_provider_mps.sensors.mps import TaskSensor
from tests.doubles.task_instances import run_task

# The 25 lines. That they go to the actions for images is for the emulator's sake, which knows no other ones.


class Poster(TaskFamily):
    kind = "poster"
    title = "AIGC poster"
    describe = "DescribeAigcImageTask"
    outputs: ClassVar = {"poster": "ImageUrls"}


POSTER = Poster()


POSTER_REQUEST = RequestShape(
    "CreateAigcImageTask",
    {"model_name": Field("ModelName", text), "prompt": Field("Prompt", prompt)},
    needs_one_of=("prompt",),
)


class CreatePosterOperator(CreateTaskOperator):
    family, request = POSTER, POSTER_REQUEST
    template_fields = (*CreateTaskOperator.template_fields, *POSTER_REQUEST.fields)

    def __init__(self, *, model_name: str | None = None, prompt: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.prompt = prompt


class PosterSensor(TaskSensor):
    family = POSTER


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    """The entry, as if it stood in api/tasks/known.py with the others."""
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
