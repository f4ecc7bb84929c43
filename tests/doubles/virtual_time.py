"""An event loop in virtual time, for waits of hours that pass at once."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualTime(asyncio.SelectorEventLoop):
    """Its clock jumps to the next timer. Nothing that happens outside of it is waited for."""

    def __init__(self) -> None:
        loop = self
        self.now = 0.0

        class Jumps(selectors.SelectSelector):
            def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
                loop.now += timeout or 0.0
                return super().select(0)

        super().__init__(Jumps())

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """The outcome of what waits for timers only."""
    with asyncio.Runner(loop_factory=VirtualTime) as runner:
        return runner.run(work)
