"""docs/models.md, from the facts about models in api/facts/: ``python -m scripts.models``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from airflow_provider_mps.api.facts import facts
from airflow_provider_mps.api.request.advice import sentence

_TITLES = {
    "CreateAigcAudioTask": ("Audio", "sound"),
    "CreateAigcVideoTask": ("Video", "films"),
    "CreateAigcImageTask": ("Images", "pictures"),
}
_INTRO = """\
# Models

What is known of the models of the three AIGC creates: what each is for, its versions, how long what it makes is, and
what it takes. **doc**: the API reference or Tencent's SDKs; **seen**: measured on the live service by somebody who
published it; each with the month. This project itself never met the service. All lists are open: a model or version
that is not here is sent as it is, after a line in the log. Before a create is sent, the log says what it breaks.
Prices are in no source: [yours](connection.md#what-tasks-are-likely-to-cost).

This page is made of the data in `api/facts/`: `python -m scripts.models > docs/models.md`. What the emulator keeps to
beside it: [what is known of the service](service.md).
"""
_OF_ALL = {
    "CreateAigcAudioTask": "No length can be asked for. `output_audio_format` is mp3 or wav; without it the model "
    "chooses. Lyrics go into `additional_parameters` as `lyric`, and `is_instrumental` asks for no voice "
    "([a recipe](recipes.md#with-lyrics-and-without-a-voice)).",
    "CreateAigcVideoTask": "`duration` is in seconds. What comes is MP4.",
    "CreateAigcImageTask": "`output_image_count` says how many, where the model takes that.",
}


def page() -> str:
    """docs/models.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from _INTRO.splitlines()
    for action, (title, makes) in _TITLES.items():
        yield from ("", f"## {title}: {action}", "", _OF_ALL[action], "")
        yield from ("| Model | For | Versions | Length | Known from |", "|---|---|---|---|---|")
        models = {name: entry for entry in _about("models", action) for name in entry["names"]}
        for name, entry in models.items():
            cells = (_use(action, name) or makes, _versions(action, name), _lengths(action, name), _from(entry))
            yield f"| {name} | {' | '.join(cells)} |"
        of_all = [rule for rule in _about("rules", action) if "models" not in rule]
        yield from ("", f"### Any model of {action}", "", *_rules(of_all))
        for name in models:
            if own := [rule for rule in _about("rules", action) if name in rule.get("models", ())]:
                yield from ("", f"### {name} ({title.lower()})", "", *_rules(own))
        others = [rule for rule in _about("rules", action) if not {*rule.get("models", models)} & {*models}]
        if others:
            yield from ("", f"### Others ({title.lower()})", "", *_rules(others))


def _about(table: str, action: str) -> list[dict[str, Any]]:
    return [entry for entry in facts("models")[table] if entry["action"] == action]


def _rules(rules: list[dict[str, Any]]) -> Iterator[str]:
    return (f"- {sentence(rule)} ({_from(rule)})." for rule in rules)


def _from(entry: dict[str, Any]) -> str:
    return f"{entry['mark']}, {entry['since']}" if "since" in entry else str(entry["mark"])


def _use(action: str, model: str) -> str:
    return " ".join(f"{entry[model]} ({_from(entry)})" for entry in _about("uses", action) if model in entry)


def _versions(action: str, model: str) -> str:
    found = [(entry[model], entry) for entry in _about("versions", action) if model in entry]
    found += [
        (rule["one_of"]["ModelVersion"], rule)
        for rule in _about("rules", action)
        if model in rule.get("models", ()) and "ModelVersion" in rule.get("one_of", {})
    ]
    return "; ".join(f"{', '.join(versions)} ({_from(entry)})" for versions, entry in found) or "none known"


def _lengths(action: str, model: str) -> str:
    """Those that were seen, and those that may be asked for."""
    found = [
        f"{key.removeprefix(model).strip()} {length} ({_from(entry)})".strip()
        for entry in _about("lengths", action)
        for key, length in entry.items()
        if key.partition(" ")[0] == model
    ]
    for rule in _about("rules", action):
        if model in rule.get("models", ()):
            seconds = [
                " or ".join(map(str, each["Duration"])) for each in [rule.get("one_of", {})] if "Duration" in each
            ]
            seconds += [
                "{} to {}".format(*each["Duration"]) for each in [rule.get("between", {})] if "Duration" in each
            ]
            found += [f"{'/'.join(rule.get('versions', ()))} {each} s ({_from(rule)})".strip() for each in seconds]
    return "; ".join(found)


if __name__ == "__main__":
    sys.stdout.write(page())
