"""Batches larger than the triggerer, in a whole Airflow: a window keeps room for the waits of what was paid for."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone

pytestmark = pytest.mark.e2e

CAPACITY = 12
WINDOW = CAPACITY // 2
CREATE = "CreateAigcAudioTask"
DAG = """
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator

with DAG("{model}", schedule=None, default_args={{"retries": 3}}):
    CreateAigcAudioTaskOperator.partial(
        task_id="create", model_name="{model}", model_version="{version}", scene_type="music",
        wait_for_completion=True, deferrable=True, poll_interval=1,
    ).expand(prompt={prompts})
"""
VERSIONS = {"MiniMaxMusic": "2.6", "GL": "2.0"}


def prompts(model: str, creates: int) -> list[str]:
    return [f"{model} {number:02}" for number in range(creates)]


def run_batches(
    tmp_path: Path, creates: int, models: Sequence[str], cap: int
) -> tuple[MpsEmulator, dict[str, list[dict[str, Any]]]]:
    """Run a DAG for each model, which creates so many songs, all at once; the emulator, and the task instances."""
    dags = tmp_path / "dags"
    dags.mkdir()
    for model in models:
        dag = DAG.format(model=model, version=VERSIONS[model], prompts=prompts(model, creates))
        (dags / f"{model}.py").write_text(dag)
    with MpsEmulator(wait_seconds=0, run_seconds=4, running_tasks=cap) as emulator:
        env = {
            "AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(emulator.connection),
            "AIRFLOW__TRIGGERER__CAPACITY": str(CAPACITY),
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        }
        with AirflowStandalone(tmp_path / "airflow", dags, env) as airflow:
            for model in models:  # before the first run, so that all begin together
                airflow.unpause(model)
            runs = {model: airflow.trigger(model) for model in models}
            for model, run_id in runs.items():
                airflow.wait_for_run(model, run_id, seconds=900)
            instances = {model: airflow.mapped(model, run_id, "create") for model, run_id in runs.items()}
    for model in models:
        assert Counter(ti["state"] for ti in instances[model]) == {"success": creates}
    paid = Counter(task.params["Prompt"] for task in emulator.tasks)
    assert paid == {prompt: 1 for model in models for prompt in prompts(model, creates)}
    return emulator, instances


def first_requests(emulator: MpsEmulator, model: str) -> dict[str, float]:
    """When each create of a model came to MPS first, by its prompt, in the order of that."""
    first: dict[str, float] = {}
    for request in emulator.requests:
        if request.action == CREATE and request.params["ModelName"] == model:
            first.setdefault(request.params["Prompt"], request.at)
    return first


def assert_within_the_window(emulator: MpsEmulator, model: str, instances: list[dict[str, Any]]) -> None:
    """No more creates of a run are under way than the window lets in; those that Airflow retries are so at MPS only."""
    retried = sum(ti["try_number"] > 1 for ti in instances)
    ends = [task.done_at for task in emulator.tasks if task.done_at is not None and task.params["ModelName"] == model]
    begins = sorted(first_requests(emulator, model).values())
    under_way = [place + 1 - sum(end <= at for end in ends) for place, at in enumerate(begins)]
    assert max(under_way) <= WINDOW + retried


def test_no_more_creates_are_under_way_than_half_of_what_the_triggerer_holds(tmp_path: Path) -> None:
    emulator, instances = run_batches(tmp_path, creates=24, models=["MiniMaxMusic"], cap=3)
    assert_within_the_window(emulator, "MiniMaxMusic", instances["MiniMaxMusic"])
    in_order = list(first_requests(emulator, "MiniMaxMusic"))
    assert set(in_order[:WINDOW]) == set(prompts("MiniMaxMusic", 24)[:WINDOW])


def test_two_batches_on_one_account_starve_neither(tmp_path: Path) -> None:
    """Together they have more creates than the triggerer holds waits, and each model has room of its own."""
    creates = 10
    emulator, instances = run_batches(tmp_path, creates, models=["MiniMaxMusic", "GL"], cap=2)
    for model, of_model in instances.items():
        assert_within_the_window(emulator, model, of_model)
    accepts = [task.params["ModelName"] for task in sorted(emulator.tasks, key=lambda task: task.created_at)]
    # While both have creates left, neither is served alone for longer than its window lasts.
    both_left = min(max(place for place, each in enumerate(accepts) if each == model) for model in instances)
    assert max(len(list(streak)) for _, streak in groupby(accepts[: both_left + 1])) <= WINDOW
