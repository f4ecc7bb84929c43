"""What a task read and wrote, for OpenLineage where it is there, and at no cost where it is not."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.lineage import describe_outlets, operator_lineage, references
from airflow_provider_mps.operators.mps import (
    CreateAigcAudioTaskOperator,
    CreateAigcVideoTaskOperator,
    EditMediaOperator,
)
from airflow_provider_mps.transfers.mps_to_object_storage import MpsToObjectStorageOperator
from tests.doubles.seen import MUSIC_ARGUMENTS
from tests.doubles.task_instances import State, TaskInstance

BUCKET = {"Bucket": "films-1250000000", "Region": "ap-singapore"}
STORE = {"CosBucketName": BUCKET["Bucket"], "CosBucketRegion": BUCKET["Region"], "CosBucketPath": "parts"}
SIGNED = "https://user:secret@example.com/in/one.mp4;v=secret?sign=secret#secret"
BARE = "https://films-1250000000.cos.ap-singapore.myqcloud.com/in/three.mp4"
WAIT: dict[str, Any] = {"wait_for_completion": True, "poll_interval": 0.1}


@dataclass
class Dataset:
    namespace: str
    name: str


@dataclass
class OperatorLineage:
    inputs: list[Dataset]
    outputs: list[Dataset]


@pytest.fixture
def openlineage(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if apache-airflow-providers-openlineage were installed."""
    for name, member in (
        ("airflow.providers.common.compat.openlineage.facet", Dataset),
        ("airflow.providers.openlineage.extractors", OperatorLineage),
    ):
        module = ModuleType(name)
        setattr(module, member.__name__, member)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage", ModuleType("airflow.providers.openlineage"))


def lineage(operator: Any) -> Any:
    """Run a task, then ask as Airflow's listener does: as URIs, what it read and what it wrote."""
    outcome = TaskInstance(lambda: operator).run()
    assert outcome.state is State.SUCCESS, outcome.errors
    found = operator.get_openlineage_facets_on_complete(None)
    return found and tuple(
        [f"{each.namespace}/{each.name}" for each in datasets] for datasets in (found.inputs, found.outputs)
    )


def test_without_openlineage_there_is_nothing_to_tell(emulator: MpsEmulator) -> None:
    assert lineage(CreateAigcAudioTaskOperator(task_id="create", **MUSIC_ARGUMENTS, **WAIT)) is None
    assert not [name for name in sys.modules if name.startswith(("openlineage", "airflow.providers.openlineage"))]


@pytest.mark.usefixtures("openlineage")
class TestWithOpenLineage:
    """Inputs are URLs without their queries and objects in COS; outputs are what is kept."""

    def test_of_a_create(self, emulator: MpsEmulator) -> None:
        create = CreateAigcVideoTaskOperator(
            task_id="create",
            model_name="Kling",
            prompt="like https://example.com/not-a-file.mp4",
            image_url=SIGNED,
            video_infos=[SIGNED, {"VideoUrl": "https://example.com/in/two.mp4"}],
            store_cos_param=STORE,
            **WAIT,
        )
        inputs, outputs = lineage(create)
        assert inputs == [
            "https://example.com/in/one.mp4",
            "https://example.com/in/one.mp4",
            "https://example.com/in/two.mp4",
        ]
        [task] = emulator.tasks
        assert outputs == [f"cos://films-1250000000/parts/{task.task_id}-0.mp4"]

    def test_of_an_edit(self, emulator: MpsEmulator) -> None:
        edit = EditMediaOperator(
            task_id="edit",
            file_infos=[
                {"InputInfo": {"Type": "COS", "CosInputInfo": BUCKET | {"Object": "/in/one.mp4"}}},
                {"InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": "cos://films-1250000000/in/two.mp4"}}},
                {"InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": BARE}}},
            ],
            cos_region=BUCKET["Region"],
            output_cos=BUCKET,
            output_object_path="/out/film.mp4",
            deferrable=True,
            **WAIT,
        )
        assert lineage(edit) == (
            [f"cos://films-1250000000/in/{name}.mp4" for name in ("one", "two", "three")],
            ["cos://films-1250000000/out/film.mp4"],
        )

    def test_of_what_is_no_url(self) -> None:
        found = operator_lineage(["https://[", "https://h:1/p"], ["s3://my_conn@bucket/key;1"])
        assert [(each.namespace, each.name) for each in (*found.inputs, *found.outputs)] == [
            ("https://h:1", "p"),
            ("s3://bucket", "key;1"),
        ]

    def test_of_a_transfer(self, emulator: MpsEmulator, tmp_path: Path) -> None:
        create = CreateAigcAudioTaskOperator(task_id="create", **MUSIC_ARGUMENTS, **WAIT)
        [url] = TaskInstance(lambda: create).run().xcoms["audio_urls"]
        transfer = MpsToObjectStorageOperator(task_id="keep", urls=url, destination=tmp_path.as_uri())
        plain = url.partition("?")[0]
        assert lineage(transfer) == ([plain], [f"{tmp_path.as_uri()}/{plain.rpartition('/')[2]}"])

        transfer.destination = f"file://my_files@{tmp_path}"
        assert lineage(transfer)[1] == [f"{tmp_path.as_uri()}/{plain.rpartition('/')[2]}"], "a connection is not a host"


def test_references_are_found_at_any_depth_and_nothing_else_is_one() -> None:
    assert references(["a text", None, 3, {"x": ({"y": "cos://b/k"}, "http://h/p")}]) == ["cos://b/k", "http://h/p"]
    assert references({"Bucket": "b", "Region": "r"}) == []


def test_without_asset_events_there_is_nobody_to_tell() -> None:
    context: Any = {}
    describe_outlets(context, ["an asset"], {"files": []})
    assert context == {}
