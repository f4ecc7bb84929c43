"""All files that a media task made are named: in each place where the SDK's models can hold one."""

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_mps.api.tasks import MEDIA, TaskState
from tests.doubles.sdk_models import fields

STORAGE = {"Type": "COS", "CosOutputStorage": {"Bucket": "films-1250000000", "Region": "ap-singapore"}}
WITHOUT_STORAGE = {("AiRecognitionTaskTransTextResultOutput", "SubtitlePath")}
"""Named neither beside a storage nor below one: nobody can tell where it is."""


def places(model: str, *way: str) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """Each field for a file in an output model, at any depth: the way to it, its model, and whether it is a list."""
    for name, (is_list, kind) in fields(model).items():
        if kind == "str" and name.endswith(("Path", "Paths", "PathSet")):
            yield (*way, name), model, is_list
        elif kind not in ("str", "int", "float", "bool") and name not in ("Input", "InputInfo") and len(way) < 9:
            yield from places(kind, *way, name)


def answer(own: str, way: tuple[str, ...], is_list: bool) -> tuple[dict[str, Any], bool]:
    """An answer with one file at the end of a way, the storage where its models have one; and whether any has."""
    response: dict[str, Any] = {}
    model, holder, stored = own, response, False
    for step in way[:-1]:
        several, model = fields(model)[step]
        inner: dict[str, Any] = {}
        holder[step] = [inner] if several else inner
        holder = inner
        for storage in ("OutputStorage", "Storage"):
            if storage in fields(model):
                holder[storage] = STORAGE
                stored = True
    holder[way[-1]] = ["/out/file.x"] if is_list else "/out/file.x"
    return {"TaskType": own, "Status": "FINISH", own: response | {"Status": "FINISH", "ErrCode": 0}}, stored


PLACES = [(own, *place) for own in ("WorkflowTask", "EditMediaTask", "ScheduleTask") for place in places(own)]


def test_the_models_have_places_for_files() -> None:
    models = {model for _, _, model, _ in PLACES}
    assert models >= {"AIDubbingTaskOutput", "AiAnalysisTaskReelOutput", "MediaImageSpriteItem", "EditMediaTaskOutput"}


@pytest.mark.parametrize(
    ("own", "way", "model", "is_list"), PLACES, ids=[f"{own}.{'.'.join(way)}" for own, way, *_ in PLACES]
)
def test_a_file_is_named_wherever_the_models_can_hold_one(
    own: str, way: tuple[str, ...], model: str, is_list: bool
) -> None:
    response, stored = answer(own, way, is_list)
    status = MEDIA.status("the-task", response)
    assert status.state is TaskState.DONE
    assert stored is ((model, way[-1]) not in WITHOUT_STORAGE)
    assert status.urls == (("cos://films-1250000000/out/file.x",) if stored else ())


def test_the_nearest_storage_counts_and_what_is_said_of_a_part_is_said_of_its_first_file() -> None:
    other = {"Type": "COS", "CosOutputStorage": {"Bucket": "clips-1250000000", "Region": "ap-tokyo"}}
    item = {"HighlightPath": "/a.mp4", "CovImgPath": "/a.jpg", "Duration": 7.5}
    reel = {"OutputStorage": STORAGE, "HighlightSet": [item, {**item, "OutputStorage": other}]}
    own = {"ErrCode": 0, "AiAnalysisResultSet": [{"HighlightTask": {"Status": "SUCCESS", "Output": reel}}]}
    status = MEDIA.status("the-task", {"TaskType": "WorkflowTask", "Status": "FINISH", "WorkflowTask": own})
    assert [(file.uri, file.region) for file in status.in_cos] == [
        ("cos://films-1250000000/a.mp4", "ap-singapore"),
        ("cos://films-1250000000/a.jpg", "ap-singapore"),
        ("cos://clips-1250000000/a.mp4", "ap-tokyo"),
        ("cos://clips-1250000000/a.jpg", "ap-tokyo"),
    ]
    assert status.durations == (7.5, 7.5)


@pytest.mark.parametrize("path", ["", "/", "https://elsewhere.example/a.mp4", "/a\nb.mp4", 7, None, {"Path": 7}])
def test_what_is_no_path_names_no_file(path: Any) -> None:
    own = {"ErrCode": 0, "Output": {"OutputStorage": STORAGE, "VideoPath": path, "VideoPaths": [path]}}
    status = MEDIA.status("the-task", {"TaskType": "WorkflowTask", "Status": "FINISH", "WorkflowTask": own})
    assert status.urls == ()
