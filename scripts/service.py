"""docs/service.md, from the facts in api/facts/ and those of the emulator: ``python -m scripts.service``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from airflow_provider_mps.api.facts import facts
from airflow_provider_mps.api.request.advice import sentence
from airflow_provider_mps.emulator.service import limits, mps, rules, schema, tasks, usage
from airflow_provider_mps.emulator.service.facts import Fact, Mark

_SOURCES = {
    Mark.DOC: "the API reference (international and Chinese sites), or the models and error lists of Tencent's SDKs",
    Mark.SEEN: "measured on the live service by somebody who published it; this project itself never met the service",
    Mark.GUESS: "neither: the emulator has to do something, and does this",
}


def page() -> str:
    """docs/service.md."""
    return "\n".join(_lines()) + "\n"


def sections() -> dict[str, list[Fact]]:
    """All facts, by the title of their section."""
    return {
        "Models": list(_models()),
        "What each model takes": list(_rules()),
        "Other facts about creates": list(rules.FACTS),
        "Fields": list(schema.FACTS),
        "Calls a second": list(_rates()),
        "Limits": list(limits.FACTS),
        "Regions": list(_regions()),
        "Tasks": list(tasks.FACTS),
        "Why a task ended in FAIL": list(_failures()),
        "Calls and results": list(mps.FACTS),
        "Usage": list(usage.FACTS),
    }


def _models() -> Iterator[Fact]:
    for entry in facts("models")["models"]:
        yield _fact(entry, f"{entry['action']} takes {', '.join(entry['names'])}.")


def _rules() -> Iterator[Fact]:
    for rule in facts("models")["rules"]:
        guessed = f" ({rule['guess']}: a guess)" if "guess" in rule else ""
        yield _fact(rule, f"{rule['action']}: {sentence(rule)}{guessed}.")


def _rates() -> Iterator[Fact]:
    for entry in facts("limits")["rates"]:
        yield _fact(entry, f"{entry['per_second']} of {', '.join(entry['actions'])}.")


def _regions() -> Iterator[Fact]:
    for entry in facts("limits")["refused_regions"]:
        regions = ", ".join(entry["regions"])
        yield _fact(
            entry, f"The host of the site {entry['site']} takes no X-TC-Region of {regions}: UnsupportedRegion."
        )


def _failures() -> Iterator[Fact]:
    for entry in facts("failures")["failures"]:
        yield _fact(entry, f"A message with {_quoted(entry['words'])}. {entry['advice']}.")


def _quoted(words: Iterable[str]) -> str:
    return " or ".join(f'"{word}"' for word in words)


def _fact(entry: dict[str, str], says: str) -> Fact:
    return Fact(says, Mark(entry["mark"]), entry.get("since", ""))


def _lines() -> Iterator[str]:
    yield "# What is known of the service"
    yield ""
    yield "The facts that advice and emulator keep to, each with the kind of its source and the month in which it was"
    yield 'read. Where two sources disagree, the emulator does what was seen; with `rules="reference"`, what is'
    yield "documented. Models, rates and regions are data, in `api/facts/`. This page is made of them and of the"
    yield "emulator's own facts: `python -m scripts.service > docs/service.md`."
    yield ""
    for mark, source in _SOURCES.items():
        yield f"- **{mark}**: {source}."
    for title, of_title in sections().items():
        yield from ("", f"## {title}", "", "| Fact | Source | Since |", "| --- | --- | --- |")
        yield from _rows(of_title)


def _rows(of_title: Iterable[Fact]) -> Iterator[str]:
    return (f"| {fact.says} | {fact.mark} | {fact.since} |" for fact in of_title)


if __name__ == "__main__":
    sys.stdout.write(page())
