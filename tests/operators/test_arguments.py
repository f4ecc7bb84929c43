"""Airflow and users see every argument of an operator: in signatures, default_args, partial() and at a slip."""

import dataclasses
import inspect
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.arguments import AirflowArguments, AudioFields, CreateArguments, SensorArguments
from airflow_provider_mps.compat import BaseOperator, BaseSensorOperator
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.create import CreateTaskOperator
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator, CreateAigcVideoTaskOperator
from tests.doubles.airflows import DAG
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import run_task
from tests.doubles.ways import OPERATORS, own_arguments

TIMES: dict[str, Any] = {"poll_interval": 7, "wait_timeout": 8, "room_timeout": timedelta(seconds=9)}


def parameters(cls: Any) -> dict[str, inspect.Parameter]:
    """What a class itself names in its ``__init__``."""
    found = dict(inspect.signature(vars(cls)["__init__"]).parameters)
    return {name: parameter for name, parameter in found.items() if name not in ("self", "kwargs")}


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_names_each_field_of_its_request(operator: type[CreateTaskOperator]) -> None:
    named = parameters(operator)
    assert set(named) == set(operator.request.fields)
    assert {parameter.default for parameter in named.values()} == {None}


def test_type_checkers_see_what_each_create_takes() -> None:
    """A wrong type beside a right one would be reported by nobody else."""
    named = parameters(CreateTaskOperator)
    own = set(CreateArguments.__annotations__) - set(AirflowArguments.__annotations__)
    assert {name: parameter.annotation for name, parameter in named.items()} == {
        name: CreateArguments.__annotations__[name].__forward_arg__ for name in own
    }


def test_the_hook_takes_the_fields_of_the_operator() -> None:
    assert set(AudioFields.__annotations__) == set(CreateAigcAudioTaskOperator.request.fields)


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_field_of_the_request_is_a_template(operator: type[CreateTaskOperator]) -> None:
    assert set(operator.template_fields) - {"cos_region"} == {"mps_conn_id", *operator.request.fields}


@pytest.mark.parametrize("operator", OPERATORS)
def test_default_args_give_every_argument(operator: type[CreateTaskOperator]) -> None:
    given: dict[str, Any] = {name: f"the {name}" for name in own_arguments(operator)} | TIMES
    with DAG(dag_id="dag", schedule=None, default_args=given):
        task: Any = operator(task_id="task")
    assert {name: getattr(task, name) for name in given} == given


@pytest.mark.parametrize("operator", OPERATORS)
def test_partial_takes_every_argument(operator: type[CreateTaskOperator]) -> None:
    mapped = next(name for name in ("prompt", "text", "input_url") if name in operator.request.fields)
    names, mapped_over = own_arguments(operator) - {mapped}, {mapped: ["rain", "snow"]}
    with DAG(dag_id="dag", schedule=None):
        task: Any = operator.partial(task_id="task", **{name: f"the {name}" for name in names} | TIMES).expand(
            **mapped_over
        )
    assert {name: task.partial_kwargs[name] for name in names} == {name: f"the {name}" for name in names} | TIMES


def test_a_slip_is_refused_while_the_dag_is_parsed() -> None:
    slip: dict[str, Any] = {"promt": "rain"}
    with pytest.raises(TypeError, match="promt"):
        CreateAigcAudioTaskOperator(task_id="task", **slip)
    with pytest.raises(TypeError, match="promt"):
        CreateAigcVideoTaskOperator.partial(task_id="task", **slip)


@pytest.mark.parametrize("name", TIMES)
def test_a_time_that_is_none_is_refused_while_the_dag_is_parsed(name: str) -> None:
    wrong: dict[str, Any] = {name: "30m"}
    with pytest.raises(InvalidArgumentError, match=f"{name}: must be seconds or a timedelta"):
        CreateAigcAudioTaskOperator(task_id="task", **wrong)


def test_a_subclass_may_have_defaults_of_its_own() -> None:
    class TeamSong(CreateAigcAudioTaskOperator):
        def __init__(self, *, mood: str = "calm", **kwargs: Any) -> None:
            super().__init__(**{"model_name": "MiniMaxMusic", "prompt": f"A {mood} song"} | kwargs)

    with DAG(dag_id="dag", schedule=None, default_args={"model_version": "2.6", "mood": "sad"}):
        task: Any = TeamSong(task_id="task")
    assert (task.model_name, task.model_version, task.prompt) == ("MiniMaxMusic", "2.6", "A sad song")


def test_a_subclass_may_have_a_request_of_its_own(emulator: MpsEmulator) -> None:
    class SongWithLyrics(CreateAigcAudioTaskOperator):
        request = dataclasses.replace(CreateAigcAudioTaskOperator.request, needs_one_of=("additional_parameters",))

    run_task(SongWithLyrics(task_id="task", **MUSIC_ARGUMENTS, additional_parameters={"lyric": "la la"}))
    assert emulator.tasks[0].params["AdditionalParameters"] == '{"lyric": "la la"}'
    with pytest.raises(Exception, match="additional_parameters: CreateAigcAudioTask has nothing to generate from"):
        run_task(SongWithLyrics(task_id="task", **MUSIC_ARGUMENTS))


@pytest.mark.parametrize(
    ("of_airflow", "seen"), [(BaseOperator, AirflowArguments), (BaseSensorOperator, SensorArguments)]
)
def test_type_checkers_see_every_argument_of_airflow(of_airflow: type, seen: type) -> None:
    names = set(inspect.signature(of_airflow).parameters) - {"self", "kwargs", "args"}
    assert names <= set(seen.__annotations__)
