"""What the service was seen to refuse, to let fail and to replace; and what the reference itself allows."""

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.emulator import FaultKind, MpsEmulator, facts
from airflow_provider_mps.emulator.marks import Fact, Mark
from airflow_provider_mps.emulator.page import NOT_DONE
from airflow_provider_mps.emulator.rules import MODELS, RULES
from tests.doubles.seen import FILM, MUSIC, PICTURE

AUDIO, VIDEO, IMAGE = "CreateAigcAudioTask", "CreateAigcVideoTask", "CreateAigcImageTask"
DOCS = Path(__file__).parents[2] / "docs"
COVER = {"ExtraParameters": {"ResourceId": "song-1"}, "AudioInfos": [{"AudioUrl": "https://example.com/a.mp3"}]}
TME = {"ModelName": "Tme", "SceneType": "music", "Prompt": "rain", **COVER}
KLING_SOUND = {"ModelName": "Kling", "SceneType": "sfx", "Prompt": "rain"}
GL = {"ModelName": "GL", "ModelVersion": "3.0-pro", "SceneType": "music", "Prompt": "rain"}
SAMPLE = {"ModelName": "Tme", "ModelVersion": "1.0", "Prompt": "rain", "OutputAudioFormat": "mp3"}
"""The sample request of the reference's page of CreateAigcAudioTask."""


def without(params: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name not in names}


def pictures(count: int) -> dict[str, Any]:
    return {"ImageInfos": [{"ImageUrl": "https://example.com/i.png"}] * count}


def additional(**values: Any) -> dict[str, str]:
    return {"AdditionalParameters": json.dumps(values)}


REFUSED = [
    (AUDIO, without(MUSIC, "SceneType"), "InvalidParameterValue", "Invalid SceneType. Supported: tts,music,sfx"),
    (AUDIO, MUSIC | {"SceneType": "noise"}, "InvalidParameterValue", "Invalid SceneType. Supported: tts,music,sfx"),
    (AUDIO, KLING_SOUND | {"SceneType": "tts"}, "InvalidParameterValue", "Invalid model name for TTS"),
    (AUDIO, KLING_SOUND | {"SceneType": "music"}, "InvalidParameterValue", "Not support this SceneType"),
    (AUDIO, MUSIC | {"SceneType": "sfx"}, "InvalidParameterValue", "Not support this SceneType"),
    (AUDIO, GL | {"SceneType": "sfx"}, "InvalidParameterValue", "Not support this SceneType"),
    (AUDIO, TME | {"SceneType": "sfx"}, "InvalidParameterValue", "Not support this SceneType"),
    (AUDIO, MUSIC | {"ModelName": "Bach"}, "InvalidParameter", "Not support model name."),
    (AUDIO, without(MUSIC, "ModelName"), "InvalidParameter", "Not support model name."),
    (VIDEO, FILM | {"ModelName": "GEM"}, "InvalidParameter", "Not support model name."),
    (IMAGE, PICTURE | {"ModelName": "Hailuo"}, "InvalidParameter", "Not support model name."),
    (AUDIO, without(MUSIC, "ModelVersion"), "InvalidParameter", "Not support this ModelVersion"),
    (AUDIO, without(GL, "ModelVersion"), "InvalidParameter", "Not support this ModelVersion"),
    (AUDIO, KLING_SOUND | {"ModelVersion": "1.0"}, "InvalidParameter", "Not support this ModelVersion"),
    (AUDIO, TME | {"ModelVersion": "1.0"}, "InvalidParameter", "Not support this ModelVersion"),
    (AUDIO, without(TME, "ExtraParameters"), "InvalidParameter", "ResourceId"),
    (AUDIO, without(TME, "AudioInfos"), "InvalidParameter", "AudioInfos"),
    (AUDIO, MUSIC | additional(lyric="la", is_instrumental=True), "InvalidParameterValue", "exclude each other"),
    (VIDEO, FILM | {"Prompt": "x" * 2001}, "InvalidParameterValue", "2000"),
    (IMAGE, PICTURE | {"Prompt": "x" * 1001}, "InvalidParameterValue", "1000"),
    (VIDEO, FILM | pictures(21), "InvalidParameterValue", "20"),
    (IMAGE, PICTURE | pictures(21), "InvalidParameterValue", "20"),
    (VIDEO, FILM | {"SceneType": "land2port"}, "InvalidParameterValue", "SceneType"),
    (VIDEO, FILM | {"SceneType": "template_effect"}, "InvalidParameterValue", "SceneType"),
    (VIDEO, FILM | {"SceneType": "3d_scene"}, "InvalidParameterValue", "SceneType"),
    (VIDEO, FILM | {"SceneType": "motion_control", "ModelName": "Vidu"}, "InvalidParameterValue", "SceneType"),
    (VIDEO, FILM | {"ModelName": "Hailuo", "ModelVersion": "2.3-fast"}, "InvalidParameter", "ImageUrl"),
    (VIDEO, FILM | {"Duration": 7}, "InvalidParameterValue", "Duration"),
    (VIDEO, FILM | {"ModelName": "Vidu", "ModelVersion": "q2", "Duration": 11}, "InvalidParameterValue", "Duration"),
    (VIDEO, FILM | {"ModelName": "PixVerse", "ModelVersion": "v5.6", "Duration": 6}, "InvalidParameterValue", ""),
]


@pytest.mark.parametrize(("action", "params", "code", "words"), REFUSED)
def test_what_the_service_was_seen_to_refuse(mps, start, action, params, code, words):
    error = mps.call(action, params)["Error"]
    assert error["Code"] == code
    assert words in error["Message"]
    assert mps.emulator.tasks == []
    assert start(rules="reference").code(action, params) == "ok", "the reference does not forbid it"


@pytest.mark.parametrize(
    ("action", "params"),
    [
        (AUDIO, MUSIC),
        (AUDIO, MUSIC | {"ModelName": "MinimaxMusic", "ModelVersion": "3.0"}),
        (AUDIO, MUSIC | additional(is_instrumental=True)),
        (AUDIO, GL | {"ModelVersion": "3.0-clip"}),
        (AUDIO, GL | additional(lyric="la la")),
        (AUDIO, TME),
        (AUDIO, KLING_SOUND | {"VideoInfos": [{"VideoUrl": "https://example.com/v.mp4?x=.png"}]}),
        (VIDEO, FILM),
        (VIDEO, FILM | {"Prompt": "x" * 2000, "Duration": 10, "SceneType": "motion_control"}),
        (VIDEO, FILM | {"ModelName": "Mingmou", "SceneType": "land2port"}),
        (VIDEO, FILM | {"ModelName": "Hailuo", "ModelVersion": "2.3-fast", "ImageUrl": "https://example.com/i.png"}),
        (
            VIDEO,
            {
                "ModelName": "PixVerse",
                "ModelVersion": "v6",
                "ExtraParameters": {"Quality": "360p"},
                "ImageInfos": [{"ImageUrl": "https://example.com/i.png", "Text": "boat"}],
            },
        ),
        (IMAGE, PICTURE | pictures(9) | {"Prompt": "x" * 1000}),
    ],
)
def test_what_works(mps, action, params):
    assert mps.code(action, params) == "ok"
    assert mps.emulator.tasks[0].state == "DONE"


@pytest.mark.parametrize(
    ("action", "params", "message"),
    [
        (AUDIO, GL, "no parts in response"),
        (AUDIO, GL | additional(lyric=""), "no parts in response"),
        (AUDIO, KLING_SOUND | {"VideoInfos": [{"VideoUrl": "https://example.com/v.PNG?sign=x"}]}, "invalid video"),
        (IMAGE, PICTURE | {"ImageInfos": [{"ImageUrl": "https://b-1.cos.ap-x.myqcloud.com/i.png"}]}, "HTTP 403"),
        (AUDIO, KLING_SOUND | {"VideoInfos": [{"VideoUrl": "https://b-1.cos.ap-x.myqcloud.com/v.mp4"}]}, "HTTP 403"),
        (
            VIDEO,
            FILM | {"SubjectInfos": [{"Id": "1", "ImageUrls": ["https://b-1.cos.ap-x.myqcloud.com/i.png"]}]},
            "HTTP 403",
        ),
        *(
            (IMAGE, PICTURE | {"ModelName": name, "ModelVersion": version} | pictures(most + 1), "too many")
            for name, version, most in (
                ("Hunyuan", "3.0", 3),
                ("Vidu", "q2", 7),
                ("Qwen", "", 9),
                ("Kling", "2.1", 4),
                ("Kling", "3.0", 4),
                ("Kling", "O1", 10),
            )
        ),
    ],
)
def test_what_is_accepted_and_fails(mps, start, action, params, message):
    for _ in range(2):
        task_id = mps.call(action, params)["TaskId"]
        answer = mps.call(action.replace("Create", "Describe"), {"TaskId": task_id})
        assert answer["Status"] == "FAIL", "each time anew"
        assert message in answer["Message"]
    lenient = start(rules="reference", wait_seconds=0, run_seconds=0)
    lenient.call(action, params)
    assert lenient.emulator.tasks[0].state == "DONE"


@pytest.mark.parametrize(
    ("name", "asked", "made"), [("GEM", 3, 1), ("Hunyuan", 2, 1), ("MJ", 1, 4), ("MJ", None, 4), ("Qwen", 3, 3)]
)
def test_the_number_of_pictures_may_be_another(mps, name, asked, made):
    params = PICTURE | {"ModelName": name} | ({} if asked is None else {"OutputImageCount": asked})
    answer = mps.call("DescribeAigcImageTask", {"TaskId": mps.call(IMAGE, params)["TaskId"]})
    assert (answer["Status"], len(answer["ImageUrls"])) == ("DONE", made)
    assert mps.emulator.tasks[0].params == params


@pytest.mark.parametrize(
    ("version", "asked", "resolution", "seconds", "told"),
    [
        ("02", 6, "1080P", 6, "1920*1080"),
        ("2.3", 7, "768P", 5.9, "1366*768"),
        ("H3", 3, "1080P", 5.2, "2560*1440"),
        ("H3", 15, "4K", 15, "3840*2160"),
    ],
)
def test_hailuo_makes_what_it_can(mps, version, asked, resolution, seconds, told):
    params = {"ModelName": "Hailuo", "ModelVersion": version, "Prompt": "sea", "Duration": asked}
    params["ExtraParameters"] = {"Resolution": resolution}
    answer = mps.call("DescribeAigcVideoTask", {"TaskId": mps.call(VIDEO, params)["TaskId"]})
    assert (answer["Status"], answer["Resolution"]) == ("DONE", told)
    assert mps.emulator.tasks[0].files[0].seconds == seconds


def test_the_reference_s_own_sample_is_for_the_reference_s_rules(mps, start):
    assert mps.code(AUDIO, SAMPLE) != "ok"
    lenient = start(rules="reference")
    assert lenient.code(AUDIO, SAMPLE) == "ok"
    assert lenient.emulator.tasks[0].params == SAMPLE
    assert lenient.code(AUDIO, SAMPLE | {"Prompt": "x" * 2001}) == "InvalidParameterValue", "the reference forbids it"


@pytest.mark.parametrize("region", ["ap-guangzhou", "ap-shanghai", "ap-beijing", "ap-chengdu", "ap-chongqing"])
def test_the_international_host_takes_no_call_for_the_mainland(mps, start, region):
    assert mps.code(AUDIO, MUSIC, x_tc_region=region) == "UnsupportedRegion"
    assert mps.emulator.tasks == []
    assert mps.code(AUDIO, MUSIC, x_tc_region="ap-singapore") == "ok"
    assert start(site="cn").code(AUDIO, MUSIC, x_tc_region=region) == "ok"


@pytest.mark.parametrize("wrong", [{"rules": "strict"}, {"site": "moon"}, {"running_tasks": 0}])
def test_a_behaviour_that_makes_no_sense(wrong):
    [name] = wrong
    with pytest.raises(ValueError, match=f"{name} must be"):
        MpsEmulator(**wrong)


def test_every_rule_strikes_somewhere_in_these_tests():
    """So that no rule is a typing error that never strikes."""
    asked = [(action, params) for action, params, *_ in REFUSED]
    models = {rule.model for rule in RULES if rule.code and rule.model}
    for model in models:
        rules = [rule for rule in RULES if rule.code and rule.model == model]
        assert any(rule.applies(action, params) for rule in rules for action, params in asked), model


def test_every_model_of_a_rule_is_a_known_one():
    for rule in RULES:
        assert rule.model in ("", *MODELS.get(rule.action, ()))


def test_every_fact_has_a_source_and_a_month_unless_it_is_a_guess():
    every = [fact for facts_ in facts.FACTS.values() for fact in facts_]
    assert {fact.mark for fact in every} == set(Mark)
    assert all(fact.since == ("" if fact.mark is Mark.GUESS else "2026-08") for fact in every)
    assert all("|" not in fact.says for fact in every), "it would end a table's cell"
    with pytest.raises(ValueError, match="a guess has no month"):
        Fact("The sea is deep.", Mark.SEEN)


def test_the_page_of_facts_is_that_of_the_tables():
    assert (DOCS / "service.md").read_text() == facts.page(), (
        "python -m airflow_provider_mps.emulator.facts > docs/service.md"
    )


def test_the_emulator_s_page_opens_with_what_is_not_done_and_lists_the_faults():
    text = (DOCS / "emulator.md").read_text()
    assert text.split("\n## ")[1].startswith("What it does not do\n")
    for line in NOT_DONE:
        assert f"- {line}\n" in text
    for kind in FaultKind:
        assert f"| `{kind}` |" in text
