"""Which family is played through which promise, by the tests' own parameters: ``python -m tests.pages.families``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from airflow_provider_mps.api.tasks import FAMILIES, TaskFamily
from tests import test_usage
from tests.doubles.own_family import POSTERS
from tests.links import test_links
from tests.operators import test_experimental, test_own_family
from tests.promises import test_bad_input, test_deadlines, test_leaks, test_memory, test_room, test_trouble

PAGE = Path(__file__).parents[2] / "docs" / "guarantees.md"
BEGIN, END = "<!-- made by python -m tests.pages.families -->\n\n", "\n<!-- end of families -->"

_PLAYED: dict[str, Iterable[Any]] = {
    "Paid once, over retries": [],
    "Waits for room": [],
    "Ends in time": [],
    "Says its trouble": [],
    "Leaks nothing": [case.waiting for case in test_leaks.WANTED],
    "Names bad input": [*test_bad_input.SUBJECTS, *test_own_family.SUBJECTS],
    "Tells its usage": [],
    "Links to the console": [],
}
_TESTS: dict[str, Callable[..., None]] = {
    "Paid once, over retries": test_memory.test_what_fails_after_execute_costs_nothing,
    "Waits for room": test_room.test_refusals_are_waited_out_and_one_task_is_paid_for,
    "Ends in time": test_deadlines.test_a_wait_ends_at_its_timeout_and_a_later_try_goes_on,
    "Says its trouble": test_trouble.test_every_class_says_so,
    "Tells its usage": test_usage.test_each_way_of_waiting_tells_what_was_made,
    "Links to the console": test_links.test_from_the_first_second_of_the_wait_there_is_a_link_to_the_console,
}


def _of(test: Callable[..., None]) -> Iterator[Any]:
    """The values of a test's parameter ``waiting``."""
    for mark in test.pytestmark:  # type: ignore[attr-defined]
        if mark.name == "parametrize" and mark.args[0] == "waiting":
            yield from mark.args[1]


def kinds() -> dict[str, set[str]]:
    """The kinds of tasks that each promise is played for."""
    found = {
        promise: [*cases, *(_of(_TESTS[promise]) if promise in _TESTS else ())] for promise, cases in _PLAYED.items()
    }
    return {
        promise: {case.cls.family.kind for case in cases if hasattr(case.cls, "family")}
        for promise, cases in found.items()
    }


def table() -> str:
    """A row for each family."""
    played = kinds()
    rows = [f"| Tasks | {' | '.join(played)} |", f"|---|{'---|' * len(played)}"]
    experimental = {case[0] for case in test_experimental.CREATES}
    for family in (*FAMILIES.values(), POSTERS):
        if family.kind not in experimental:
            ticks = ("✓" if family.kind in of_promise else "" for of_promise in played.values())
            rows.append(f"| {_named(family)} | {' | '.join(ticks)} |")
    return "\n".join(rows) + "\n"


def _named(family: TaskFamily) -> str:
    return "a family of your own" if family is POSTERS else f"{family.title} (`{family.kind}`)"


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}")
