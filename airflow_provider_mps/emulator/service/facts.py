"""Where a fact about the service comes from. Each rule that the emulator keeps carries one of these marks."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any


class Mark(StrEnum):
    """A kind of source."""

    DOC = "doc"
    """The API reference, or the models and error lists of Tencent's SDKs."""
    SEEN = "seen"
    """Measured on the live service by somebody who published it."""
    GUESS = "guess"
    """Neither: the emulator has to do something, and does this."""


@dataclass(frozen=True)
class Fact:
    """Something about the service.

    :param since: the month of the source, such as ``2026-08``; empty for a guess.
    """

    says: str
    mark: Mark
    since: str = ""

    def __post_init__(self) -> None:
        if (self.mark is Mark.GUESS) == bool(self.since):
            raise ValueError(f"a guess has no month, and anything else has one: {self.says}")


def doc(says: str, since: str = "2026-08") -> Fact:
    """A fact from the reference, or from the SDK's models."""
    return Fact(says, Mark.DOC, since)


def seen(says: str, since: str = "2026-08") -> Fact:
    """A fact that was measured and published."""
    return Fact(says, Mark.SEEN, since)


def guess(says: str) -> Fact:
    """What the emulator does where no source says what the service does."""
    return Fact(says, Mark.GUESS)


def data(name: str) -> dict[str, Any]:
    """The facts in ``api/facts/NAME.toml``, which the client reads, too, with code of its own."""
    text = files("airflow_provider_mps").joinpath("api", "facts", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)
