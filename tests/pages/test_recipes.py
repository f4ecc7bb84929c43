"""Each recipe is a DAG file: it runs as it is, and does what its page says."""

import importlib.util
import json
from collections.abc import Callable
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

from airflow_provider_mps.compat import AirflowTaskTimeout
from airflow_provider_mps.emulator import MpsEmulator
from tests.doubles.recipes import LATE, RECIPES

MADE = {
    "keep_all_together": (2, 2),
    "keep_one_by_one": (2, 2),
    "keep_with_a_manifest": (2, 3),
    "three_at_once": (5, 0),
    "only_if_missing": (1, 1),
    "house_music": (2, 0),
    "with_and_without_words": (2, 0),
    "for_two_clients": (2, 0),
    "transcode_in_cos": (2, 0),
    "clear_what_is_free": (1, 1),
    "cost_report": (3, 0),
    "music_under_a_film": (2, 0),
    "songs_by_name": (1, 1),
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

    def run_recipe(
        name: str,
        fails: str = "",
        refused: str = "",
        in_doubt: str = "",
        one_refused: bool = False,
        prices: Any = None,
        **conf: Any,
    ) -> Ran:
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
            own["extra"] |= {"prices": prices}
            if fails:
                emulator.fault("fail", fails, times=None)
            if one_refused:
                emulator.fault("content_refused")
            if refused:
                emulator.fault("error", refused, code="InvalidParameterValue", times=None)
            if in_doubt:
                emulator.fault("cut_after", in_doubt, times=None)
            emulator.accept_credential("tv-id", "tv-key", account="television")
            for conn_id, keys in {
                "default": {},
                "radio": {},
                "television": {"login": "tv-id", "password": "tv-key"},
            }.items():
                monkeypatch.setenv(f"AIRFLOW_CONN_TENCENT_MPS_{conn_id.upper()}", json.dumps(own | keys))
            ended = module.dag.test(run_conf=conf)
            assert ended.state == ("failed" if one_refused else "success")
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


def test_music_is_laid_under_the_whole_film_whose_length_mps_reads(run: Callable[..., Ran]) -> None:
    ran = run("music_under_a_film")
    [edit] = [create.params for create in ran.creates if create.action == "EditMedia"]
    film, song = edit["ComposeConfig"]["Tracks"]
    assert film["Items"][0]["Video"]["TrackTime"]["Duration"] == "4s", "the emulator's length of a film from elsewhere"
    parts = [item["Audio"]["SourceMedia"]["EndTime"] for item in song["Items"] if item["Type"] == "Audio"]
    fades = [item for item in song["Items"] if item["Type"] == "Transition"]
    assert sum(float(part[:-1]) for part in parts) - len(fades) == 4


def test_files_have_the_name_that_was_asked_for(run: Callable[..., Ran]) -> None:
    assert [path.name for path in run("songs_by_name", title="evening").files] == ["evening.mp3"]


def test_a_notice_says_what_happened_what_it_costs_and_what_to_do(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MagicMock()
    monkeypatch.setattr(SmtpNotifier, "hook", server)
    run("tells_of_failures", one_refused=True)
    [sent] = server.__enter__.return_value.send_email_smtp.call_args_list
    assert sent.kwargs["subject"] == "tells_of_failures: song has failed"
    what, cost, advice, log = sent.kwargs["html_content"].splitlines()
    assert "ViolationContent" in what
    assert cost == "<p>The call did not run; nothing is billed, and a repeat would end the same way</p>"
    assert len(advice) > len("<p></p>")
    assert "/dags/tells_of_failures/" in log


@pytest.mark.parametrize(
    "of_it",
    [{"exception": RuntimeError("of <another> task")}, {"exception": AirflowTaskTimeout()}, {}],
    ids=["error", "timeout", "killed"],
)
def test_a_notice_of_what_is_no_error_of_this_package_is_sent(
    of_it: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a killed task the DAG processor tells, which knows of no error."""
    server = MagicMock()
    monkeypatch.setattr(SmtpNotifier, "hook", server)
    module: dict[str, Any] = {}
    exec(RECIPES["tells_of_failures"], module)
    module["BY_MAIL"](
        {"dag": module["dag"], "ti": MagicMock(task_id="other", log_url="https://airflow.example/log"), **of_it}
    )
    [sent] = server.__enter__.return_value.send_email_smtp.call_args_list
    what, cost, advice, log = sent.kwargs["html_content"].splitlines()
    assert what == f"<p>{escape(str(of_it['exception'])) if of_it else 'It was killed, or did not say why'}</p>"
    assert cost == advice == "<p></p>"
    assert "https://airflow.example/log" in log


def test_the_alert_of_a_late_run_is_the_dag_s() -> None:
    module: dict[str, Any] = {}
    exec(LATE, module)
    [alert] = module["dag"].deadline
    assert alert.interval == timedelta(hours=2)
    assert alert.callback.path.endswith("SmtpNotifier")


def test_a_team_s_defaults_hold_where_the_dag_says_nothing_else(run: Callable[..., Ran]) -> None:
    ran = run("house_music")
    assert {create.params["ModelVersion"] for create in ran.creates} == {"2.6"}
    assert ran.params("A brass band")["OutputAudioFormat"] == "wav"


def test_one_song_that_is_refused_keeps_no_other_from_being_kept(run: Callable[..., Ran]) -> None:
    assert len(run("keep_one_by_one", one_refused=True).files) == 1


@pytest.mark.parametrize("one_refused", [False, True])
def test_the_manifest_has_a_line_for_each_prompt(run: Callable[..., Ran], one_refused: bool) -> None:
    ran = run("keep_with_a_manifest", one_refused=one_refused)
    [manifest] = [path for path in ran.files if path.name == "manifest.jsonl"]
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert [line["prompt"] for line in lines] == ["A sunrise over the harbour", "The last tram home"]
    kept = [line for line in lines if line["error"] is None]
    assert len(kept) == (1 if one_refused else 2)
    assert {line["file"] for line in kept} == {path.as_uri() for path in ran.files if path != manifest}
    assert all(line["seconds"] > 0 and line["usage"]["state"] == "DONE" for line in kept)
    assert [line["error"][:7] for line in lines if line not in kept] == ["REFUSED"] * one_refused


def test_the_report_counts_what_came(run: Callable[..., Ran]) -> None:
    report = run("cost_report").xcom("report")
    assert report["aigc_audio MiniMaxMusic"]["files"] == 2
    assert report["aigc_audio MiniMaxMusic"]["seconds"] > 0
    assert report["aigc_image Hunyuan"] == {"files": 1, "seconds": 0}


def test_the_report_sums_up_estimates_where_the_connection_has_prices(run: Callable[..., Ran]) -> None:
    report = run("cost_report", prices={"currency": "EUR", "MiniMaxMusic": {"song": 0.2}}).xcom("report")
    assert report["aigc_audio MiniMaxMusic"]["EUR"] == pytest.approx(0.4)
    assert "EUR" not in report["aigc_image Hunyuan"]


@pytest.mark.parametrize("trouble", ["fails", "refused", "in_doubt"])
def test_the_report_leaves_out_what_made_nothing(run: Callable[..., Ran], trouble: str) -> None:
    report = run("cost_report", **{trouble: "CreateAigcImageTask"}).xcom("report")
    assert list(report) == ["aigc_audio MiniMaxMusic"]
