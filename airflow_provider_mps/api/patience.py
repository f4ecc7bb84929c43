"""How long failures are tolerated: pauses before a repeat, and when trouble counts as lasting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple


class Patience(NamedTuple):
    """Times in seconds.

    :param backoff: the first repeat of a call comes within this; each further one may take twice as long.
    :param backoff_limit: the longest pause between two repeats of a call.
    :param call_trouble: for how long a call is repeated that meets trouble.
    :param call_throttled: for how long a call is repeated that is throttled: hundreds of workers may be before it.
    :param room_backoff: the first pause of a create that waits for room; each further one may be longer.
    :param room_backoff_limit: the longest such pause.
    :param room_late: for how long the end of a task stands for a place while creates are refused: sister products were
        seen to give room back about 30 s after DONE.
    :param room_retries: the pauses after which such a place is tried again.
    :param resume_stay: for how long at least a task stays where it waits, if nothing else is said.
    :param at_last: for how long a wait that is over already asks once more.
    :param poll_backoff_limit: the longest pause between two polls of a task, where those fail.
    :param poll_trouble: failed polls end a wait only after this.
    :param not_found_grace: a task just created may not be known everywhere at once; how long that takes, the API
        reference does not say.
    :param result_grace: a task that is DONE may have no URL for a moment; after this it counts as having none.
    :param file_grace: for how long a file may not be there yet, once its task is DONE: of one CDN 150 s were seen.
    :param report: for how long at least nothing more is said of trouble of which something was said.
    """

    backoff: float = 0.5
    backoff_limit: float = 8.0
    call_trouble: float = 60.0
    call_throttled: float = 300.0
    room_backoff: float = 5.0
    room_backoff_limit: float = 60.0
    room_late: float = 90.0
    room_retries: tuple[float, ...] = (10.0, 20.0, 40.0)
    resume_stay: float = 8.0
    at_last: float = 30.0
    poll_backoff_limit: float = 60.0
    poll_trouble: float = 300.0
    not_found_grace: float = 30.0
    result_grace: float = 60.0
    file_grace: float = 180.0
    report: float = 60.0


# The same rules and numbers of tries, in about a hundredth of the time; some have to outlast a slow machine.
SHORT = Patience(
    backoff=0.005,
    backoff_limit=0.08,
    call_trouble=2.0,
    call_throttled=3.0,
    room_backoff=0.05,
    room_backoff_limit=0.6,
    room_late=0.9,
    room_retries=(0.1, 0.2, 0.4),
    resume_stay=0.05,
    at_last=1.0,
    poll_backoff_limit=0.5,
    poll_trouble=0.3,
    not_found_grace=3.0,
    result_grace=2.0,
    file_grace=0.4,
    report=0.6,
)

_patience = Patience()


def patience() -> Patience:
    """The patience in force."""
    return _patience


@contextmanager
def in_force(other: Patience) -> Iterator[None]:
    """While this is open, this process has another patience."""
    global _patience
    before, _patience = _patience, other
    try:
        yield
    finally:
        _patience = before


def short_waits(**others: Any) -> AbstractContextManager[None]:
    """While this is open, this process waits a hundredth of the time for a service that is in trouble: for tests.

    :param others: fields of :class:`Patience` that have another value.
    """
    return in_force(SHORT._replace(**others))
