"""The plugin as Airflow loads it in every process: where its page is, and where there is none."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import reload
from typing import Any

import pytest

from airflow_provider_mps.plugins import results
from tests.compat.versions import AIRFLOW

has_pages = pytest.mark.skipif(AIRFLOW < (3, 1, 1), reason="later ones have a place for a page")

LOADED = """
import json, sys
import airflow.plugins_manager
from airflow_provider_mps.compat import conf
before = set(sys.modules)
import airflow_provider_mps.plugins.results
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """The plugin, loaded anew with these settings of Airflow."""

    def load(**settings: str) -> Any:
        for name, value in settings.items():
            monkeypatch.setenv(f"AIRFLOW__{name}", value)
        return reload(results).MpsResultsPlugin

    yield load
    monkeypatch.undo()
    reload(results)


def test_a_worker_that_loads_it_loads_no_web_server() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=300)
    assert json.loads(done.stdout.splitlines()[-1]) == [
        "airflow_provider_mps.plugins",
        "airflow_provider_mps.plugins.results",
    ]


@has_pages
@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        ("", ""),
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://data.example.com/air/flow/", "https://data.example.com/air/flow"),
    ],
)
def test_the_page_is_where_airflow_is(plugin: Callable[..., Any], base_url: str, root: str) -> None:
    """The ids stand in the fragment, where a plus sign stays one."""
    of_run, in_menu = plugin(API__BASE_URL=base_url).external_views
    assert (of_run["destination"], of_run["href"]) == (
        "dag_run",
        f"{root}/mps/results#dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
    )
    assert (in_menu["destination"], in_menu["href"]) == ("nav", f"{root}/mps/results")


def test_it_can_be_switched_off(plugin: Callable[..., Any]) -> None:
    off = plugin(MPS__RESULTS_PAGE="False")
    assert (off.fastapi_apps, off.external_views) == ([], [])


@pytest.mark.skipif(AIRFLOW >= (3, 1, 1), reason="these have a place for a page")
def test_before_airflow_3_1_1_it_does_nothing(plugin: Callable[..., Any]) -> None:
    there = plugin()
    assert (there.fastapi_apps, there.external_views) == ([], [])
