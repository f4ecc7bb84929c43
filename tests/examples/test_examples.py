"""Every example parses without a warning, and runs against the emulator to files that open."""

import importlib.util
import json
import subprocess
import sys
import wave
from pathlib import Path
from types import ModuleType

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_mps.emulator import MpsEmulator

FOLDER = Path(__file__).parents[2] / "dags_examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_parse_without_a_warning() -> None:
    code = """
import json, sys, warnings
from airflow.dag_processing.dagbag import DagBag
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    bag = DagBag(sys.argv[1], bundle_path=sys.argv[1], bundle_name='examples')
ours = [str(w.message) for w in caught if sys.argv[1] in w.filename or "airflow_provider_mps" in w.filename]
warned = {path: list(map(str, found)) for path, found in bag.captured_warnings.items() if found}
print(json.dumps([sorted(bag.dag_ids), bag.import_errors, ours, warned]))
"""
    parsed = subprocess.run([sys.executable, "-c", code, str(FOLDER)], capture_output=True, text=True, check=True)
    dag_ids, import_errors, ours, warned = json.loads(parsed.stdout.splitlines()[-1])
    assert set(EXAMPLES) <= set(dag_ids), "each file's main DAG has its name"
    assert (import_errors, ours, warned) == ({}, [], {})


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_runs_to_files_that_open(
    name: str, emulator: MpsEmulator, airflow_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDTRACKS_FOLDER", tmp_path.as_uri())
    [dag] = [value for value in vars(load(name)).values() if isinstance(value, DAG) and value.dag_id == name]
    run = dag.test()
    assert run.state == "success"
    creates = [request for request in emulator.requests if not request.action.startswith(("Describe", "file"))]
    assert len(emulator.tasks) == len(creates), "each is paid for once"

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        opens(path)


def opens(path: Path) -> None:
    """The file is what its name says."""
    if path.suffix == ".wav":
        with wave.open(str(path)) as sound:
            assert sound.getnframes() > sound.getframerate()
    else:
        assert path.read_bytes()[4:8] == b"ftyp", path
