"""Templates in the arguments, rendered by Airflow, plain and native, in plain and in mapped operators."""

from itertools import product
from types import SimpleNamespace
from typing import Any, cast

import jinja2
import pendulum
import pytest

from airflow_provider_mps.api.errors import InvalidArgumentError
from airflow_provider_mps.api.facts import facts
from airflow_provider_mps.compat import AirflowFailException
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    CreateAigcImageTaskOperator,
    CreateAigcVideoTaskOperator,
)
from tests.doubles.airflows import DAG
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import run_task
from tests.doubles.ways import ARGUMENTS, OPERATORS

CONTEXT = {
    "version": "2.10",
    "prompt": "[1, 2]",
    "number": "007",
    "host": "a.example",
    "bucket": "bucket-1",
    "lyrics": "la la",
    "nothing": None,
    "signed": ["https://a.example/1.mp4?sign=secret"],
    "clips": ["https://a.example/1.mp4", "https://a.example/2.mp4"],
}
TEXTS: dict[str, Any] = {
    "model_name": "{{ number }}",
    "model_version": "{{ version }}",
    "scene_type": "{{ true }}",
    "prompt": "{{ prompt }}",
    "output_audio_format": "{{ 'wav' }}",
    "additional_parameters": '{"lyrics": "{{ lyrics }}"}',
    "mps_operator": "{{ number }}",
}
AS_WRITTEN = {
    "ModelName": "007",
    "ModelVersion": "2.10",
    "SceneType": "True",
    "Prompt": "[1, 2]",
    "OutputAudioFormat": "wav",
    "AdditionalParameters": '{"lyrics": "la la"}',
    "Operator": "007",
}
NESTED: dict[str, Any] = {
    "video_infos": ["https://{{ host }}/1.mp4", {"VideoUrl": "https://{{ host }}/2.mp4"}],
    "store_cos_param": {"CosBucketName": "{{ bucket }}", "CosBucketRegion": "ap-singapore"},
    "extra_parameters": {"ResourceId": "r-{{ bucket }}"},
}
NESTED_AS_WRITTEN = {
    "VideoInfos": [{"VideoUrl": "https://a.example/1.mp4"}, {"VideoUrl": "https://a.example/2.mp4"}],
    "StoreCosParam": {"CosBucketName": "bucket-1", "CosBucketRegion": "ap-singapore"},
    "ExtraParameters": {"ResourceId": "r-bucket-1"},
}


@pytest.fixture
def emulator_rules() -> str:
    """The reference's: these requests are about fields, not about what a model takes."""
    return "reference"


def dag(native: bool) -> DAG:
    start = pendulum.datetime(2026, 1, 1)
    return DAG(
        "templates",
        schedule=None,
        start_date=start,
        render_template_as_native_obj=native,
        template_undefined=cast("Any", jinja2.Undefined),  # Airflow takes any kind of it
    )


def rendered(operator: Any) -> Any:
    """The operator that runs, rendered by Airflow: for a mapped one, the one that is made of it."""
    ti, run = SimpleNamespace(map_index=0), SimpleNamespace(conf=None)
    context: Any = {**CONTEXT, "dag": operator.dag, "dag_run": run, "task": operator, "ti": ti}
    operator.render_template_fields(context)
    return context["task"]


@pytest.mark.parametrize("native", [False, True])
def test_text_stays_as_it_was_written_and_nested_templates_render(emulator: MpsEmulator, native: bool) -> None:
    with dag(native):
        operator = CreateAigcAudioTaskOperator(task_id="create", **TEXTS, **NESTED)
    run_task(rendered(operator))
    assert emulator.requests[0].params == AS_WRITTEN | NESTED_AS_WRITTEN


@pytest.mark.parametrize("native", [False, True])
def test_the_same_in_a_mapped_operator(emulator: MpsEmulator, native: bool) -> None:
    with dag(native):
        operator = CreateAigcAudioTaskOperator.partial(task_id="create", **NESTED).expand_kwargs([TEXTS])
    run_task(rendered(operator))
    assert emulator.requests[0].params == AS_WRITTEN | NESTED_AS_WRITTEN


TEXT_FIELDS = [(operator, name) for operator in OPERATORS for name in sorted(operator.request.texts)]


def made_of(operator: Any, native: bool, **arguments: Any) -> Any:
    """An operator that has what it needs, and these arguments, rendered."""
    with dag(native):
        return rendered(operator(task_id="create", **ARGUMENTS.get(operator.__name__, {"prompt": "rain"}) | arguments))


def asked(operator: Any) -> Any:
    """The request that a rendered operator makes of its arguments, or why it makes none."""
    try:
        return operator.request.build({name: getattr(operator, name) for name in operator.request.fields})
    except InvalidArgumentError as error:
        return str(error)


@pytest.mark.parametrize(
    ("template", "native"),
    [("{{ nothing }}", True), *product(("{{ missing }}", "{{ '' }}", " {{ missing }} "), (True, False))],
)
@pytest.mark.parametrize(("operator", "name"), TEXT_FIELDS)
def test_a_text_that_renders_to_nothing_is_not_given(operator: Any, name: str, template: str, native: bool) -> None:
    assert asked(made_of(operator, native, **{name: template})) == asked(made_of(operator, native, **{name: None}))


@pytest.mark.parametrize(("operator", "name"), TEXT_FIELDS)
def test_a_text_that_reads_none_is_refused_by_name(emulator: MpsEmulator, operator: Any, name: str) -> None:
    with pytest.raises(AirflowFailException) as failed:
        run_task(made_of(operator, False, **{name: "{{ nothing }}"}))
    assert isinstance(failed.value, InvalidArgumentError)
    assert failed.value.field == name
    assert emulator.requests == []


def test_a_prompt_of_nothing_is_never_paid_for(emulator: MpsEmulator) -> None:
    for native in (True, False):
        with dag(native):
            operator = CreateAigcAudioTaskOperator(task_id="create", prompt="{{ nothing }}")
        with pytest.raises(AirflowFailException, match=r"\bprompt\b"):
            run_task(rendered(operator))
    assert emulator.requests == []


@pytest.mark.parametrize("field", ["video_infos", "store_cos_param"])
def test_what_a_template_made_a_text_of_is_refused_with_the_remedy(emulator: MpsEmulator, field: str) -> None:
    with dag(native=False):
        operator = CreateAigcAudioTaskOperator(task_id="create", prompt="rain", **cast("Any", {field: "{{ signed }}"}))
    with pytest.raises(
        AirflowFailException, match=rf"{field}: .*pass op\.output\[\.\.\.\] itself, or set render_t"
    ) as failed:
        run_task(rendered(operator))
    assert "secret" not in str(failed.value)
    assert emulator.requests == []


def test_native_rendering_gives_lists_and_dicts(emulator: MpsEmulator) -> None:
    with dag(native=True):
        operator = CreateAigcAudioTaskOperator(
            task_id="create",
            prompt="rain",
            video_infos="{{ clips }}",
            additional_parameters={"lyrics": "{{ lyrics }}", "n": "{{ clips | length }}"},
        )
    run_task(rendered(operator))
    assert emulator.requests[0].params == {
        "Prompt": "rain",
        "VideoInfos": NESTED_AS_WRITTEN["VideoInfos"],
        "AdditionalParameters": '{"lyrics": "la la", "n": 2}',
    }


def test_a_version_given_as_a_number_is_sent_as_text_where_that_is_no_guess(emulator: MpsEmulator) -> None:
    made = MUSIC_ARGUMENTS | {"model_version": 2.6}
    run_task(CreateAigcAudioTaskOperator(task_id="create", **made))
    assert emulator.requests[0].params["ModelVersion"] == "2.6"


@pytest.mark.parametrize(
    ("operator", "model", "version"),
    [
        (CreateAigcAudioTaskOperator, "MiniMaxMusic", 2.10),  # no such version is known: it may be 2.1 or 2.10
        (CreateAigcAudioTaskOperator, "MiniMaxMusic", 3),  # 3.0
        (CreateAigcAudioTaskOperator, "Mureka", 9.5),
        (CreateAigcAudioTaskOperator, "Newest", 2.6),
        (CreateAigcAudioTaskOperator, None, 2.6),
        (CreateAigcVideoTaskOperator, "Hailuo", 2),  # "02" in YAML
        (CreateAigcVideoTaskOperator, "Seedream", 4.5),  # a model of images
        (CreateAigcImageTaskOperator, "Qwen", 925),
        (CreateAigcImageTaskOperator, ["Qwen"], 2.6),
    ],
)
def test_another_number_is_refused_with_the_remedy(
    emulator: MpsEmulator, operator: Any, model: Any, version: float
) -> None:
    with pytest.raises(InvalidArgumentError, match=r"model_version: must be text, .* in quotes") as failed:
        run_task(operator(task_id="create", prompt="rain", model_name=model, model_version=version))
    assert isinstance(failed.value, AirflowFailException)
    assert emulator.requests == []


def test_nor_is_a_number_taken_that_is_two_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    data = facts("models")
    both = {"action": "CreateAigcAudioTask", "MiniMaxMusic": ["2.60"]}
    monkeypatch.setitem(data, "versions", [*data["versions"], both])
    assert "in quotes" in asked(
        CreateAigcAudioTaskOperator(task_id="create", **MUSIC_ARGUMENTS | {"model_version": 2.6})
    )


def test_the_connection_is_a_template_too(emulator: MpsEmulator) -> None:
    with dag(native=True):
        operator = CreateAigcAudioTaskOperator(
            task_id="create", prompt="rain", mps_conn_id="{{ 'tencent_mps' }}_default"
        )
    run_task(rendered(operator))
    assert len(emulator.tasks) == 1
