"""Nothing leaks: no key, token, signature or URL of a result in any log, event, trigger, error, repr or other XCom."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_mps.hooks.mps import MpsHook
from tests.doubles.emulators import emulated
from tests.doubles.logs import kept_lines
from tests.doubles.ways import OPERATORS, SENSORS
from tests.promises.cases import AT_ONCE, Case, cases, play

KEY = "the-secret-key-of-this-test"
TOKEN = "the-token-of-this-test"
SIGN = "the-signature-in-a-url"
SECRETS = re.compile(rf"{KEY}|{TOKEN}|{SIGN}|[?&]sign=|Signature=[0-9a-f]")
"""``sign`` is how the emulator signs the URLs of its files, ``Signature`` a part of the header Authorization."""

RESULT_XCOMS = {"result", "audio_urls", "video_urls", "image_urls"}


def told_by(error: BaseException | None) -> Iterator[str]:
    """All that an error says, and those that it came from."""
    while error is not None:
        yield from (str(error), repr(error), repr(error.args), *getattr(error, "__notes__", ()))
        if error.__cause__ is not None and error.__context__ is not error.__cause__:
            yield from told_by(error.__context__)
        error = error.__cause__ or error.__context__


@pytest.mark.usefixtures("all_turned_up")
def test_nothing_leaks_whatever_goes_wrong(capfd: pytest.CaptureFixture[str]) -> None:
    def leaks(case: Case) -> list[Any]:
        message = f"see https://example.com/file?{SIGN}"
        outcome = play(case, 1, message, secret_key=KEY, token=TOKEN).outcome
        others = {key: value for key, value in outcome.xcoms.items() if key not in RESULT_XCOMS}
        told = [json.dumps([others, outcome.events, outcome.triggers]), *map("".join, map(told_by, outcome.errors))]
        return [(str(case), text) for text in told if SECRETS.search(text)]

    wanted = [case for case in cases() if case.waiting.cls in (OPERATORS[0], SENSORS[0]) and not case.forever]
    with kept_lines() as lines, ThreadPoolExecutor(AT_ONCE) as pool:
        assert [leak for found in pool.map(leaks, wanted) for leak in found] == []

    printed = capfd.readouterr()
    told = [*lines.lines, *lines.arguments, *printed.out.splitlines(), *printed.err.splitlines()]
    assert len(told) - len(lines.arguments) > len(wanted)
    assert [text for text in told if SECRETS.search(text)] == []


def test_no_repr_tells_a_secret() -> None:
    with emulated("mps", secret_key=KEY, token=TOKEN):
        hook = MpsHook("mps")
        with hook.client() as client:
            told = [repr(each) for each in (hook, hook.settings, hook.settings.credential, client, vars(hook))]
    assert [text for text in told if SECRETS.search(text)] == []
