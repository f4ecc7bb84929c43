"""Each recipe is a DAG file: it runs as it is, and does what its page says."""

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.emulator import MpsEmulator

PAGES = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
RECIPES = {
    re.findall(r'dag_id="(\w+)"', code)[0]: code
    for page in ("recipes.md", "sensors.md", "lineage.md", "first-run.md", "hook.md")
    for code in BLOCK.findall((PAGES / page).read_text())
    if "dag_id=" in code
}
MADE = {
    "keep_all_together": (2, 2),
    "keep_one_by_one": (2, 2),
    "three_at_once": (5, 0),
    "only_if_missing": (1, 1),
    "house_music": (2, 0),
    "with_and_without_words": (2, 0),
    "for_two_clients": (2, 0),
    "transcode_in_cos": (2, 0),
    "clear_what_is_free": (1, 1),
    "cost_report": (3, 0),
    "make_song": (1, 1),
}
"""How many creates a recipe sends, and how many files it keeps; one create and no file where nothing is said."""


class Ran:
    """A recipe that has run with ``dag.test()``."""

    def __init__(self, run: Any, emulator: MpsEmulator, folder: Path) -> None:
        self.run = run
        self.files = sorted(path for path in folder.rglob("*") if path.is_file())
        self.creates = [request for request in emulator.requests if not request.action.startswith(("Describe", "file"))]

    def params(self, prompt: str) -> dict[str, Any]:
        """The request with this prompt."""
        [found] = [create.params for create in self.creates if create.params.get("Prompt") == prompt]
        return found

    def xcom(self, task_id: str) -> Any:
        return self.run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


@pytest.fixture
def run(airflow_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    dags, kept = tmp_path / "dags", tmp_path / "kept"
    dags.mkdir()
    bundle = {
        "name": tmp_path.name,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(dags)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))

    def run_recipe(name: str, **conf: Any) -> Ran:
        path = dags / f"{name}.py"
        path.write_text(RECIPES[name])
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if "folder" in module.dag.params:
            conf["folder"] = kept.as_uri()
        with MpsEmulator(wait_seconds=0, run_seconds=0, requests_per_second=None) as emulator:
            own = emulator.connection
            emulator.accept_credential("tv-id", "tv-key", account="television")
            for conn_id, keys in {
                "default": {},
                "radio": {},
                "television": {"login": "tv-id", "password": "tv-key"},
            }.items():
                monkeypatch.setenv(f"AIRFLOW_CONN_TENCENT_MPS_{conn_id.upper()}", json.dumps(own | keys))
            ended = module.dag.test(run_conf=conf)
            assert ended.state == "success"
            return Ran(ended, emulator, kept)

    return run_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_it_runs_and_makes_what_it_says(run: Callable[..., Ran], name: str) -> None:
    ran = run(name)
    assert (len(ran.creates), len(ran.files)) == MADE.get(name, (1, 0))


def test_the_form_s_lists_are_lists_and_its_nulls_are_not_sent(run: Callable[..., Ran]) -> None:
    pictures = ["https://files.example/a.png", "https://files.example/b.png"]
    plain = run("film_by_form").params("A lighthouse at dusk")
    assert "Duration" not in plain
    assert "ImageInfos" not in plain
    filled = run("film_by_form", prompt="2.10", seconds=5, references=pictures).params("2.10")
    assert filled["Duration"] == 5
    assert [info["ImageUrl"] for info in filled["ImageInfos"]] == pictures


def test_the_branch_makes_nothing_where_a_song_is_there(run: Callable[..., Ran]) -> None:
    first = run("only_if_missing")
    assert (len(first.creates), len(first.files)) == (1, 1)
    again = run("only_if_missing")
    assert (len(again.creates), again.xcom("publish")) == (0, [first.files[0].as_uri()])


def test_a_team_s_defaults_hold_where_the_dag_says_nothing_else(run: Callable[..., Ran]) -> None:
    ran = run("house_music")
    assert {create.params["ModelVersion"] for create in ran.creates} == {"2.6"}
    assert ran.params("A brass band")["OutputAudioFormat"] == "wav"


def test_the_report_counts_what_came(run: Callable[..., Ran]) -> None:
    report = run("cost_report").xcom("report")
    assert report["aigc_audio MiniMaxMusic"]["files"] == 2
    assert report["aigc_audio MiniMaxMusic"]["seconds"] > 0
    assert report["aigc_image Hunyuan"] == {"files": 1, "seconds": 0}
