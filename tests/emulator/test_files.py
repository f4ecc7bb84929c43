"""A finished task's files are real, and are served as COS serves them, or as a fault would have it."""

import io
import itertools
import struct
import wave
import zlib
from array import array
from typing import Any

import httpx
import pytest

from tests.doubles.seen import FILM, MUSIC, PICTURE
from tests.emulator.test_buckets import presigned

SEEN = {"CreateAigcAudioTask": MUSIC, "CreateAigcVideoTask": FILM, "CreateAigcImageTask": PICTURE}

COS = {"CosBucketName": "songs-1", "CosBucketRegion": "ap-guangzhou", "CosBucketPath": "/daily/one/"}
OUTPUT = {"Type": "COS", "CosOutputStorage": {"Bucket": "films-1", "Region": "ap-guangzhou"}}


def result(mps, create, describe, **params):
    """The answer for a finished task."""
    return mps.call(describe, {"TaskId": mps.call(create, SEEN[create] | params)["TaskId"]})


def audio_url(mps, **params):
    return result(mps, "CreateAigcAudioTask", "DescribeAigcAudioTask", **params)["AudioInfos"][0]["Url"]


def get(mps, url, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return mps.client.get(url, headers=named, timeout=None)  # a film takes as long as the machine is busy


def samples(content):
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 44_100)
        return array("h", file.readframes(file.getnframes()))


def boxes(content):
    """The boxes of a MP4 file, or of a box's content, by name; of several of one name, a list."""
    found: dict[str, Any] = {}
    while content:
        size, name = struct.unpack(">I4s", content[:8])
        assert 8 <= size <= len(content)
        found.setdefault(name.decode(), []).append(content[8:size])
        content = content[size:]
    return found


def tracks(film):
    """The samples of each track, found by the tables that a player uses."""
    for track in boxes(boxes(film)["moov"][0])["trak"]:
        media = boxes(boxes(track)["mdia"][0])
        table = boxes(boxes(media["minf"][0])["stbl"][0])
        size, count = struct.unpack(">4xII", table["stsz"][0][:12])
        sizes = [size] * count if size else struct.unpack(f">{count}I", table["stsz"][0][12:])
        [offset] = struct.unpack(">I", table["stco"][0][8:])
        ends = [offset]
        for each in sizes:
            ends.append(ends[-1] + each)
        yield media["hdlr"][0][8:12], [film[a:b] for a, b in itertools.pairwise(ends)]


def check_png(content):
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    content, chunks = content[8:], []
    while content:
        size, kind = struct.unpack(">I4s", content[:8])
        data, [checksum] = content[8 : 8 + size], struct.unpack(">I", content[8 + size : 12 + size])
        assert zlib.crc32(kind + data) == checksum
        chunks.append((kind, data))
        content = content[12 + size :]
    (_, header), (_, pixels), (end, _) = chunks
    width, height = struct.unpack(">II", header[:8])
    assert (width, height, end) == (320, 180, b"IEND")
    assert len(zlib.decompress(pixels)) == height * (1 + 3 * width)


def test_the_audio_is_a_wav_as_long_as_it_says(mps):
    answer = result(mps, "CreateAigcAudioTask", "DescribeAigcAudioTask", OutputAudioFormat="wav")
    [info] = answer["AudioInfos"]
    answer = get(mps, info["Url"])
    assert answer.headers["content-length"] == str(len(answer.content))
    tune = samples(answer.content)
    assert len(tune) == info["Duration"] * 44_100 * 2
    assert 1_000 < max(tune) < 32_767


def test_the_same_prompt_sounds_the_same_and_another_does_not(mps):
    first, again, other = (get(mps, audio_url(mps, Prompt=prompt)).content for prompt in ("rain", "rain", "sun"))
    assert first == again != other


def test_mp3_where_it_is_asked_for(mps):
    for params in ({"OutputAudioFormat": "mp3"}, {"ExtraParameters": {"OutputAudioFormat": "mp3"}}):
        url = audio_url(mps, **params)
        assert url.partition("?")[0].endswith(".mp3")
        content = get(mps, url).content
        assert content[0] == 0xFF
        assert content[1] & 0xE0 == 0xE0, "an MPEG audio frame begins with eleven ones"


def test_images_are_png(mps):
    for url in result(mps, "CreateAigcImageTask", "DescribeAigcImageTask", OutputImageCount=2)["ImageUrls"]:
        check_png(get(mps, url).content)


def test_a_video_is_a_movie_with_as_many_pictures_as_its_length_asks(mps):
    answer = result(
        mps, "CreateAigcVideoTask", "DescribeAigcVideoTask", Duration=5, ExtraParameters={"EnableAudio": True}
    )
    film = get(mps, answer["VideoUrls"][0])
    assert film.headers["content-type"] == "video/mp4"
    (kind, frames), (other_kind, sound) = tracks(film.content)
    assert (kind, other_kind) == (b"vide", b"soun")
    assert len(frames) == 50
    for number, frame in enumerate(frames):
        [length] = struct.unpack(">I", frame[:4])
        assert length == len(frame) - 4
        assert frame[4] & 0x1F == (1 if number else 5), "a frame of changes, but for the first"
    assert len(sound) == 5 * 44_100


def test_edit_media_mixes_the_sounds_of_its_inputs(mps):
    song = audio_url(mps, StoreCosParam=COS)
    video = result(mps, "CreateAigcVideoTask", "DescribeAigcVideoTask", ModelVersion="O1", Duration=3)["VideoUrls"][0]
    key = song.partition("myqcloud.com/")[2]
    cos = {"Bucket": "songs-1", "Region": "ap-guangzhou", "Object": f"/{key}"}
    audio = {
        "SourceMedia": {"FileId": "song", "StartTime": "0.5s"},
        "TrackTime": {"Start": "1s", "Duration": "1s"},
        "AudioOperations": [{"Type": "Volume", "Volume": 0.5}],
    }
    params = {
        "FileInfos": [
            {"Id": "video", "InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": video}}},
            {"Id": "song", "InputInfo": {"Type": "COS", "CosInputInfo": cos}},
        ],
        "OutputStorage": OUTPUT,
        "OutputObjectPath": "/done/film",
        "ComposeConfig": {
            "Tracks": [
                {"Type": "Video", "Items": [{"Type": "Video", "Video": {"SourceMedia": {"FileId": "video"}}}]},
                {"Type": "Audio", "Items": [{"Type": "Audio", "Audio": audio}]},
            ]
        },
    }
    task_id = mps.call("EditMedia", params)["TaskId"]
    output = mps.call("DescribeTaskDetail", {"TaskId": task_id})["EditMediaTask"]["Output"]
    film = mps.client.get(presigned(mps, "films-1", output["Path"][1:])).content
    (_, frames), (_, sound) = tracks(film)
    [(_, silent_frames)] = tracks(get(mps, video).content)
    assert frames == silent_frames, "the picture is that of the video"
    heard = array("h", b"".join(sound))
    second = 2 * 44_100
    assert len(heard) == 3 * second
    assert not any(heard[:second])
    assert not any(heard[2 * second :])
    tune = samples(mps.client.get(presigned(mps, "songs-1", key)).content)
    assert list(heard[second : 2 * second]) == [round(value / 2) for value in tune[second // 2 : second // 2 + second]]


def test_a_long_composition_with_transitions_is_cut(mps):
    source = {"SourceMedia": {"FileId": "a"}}
    items = [
        {"Type": "Transition", "Transition": {}},
        {"Type": "Image", "Image": source | {"TrackTime": {"Duration": "20s"}}},
        {"Type": "Transition", "Transition": {"Duration": "2s"}},
        {"Type": "Video", "Video": source},
        {"Type": "Empty", "Empty": {"Duration": "9s"}},
        {"Type": "Video", "Video": source},
    ]
    url_input = {"Type": "URL", "UrlInputInfo": {"Url": "https://example.com/a.mp4"}}
    params = {
        "FileInfos": [{"Id": "a", "InputInfo": url_input}],
        "OutputStorage": OUTPUT,
        "OutputObjectPath": "/long.mp4",
        "ComposeConfig": {"Tracks": [{"Type": "Video", "Items": items}]},
    }
    mps.call("EditMedia", params)
    film = mps.client.get(presigned(mps, "films-1", "long.mp4")).content
    (_, frames), (_, sound) = tracks(film)
    assert (len(frames), len(sound)) == (300, 30 * 44_100)
    heard = array("h", b"".join(sound))
    second = 2 * 44_100
    assert not any(heard[: 18 * second])
    assert any(heard[18 * second : 22 * second])
    assert not any(heard[22 * second :])


def test_a_file_in_a_bucket_comes_as_a_bare_url_that_must_be_signed(mps):
    url = audio_url(mps, StoreCosParam=COS)
    key = f"daily/one/{mps.emulator.tasks[0].task_id}-0.wav"
    assert url == f"https://songs-1.cos.ap-guangzhou.myqcloud.com/{key}"
    assert get(mps, f"{mps.emulator.url}/songs-1/{key}").status_code == 403
    assert get(mps, presigned(mps, "songs-1", key)).status_code == 200


def test_a_url_of_a_bucket_is_an_input_where_it_is_signed(mps):
    song = audio_url(mps, StoreCosParam=COS)
    key = httpx.URL(song).path[1:]

    def copy(url):
        file = {"InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": url}}}
        params = {"FileInfos": [file], "OutputStorage": OUTPUT, "OutputObjectPath": "/copy.wav"}
        task_id = mps.call("EditMedia", params)["TaskId"]
        return mps.call("DescribeTaskDetail", {"TaskId": task_id})["EditMediaTask"]

    bare = copy(song)
    assert (bare["ErrCode"] != 0, bare["Output"], "error: 403" in bare["Message"]) == (True, None, True)
    for signed in (presigned(mps, "songs-1", key), f"{song}?X-Amz-Signature=0"):
        assert copy(signed)["ErrCode"] == 0
        content = get(mps, presigned(mps, "films-1", "copy.wav")).content
        assert content == get(mps, presigned(mps, "songs-1", key)).content


def test_a_result_in_mps_s_own_store_can_be_read_for_a_time(start):
    mps = start(wait_seconds=0, run_seconds=0, results_kept_seconds=0)
    expired = get(mps, audio_url(mps))
    assert (expired.status_code, "Request has expired" in expired.text) == (403, True)
    key = httpx.URL(audio_url(mps, StoreCosParam=COS)).path[1:]
    assert get(mps, presigned(mps, "songs-1", key)).status_code == 200, "the user's own bucket keeps what it has"


def test_only_signed_urls_of_known_files_are_served(mps):
    url = audio_url(mps)
    address, _, sign = url.partition("?sign=")
    for wrong in (address, f"{address}?sign=", f"{address}?sign={sign}x", f"{address}x?sign={sign}"):
        assert get(mps, wrong).status_code == 403
    mps.emulator.reset()
    assert get(mps, url).status_code == 403


def test_head_and_range(mps):
    url = audio_url(mps)
    whole = get(mps, url)
    head = mps.client.head(url)
    assert head.headers["content-length"] == str(len(whole.content))
    assert head.headers["accept-ranges"] == "bytes"
    assert head.content == b""
    rest = get(mps, url, Range="bytes=1000-")
    assert rest.status_code == 206
    assert rest.content == whole.content[1000:]
    assert rest.headers["content-range"] == f"bytes 1000-{len(whole.content) - 1}/{len(whole.content)}"
    assert get(mps, url, Range="bytes=10-19").content == whole.content[10:20]
    assert get(mps, url, Range="bytes=-5").content == whole.content[-5:]
    beyond = get(mps, url, Range=f"bytes={len(whole.content)}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole.content)}")
    tag = whole.headers["etag"]
    assert get(mps, url, Range="bytes=10-", If_Range=tag).status_code == 206
    assert get(mps, url, Range="bytes=10-", If_Range='"another"').content == whole.content


def test_downloads_that_go_wrong(mps):
    url = audio_url(mps)
    whole = get(mps, url).content
    mps.emulator.fault("file_cut", times=2)
    for _ in range(2):
        pieces = []
        with mps.client.stream("GET", url) as answer:
            assert answer.headers["content-length"] == str(len(whole))
            with pytest.raises(httpx.RemoteProtocolError):
                pieces.extend(answer.iter_raw())
        assert b"".join(pieces) == whole[: len(whole) // 2]
    mps.emulator.fault("file_short", "file")
    assert get(mps, url).content == whole[: len(whole) // 2]
    mps.emulator.fault("file_expired")
    assert get(mps, url).status_code == 403
    mps.emulator.fault("file_slow", seconds=0.01)
    assert get(mps, url).content == whole
    answers = [request.answer for request in mps.emulator.requests if request.action == "file"]
    assert answers == ["ok", "file_cut", "file_cut", "file_short", "file_expired", "file_slow"]
    assert mps.emulator.count("file") == 6


def test_a_fault_of_a_file_is_for_downloads_alone(mps):
    mps.emulator.fault("file_expired")
    url = audio_url(mps)
    assert mps.client.head(url).status_code == 200
    assert get(mps, url).status_code == 403
