"""Airflow and users see every argument of an operator: in signatures, default_args, partial() and at a slip."""

import inspect
from typing import Any

import pytest

from airflow_provider_mps.airflow_arguments import AirflowArguments, SensorArguments
from airflow_provider_mps.compat import BaseOperator, BaseSensorOperator
from airflow_provider_mps.operators import arguments
from airflow_provider_mps.operators.create import CreateTaskOperator
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator, CreateAigcVideoTaskOperator
from tests.doubles.airflows import DAG
from tests.doubles.ways import OPERATORS

SEEN_BY_TYPE_CHECKERS = {
    "CreateAigcAudioTaskOperator": arguments.AudioArguments,
    "CreateAigcVideoTaskOperator": arguments.VideoArguments,
    "CreateAigcImageTaskOperator": arguments.ImageArguments,
    "ProcessMediaOperator": arguments.ProcessMediaArguments,
    "EditMediaOperator": arguments.EditMediaArguments,
}


def own(names: set[str]) -> set[str]:
    return names - set(AirflowArguments.__annotations__) - {"self", "kwargs"}


@pytest.mark.parametrize("operator", OPERATORS)
def test_signature_and_type_checkers_name_the_same_arguments(operator: type[CreateTaskOperator]) -> None:
    named = own(set(inspect.signature(operator).parameters))
    assert named == own(set(SEEN_BY_TYPE_CHECKERS[operator.__name__].__annotations__))
    assert {"wait_for_completion", "mps_conn_id", *operator.request.fields} <= named


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_field_of_the_request_is_a_template(operator: type[CreateTaskOperator]) -> None:
    assert set(operator.template_fields) - {"cos_region"} == {"mps_conn_id", *operator.request.fields}


@pytest.mark.parametrize("operator", OPERATORS)
def test_default_args_give_every_argument(operator: type[CreateTaskOperator]) -> None:
    names = own(set(inspect.signature(operator).parameters))
    given: dict[str, Any] = {name: f"the {name}" for name in names}
    with DAG(dag_id="dag", schedule=None, default_args=given):
        task: Any = operator(task_id="task")
    assert {name: getattr(task, name) for name in names} == given


@pytest.mark.parametrize("operator", OPERATORS)
def test_partial_takes_every_argument(operator: type[CreateTaskOperator]) -> None:
    names = own(set(inspect.signature(operator).parameters)) - {"session_id", "prompt", "input_url"}
    mapped_over = {"prompt": ["rain", "snow"]} if "prompt" in operator.request.fields else {"session_id": ["a", "b"]}
    with DAG(dag_id="dag", schedule=None):
        task: Any = operator.partial(task_id="task", **{name: f"the {name}" for name in names}).expand(**mapped_over)
    assert {name: task.partial_kwargs[name] for name in names} == {name: f"the {name}" for name in names}


def test_a_slip_is_refused_while_the_dag_is_parsed() -> None:
    slip: dict[str, Any] = {"promt": "rain"}
    with pytest.raises(TypeError, match="promt"):
        CreateAigcAudioTaskOperator(task_id="task", **slip)
    with pytest.raises(TypeError, match="promt"):
        CreateAigcVideoTaskOperator.partial(task_id="task", **slip)


def test_a_subclass_may_have_defaults_of_its_own() -> None:
    class TeamSong(CreateAigcAudioTaskOperator):
        def __init__(self, *, mood: str = "calm", **kwargs: Any) -> None:
            super().__init__(**{"model_name": "MiniMaxMusic", "prompt": f"A {mood} song"} | kwargs)

    with DAG(dag_id="dag", schedule=None, default_args={"model_version": "2.6", "mood": "sad"}):
        task: Any = TeamSong(task_id="task")
    assert (task.model_name, task.model_version, task.prompt) == ("MiniMaxMusic", "2.6", "A sad song")


@pytest.mark.parametrize(
    ("of_airflow", "seen"), [(BaseOperator, AirflowArguments), (BaseSensorOperator, SensorArguments)]
)
def test_type_checkers_see_every_argument_of_airflow(of_airflow: type, seen: type) -> None:
    names = set(inspect.signature(of_airflow).parameters) - {"self", "kwargs", "args"}
    assert names <= set(seen.__annotations__)
