"""Every example parses without a warning, and runs once to its end: what it sends, what it leaves, what it links to."""

import importlib.util
import json
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_mps.emulator import EmulatedTask, MpsEmulator, RecordedRequest
from scripts.demo import WAITS_FOR_A_PERSON
from tests.doubles.movies import track_kinds
from tests.doubles.sdk_models import misfits

FOLDER = Path(__file__).parents[2] / "dags_examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))
# The other one is answered in tests/e2e/test_standalone.py.
RUN_ALONE = [name for name in EXAMPLES if name != WAITS_FOR_A_PERSON]


@dataclass
class Example:
    """An example whose main DAG has run, with Airflow's ``dag.test()``.

    :ivar folder: where it has left its files.
    :ivar requests: all that the emulator got.
    """

    module: ModuleType
    folder: Path
    run: Any
    requests: list[RecordedRequest]
    tasks: list[EmulatedTask]

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        """What a task has pushed."""
        return xcom(self.run, task_id, key)


def xcom(run: Any, task_id: str, key: str = "return_value") -> Any:
    return run.get_task_instance(task_id).xcom_pull(task_ids=task_id, key=key)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def example(airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Example]]:
    """Run an example, once."""

    @cache
    def run_example(name: str) -> Example:
        folder = tmp_path_factory.mktemp(name)
        patch.setenv("SOUNDTRACKS_FOLDER", folder.as_uri())
        module = load(name)
        [dag] = [value for value in vars(module).values() if isinstance(value, DAG) and value.dag_id == name]
        emulator.reset()
        run = dag.test()
        assert run.state == "success"
        return Example(module, folder, run, emulator.requests, emulator.tasks)

    # The examples' own intervals are for tasks of minutes: here each task has ended when it is first polled.
    with (
        MpsEmulator(wait_seconds=0, run_seconds=0, requests_per_second=None) as emulator,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(emulator.connection))
        yield run_example


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


@pytest.mark.parametrize("name", RUN_ALONE)
def test_it_runs_to_files_that_open_and_each_task_is_paid_for_once(
    name: str, example: Callable[[str], Example]
) -> None:
    ran = example(name)
    creates = [request for request in ran.requests if not request.action.startswith(("Describe", "file"))]
    assert len(ran.tasks) == len(creates)
    assert ran.files
    for path in ran.files:
        opens(path)


def opens(path: Path) -> None:
    """The file is what its name says."""
    if path.suffix == ".wav":
        with wave.open(str(path)) as sound:
            assert sound.getnframes() > sound.getframerate()
    else:
        assert path.read_bytes()[4:8] == b"ftyp", path


@pytest.mark.parametrize("name", RUN_ALONE)
def test_what_it_sends_fits_the_models(name: str, example: Callable[[str], Example]) -> None:
    ran = example(name)
    calls = [request for request in ran.requests if request.action != "file"]
    assert {call.action for call in calls} >= {task.action for task in ran.tasks} != set()
    assert [misfit for call in calls for misfit in misfits(call.action, call.params)] == []


class TestSoundtrackForAVideo:
    """AI video and AI music, one laid under the other."""

    @pytest.fixture
    def ran(self, example: Callable[[str], Example]) -> Example:
        return example("soundtrack_for_a_video")

    def test_the_film_has_the_pictures_of_the_video_and_a_soundtrack(self, ran: Example) -> None:
        [uri] = ran.xcom("keep_film")
        assert sorted(track_kinds(Path(uri.removeprefix("file://")).read_bytes())) == ["soun", "vide"]

    def test_what_mps_made_goes_on_as_cos_uris_alone(self, ran: Example) -> None:
        [edit] = [task for task in ran.tasks if task.action == "EditMedia"]
        inputs = [info["InputInfo"]["CosInputInfo"] for info in edit.params["FileInfos"]]
        expected = [ran.xcom(task_id, "cos_uris")[0] for task_id in ("make_video", "make_music")]
        assert [f"cos://{each['Bucket']}/{each['Object']}" for each in inputs] == expected

    def test_airflow_keeps_the_links_of_deferred_tasks(self, ran: Example) -> None:
        for task_id, name, key in (("make_video", "Watch", "video_urls"), ("make_music", "Listen", "audio_urls")):
            link = urlsplit(ran.xcom(task_id, f"_link_{name}Link"))
            assert link.path.endswith(urlsplit(ran.xcom(task_id, key)[0]).path)
            assert link.query, "it is signed"
        for task_id in ("make_video", "make_music", "lay_music_under_video"):
            link = ran.xcom(task_id, "_link_StoredInCosLink")
            assert link.startswith("https://console.tencentcloud.com/cos/bucket?bucket=films-1250000000")

    def test_the_result_is_the_task_s_own_object(self, ran: Example) -> None:
        result = ran.xcom("lay_music_under_video", "result")
        assert result["TaskId"] == ran.xcom("lay_music_under_video")
        assert result["Output"]["MetaData"]["Duration"] == ran.module.SECONDS


def test_the_dag_after_the_nightly_shorts_sees_each_with_its_length(example: Callable[[str], Example]) -> None:
    ran = example("nightly_shorts")
    assert len(ran.files) == 2
    assert {path.relative_to(ran.folder).parts[0] for path in ran.files} == {"shorts"}
    for short in ran.files:
        assert list(track_kinds(short.read_bytes())) == ["vide"]
    published = ran.module.publish.test()
    assert published.state == "success"
    lines = sorted(xcom(published, "list_files"))
    assert lines == [f"{short.as_uri()}: {short.stat().st_size:,} bytes" for short in ran.files]
