"""All that the emulator knows of the service.

``python -m airflow_provider_mps.emulator.facts`` prints docs/service.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from airflow_provider_mps.emulator import limits, rules, schema, service, tasks, usage
from airflow_provider_mps.emulator.marks import Fact, Mark

FACTS: dict[str, tuple[Fact, ...]] = {
    "Creates: what is taken, refused, failed or replaced": rules.FACTS,
    "Fields": schema.FACTS,
    "Limits": limits.FACTS,
    "Tasks": tasks.FACTS,
    "Calls and results": service.FACTS,
    "Usage": usage.FACTS,
}

_SOURCES = {
    Mark.DOC: "the API reference (international and Chinese sites), or the models and error lists of Tencent's SDKs",
    Mark.SEEN: "measured on the live service by somebody who published it; this project itself never met the service",
    Mark.GUESS: "neither: the emulator has to do something, and does this",
}


def page() -> str:
    """docs/service.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# What is known of the service"
    yield ""
    yield "The facts that the emulator keeps to, each with the kind of its source and the month in which it was read."
    yield 'Where two sources disagree, the emulator does what was seen; with `rules="reference"`, what is documented.'
    yield "This page is made from the emulator's own tables: `python -m airflow_provider_mps.emulator.facts`."
    yield ""
    for mark, source in _SOURCES.items():
        yield f"- **{mark}**: {source}."
    for title, facts in FACTS.items():
        yield from ("", f"## {title}", "", "| Fact | Source | Since |", "| --- | --- | --- |")
        for fact in facts:
            yield f"| {fact.says} | {fact.mark} | {fact.since} |"


if __name__ == "__main__":
    sys.stdout.write(page())
