"""A label that Airflow's database cannot hold fails a create before it pays, and not after it."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow import settings
from airflow.models.taskinstance import TaskInstance as AirflowsTaskInstance

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.execution.label import LONGEST_LABEL
from airflow_provider_mps.operators.mps import MpsApiOperator
from tests.doubles.airflows import DAG
from tests.doubles.emulators import CREATE
from tests.doubles.seen import PICTURE
from tests.doubles.task_instances import State, TaskInstance, run_task
from tests.doubles.ways import ARGUMENTS, OPERATORS
from tests.operators.dags import labels

ROOT = Path(__file__).parents[2]
LONG, LONGEST = "{{ 'x' * 251 }}", "{{ 'x' * 250 }}"
CREATES: list[tuple[Any, dict[str, Any]]] = [(operator, ARGUMENTS[operator.__name__]) for operator in OPERATORS]
CREATES += [(MpsApiOperator, {"action": "CreateAigcImageTask", "mps_params": PICTURE})]


def test_the_limit_is_that_of_airflows_column() -> None:
    assert AirflowsTaskInstance.__table__.c.rendered_map_index.type.length == LONGEST_LABEL


@pytest.mark.parametrize(("operator", "arguments"), CREATES)
@pytest.mark.parametrize("native", [False, True])
def test_nothing_is_created_under_a_label_that_is_too_long(
    emulator: MpsEmulator, operator: Any, arguments: dict[str, Any], native: bool
) -> None:
    with DAG("dag", schedule=None, render_template_as_native_obj=native):
        task = operator(task_id="create", map_index_template=LONG, **arguments)
    outcome = TaskInstance(lambda: task).run()
    [error] = outcome.errors
    assert isinstance(error, InvalidArgumentError)
    assert isinstance(error, AirflowFailException)
    assert error.field == "map_index_template"
    assert emulator.tasks == []


@pytest.mark.parametrize(
    "template",
    [
        LONGEST,
        "{{ task.prompt[:250] }}",
        "{{ ti.xcom_pull('nobody').made_later * 251 }}",  # nothing that a create can render
        "{{ 'half a template",
        "",
        None,
    ],
)
def test_any_other_label_hinders_no_create(emulator: MpsEmulator, template: str | None) -> None:
    operator, arguments = CREATES[0]
    run_task(operator(task_id="create", map_index_template=template, **arguments | {"prompt": "x" * 2000}))
    assert len(emulator.tasks) == 1


def test_a_read_pays_nothing_and_is_not_held_up(emulator: MpsEmulator) -> None:
    params = {"Status": "FINISH"}
    read = MpsApiOperator(task_id="read", action="DescribeTasks", mps_params=params, map_index_template=LONG)
    assert TaskInstance(lambda: read).run().state is State.SUCCESS


def test_a_task_that_an_earlier_try_has_paid_for_goes_on(emulator: MpsEmulator) -> None:
    operator, arguments = CREATES[0]
    template = LONGEST
    instance = TaskInstance(lambda: operator(task_id="create", map_index_template=template, **arguments), retries=1)
    instance.fails_after_execute = 1
    make = instance.make

    def edited() -> Any:
        """The second try is of a DAG that was edited in between."""
        task = make()
        task.map_index_template = LONG if emulator.tasks else template
        return task

    instance.make = edited
    outcome = instance.run()
    assert (outcome.state, outcome.tries, len(emulator.tasks)) == (State.SUCCESS, 2, 1)


def test_airflow_can_write_the_failure(
    emulator: MpsEmulator, airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DAGS_FOLDER", str(Path(labels.__file__).parent))
    run = labels.dag.test()
    refused, made = sorted(run.get_task_instances(), key=lambda instance: instance.map_index)
    assert (refused.state, refused.try_number) == ("failed", 1)
    assert len(refused.rendered_map_index or "") <= LONGEST_LABEL
    assert (made.state, made.rendered_map_index) == ("success", "rain")
    assert emulator.count(CREATE) == 1


def test_no_label_of_the_docs_is_longer() -> None:
    """Whatever the prompt is."""
    pages = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("dags_examples/*.py"), ROOT / "README.md"]
    templates = [found for page in pages for found in re.findall(r'map_index_template="([^"]+)"', page.read_text())]
    assert templates
    with DAG("dag", schedule=None):
        task = CREATES[0][0](task_id="create", prompt="x" * 2000)
    ti = SimpleNamespace(map_index=10**6)
    for template in templates:
        assert len(task.get_template_env().from_string(template).render(task=task, ti=ti)) <= LONGEST_LABEL
