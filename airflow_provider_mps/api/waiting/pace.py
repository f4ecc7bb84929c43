"""When the next call of an account may leave."""

from __future__ import annotations


class Pace:
    """When the next call may leave: evenly, under the limit, slower when throttled, faster again when quiet.

    Several processes share an account without knowing of each other. Each cuts its own rate by a share when it is
    throttled and lets it grow back by a fixed amount a second, which makes them settle near equal rates. Where nothing
    was throttled for longer than their probing explains, one of them has left, and what it used is taken up faster.

    :param requests_per_second: the account's limit.
    """

    SHARE = 0.97
    """At exactly the limit, the network's jitter gets calls throttled."""
    CUT = 0.8
    GROWTH = 0.004
    """The share of the limit by which it grows back each second."""
    QUIET_SECONDS = 40.0
    """Processes that share a limit are mostly cut again sooner. After that, growth rises with the sixth power of
    the time since the last cut: slowly at first, for those that were only lucky."""
    CATCH_UP_SECONDS = 0.005
    """How much of a late call's lateness the next one may make good; more would bunch them."""
    AFTER_CUT_SECONDS = 1.0
    """The limit counts by the second: what leaves within one of a cut may pay for what left before the cut."""

    def __init__(self, requests_per_second: float) -> None:
        self._ceiling = self.SHARE * requests_per_second
        self._growth = self.GROWTH * requests_per_second
        self.rate = self._ceiling
        self.next_call = 0.0
        self._grown_at = 0.0
        self._cut_at = -self.AFTER_CUT_SECONDS

    def leaves(self, now: float) -> None:
        """A call leaves at ``now`` (seconds on the loop's clock)."""
        growth = self._growth * max(1.0, (now - self._cut_at) / self.QUIET_SECONDS) ** 6
        self.rate = min(self._ceiling, self.rate + growth * (now - self._grown_at))
        self._grown_at = now
        step = 1 / self.rate
        self.next_call = max(self.next_call + step, now + step - self.CATCH_UP_SECONDS)

    def throttled(self, left_at: float, now: float) -> None:
        """A call that left at ``left_at`` was throttled. Those of one burst count once."""
        if left_at > self._cut_at + self.AFTER_CUT_SECONDS:
            self.rate = max(self.rate * self.CUT, self._ceiling / 100)
            self._cut_at = self._grown_at = now
