"""A limit for what could hang."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def ends(work: Callable[[], T]) -> T:
    """The outcome of what could hang if the code were wrong: that fails the test instead of stopping it."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = work()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    assert outcome, "it did not end within 30 s"
    if "error" in outcome:
        raise outcome["error"]
    value: T = outcome["value"]
    return value
