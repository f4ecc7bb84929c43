"""Where a fact about the service comes from. Each rule that the emulator keeps carries one of these marks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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


def doc(says: str) -> Fact:
    """A fact from the reference (read in 2026-07 and 2026-08) or from the SDK's models (3.1.194)."""
    return Fact(says, Mark.DOC, "2026-08")


def seen(says: str) -> Fact:
    """A fact that was measured and published in 2026-08."""
    return Fact(says, Mark.SEEN, "2026-08")


def guess(says: str) -> Fact:
    """What the emulator does where no source says what the service does."""
    return Fact(says, Mark.GUESS)
