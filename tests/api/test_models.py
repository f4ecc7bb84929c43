"""Advice: what is known of the service's models is said before money is spent, and what came is looked at."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mps.api.facts import facts
from airflow_provider_mps.api.request.advice import advice, differences, known
from airflow_provider_mps.api.request.fields import AUDIO_REQUEST, IMAGE_REQUEST, VIDEO_REQUEST
from airflow_provider_mps.api.request.shape import RequestShape
from airflow_provider_mps.api.tasks import AIGC_AUDIO, AIGC_IMAGE, AIGC_VIDEO

AUDIO, VIDEO, IMAGE = "CreateAigcAudioTask", "CreateAigcVideoTask", "CreateAigcImageTask"
SHAPES = {AUDIO: AUDIO_REQUEST, VIDEO: VIDEO_REQUEST, IMAGE: IMAGE_REQUEST}
PICTURES = [f"https://pictures.example/{number}.png" for number in range(21)]
GOOD_MUSIC = {"model_name": "MiniMaxMusic", "model_version": "2.6", "scene_type": "music", "prompt": "rain"}
GL_PRO = GOOD_MUSIC | {"model_name": "GL", "model_version": "3.0-pro"}
MJ = {"model_name": "MJ", "prompt": "rain"}
SIGNED = [
    "cos://pictures-1250000000/1.png",
    "https://pictures-1250000000.cos.ap-singapore.myqcloud.com/1.png",
    "https://pictures.example/1.png?q-sign-algorithm=sha1&q-signature=ab",
    "https://pictures.example/1.png?X-Amz-Signature=ab",
]
MUREKA = GOOD_MUSIC | {"model_name": "Mureka", "model_version": "song_9"}
HAILUO = {"model_name": "Hailuo", "prompt": "rain"}
TME = {
    "model_name": "Tme",
    "scene_type": "music",
    "audio_infos": ["https://host.example/a.mp3"],
    "extra_parameters": {"ResourceId": "song-1"},
}


def advised(action: str, arguments: dict[str, Any]) -> list[str]:
    return advice(action, SHAPES[action].build(arguments))


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        (AUDIO, GOOD_MUSIC),
        (AUDIO, GOOD_MUSIC | {"model_name": "MinimaxMusic"}),
        (AUDIO, GOOD_MUSIC | {"additional_parameters": {"is_instrumental": True}}),
        (AUDIO, GOOD_MUSIC | {"model_name": "GL", "model_version": "3.0-clip"}),
        (
            AUDIO,
            GL_PRO | {"additional_parameters": {"lyric": "la"}},
        ),
        (AUDIO, GL_PRO | {"additional_parameters": {"lyrics": ["la"]}}),
        (AUDIO, GOOD_MUSIC | {"model_name": "EL", "model_version": "compose_v2", "video_infos": ["https://h/a.mp4"]}),
        (AUDIO, GOOD_MUSIC | {"audio_infos": ["https://host.example/a.mp3"]}),
        (AUDIO, MUREKA | {"additional_parameters": {"n": 2, "lyrics": "la", "gender": "female"}}),
        (AUDIO, {"model_name": "Kling", "scene_type": "sfx", "video_infos": ["https://host.example/a.mp4"]}),
        (AUDIO, TME),
        (VIDEO, {"model_name": "Vidu", "model_version": "q2", "prompt": "rain", "duration": 5}),
        (VIDEO, {"model_name": "Hailuo", "model_version": "2.3", "prompt": "rain", "duration": 6}),
        (VIDEO, {"model_name": "Hailuo", "model_version": "2.3", "prompt": "rain"}),
        (VIDEO, {"model_name": "Kling", "scene_type": "motion_control", "prompt": "rain"}),
        (IMAGE, {"model_name": "Qwen", "prompt": "rain", "output_image_count": 4, "image_infos": PICTURES[:9]}),
        (IMAGE, {"model_name": "Hunyuan", "model_version": "3.5-preview", "image_infos": PICTURES[:3]}),
        (IMAGE, {"model_name": "OG", "model_version": "image2_low", "prompt": "rain", "output_image_count": 4}),
        (IMAGE, {"model_name": "Seedream", "model_version": "5.0-pro", "image_infos": PICTURES[:20]}),
        (IMAGE, {"model_name": "MJ", "model_version": "v8.2", "image_infos": PICTURES[:3], "output_image_count": 4}),
    ],
)
def test_of_what_is_known_to_work_nothing_is_said(action: str, arguments: dict[str, Any]) -> None:
    assert advised(action, arguments) == []


@pytest.mark.parametrize(
    ("action", "arguments", "said"),
    [
        (AUDIO, GOOD_MUSIC | {"scene_type": None}, "needs SceneType; MPS refuses"),
        (AUDIO, {"prompt": "rain", "scene_type": "noise"}, "takes SceneType tts or music or sfx only; MPS refuses"),
        (AUDIO, GOOD_MUSIC | {"scene_type": "sfx"}, "^MiniMaxMusic or GL or Tme takes SceneType music only; MPS ref"),
        (AUDIO, {"model_name": "Kling", "scene_type": "tts", "prompt": "rain"}, "^Kling takes no SceneType tts; MPS"),
        (AUDIO, GOOD_MUSIC | {"model_version": None}, "^MiniMaxMusic or GL needs ModelVersion; MPS refuses"),
        (AUDIO, GOOD_MUSIC | {"model_version": "9"}, "^MiniMaxMusic takes ModelVersion 2.0 or .* only; .* not known"),
        (AUDIO, TME | {"model_version": "1.0"}, "^Kling or Tme takes no ModelVersion; MPS refuses"),
        (AUDIO, TME | {"extra_parameters": None}, "^Tme needs ExtraParameters.ResourceId; MPS refuses"),
        (AUDIO, TME | {"audio_infos": None, "prompt": "rain"}, "^Tme needs AudioInfos; .* FAIL"),
        (
            AUDIO,
            MUREKA | {"additional_parameters": {"lyrics_text": "la"}},
            "song_9.* knows AdditionalParameters n or ly",
        ),
        (
            AUDIO,
            GOOD_MUSIC | {"additional_parameters": {"lyrics": ["la"], "is_instrumental": True}},
            "lyric or AdditionalParameters.is_instrumental, not both",
        ),
        (AUDIO, GL_PRO, "^GL 3.0-pro needs .*lyric; .* FAIL"),
        (
            AUDIO,
            GOOD_MUSIC | {"additional_parameters": '{"lyric": "la", "is_instrumental": true}'},
            "lyric or AdditionalParameters.is_instrumental, not both",
        ),
        (AUDIO, GOOD_MUSIC | {"video_infos": ["https://host.example/a.mp4"]}, "takes no VideoInfos"),
        (
            AUDIO,
            {"model_name": "Kling", "scene_type": "sfx", "video_infos": [PICTURES[0] + "?x=1"]},
            "takes videos in VideoInfos, no pictures; .* FAIL",
        ),
        (
            VIDEO,
            HAILUO | {"model_version": "02", "duration": 5},
            "^Hailuo 02/2.3/2.3-fast takes Duration 6 or 10 only; MPS makes Duration 5.9 of another .* without say",
        ),
        (
            VIDEO,
            HAILUO | {"model_version": "H3", "extra_parameters": {"Resolution": "1080P"}},
            "^Hailuo H3 takes ExtraParameters.Resolution 4K only; MPS makes ExtraParameters.Resolution 2K of another",
        ),
        (VIDEO, HAILUO | {"model_version": "2.3-fast"}, "needs ImageUrl"),
        (
            VIDEO,
            {"model_name": "Kling", "model_version": "2.1", "prompt": "rain", "duration": 6},
            "Duration 5 or 10 only",
        ),
        (
            VIDEO,
            {"model_name": "Vidu", "model_version": "q2", "prompt": "rain", "duration": 11},
            "Duration 1 to 10 only",
        ),
        (
            VIDEO,
            {"model_name": "Vidu", "scene_type": "land2port", "prompt": "rain"},
            "^Any model but Mingmou takes no SceneType land2port",
        ),
        (VIDEO, {"model_name": "Kling", "prompt": "x" * 2001}, "a Prompt of 2,000 characters at most"),
        (VIDEO, {"model_name": "Mingmou", "image_infos": PICTURES}, "takes 20 reference pictures at most; MPS refuses"),
        (
            VIDEO,
            {"model_name": "Mingmou", "image_infos": PICTURES[1:], "image_url": PICTURES[0]},
            "20 reference pictures",
        ),
        (IMAGE, {"model_name": "Qwen", "prompt": "x" * 1001}, "a Prompt of 1,000 characters at most"),
        (
            IMAGE,
            {"model_name": "Hunyuan", "image_infos": PICTURES[:4]},
            "^Hunyuan takes 3 reference pictures .* FAIL",
        ),
        (
            IMAGE,
            {"model_name": "Hunyuan", "model_version": "3.5-preview", "image_infos": PICTURES[:4]},
            "^Hunyuan takes 3 reference pictures .* FAIL",
        ),
        (IMAGE, {"model_name": "Wan", "model_version": "2.2", "prompt": "rain"}, "^Wan 2.2 does not work; MPS refuses"),
        (IMAGE, MJ | {"model_version": "niji"}, "^MJ niji does not work; MPS refuses"),
        *((IMAGE, MJ | {"image_infos": [url]}, "^MJ takes .* public links only, .* FAIL") for url in SIGNED),
        (IMAGE, {"model_name": "GEM", "prompt": "rain", "output_image_count": 4}, "OutputImageCount 1 only"),
        (IMAGE, {"model_name": "MJ", "prompt": "rain", "output_image_count": 1}, "OutputImageCount 4 only"),
    ],
)
def test_what_is_known_to_go_wrong_is_said_with_the_facts_source_and_month(
    action: str, arguments: dict[str, Any], said: str
) -> None:
    [sentence] = advised(action, arguments)
    assert re.search(said, sentence)
    assert re.search(r" \((doc|seen), 2026-\d\d\)\. It is sent as it is\.$", sentence)


@pytest.mark.parametrize("model", ["Suno", "GEM"])
def test_a_model_that_is_not_in_the_facts_is_not_known_to_us_and_never_said_to_be_refused(model: str) -> None:
    [sentence] = advised(AUDIO, GOOD_MUSIC | {"model_name": model})
    assert re.search(rf"^ModelName {model} is not known to this package, whose newest fact is of 2026-\d\d", sentence)
    assert "refuse" not in sentence


CHECKS = {
    "needs",
    "takes_no",
    "not_both",
    "one_of",
    "none_of",
    "between",
    "keys_of",
    "most_references",
    "longest",
    "no_pictures_in",
    "no_signed_references",
    "works_not",
}
TEXTS = {"otherwise", "code", "message", "guess", "mark", "since", "action"}


def test_each_fact_has_a_source_and_a_month_and_nothing_that_nobody_reads() -> None:
    data, limits = facts("models"), facts("limits")
    of_limits, of_failures = (*limits["rates"], *limits["refused_regions"]), facts("failures")["failures"]
    for entry in (*data["models"], *data["rules"], *data["versions"], *of_limits, *of_failures):
        assert entry["mark"] in ("doc", "seen", "guess")
        assert (entry["mark"] == "guess") == ("since" not in entry)
        assert re.fullmatch(r"20\d\d-\d\d", entry.get("since", "2026-11"))
    for rule in data["rules"]:
        assert len(CHECKS & rule.keys()) == 1
        assert not rule.keys() - CHECKS - TEXTS - {"models", "but_not", "versions", "instead"}
        assert ("instead" in rule) == (rule["otherwise"] == "replaced")
        assert not rule.keys() & {"code", "instead"} or {"message", "instead"} & rule.keys()


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from([*known().models[VIDEO], "3.0", "q2"]),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from(["n", "lyric", "Resolution"]), parts),
    max_leaves=5,
)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_advice_and_differences_come_to_an_end_whatever_is_asked_and_answered(
    shape: RequestShape, data: st.DataObject
) -> None:
    fields = {name: data.draw(anything) for name in ("model_name", "model_version", "output_image_count", "duration")}
    fields = {name: value for name, value in fields.items() if name in shape.fields}
    fields |= {"extra_parameters": data.draw(anything), "additional_parameters": data.draw(anything), "prompt": "rain"}
    status = AIGC_VIDEO.status(
        "one", {"Status": "DONE", "Resolution": data.draw(anything), "VideoUrls": data.draw(anything)}
    )
    differences(shape, fields, status)
    try:
        params = shape.build(fields)
    except ValueError:
        return
    before = repr(params)
    advice(shape.action, params)
    assert repr(params) == before


@pytest.mark.parametrize(
    ("asked", "came", "said"),
    [
        ("1080P", "1920x1080", []),
        ("1080p", "1088*1920", []),
        ("4K", "3840x2160", []),
        ("2K", "1440x2560", []),
        ("1080P", None, []),
        ("1080P", "sharp", []),
        ("auto", "1280x720", []),
        (None, "1280x720", []),
        ("1080P", "1280x720", ["Task one: asked for Resolution 1080P, got 1280x720"]),
        ("4K", "2560*1440", ["Task one: asked for Resolution 4K, got 2560x1440"]),
    ],
)
def test_another_resolution_than_was_asked_for_is_said(asked: str | None, came: str | None, said: list[str]) -> None:
    status = AIGC_VIDEO.status("one", {"Status": "DONE", "VideoUrls": ["https://host/a.mp4"], "Resolution": came})
    arguments = {"prompt": "rain", "extra_parameters": {"Resolution": asked} if asked else None}
    assert differences(VIDEO_REQUEST, arguments, status) == said


@pytest.mark.parametrize(
    ("asked", "came", "said"),
    [(None, 1, []), (4, 4, []), ("4", 4, []), (4, 1, ["Task one: asked for 4 images, got 1"]), ("{{ n }}", 1, [])],
)
def test_another_number_of_images_than_was_asked_for_is_said(asked: Any, came: int, said: list[str]) -> None:
    status = AIGC_IMAGE.status("one", {"Status": "DONE", "ImageUrls": PICTURES[:came]})
    assert differences(IMAGE_REQUEST, {"prompt": "rain", "output_image_count": asked}, status) == said


@pytest.mark.parametrize(
    ("arguments", "came", "said"),
    [
        ({"output_audio_format": "flac"}, "a.wav", ["Task one: asked for flac, got wav"]),
        ({"extra_parameters": {"OutputAudioFormat": "wav"}}, "a.mp3?sign=x", ["Task one: asked for wav, got mp3"]),
        ({"output_audio_format": "WAV"}, "a.wav", []),
        ({"output_audio_format": "wav"}, "song", []),  # a name that tells no format
        ({}, "a.wav", []),
    ],
)
def test_another_format_of_a_song_than_was_asked_for_is_said(
    arguments: dict[str, Any], came: str, said: list[str]
) -> None:
    answer = {
        "Status": "DONE",
        "AudioInfos": [{"Url": f"https://host/{came}"}],
        "VideoInfos": [{"Url": "https://host/a.mp4"}],
    }
    assert differences(AUDIO_REQUEST, {"prompt": "rain", **arguments}, AIGC_AUDIO.status("one", answer)) == said


@pytest.mark.parametrize(
    ("asked", "came", "said"), [("png", "a.jpg", ["Task one: asked for png, got jpg"]), ("jpeg", "a.jpg", [])]
)
def test_another_format_of_a_picture_than_was_asked_for_is_said(asked: str, came: str, said: list[str]) -> None:
    status = AIGC_IMAGE.status("one", {"Status": "DONE", "ImageUrls": [f"https://host/{came}"]})
    arguments = {"prompt": "rain", "extra_parameters": {"OutputFormat": asked}}
    assert differences(IMAGE_REQUEST, arguments, status) == said
