"""Files are what their names say, and are described as they are; what cannot be made is refused by name."""

import io

import mutagen.mp4
import PIL.Image
import pytest

from airflow_provider_mps.api.files.cos import CosObject, signed_url
from airflow_provider_mps.api.wire.credentials import Keys
from tests.doubles.sdk_models import fields

STORAGE = {"Type": "COS", "CosOutputStorage": {"Bucket": "films-1250000000", "Region": "ap-singapore"}}
INPUT = {"Type": "URL", "UrlInputInfo": {"Url": "https://example.com/in.mp4"}}


def job(kind, **wish):
    """A ProcessMedia with one task."""
    task = {kind: [{"Definition": 10, **wish}]}
    return {"InputInfo": INPUT, "OutputStorage": STORAGE, "MediaProcessTask": task}


def process(mps, kind, **wish):
    """The only output of such a ProcessMedia."""
    task_id = mps.call("ProcessMedia", job(kind, **wish))["TaskId"]
    [result] = mps.call("DescribeTaskDetail", {"TaskId": task_id})["WorkflowTask"]["MediaProcessResultSet"]
    [own] = (value for name, value in result.items() if name != "Type" and value)
    return own["Output"]


def edit(mps, path, **target):
    """The output of an EditMedia that plays one film."""
    item = {"Type": "Video", "Video": {"SourceMedia": {"FileId": "a"}}}
    params = {
        "FileInfos": [{"Id": "a", "InputInfo": INPUT}],
        "OutputStorage": STORAGE,
        "OutputObjectPath": path,
        "ComposeConfig": {"TargetInfo": target, "Tracks": [{"Type": "Video", "Items": [item]}]},
    }
    task_id = mps.call("EditMedia", params)["TaskId"]
    return mps.call("DescribeTaskDetail", {"TaskId": task_id})["EditMediaTask"]["Output"]


def fetched(mps, path):
    file = CosObject("films-1250000000", path.lstrip("/"), "ap-singapore")
    url = signed_url(file, Keys("emulator-id", "emulator-key", None), mps.emulator.url)
    return mps.client.get(url, timeout=None).raise_for_status()


@pytest.mark.parametrize(
    ("kind", "path", "made"),
    [
        ("SampleSnapshotTaskSet", "/shot_{number}.jpg", "JPEG"),
        ("SnapshotByTimeOffsetTaskSet", "/shot_{number}.jpeg", "JPEG"),
        ("ImageSpriteTaskSet", "/sprite_{number}.{format}", "PNG"),
        ("AnimatedGraphicTaskSet", "/moving.gif", "GIF"),
    ],
)
def test_a_picture_is_of_the_format_that_its_name_says(mps, kind, path, made):
    output = process(mps, kind, OutputObjectPath=path)
    [at] = output.get("ImagePathSet") or [each["Path"] for each in output.get("PicInfoSet", [])] or [output["Path"]]
    answer = fetched(mps, at)
    picture = PIL.Image.open(io.BytesIO(answer.content))
    assert (picture.format, picture.size) == (made, (320, 180))
    assert answer.headers["content-type"] == f"image/{made.lower()}"
    assert getattr(picture, "n_frames", 1) == (8 if made == "GIF" else 1)


@pytest.mark.parametrize("suffix", ["mp3", "wav"])
def test_a_sound_has_a_length_and_no_size(mps, suffix):
    output = process(mps, "TranscodeTaskSet", OutputObjectPath=f"/sound.{suffix}")
    assert (output["Container"], output["Duration"], output["Width"], output["Height"]) == (suffix, 4.0, 0, 0)
    content = fetched(mps, output["Path"]).content
    assert content.startswith(b"RIFF" if suffix == "wav" else (b"\xff\xfb", b"ID3"))


@pytest.mark.parametrize("removed", [{}, {"RemoveVideo": 1}, {"RemoveAudio": 1}], ids=str)
def test_a_film_can_be_opened_and_has_what_was_not_removed(mps, removed):
    transcoded = process(mps, "TranscodeTaskSet", OutputObjectPath="/film.mp4", OverrideParameter=removed)
    edited = edit(mps, "/edited", **removed)
    for path, measures in ((transcoded["Path"], transcoded), (edited["Path"], edited["MetaData"])):
        content = fetched(mps, path).content
        boxes = content[content.index(b"moov") :]
        assert (b"avc1" in boxes, b"sowt" in boxes) == ("RemoveVideo" not in removed, "RemoveAudio" not in removed)
        assert (measures["Duration"], measures["Width"]) == (4.0, 0 if "RemoveVideo" in removed else 320)
        if b"sowt" in boxes:
            film = mutagen.mp4.MP4(io.BytesIO(content))
            assert film.info
            assert film.info.length == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("path", "put"),
    [("/clips/{format}/film.{format}", "/clips/mp4/film.mp4"), ("/clips/film", "/clips/film.mp4"), ("/clips/", "")],
)
def test_where_an_edited_film_is_put(mps, path, put):
    at = edit(mps, path)["Path"]
    assert at == put or (not put and at.startswith("/clips/") and at.endswith(".mp4"))
    fetched(mps, at)


@pytest.mark.parametrize(
    ("kind", "path", "makes"),
    [
        ("TranscodeTaskSet", "/film.mov", "mp4, mp3, wav"),
        ("TranscodeTaskSet", "/film.jpg", "mp4, mp3, wav"),
        ("SampleSnapshotTaskSet", "/shot.webp", "png, jpg, jpeg"),
        ("AnimatedGraphicTaskSet", "/moving.webp", "gif"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(mps, kind, path, makes):
    error = mps.call("ProcessMedia", job(kind, OutputObjectPath=path))["Error"]
    assert (error["Code"], makes in error["Message"]) == ("UnsupportedOperation", True)
    assert mps.emulator.tasks == []


def test_the_length_of_a_film_is_read_before_anything_is_made_of_it(mps):
    film = {"ModelName": "Hailuo", "ModelVersion": "2.3", "Prompt": "rain", "Duration": 10}
    task_id = mps.call("CreateAigcVideoTask", film)["TaskId"]
    [url] = mps.call("DescribeAigcVideoTask", {"TaskId": task_id})["VideoUrls"]
    info = {"Type": "URL", "UrlInputInfo": {"Url": url}}
    told = mps.call("DescribeMediaMetaData", {"InputInfo": info})["MetaData"]
    assert (told["Duration"], told["VideoDuration"], told["Width"], told["Height"]) == (10, 10, 320, 180)
    assert told.keys() == fields("MediaMetaData").keys()
    [video] = told["VideoStreamSet"]
    assert video.keys() <= fields("MediaVideoStreamItem").keys()
    assert told["AudioStreamSet"] == [], "films of the models are silent"
    info = {"Type": "URL", "UrlInputInfo": {"Url": "https://media.example.com/song.mp3"}}
    told = mps.call("DescribeMediaMetaData", {"InputInfo": info})["MetaData"]
    [audio] = told["AudioStreamSet"]
    assert audio.keys() <= fields("MediaAudioStreamItem").keys()
    assert (told["VideoStreamSet"], told["AudioDuration"]) == ([], 4)
    bare = {"Type": "URL", "UrlInputInfo": {"Url": "https://films-1250000000.cos.ap-singapore.myqcloud.com/a.mp4"}}
    assert mps.code("DescribeMediaMetaData", {"InputInfo": bare}) == "InvalidParameter.InvalidUrl"
    assert mps.code("DescribeMediaMetaData", {}) == "MissingParameter"
    assert mps.code("DescribeMediaMetaData", {"InputInfo": {"Type": "URL"}}) == "MissingParameter"
