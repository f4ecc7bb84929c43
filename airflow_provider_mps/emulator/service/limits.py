"""The limits that MPS sets for an account: requests a second by action, and tasks that run at once by model."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from typing import Literal, TypeAlias

from airflow_provider_mps.emulator.service.facts import data, doc, guess, seen

DOCUMENTED: Literal["documented"] = "documented"
Rate: TypeAlias = float | Literal["documented"] | None

_DATA = data("limits")
RATES: dict[str, float] = {action: entry["per_second"] for entry in _DATA["rates"] for action in entry["actions"]}
REFUSED_REGIONS: dict[str, list[str]] = {entry["site"]: entry["regions"] for entry in _DATA["refused_regions"]}

FACTS = (
    doc("Past that the call is refused with RequestLimitExceeded."),
    seen("The message then says that the requests in a second exceed the frequency limit (other products' gateway)."),
    guess("A second is any second (a rolling window), not one of the clock."),
    seen(
        "Of an account's tasks, only so many of one model run at once; a further create is refused with the same "
        "RequestLimitExceeded and costs nothing. The number is not published, differs by model and contract, can be 1."
    ),
    seen(
        'The message then says "task reached the maximum concurrency" (of an image create, by a sister product).',
        "2026-04",
    ),
    guess("An end makes room at once (room_late=0); a sister product was seen to count a task for 30 s more."),
    guess("Tasks that are not of an AIGC model have no such cap."),
)


class RollingLimit:
    """Lets at most so many requests of an account's action pass in any rolling second.

    :param requests_per_second: one limit for all actions; None: no limit; ``documented``: the reference's of each.
    :raises ValueError: it is something else.
    """

    def __init__(self, requests_per_second: Rate) -> None:
        wrong = isinstance(requests_per_second, str) and requests_per_second != DOCUMENTED
        if wrong or (not isinstance(requests_per_second, str | None) and not requests_per_second > 0):
            raise ValueError(
                f"requests_per_second must be above 0, None or {DOCUMENTED!r}, not {requests_per_second!r}"
            )
        self._requests_per_second = requests_per_second
        self._accepted: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)

    def allows(self, account: str, action: str, now: float) -> bool:
        """Say whether a request passes at ``now`` (monotonic seconds); only those that pass are counted."""
        if self._requests_per_second is None:
            return True
        documented = self._requests_per_second == DOCUMENTED
        rate = RATES.get(action, _DATA["unknown_rate"]) if documented else float(self._requests_per_second)
        at_once = max(1, math.floor(rate))
        window = at_once / rate
        accepted = self._accepted[account, action]
        while accepted and accepted[0] <= now - window:
            accepted.popleft()
        if len(accepted) >= at_once:
            return False
        accepted.append(now)
        return True
