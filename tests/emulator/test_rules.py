"""What the service was seen to refuse, to let fail and to replace; and what the reference itself allows."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mps.api.request.advice import known
from airflow_provider_mps.emulator import FaultKind, MpsEmulator
from airflow_provider_mps.emulator.service.facts import Fact, Mark
from airflow_provider_mps.emulator.service.rules import RULES, breaks
from scripts.service import page, sections
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
    (AUDIO, without(MUSIC, "ModelName"), "InvalidParameter", "Not support model name."),
    (AUDIO, without(MUSIC, "ModelVersion"), "InvalidParameterValue", "Not support this ModelVersion"),
    (AUDIO, without(GL, "ModelVersion"), "InvalidParameterValue", "Not support this ModelVersion"),
    (AUDIO, KLING_SOUND | {"ModelVersion": "1.0"}, "InvalidParameterValue", "Not support this ModelVersion"),
    (AUDIO, TME | {"ModelVersion": "1.0"}, "InvalidParameterValue", "Not support this ModelVersion"),
    (AUDIO, without(TME, "ExtraParameters"), "InvalidParameterValue", "SongId is required for TME model"),
    (AUDIO, MUSIC | additional(lyric="la", is_instrumental=True), "InvalidParameterValue", "exclude each other"),
    (AUDIO, MUSIC | additional(lyrics=["la"], is_instrumental=True), "InvalidParameterValue", "exclude each other"),
    (IMAGE, PICTURE | {"ModelName": "Wan", "ModelVersion": "2.2"}, "InvalidParameter", "Not support model name."),
    (IMAGE, PICTURE | {"ModelName": "MJ", "ModelVersion": "niji"}, "InvalidParameterValue", "ModelVersion"),
    (VIDEO, FILM | {"Prompt": "x" * 2001}, "InvalidParameterValue", "2000"),
    (IMAGE, PICTURE | {"Prompt": "x" * 1001}, "InvalidParameterValue", "1000"),
    (VIDEO, FILM | pictures(21), "InvalidParameterValue", "Input ReferenceImageInfos is too much"),
    (IMAGE, PICTURE | pictures(21), "InvalidParameterValue", "Input ReferenceImageInfos is too much"),
    (VIDEO, FILM | {"SceneType": "land2port"}, "InvalidParameterValue", "SceneType"),
    (VIDEO, FILM | {"SceneType": "template_effect"}, "InvalidParameterValue", "SceneType"),
    (VIDEO, FILM | {"SceneType": "3d_scene"}, "InvalidParameterValue", "SceneType"),
    (VIDEO, FILM | {"ModelName": "Hailuo", "ModelVersion": "2.3-fast"}, "InvalidParameter", "ImageUrl"),
]
DOCUMENTED = [
    (VIDEO, FILM | {"Duration": 7}),
    (VIDEO, FILM | {"ModelName": "Vidu", "ModelVersion": "q2", "Duration": 11}),
    (VIDEO, FILM | {"ModelName": "PixVerse", "ModelVersion": "v5.6", "Duration": 6}),
    (VIDEO, FILM | {"ModelName": "H2", "Duration": 2}),
    (VIDEO, FILM | {"SceneType": "lip_sync", "ModelName": "Vidu"}),
]
"""What the lists of the reference leave out; that the create is refused, and does not fail later, is a guess."""


@pytest.mark.parametrize(("action", "params", "code", "words"), REFUSED)
def test_what_the_service_was_seen_to_refuse(mps, start, action, params, code, words):
    error = mps.call(action, params)["Error"]
    assert error["Code"] == code
    assert words in error["Message"]
    assert mps.emulator.tasks == []
    assert start(rules="reference").code(action, params) == "ok", "the reference does not forbid it"


@pytest.mark.parametrize(("action", "params"), DOCUMENTED)
def test_what_the_reference_leaves_out_is_refused_under_either_rules(mps, start, action, params):
    assert mps.code(action, params) == "InvalidParameterValue"
    assert start(rules="reference").code(action, params) == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("action", "params"),
    [
        (AUDIO, MUSIC | {"ModelName": "Bach"}),
        (VIDEO, FILM | {"ModelName": "GEM"}),
        (IMAGE, PICTURE | {"ModelName": "Seedream", "ModelVersion": "5.0-pro"} | pictures(20)),
        (IMAGE, PICTURE | {"ModelName": "MJ", "ModelVersion": "v8.2"} | pictures(3)),
        (AUDIO, GL | additional(lyrics=["la la"])),
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
        (AUDIO, without(TME, "AudioInfos"), "tme audio url is empty"),
        (
            AUDIO,
            KLING_SOUND | {"VideoInfos": [{"VideoUrl": "https://example.com/v.PNG?sign=x"}]},
            "format is invalid",
        ),
        (
            IMAGE,
            PICTURE | {"ImageInfos": [{"ImageUrl": "https://b-1.cos.ap-x.myqcloud.com/i.png"}]},
            "file error: 403",
        ),
        (
            AUDIO,
            KLING_SOUND | {"VideoInfos": [{"VideoUrl": "https://b-1.cos.ap-x.myqcloud.com/v.mp4"}]},
            "file error: 403",
        ),
        (
            VIDEO,
            FILM | {"SubjectInfos": [{"Id": "1", "ImageUrls": ["https://b-1.cos.ap-x.myqcloud.com/i.png"]}]},
            "file error: 403",
        ),
        *(
            (IMAGE, PICTURE | {"ModelName": name, "ModelVersion": version} | pictures(most + 1), "too many")
            for name, version, most in (
                ("Hunyuan", "3.0", 3),
                ("Hunyuan", "3.5-preview", 3),
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


@pytest.mark.parametrize("wrong", [{"rules": "strict"}, {"site": "moon"}, {"running_tasks": 0}, {"room_late": -1}])
def test_a_behaviour_that_makes_no_sense(wrong):
    [name] = wrong
    with pytest.raises(ValueError, match=f"{name} must be"):
        MpsEmulator(**wrong)


@pytest.mark.parametrize(
    "query", ["q-sign-algorithm=sha1&q-signature=ab", "X-Amz-Signature=ab", "sign=ab"], ids=lambda query: query[:6]
)
def test_midjourney_takes_no_signed_url_as_a_reference(mps, query):
    params = PICTURE | {"ModelName": "MJ", "ImageInfos": [{"ImageUrl": f"https://example.com/i.png?{query}"}]}
    answer = mps.call("DescribeAigcImageTask", {"TaskId": mps.call(IMAGE, params)["TaskId"]})
    assert answer["Status"] == "FAIL"


def values_of(name: str) -> list[Any]:
    """The values of a field that the facts name, and two that they do not."""
    wanted = [rule.get(check, {}) for rule in RULES for check in ("one_of", "none_of", "between")]
    return [None, "other", 7, *(value for fields in wanted for value in fields.get(name, []))]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_advice_and_emulator_read_the_facts_alike_each_by_code_of_its_own(data):
    action = data.draw(st.sampled_from([AUDIO, VIDEO, IMAGE]))
    models = [name for rule in RULES for name in (*rule.get("models", ()), *rule.get("but_not", ()))]
    versions = [version for rule in RULES for version in rule.get("versions", ())]
    url = st.sampled_from(
        ["https://example.com/i.png", "https://example.com/v.mp4?x=.png", "https://example.com/a.WEBP?sign=1"]
    )
    optional = {
        "ModelName": st.sampled_from([*models, "MinimaxMusic", "Bach"]),
        "ModelVersion": st.sampled_from([*versions, "9"]),
        "SceneType": st.sampled_from(values_of("SceneType")[1:]).map(str),
        "Prompt": st.sampled_from(["rain", "x" * 1001, "x" * 2001]),
        "Duration": st.sampled_from([number for number in values_of("Duration") if isinstance(number, int)]),
        "OutputImageCount": st.integers(1, 5),
        "ImageUrl": url,
        "ImageInfos": st.integers(0, 21).flatmap(lambda n: st.lists(st.just({}), min_size=n, max_size=n)),
        "VideoInfos": st.lists(st.fixed_dictionaries({"VideoUrl": url}), min_size=1, max_size=2),
        "AudioInfos": st.just([{"AudioUrl": "https://example.com/a.mp3"}]),
        "ExtraParameters": st.fixed_dictionaries(
            {}, optional={"Resolution": st.sampled_from(["4K", "1080P"]), "ResourceId": st.just("song-1")}
        ),
        "AdditionalParameters": st.dictionaries(
            st.sampled_from(["lyric", "lyrics", "is_instrumental", "n", "instrumental_id", "ForceInstrumental", "x"]),
            st.sampled_from([True, "la", ["la"]]),
        ).map(json.dumps),
    }
    params = data.draw(st.fixed_dictionaries({}, optional=optional))
    for info in params.get("ImageInfos", []):
        info["ImageUrl"] = "https://example.com/i.png"
    judged = [breaks(action, params, rule) for rule in RULES if rule["mark"] != "guess"]
    assert [rule.broken_by(action, params) for rule in known().rules] == judged


def test_every_fact_has_a_source_and_a_month_unless_it_is_a_guess():
    every = [fact for of_title in sections().values() for fact in of_title]
    assert {fact.mark for fact in every} == set(Mark)
    assert all(bool(fact.since) is (fact.mark is not Mark.GUESS) for fact in every)
    assert all("|" not in fact.says for fact in every), "it would end a table's cell"
    with pytest.raises(ValueError, match="a guess has no month"):
        Fact("The sea is deep.", Mark.SEEN)


def test_the_page_of_facts_is_that_of_the_tables():
    assert (DOCS / "service.md").read_text() == page(), "python -m scripts.service > docs/service.md"


def test_the_docs_of_the_emulator_open_with_what_is_not_done_and_list_the_faults():
    text = (DOCS / "emulator.md").read_text()
    assert text.split("\n## ")[1].startswith("What it does not do\n")
    for kind in FaultKind:
        assert f"| `{kind}` |" in text
