"""Waits that begin and end in the triggerer: no worker takes them up, and what they leave is all there."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from scripts.standalone import AirflowStandalone
from tests.doubles.logs import no_secret_in

pytestmark = pytest.mark.e2e

DAG_ID = "without_a_worker"
DAG_FILE = """
from airflow.providers.common.compat.sdk import DAG, task_group

from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator
from airflow_provider_mps.sensors.mps import AigcAudioTaskSensor
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

SONG = {"model_name": "MiniMaxMusic", "model_version": "2.6", "scene_type": "music"}
NO_WORKER = {"start_from_trigger": True, "end_from_trigger": True, "poke_interval": 1}
WAITS = {"wait_for_completion": True, "deferrable": True, "end_from_trigger": True, "poll_interval": 1}

with DAG("without_a_worker", schedule=None, params={"folder": "", "done": "", "never_done": ""}):
    created = CreateAigcAudioTaskOperator(task_id="created", prompt="rain", **SONG)
    waited = AigcAudioTaskSensor(task_id="waited", mps_task_id=created.output, **NO_WORKER)
    kept = MpsToObjectStorageOperator(
        task_id="kept", urls=waited.output["audio_urls"], destination="{{ params.folder }}/one"
    )
    batch = CreateAigcAudioTaskOperator.partial(task_id="batch", **SONG, **WAITS).expand(prompt=["sun", "snow"])
    batch_kept = MpsToObjectStorageOperator(
        task_id="batch_kept", urls=batch.output["audio_urls"], destination="{{ params.folder }}/two"
    )

    @task_group
    def each(prompt):
        AigcAudioTaskSensor(
            task_id="waited",
            mps_task_id=CreateAigcAudioTaskOperator(task_id="created", prompt=prompt, **SONG).output,
            **NO_WORKER,
        )

    each.expand(prompt=["wind", "hail"])
    AigcAudioTaskSensor.partial(task_id="mapped", **NO_WORKER).expand(mps_task_id=["{{ params.done }}"])
    AigcAudioTaskSensor(task_id="templated", mps_task_id="{{ params.done }}", **NO_WORKER)
    created >> AigcAudioTaskSensor(task_id="pulled", mps_task_id="{{ ti.xcom_pull(task_ids='created') }}", **NO_WORKER)
    created >> AigcAudioTaskSensor(task_id="wrong", mps_task_id="{{ params.done }}/1", retries=2, **NO_WORKER)
    created >> AigcAudioTaskSensor(task_id="late", mps_task_id="{{ params.never_done }}", timeout=5, **NO_WORKER)
"""


@dataclass
class Ran:
    """A run that has ended."""

    airflow: AirflowStandalone
    emulator: MpsEmulator
    run_id: str
    folder: Path
    tasks: dict[str, list[dict[str, Any]]]

    def on_a_worker(self, task_id: str) -> list[str]:
        """The logs that workers wrote for a task, one for each time that one took it up or more."""
        files = self.folder.glob(f"airflow/logs/dag_id={DAG_ID}/**/task_id={task_id}/**/*.log")
        return [file.name for file in files if ".trigger." not in file.name]

    def xcoms(self, task: dict[str, Any]) -> dict[str, Any]:
        """What a task instance left, by key."""
        path = f"/dags/{DAG_ID}/dagRuns/{self.run_id}/taskInstances/{task['task_id']}/xcomEntries"
        index = f"map_index={task['map_index']}"
        keys = [entry["key"] for entry in self.airflow.api("GET", f"{path}?{index}")["xcom_entries"]]
        return {key: self.airflow.api("GET", f"{path}/{key}?{index}&deserialize=true")["value"] for key in sorted(keys)}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("e2e")
    dags = folder / "dags"
    dags.mkdir()
    (dags / f"{DAG_ID}.py").write_text(DAG_FILE)
    with MpsEmulator(wait_seconds=1, run_seconds=3) as emulator:
        env = {"AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(emulator.connection)}
        params = {
            "folder": (folder / "kept").as_uri(),
            "done": emulator.add_task(),
            "never_done": emulator.add_task(run_seconds=3600),
        }
        with AirflowStandalone(folder / "airflow", dags, env) as airflow:
            run_id = airflow.trigger(DAG_ID, **params)
            airflow.wait_for_run(DAG_ID, run_id)
            tasks: dict[str, list[dict[str, Any]]] = {}
            for task in airflow.api("GET", f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances")["task_instances"]:
                tasks.setdefault(task["task_id"], []).append(task)
            yield Ran(airflow, emulator, run_id, folder, tasks)


def test_a_sensor_that_begins_and_ends_in_the_triggerer_uses_no_workers_slot(ran: Ran) -> None:
    for task_id in ("waited", "templated", "each.waited"):
        assert {task["state"] for task in ran.tasks[task_id]} == {"success"}
        assert ran.on_a_worker(task_id) == []
    assert len(ran.tasks["each.waited"]) == 2
    assert ran.on_a_worker("created") != []


def test_what_it_pushes_is_what_a_worker_would_push(ran: Ran) -> None:
    [pulled], [waited] = ran.tasks["pulled"], ran.tasks["waited"]
    assert ran.on_a_worker("pulled") != []
    by_worker = {key: value for key, value in ran.xcoms(pulled).items() if value != ""}  # links that lead nowhere
    assert ran.xcoms(waited) == by_worker
    assert {"return_value", "audio_urls", "_link_ListenLink"} <= set(ran.xcoms(waited))


def test_a_create_that_ends_in_the_triggerer_is_not_resumed_and_leaves_all_that_is_used(ran: Ran) -> None:
    assert [task["state"] for task in ran.tasks["batch"]] == ["success"] * 2
    for task in ran.tasks["batch"]:
        xcoms = ran.xcoms(task)
        assert xcoms["result"]["TaskId"] == xcoms["return_value"]
        assert xcoms["audio_urls"] == [info["Url"] for info in xcoms["result"]["AudioInfos"]]
        # Each line of a resumed task is in the log of its one try: this is what the second visit to a worker says.
        said = ran.airflow.task_log(DAG_ID, ran.run_id, "batch", map_index=task["map_index"])
        assert said.count("Worker startup parse complete") == 1
        assert f"task {xcoms['return_value']} is DONE: 1 wav" in said
    assert [task["state"] for task in ran.tasks["batch_kept"]] == ["success"]
    assert len(list((ran.folder / "kept" / "two").iterdir())) == 2


def test_a_worker_begins_where_the_triggerer_cannot(ran: Ran) -> None:
    for task_id in ("mapped", "pulled"):
        assert [task["state"] for task in ran.tasks[task_id]] == ["success"]
        assert ran.on_a_worker(task_id) != []


def test_what_goes_wrong_is_told_by_a_worker(ran: Ran) -> None:
    for task_id, words in (("wrong", "mps_task_id: must be a TaskId"), ("late", "It goes on at MPS")):
        [task] = ran.tasks[task_id]
        assert (task["state"], task["try_number"]) == ("failed", 1)
        assert words in ran.airflow.task_log(DAG_ID, ran.run_id, task_id)


def test_no_log_holds_a_url_of_a_file(ran: Ran) -> None:
    urls = ran.xcoms(ran.tasks["waited"][0])["audio_urls"]
    logs = [file.read_text(errors="replace") for file in ran.folder.glob("airflow/**/*.log")]
    assert any("AIGC audio task" in log for log in logs)
    assert not [log for log in logs for url in urls if url in log]
    assert no_secret_in(log for log in logs)
