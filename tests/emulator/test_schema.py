"""Requests that do not fit are refused with the code that MPS uses, and make no task."""

import json

import pytest

from airflow_provider_mps.emulator.service.schema import SHAPES
from tests.doubles.sdk_models import whole_request
from tests.doubles.seen import MUSIC

AUDIO, VIDEO, IMAGE = "CreateAigcAudioTask", "CreateAigcVideoTask", "CreateAigcImageTask"
COS_INPUT = {"Type": "COS", "CosInputInfo": {"Bucket": "b-1", "Region": "ap-guangzhou", "Object": "/in/a.mp4"}}
URL_INPUT = {"Type": "URL", "UrlInputInfo": {"Url": "https://example.com/a.mp4"}}
OUTPUT = {"Type": "COS", "CosOutputStorage": {"Bucket": "b-2", "Region": "ap-guangzhou"}}
TRANSCODE = {"TranscodeTaskSet": [{"Definition": 100}]}


def edit(tracks=None, **changes):
    """An EditMedia request, with a composition where there are tracks."""
    params = {"FileInfos": [{"InputInfo": URL_INPUT, "Id": "a"}], "OutputStorage": OUTPUT, "OutputObjectPath": "/o/x"}
    if tracks is not None:
        params["ComposeConfig"] = {"Tracks": tracks}
    return params | changes


def audio_track(**element):
    return [{"Type": "Audio", "Items": [{"Type": "Audio", "Audio": {"SourceMedia": {"FileId": "a"}} | element}]}]


@pytest.mark.parametrize(
    ("action", "params"),
    [
        (
            AUDIO,
            {
                "ModelName": "GL",
                "ModelVersion": "3.0-clip",
                "SceneType": "music",
                "Prompt": "x" * 2000,
                "VideoInfos": [{"VideoUrl": "https://example.com/v.mp4"}],
                "AudioInfos": [{"AudioUrl": "https://example.com/a.mp3"}],
                "OutputAudioFormat": "mp3",
                "StoreCosParam": {"CosBucketName": "b", "CosBucketRegion": "r", "CosBucketPath": "p"},
                "ExtraParameters": {"ResourceId": "r", "OutputAudioFormat": "wav"},
                "AdditionalParameters": '{"is_instrumental": true}',
                "Operator": "me",
            },
        ),
        (AUDIO, {"AudioInfos": [{"AudioUrl": "https://example.com/a.mp3"}]}),
        (
            VIDEO,
            {
                "Prompt": "sea",
                "NegativePrompt": "rain",
                "EnhancePrompt": True,
                "Duration": 5,
                "SubjectInfos": [{"Id": "1", "ImageUrls": ["https://example.com/i.png"]}],
                "ExtraParameters": {"Resolution": "720P", "LogoAdd": 1, "EnableAudio": False},
            },
        ),
        (VIDEO, {"ImageUrl": "https://example.com/i.png"}),
        (IMAGE, {"Prompt": "sea", "OutputImageCount": 2, "ExtraParameters": {"OutputFormat": "png"}}),
        ("ProcessMedia", {"InputInfo": COS_INPUT, "MediaProcessTask": TRANSCODE}),
        (
            "ProcessMedia",
            {
                "InputInfo": URL_INPUT,
                "OutputStorage": OUTPUT,
                "OutputDir": "/out/",
                "SmartSubtitlesTask": {"Definition": 1},
                "TasksPriority": -3,
            },
        ),
        ("EditMedia", edit()),
        ("EditMedia", edit(audio_track(TrackTime={"Start": "1.5s", "Duration": "2s"}))),
    ],
)
def test_requests_that_fit(start, action, params):
    mps = start(rules="reference")
    assert mps.call(action, params)["TaskId"] == mps.emulator.tasks[0].task_id


@pytest.mark.parametrize(
    ("action", "params", "code"),
    [
        (AUDIO, {}, "MissingParameter"),
        (AUDIO, {"Prompt": ""}, "MissingParameter"),
        (AUDIO, {"ModelName": "GL", "VideoInfos": []}, "MissingParameter"),
        (AUDIO, {"Prompt": "x" * 2001}, "InvalidParameterValue"),
        (AUDIO, {"Prompt": "a", "prompt": "a"}, "UnknownParameter"),
        (AUDIO, {"Prompt": "a", "Duration": 5}, "UnknownParameter"),
        (AUDIO, {"Prompt": "a", "ModelVersion": 2.0}, "InvalidParameter"),
        (AUDIO, {"Prompt": None}, "InvalidParameter"),
        (AUDIO, {"VideoInfos": {"VideoUrl": "u"}}, "InvalidParameter"),
        (AUDIO, {"VideoInfos": ["u"]}, "InvalidParameter"),
        (AUDIO, {"VideoInfos": [{"Url": "u"}]}, "UnknownParameter"),
        (AUDIO, {"Prompt": "a", "StoreCosParam": {"CosBucketName": "b"}}, "MissingParameter"),
        (AUDIO, {"Prompt": "a", "StoreCosParam": {"CosBucketRegion": "r"}}, "MissingParameter"),
        (AUDIO, {"Prompt": "a", "AdditionalParameters": {"n": 3}}, "InvalidParameter"),
        (AUDIO, {"Prompt": "a", "AdditionalParameters": "{n: 3}"}, "InvalidParameterValue"),
        (AUDIO, {"Prompt": "a", "AdditionalParameters": "[3]"}, "InvalidParameterValue"),
        (AUDIO, {"Prompt": "a", "ExtraParameters": {"Resolution": "4K"}}, "UnknownParameter"),
        (VIDEO, {"Prompt": "a", "Duration": "5"}, "InvalidParameter"),
        (VIDEO, {"Prompt": "a", "Duration": True}, "InvalidParameter"),
        (VIDEO, {"Prompt": "a", "EnhancePrompt": 1}, "InvalidParameter"),
        (VIDEO, {"AudioInfos": [{"AudioUrl": "u"}]}, "MissingParameter"),
        (IMAGE, {"NegativePrompt": "rain"}, "MissingParameter"),
        ("ProcessMedia", {"MediaProcessTask": TRANSCODE}, "MissingParameter"),
        ("ProcessMedia", {"InputInfo": COS_INPUT}, "MissingParameter"),
        ("ProcessMedia", {"InputInfo": URL_INPUT, "MediaProcessTask": TRANSCODE}, "MissingParameter"),
        ("ProcessMedia", {"InputInfo": {"Type": "COS"}, "MediaProcessTask": TRANSCODE}, "MissingParameter"),
        (
            "ProcessMedia",
            {"InputInfo": {"Type": "FTP"}, "MediaProcessTask": TRANSCODE},
            "InvalidParameterValue.InputInfo",
        ),
        (
            "ProcessMedia",
            {"InputInfo": COS_INPUT, "MediaProcessTask": TRANSCODE, "OutputDir": "out"},
            "InvalidParameterValue",
        ),
        (
            "ProcessMedia",
            {"InputInfo": COS_INPUT, "MediaProcessTask": {"TranscodeTaskSet": [{"Template": 1}]}},
            "UnknownParameter",
        ),
        ("ProcessMedia", {"InputInfo": COS_INPUT, "ScheduleId": 7}, "UnsupportedOperation"),
        (
            "ProcessMedia",
            {"InputInfo": COS_INPUT, "MediaProcessTask": TRANSCODE, "SessionId": "s" * 51},
            "InvalidParameterValue.SessionIdTooLong",
        ),
        ("EditMedia", edit(SessionContext="s" * 1001), "InvalidParameterValue.SessionContextTooLong"),
        ("EditMedia", edit(FileInfos=[]), "MissingParameter"),
        ("EditMedia", edit(FileInfos=[{"Id": "a"}]), "MissingParameter"),
        ("EditMedia", edit(OutputStorage={}), "MissingParameter"),
        ("EditMedia", edit(OutputObjectPath=""), "MissingParameter"),
        ("EditMedia", edit(audio_track(), OutputObjectPath="/o/two words"), "InvalidParameterValue"),
        ("EditMedia", edit(audio_track(SourceMedia={"FileId": "b"})), "InvalidParameterValue"),
        ("EditMedia", edit(audio_track(SourceMedia={})), "InvalidParameterValue"),
        ("EditMedia", edit([{"Items": [{"Type": "Audio"}]}]), "InvalidParameterValue"),
        ("EditMedia", edit([{"Items": [{"Audio": {}}]}]), "InvalidParameterValue"),
        ("EditMedia", edit(audio_track(TrackTime={"Start": "1.5"})), "InvalidParameterValue"),
        ("EditMedia", edit(audio_track(TrackTime={"Start": "10%"})), "InvalidParameterValue"),
        ("EditMedia", edit(audio_track(TrackTime={"Start": 1.5})), "InvalidParameter"),
        (
            "EditMedia",
            edit(audio_track(AudioOperations=[{"Type": "Volume", "Volume": 6}])),
            "InvalidParameterValue",
        ),
        ("DescribeAigcAudioTask", {}, "MissingParameter"),
        ("DescribeAigcAudioTask", {"TaskId": 1}, "InvalidParameter"),
        ("DescribeAigcAudioTask", {"TaskID": "x"}, "UnknownParameter"),
        ("ManageTask", {"TaskId": "x"}, "MissingParameter"),
        ("ManageTask", {"TaskId": "x", "OperationType": "Pause"}, "InvalidParameterValue.InvalidOperationType"),
    ],
)
def test_requests_that_do_not_fit(mps, action, params, code):
    error = mps.call(action, params)["Error"]
    assert error["Code"] == code
    assert error["Message"]
    assert mps.emulator.tasks == []


@pytest.mark.parametrize("body", ["[1]", '"text"', "null"])
def test_a_body_that_is_no_object(mps, body):
    assert mps.code(AUDIO, json.loads(body)) == "InvalidParameter"


def test_a_server_that_knows_output_audio_format_only_inside_extra_parameters(start):
    mps = start(output_audio_format_at_top_level=False)
    assert mps.code(AUDIO, MUSIC | {"OutputAudioFormat": "mp3"}) == "UnknownParameter"
    assert mps.code(AUDIO, MUSIC | {"ExtraParameters": {"OutputAudioFormat": "mp3"}}) == "ok"
    assert len(mps.emulator.tasks) == 1


@pytest.mark.parametrize("action", list(SHAPES))
def test_every_field_of_the_sdk_s_models_is_known_with_its_type(mps, action):
    request = whole_request(action)
    assert request
    # What else may be wrong with such a request does not matter here.
    assert mps.code(action, request) not in ("UnknownParameter", "InvalidParameter")
