"""What is said of calls that fail: the first at once, then counts once a minute, and when all is well again."""

from __future__ import annotations

import copy
import logging
import time
from collections import Counter
from typing import Any, Self

from airflow_provider_mps.api.codes import is_read
from airflow_provider_mps.api.errors import CallError
from airflow_provider_mps.api.patience import patience

log = logging.getLogger(__name__)

GOES_ON = "the task goes on at MPS meanwhile"


class Trouble:
    """Says of the calls of one wait, or of one client, that they fail.

    A failure is a WARNING when none was said for a minute; what fails in between is counted, and said with the next
    one. Once calls are answered again, one line says so. Times are POSIX times, so that it can be kept.

    :param noun: what such a call is to the user, such as "poll"; and many of them.
    :ivar known: the state that the task had when MPS last answered.
    :ivar in_a_row: how many calls failed in a row, the first of them at ``first_at``.
    :ivar problems: those since the last line, at ``said_at``; ``calls`` were made since.
    :ivar began_at: when the trouble began that was said, and not yet ended by an answer; else 0. ``failed_since`` calls
        have failed since.
    """

    def __init__(self, noun: str = "call", nouns: str = "calls") -> None:
        self.noun = noun
        self.nouns = nouns
        self.known = ""
        self.in_a_row, self.first_at = 0, 0.0
        self.problems: dict[str, int] = {}
        self.said_at, self.calls = 0.0, 0
        self.began_at, self.failed_since = 0.0, 0

    @classmethod
    def of_polls(cls) -> Self:
        """That of a wait."""
        return cls("poll", "polls")

    def call_failed(self, error: CallError, pause: float, meanwhile: str = "") -> None:
        """Take note of a call that failed and is made again.

        :param pause: in about how many seconds.
        :param meanwhile: what that means, for the user's money or task.
        """
        again = "asked" if is_read(error.action) else "sent"
        details = f"{error.action}: {error.reason}"
        if error.request_id:
            details += f"; RequestId {error.request_id}"
        self.failed(error.problem, f"{again} again in about {in_words(pause)}", meanwhile, details)

    def failed(self, problem: str, then: str, meanwhile: str = "", details: str = "") -> None:
        """Take note of a failure.

        :param problem: its code, or another word for its kind.
        :param then: what happens next.
        :param meanwhile: what that means, for the user's money or task.
        :param details: what came, as far as it can be shown.
        """
        now = time.time()
        self.calls += 1
        self.problems[problem] = self.problems.get(problem, 0) + 1
        if not self.in_a_row:
            self.first_at = now
        self.in_a_row += 1
        if self.began_at:
            self.failed_since += 1
        if not self._may_be_said(now):
            return
        then = f"{then}; {meanwhile}" if meanwhile else then
        if self.failures == 1 and self.in_a_row == 1:
            line = f"A {self.noun} failed: {problem}; {then}"
        elif self.failures == 1:
            line = f"{self.row_in_words()}, the last one: {problem}; {then}"
        else:
            line = f"{self._counts(now)}; {then}"
        log.warning("%s%s", line, f" ({details})" if details else "")
        if not self.began_at:
            self.began_at, self.failed_since = self.first_at, self.failures
        self._said(now)

    def answered(self) -> None:
        """Take note of a call that was answered."""
        self.calls += 1
        self.in_a_row = 0
        if not self.began_at and not self.problems:
            return
        now = time.time()
        if self.began_at:
            lasted = in_words(now - self.began_at)
            log.info("The %s are answered again, after %d failed in %s", self.nouns, self.failed_since, lasted)
            self.began_at = 0.0
            self.problems, self.calls = {}, 0
        elif self._may_be_said(now):
            log.warning("%s; the last one was answered", self._counts(now))
            self._said(now)

    @property
    def failures(self) -> int:
        """How many calls failed since the last line."""
        return sum(self.problems.values())

    def row_in_words(self, more: int = 0) -> str:
        """How many calls in a row failed, and for how long; empty where that is less than two.

        :param more: how many to add, such as the one that ends the wait.
        """
        number = self.in_a_row + more
        if number < 2:
            return ""
        return f"{number} {self.nouns} in a row failed over {in_words(time.time() - self.first_at)}"

    def kept(self) -> dict[str, Any]:
        """What another process of the same wait has to know, as JSON primitives; empty where that is nothing."""
        return copy.deepcopy(vars(self)) if self.began_at or self.problems or self.known else {}

    @classmethod
    def restored(cls, kept: Any) -> Self:
        """What another process of the same wait kept; where that cannot be read, as if nothing had gone wrong."""
        trouble = cls.of_polls()
        if isinstance(kept, dict) and kept.keys() == vars(trouble).keys():
            vars(trouble).update(kept)
        return trouble

    def _may_be_said(self, now: float) -> bool:
        return not self.said_at or abs(now - self.said_at) >= patience().report  # a clock may be set back

    def _said(self, now: float) -> None:
        self.said_at = now
        self.problems, self.calls = {}, 0

    def _counts(self, now: float) -> str:
        [(worst, number)] = Counter(self.problems).most_common(1)
        since = now - (self.said_at or self.first_at)
        lasted = "minute" if 55 <= since < 90 else in_words(since)
        failures = self.failures
        which = f", {number} with {worst}" if number < failures else f" with {worst}"
        return f"{failures} of {self.calls} {self.nouns} failed in the last {lasted}{which}"


def in_words(seconds: float) -> str:
    """A length of time for people, such as ``5 min 13 s``."""
    if 0 < seconds < 1:
        return f"{seconds:.1g} s"
    whole = round(max(0.0, seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    parts = ((hours, "h"), (minutes, "min"), (whole % 60, "s")) if hours else ((minutes, "min"), (whole % 60, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
