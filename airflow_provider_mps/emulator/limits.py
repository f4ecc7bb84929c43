"""The limit on requests a second that MPS sets for each action of an account."""

from __future__ import annotations

import math
from collections import defaultdict, deque

# API reference: 20 a second for most actions, 10 and 50 for these two.
_SHARES = {"CreateAigcVideoTask": 0.5, "DescribeAigcVideoTask": 2.5}


class RollingLimit:
    """Lets at most so many requests of an action pass in any rolling second.

    :param requests_per_second: the limit of most actions; CreateAigcVideoTask has half of it and
        DescribeAigcVideoTask 2.5 times as much, as on the service. None: no limit.
    """

    def __init__(self, requests_per_second: float | None) -> None:
        if requests_per_second is not None and requests_per_second <= 0:
            raise ValueError(f"requests_per_second must be above 0 or None, not {requests_per_second}")
        self._requests_per_second = requests_per_second
        self._accepted: defaultdict[str, deque[float]] = defaultdict(deque)

    def allows(self, action: str, now: float) -> bool:
        """Say whether a request passes at ``now`` (monotonic seconds); only those that pass are counted."""
        if self._requests_per_second is None:
            return True
        rate = self._requests_per_second * _SHARES.get(action, 1.0)
        at_once = max(1, math.floor(rate))
        window = at_once / rate
        accepted = self._accepted[action]
        while accepted and accepted[0] <= now - window:
            accepted.popleft()
        if len(accepted) >= at_once:
            return False
        accepted.append(now)
        return True
