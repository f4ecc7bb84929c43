"""Advice: what is known of the service's models is said before money is spent, and what came is looked at."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mps.api.models import AUDIO, IMAGE, MODELS, RULES, VIDEO, Mark, advice, differences
from airflow_provider_mps.api.requests import AUDIO_REQUEST, IMAGE_REQUEST, VIDEO_REQUEST, RequestShape
from airflow_provider_mps.api.tasks import AIGC_IMAGE, AIGC_VIDEO

SHAPES = {AUDIO: AUDIO_REQUEST, VIDEO: VIDEO_REQUEST, IMAGE: IMAGE_REQUEST}
PICTURES = [f"https://pictures.example/{number}.png" for number in range(21)]
GOOD_MUSIC = {"model_name": "MiniMaxMusic", "model_version": "2.6", "scene_type": "music", "prompt": "rain"}
GL_PRO = GOOD_MUSIC | {"model_name": "GL", "model_version": "3.0-pro"}
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
        (AUDIO, {"model_name": "Kling", "scene_type": "sfx", "video_infos": ["https://host.example/a.mp4"]}),
        (AUDIO, TME),
        (VIDEO, {"model_name": "Vidu", "model_version": "q2", "prompt": "rain", "duration": 5}),
        (VIDEO, {"model_name": "Hailuo", "model_version": "2.3", "prompt": "rain", "duration": 6}),
        (VIDEO, {"model_name": "Hailuo", "model_version": "2.3", "prompt": "rain"}),
        (VIDEO, {"model_name": "Kling", "scene_type": "motion_control", "prompt": "rain"}),
        (IMAGE, {"model_name": "Qwen", "prompt": "rain", "output_image_count": 4, "image_infos": PICTURES[:9]}),
        (IMAGE, {"model_name": "Hunyuan", "model_version": "3.5-preview", "image_infos": PICTURES[:5]}),
    ],
)
def test_of_what_is_known_to_work_nothing_is_said(action: str, arguments: dict[str, Any]) -> None:
    assert advised(action, arguments) == []


@pytest.mark.parametrize(
    ("action", "arguments", "said"),
    [
        (AUDIO, GOOD_MUSIC | {"model_name": "Suno"}, "takes ModelName GL or .* alone; MPS refuses"),
        (AUDIO, GOOD_MUSIC | {"scene_type": None}, "takes SceneType tts or music or sfx alone; MPS refuses"),
        (AUDIO, GOOD_MUSIC | {"scene_type": "sfx"}, "^MiniMaxMusic takes SceneType music alone; MPS refuses"),
        (AUDIO, {"model_name": "Kling", "scene_type": "tts", "prompt": "rain"}, "^Kling takes SceneType sfx alone"),
        (AUDIO, GOOD_MUSIC | {"model_version": None}, "^MiniMaxMusic needs ModelVersion; MPS refuses"),
        (AUDIO, TME | {"model_version": "1.0"}, "^Tme takes no ModelVersion; MPS refuses"),
        (AUDIO, TME | {"extra_parameters": None}, "^Tme needs ExtraParameters.ResourceId and AudioInfos"),
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
            "^Hailuo 02/2.3 takes Duration 6 or 10 alone; MPS makes something else without saying so: about 5.9 s",
        ),
        (
            VIDEO,
            HAILUO | {"model_version": "H3", "extra_parameters": {"Resolution": "1080P"}},
            "^Hailuo H3 takes ExtraParameters.Resolution 4K alone; .*: 2560x1440",
        ),
        (VIDEO, HAILUO | {"model_version": "2.3-fast"}, "needs ImageUrl"),
        (
            VIDEO,
            {"model_name": "Kling", "model_version": "2.1", "prompt": "rain", "duration": 6},
            "Duration 5 or 10 alone",
        ),
        (
            VIDEO,
            {"model_name": "Vidu", "model_version": "q2", "prompt": "rain", "duration": 11},
            "Duration 1 to 10 alone",
        ),
        (VIDEO, {"model_name": "Vidu", "scene_type": "land2port", "prompt": "rain"}, "land2port with Mingmou alone"),
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
            "^Hunyuan 3.0 takes 3 reference pictures .* FAIL",
        ),
        (IMAGE, {"model_name": "GEM", "prompt": "rain", "output_image_count": 4}, "without saying so: 1 picture"),
        (IMAGE, {"model_name": "MJ", "prompt": "rain", "output_image_count": 1}, "without saying so: 4 pictures"),
    ],
)
def test_what_is_known_to_go_wrong_is_said_with_the_facts_source_and_month(
    action: str, arguments: dict[str, Any], said: str
) -> None:
    [sentence] = advised(action, arguments)
    assert re.search(said, sentence)
    assert re.search(r" \((doc|seen), 2026-08\)\. It is sent as it is\.$", sentence)


def test_each_rule_has_a_source_and_a_month() -> None:
    for rule in RULES:
        assert isinstance(rule.mark, Mark)
        assert re.fullmatch(r"20\d\d-\d\d", rule.since)
        assert not rule.model or rule.model in MODELS[rule.action]


@pytest.mark.parametrize("action", MODELS)
def test_the_emulator_which_was_written_apart_knows_the_same_models(action: str) -> None:
    from airflow_provider_mps.emulator import rules

    assert set(rules.MODELS[action]) == set(MODELS[action])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([*MODELS[VIDEO], "3.0", "q2"]),
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
