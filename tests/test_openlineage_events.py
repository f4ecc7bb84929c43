"""The real OpenLineage provider, with its file transport: what it writes of a DAG run, and what aliases became."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.emulator import MpsEmulator

pytestmark = [
    pytest.mark.skipif(find_spec("openlineage") is None, reason="the openlineage provider is not installed"),
    pytest.mark.xdist_group("openlineage"),
]

DAG_FILE = """
import json, os
import pendulum
from airflow.providers.common.compat.sdk import DAG, Asset, task
from airflow.sdk import AssetAlias
from airflow_provider_mps.operators.mps import CreateAigcAudioTaskOperator, CreateAigcImageTaskOperator
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator

MADE, KEPT = AssetAlias("made"), AssetAlias("kept")
FOLDER = os.environ["KEPT_FOLDER"]
STORE = {"CosBucketName": "films-1250000000", "CosBucketRegion": "ap-singapore", "CosBucketPath": "songs"}
WAIT = {"wait_for_completion": True, "poll_interval": 0.1, "retries": 0}

with DAG("lineage", schedule=None, start_date=pendulum.datetime(2026, 1, 1)) as dag:
    music = {"model_name": "MiniMaxMusic", "model_version": "2.6", "scene_type": "music", "prompt": "rain"}
    stored = CreateAigcAudioTaskOperator(task_id="stored", **music, **WAIT, store_cos_param=STORE, outlets=[MADE])
    song = CreateAigcAudioTaskOperator(task_id="song", **music, **WAIT, outlets=[MADE])
    keep = MpsToObjectStorageOperator(
        task_id="keep", urls=song.output["audio_urls"], destination=FOLDER, outlets=[KEPT]
    )
    picture = CreateAigcImageTaskOperator(task_id="picture", model_name="Qwen", prompt="rain", **WAIT)

    @task(outlets=[Asset(uri=FOLDER + "/list.txt")])
    def of_airflow():
        pass

    @task(inlets=[MADE, KEPT], trigger_rule="all_done")
    def read(*, inlet_events, ti):
        found = {
            alias.name: [[event.asset.uri, event.extra] for event in inlet_events[alias]] for alias in (MADE, KEPT)
        }
        found["urls"] = ti.xcom_pull(task_ids="song", key="audio_urls", map_indexes=-1)
        with open(os.environ["FOUND"], "w") as file:
            json.dump(found, file)

    [stored, keep, picture, of_airflow()] >> read()
"""
RUN = """
import importlib.util, sys
from airflow.utils.db import initdb

initdb()
spec = importlib.util.spec_from_file_location("lineage", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.dag.test()
"""


class Ran:
    """A run of the DAG, as OpenLineage's events and Airflow's assets tell it."""

    def __init__(self, folder: Path) -> None:
        self.kept = folder / "kept"
        self.text = (folder / "events.json").read_text()
        self.events = [json.loads(line) for line in self.text.splitlines()]
        self.found = json.loads((folder / "found.json").read_text())

    def end(self, task_id: str, kind: str = "COMPLETE") -> Any:
        """The event that tells a task's end."""
        [found] = [
            event
            for event in self.events
            if event["eventType"] == kind and event["job"]["name"] == f"lineage.{task_id}"
        ]
        return found

    def outputs(self, task_id: str) -> list[tuple[str, str]]:
        return [(each["namespace"], each["name"]) for each in self.end(task_id)["outputs"]]

    def usage(self, task_id: str, kind: str = "COMPLETE") -> dict[str, Any]:
        facet = self.end(task_id, kind)["run"]["facets"]["mps_usage"]
        return {name: value for name, value in facet.items() if not name.startswith("_")}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("openlineage")
    dags = folder / "dags"
    dags.mkdir()
    (dags / "lineage.py").write_text(DAG_FILE)
    bundle = {
        "name": "lineage",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(dags)},
    }
    with MpsEmulator(wait_seconds=0, run_seconds=0, requests_per_second=None) as emulator:
        emulator.fault("fail", "CreateAigcImageTask", message="refused")
        env = os.environ | {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(folder / "events.json"), "append": True}
            ),
            "AIRFLOW_CONN_TENCENT_MPS_DEFAULT": json.dumps(emulator.connection),
            "KEPT_FOLDER": (folder / "kept").as_uri(),
            "FOUND": str(folder / "found.json"),
        }
        command = [sys.executable, "-c", RUN, str(dags / "lineage.py")]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
        assert (folder / "found.json").exists(), done.stdout[-4000:] + done.stderr[-4000:]
    return Ran(folder)


def test_the_run_of_a_create_tells_what_it_made(ran: Ran) -> None:
    made = ran.usage("song")
    assert (made["kind"], made["state"], made["model"], made["version"]) == (
        "aigc_audio",
        "DONE",
        "MiniMaxMusic",
        "2.6",
    )
    assert made["files"] == 1
    assert made["seconds"] > 0


def test_the_run_of_a_create_that_failed_tells_it_too(ran: Ran) -> None:
    made = ran.usage("picture", "FAIL")
    assert (made["state"], made["files"], made["billed"]) == ("FAIL", 0, False)


def test_a_local_file_is_named_as_airflow_names_its_own(ran: Ran) -> None:
    [kept] = ran.kept.iterdir()
    assert ran.outputs("keep") == [("file", str(kept))]
    assert ran.outputs("of_airflow") == [("file", str(ran.kept / "list.txt"))]


def test_a_file_in_cos_is_an_output(ran: Ran) -> None:
    [(namespace, name)] = ran.outputs("stored")
    assert namespace == "cos://films-1250000000"
    assert name.startswith("songs/")


def test_the_aliases_have_an_asset_for_each_file_and_none_for_a_signed_url(ran: Ran) -> None:
    [[uri, extra]] = ran.found["made"]
    assert uri.startswith("cos://films-1250000000/songs/")
    assert extra["duration"] > 0
    [[uri, extra]] = ran.found["kept"]
    [kept] = ran.kept.iterdir()
    assert (uri, extra["length"]) == (kept.as_uri(), kept.stat().st_size)


def test_neither_events_nor_assets_hold_the_query_of_a_result_s_url(ran: Ran) -> None:
    [query] = [url.partition("?")[2] for url in ran.found["urls"]]
    assert len(query) > 10
    assert query not in ran.text
    assert query not in json.dumps([ran.found["made"], ran.found["kept"]])
