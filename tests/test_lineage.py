"""What a task read and wrote, for OpenLineage where it is there, and at no cost where it is not."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

from airflow_provider_mps.compat import Asset, AssetAlias, ObjectStoragePath
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.execution.lineage import describe_outlets, files_in, operator_lineage
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
ALIAS, SONGS = AssetAlias("songs made"), Asset("songs")
WAIT: dict[str, Any] = {"wait_for_completion": True, "poll_interval": 0.1}


def lineage(operator: Any) -> Any:
    """Run a task, then ask as Airflow's listener does: as URIs, what it read and what it wrote."""
    outcome = TaskInstance(lambda: operator).run()
    assert outcome.state is State.SUCCESS, outcome.errors
    found = operator.get_openlineage_facets_on_complete(None)
    return found and tuple(
        [f"{each.namespace}/{each.name}".replace("file//", "file:///") for each in datasets]
        for datasets in (found.inputs, found.outputs)
    )


def test_without_openlineage_there_is_nothing_to_tell(emulator: MpsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.extractors", None)
    assert lineage(CreateAigcAudioTaskOperator(task_id="create", **MUSIC_ARGUMENTS, **WAIT)) is None


@pytest.mark.skipif(find_spec("openlineage") is None, reason="the openlineage provider is not installed")
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

    def test_no_name_of_a_part_is_seen_by_airflow_itself(
        self, emulator: MpsEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It notes what ObjectStoragePath opens, for tasks that say nothing themselves."""
        written: list[str] = []
        for name in ("add_output_asset", "add_output_dataset"):  # in Airflow 3, and 2
            monkeypatch.setattr(
                type(get_hook_lineage_collector()), name, lambda _, **what: written.append(what["uri"]), raising=False
            )
        with (ObjectStoragePath(tmp_path.as_uri()) / "seen.txt").open("wb") as file:
            file.write(b"seen")
        assert [uri.rpartition("/")[2] for uri in written] == ["seen.txt"]
        written.clear()
        keep = MpsToObjectStorageOperator(
            task_id="keep", mps_task_ids=emulator.add_task(wait_seconds=0, run_seconds=0), destination=tmp_path.as_uri()
        )
        assert TaskInstance(lambda: keep).run().state is State.SUCCESS
        assert written == []

    @pytest.mark.parametrize(
        "uri", ["file:///srv/music/song 1.mp3", "file://host/srv/song.mp3", "s3://bucket/a/song.mp3"]
    )
    def test_a_file_has_the_name_that_airflow_gives_its_asset(self, uri: str) -> None:
        from airflow.providers.common.io.assets.file import convert_asset_to_openlineage

        [found] = operator_lineage([], [uri]).outputs
        if uri.startswith("file:"):
            named = convert_asset_to_openlineage(Asset(uri), None)
            assert (found.namespace, found.name) == (named.namespace, named.name)
        else:  # the spec's names, as the Amazon provider's
            assert (found.namespace, found.name) == ("s3://bucket", "a/song.mp3")

    def test_the_run_has_what_was_made(self, emulator: MpsEmulator) -> None:
        create = CreateAigcAudioTaskOperator(task_id="create", **MUSIC_ARGUMENTS, **WAIT)
        made = TaskInstance(lambda: create).run().xcoms["usage"]
        facet = create.get_openlineage_facets_on_complete(None).run_facets["mps_usage"]
        assert {name: getattr(facet, name) for name in made} == made


def test_references_are_found_at_any_depth_and_nothing_else_is_one() -> None:
    assert files_in(["a text", None, 3, {"x": ({"y": "cos://b/k"}, "http://h/p")}]) == ["cos://b/k", "http://h/p"]
    assert files_in({"Bucket": "b", "Region": "r"}) == []


def outlet_events(operator: Any) -> Any:
    """What Airflow's own accessor holds of a task's outlets once it has run."""
    from tests.doubles.airflows import OutletEventAccessors

    instance, events = TaskInstance(lambda: operator, retries=0), OutletEventAccessors()
    context = instance.context | {"outlet_events": events}
    operator.execute(context)
    return events


class TestAliases:
    """An AssetAlias among the outlets gets an asset for each file."""

    def test_of_a_create_that_stores_in_cos(self, emulator: MpsEmulator) -> None:
        create = CreateAigcAudioTaskOperator(
            task_id="create", **MUSIC_ARGUMENTS, **WAIT, store_cos_param=STORE, outlets=[ALIAS]
        )
        [event] = of_alias(outlet_events(create))
        [task] = emulator.tasks
        uri, extra = said_of(event)
        assert uri == f"cos://films-1250000000/parts/{task.task_id}-0.wav"
        assert extra["mps_task_id"] == task.task_id
        assert extra["duration"] > 0

    def test_of_a_create_whose_files_mps_keeps(self, emulator: MpsEmulator) -> None:
        create = CreateAigcAudioTaskOperator(task_id="create", **MUSIC_ARGUMENTS, **WAIT, outlets=[ALIAS, SONGS])
        events = outlet_events(create)
        assert of_alias(events) == [], "a URL of MPS's own store is signed, and no asset's"
        assert events[SONGS].extra["durations"]

    def test_of_a_transfer(self, emulator: MpsEmulator, tmp_path: Path) -> None:
        create = CreateAigcAudioTaskOperator(task_id="create", **MUSIC_ARGUMENTS, **WAIT)
        result = TaskInstance(lambda: create).run().xcoms["result"]
        keep = MpsToObjectStorageOperator(
            task_id="keep", urls=result["AudioInfos"], destination=tmp_path.as_uri(), outlets=[ALIAS]
        )
        [event] = of_alias(outlet_events(keep))
        [kept] = tmp_path.iterdir()
        uri, extra = said_of(event)
        assert uri == kept.as_uri()
        length = result["AudioInfos"][0]["Duration"]
        assert (extra["length"], extra["duration"]) == (kept.stat().st_size, length)

    def test_a_name_that_is_not_ascii_is_percent_encoded(self) -> None:
        from tests.doubles.airflows import OutletEventAccessors

        context: Any = {"outlet_events": OutletEventAccessors()}
        describe_outlets(context, [ALIAS], {}, {"cos://b/\u6b4c #1.mp3": {"duration": 3}})
        [event] = of_alias(context["outlet_events"])
        assert said_of(event)[0] == "cos://b/%E6%AD%8C%20%231.mp3"


def of_alias(events: Any) -> list[Any]:
    """The events of the assets that the alias got."""
    accessor = events[ALIAS]
    found = getattr(accessor, "asset_alias_events", None)
    return list(accessor.dataset_alias_events if found is None else found)  # before Airflow 3


def said_of(event: Any) -> tuple[str, dict[str, Any]]:
    """The URI of the asset that an alias's event makes, and its extra."""
    if isinstance(event, dict):  # before Airflow 3
        return event["dest_dataset_uri"], event["extra"]
    return event.dest_asset_key.uri, event.extra


def test_without_asset_events_there_is_nobody_to_tell() -> None:
    context: Any = {}
    describe_outlets(context, ["an asset"], {"files": []}, {})
    assert context == {}
