"""Airflow for the tests: a home of their own, and a database made when a test first asks for one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

# Set before anything imports Airflow, which reads its settings then. What the developer has set is not the tests'.
for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[name]
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-provider-mps-tests-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
# On Airflow 3, dag.test() only runs a DAG that it finds in the DAGs folder.
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(__file__).parents[1] / "dags_examples")

# Their fixtures.
pytest_plugins = [f"tests.doubles.{name}" for name in ("cos", "logs", "emulators", "recorded_stats", "servers")]


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in this hook, too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs Airflow's database runs file by file: it takes seconds to make, and so do the DAGs that run there."""
    for item in items:
        if "airflow_db" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def pytest_unconfigure() -> None:
    """Remove all that Airflow wrote, also where no test ran."""
    shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)


@pytest.fixture(autouse=True)
def short_memory_for_secrets() -> Iterator[None]:
    """Each test begins with none."""
    yield
    from tests.doubles.logs import forget_secrets

    forget_secrets()


@pytest.fixture(scope="session", autouse=True)
def database_of_airflow_2(request: pytest.FixtureRequest) -> None:
    """There a sensor in mode reschedule reads it itself."""
    if version("apache-airflow").startswith("2."):
        request.getfixturevalue("airflow_db")


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """An empty metadata database, for tests that run a DAG with ``dag.test()``."""
    from airflow.utils.db import initdb

    initdb()
