"""The examples of the family run to their ends: what they send, what they leave, and what their pages link to."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airflow.models.asset import AssetActive
from airflow.models.xcom import XComModel
from airflow.providers.common.compat.sdk import DAG
from airflow.utils.session import create_session
from sqlalchemy import delete

from airflow_provider_mps.emulator import EmulatedTask, MpsEmulator, RecordedRequest
from tests.doubles.movies import track_kinds
from tests.doubles.sdk_models import misfits
from tests.examples.test_examples import EXAMPLES, load


@dataclass
class Example:
    """An example whose main DAG has run, with Airflow's ``dag.test()``."""

    module: ModuleType
    run: Any
    requests: list[RecordedRequest]
    tasks: list[EmulatedTask]

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        """What a task has pushed."""
        return xcom(self.run, task_id, key)


def xcom(run: Any, task_id: str, key: str = "return_value") -> Any:
    with create_session() as session:
        told = XComModel.get_many(run_id=run.run_id, key=key, task_ids=task_id, dag_ids=run.dag_id)
        [found] = session.execute(told).scalars()
        return XComModel.deserialize_value(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples leave their files."""
    return tmp_path_factory.mktemp("soundtracks")


@pytest.fixture(scope="module")
def example(airflow_db: None, folder: Path) -> Iterator[Callable[[str], Example]]:
    """Run an example, once."""

    @cache
    def run_example(name: str) -> Example:
        module = load(name)
        [dag] = [value for value in vars(module).values() if isinstance(value, DAG) and value.dag_id == name]
        emulator.reset()
        run = dag.test()
        assert run.state == "success"
        return Example(module, run, emulator.requests, emulator.tasks)

    with (
        MpsEmulator(wait_seconds=0.1, run_seconds=0.1, requests_per_second=None) as emulator,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AIRFLOW_CONN_TENCENT_MPS_DEFAULT", json.dumps(emulator.connection))
        patch.setenv("SOUNDTRACKS_FOLDER", folder.as_uri())
        # Other tests may have run the same examples just now, with another folder: Airflow is to see the new one at
        # once, and an asset's name has one URI at a time.
        patch.setenv("AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL", "0")
        with create_session() as session:
            session.execute(delete(AssetActive))
        yield run_example


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_it_sends_fits_the_models(name: str, example: Callable[[str], Example]) -> None:
    calls = [request for request in example(name).requests if request.action != "file"]
    assert {call.action for call in calls} >= {task.action for task in example(name).tasks} != set()
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
            assert ran.xcom(task_id, f"_link_{name}Link") == ran.xcom(task_id, key)[0]
        for task_id in ("make_video", "make_music", "lay_music_under_video"):
            link = ran.xcom(task_id, "_link_StoredInCosLink")
            assert link.startswith("https://console.tencentcloud.com/cos/bucket?bucket=films-1250000000")

    def test_the_result_is_the_task_s_own_object(self, ran: Example) -> None:
        result = ran.xcom("lay_music_under_video", "result")
        assert result["TaskId"] == ran.xcom("lay_music_under_video")
        assert result["Output"]["MetaData"]["Duration"] == ran.module.SECONDS


def test_the_dag_after_the_nightly_shorts_sees_each_with_its_length(
    example: Callable[[str], Example], folder: Path
) -> None:
    ran = example("nightly_shorts")
    shorts = sorted(path for path in (folder / "shorts").rglob("*") if path.is_file())
    assert len(shorts) == 2
    for short in shorts:
        assert list(track_kinds(short.read_bytes())) == ["vide"]
    published = ran.module.publish.test()
    assert published.state == "success"
    lines = sorted(xcom(published, "list_files"))
    assert lines == [f"{short.as_uri()}: {short.stat().st_size:,} bytes" for short in shorts]
