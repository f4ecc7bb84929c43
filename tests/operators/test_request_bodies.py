"""What goes over the wire is what the SDK's models have, field by field: nothing unknown, nothing misspelt."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from airflow_provider_mps.api.request.fields import EDIT_MEDIA_REQUEST
from airflow_provider_mps.api.request.soundtrack import lay_soundtrack
from airflow_provider_mps.emulator import MpsEmulator
from airflow_provider_mps.operators.create import CreateTaskOperator
from airflow_provider_mps.operators.mps import EditMediaOperator, ProcessMediaOperator
from tests.doubles.sdk_models import misfits, whole_request
from tests.doubles.servers import LoopbackServer
from tests.doubles.task_instances import TaskInstance
from tests.doubles.ways import OPERATORS

URL = "https://example.com/film.mp4"
BUCKET = {"Bucket": "films-1250000000", "Region": "ap-singapore"}
COS_INPUT = BUCKET | {"Object": "in/film.mp4"}
AS_INPUT: Mapping[str, dict[str, Any]] = {
    "input_url": {"Type": "URL", "UrlInputInfo": {"Url": URL}},
    "input_cos": {"Type": "COS", "CosInputInfo": COS_INPUT},
}
# Arguments that stand for another one, which is the field as the API has it.
SHORT = {"input_url": URL, "input_cos": COS_INPUT, "output_cos": BUCKET}


@pytest.fixture
def sent(emulator: MpsEmulator, connect: Callable[..., None]) -> Callable[[CreateTaskOperator], dict[str, Any]]:
    """Run an operator against a server that takes any create; the body that came."""

    def send(operator: CreateTaskOperator) -> dict[str, Any]:
        with LoopbackServer(lambda handler: handler.answer({"Response": {"TaskId": "the-task"}})) as server:
            connect(port=server.server_port)
            assert TaskInstance(lambda: operator).run().value == "the-task"
            [request] = server.requests
            assert request.headers["x-tc-action"] == operator.request.action
            body: dict[str, Any] = json.loads(request.body)
            return body

    return send


def whole(operator: type[CreateTaskOperator]) -> dict[str, Any]:
    """A request of an operator with every field that the models have, and values that can be sent."""
    request = whole_request(operator.request.action)
    if operator.request.action == "CreateAigcAudioTask":
        request["OutputAudioFormat"] = "wav"
    for name in ("ImageUrl", "LastImageUrl"):
        if name in request:
            request[name] = URL
    for name in ("ImageInfos", "VideoInfos", "AudioInfos"):
        for info in request.get(name, []):
            info[f"{name.removesuffix('Infos')}Url"] = URL
    for name in {"AdditionalParameters", "ExtParam", "StdExtInfo"} & request.keys():
        request[name] = '{"n": 1}'
    return request


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_field_of_the_models_can_be_given_and_comes_as_it_was(
    operator: type[CreateTaskOperator], sent: Callable[..., dict[str, Any]]
) -> None:
    request = whole(operator)
    arguments = {
        argument: request[field.name] for argument, field in operator.request.fields.items() if argument not in SHORT
    }
    body = sent(operator(task_id="create", **arguments))
    assert body == request
    assert misfits(operator.request.action, body) == []


@pytest.mark.parametrize("argument", AS_INPUT)
@pytest.mark.parametrize("operator", [ProcessMediaOperator, EditMediaOperator])
def test_the_short_arguments_make_the_api_s_objects(
    operator: type[CreateTaskOperator], argument: str, sent: Callable[..., dict[str, Any]]
) -> None:
    short: dict[str, Any] = {argument: SHORT[argument], "output_cos": BUCKET}
    body = sent(operator(task_id="create", **short))
    assert misfits(operator.request.action, body) == []
    assert body["OutputStorage"] == {"Type": "COS", "CosOutputStorage": BUCKET}
    if operator is ProcessMediaOperator:
        assert body["InputInfo"] == AS_INPUT[argument]
    else:
        assert body["FileInfos"] == [{"InputInfo": AS_INPUT[argument]}]
    assert len(body.pop("SessionId")) <= 50


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"length": 5, "keep_original_sound": True},
        {"length": 60.5, "audio_length": 12, "fade": 2, "gain": 0.3},
    ],
)
@pytest.mark.parametrize("media", [URL, COS_INPUT])
def test_a_soundtrack_under_a_video_fits_the_models(media: Any, arguments: dict[str, Any]) -> None:
    body = EDIT_MEDIA_REQUEST.build(lay_soundtrack(media, media, **arguments))
    assert set(body) == {"FileInfos", "ComposeConfig"}
    assert misfits("EditMedia", body) == []


@pytest.mark.parametrize(
    ("params", "misfit"),
    [
        ({"Promt": "rain"}, "CreateAigcVideoTaskRequest.Promt"),
        ({"Duration": "5"}, "CreateAigcVideoTaskRequest.Duration: str is no int"),
        ({"ImageInfos": {"ImageUrl": URL}}, "CreateAigcVideoTaskRequest.ImageInfos: a list is needed"),
        ({"Prompt": ["rain"]}, "CreateAigcVideoTaskRequest.Prompt: no list is needed"),
        ({"ImageInfos": [{"ImageURL": URL}]}, "AigcVideoReferenceImageInfo.ImageURL"),
    ],
)
def test_a_misspelt_field_would_be_found(params: dict[str, Any], misfit: str) -> None:
    assert misfits("CreateAigcVideoTask", params) == [misfit]
