"""So many a second, whoever asks: what is replayed must not hold up what comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import Unavailable


@dataclass(slots=True)
class Pace:
    """Each is given its place in time, one after another. Used from one event loop."""

    per_s: float
    clock: Callable[[], float] = time.monotonic
    free_at: float = 0.0

    def wait_s(self, count: int, *, at_most_s: float) -> float:
        """How long those `count` have to wait. Raises Unavailable, and takes no place, where that is too long."""
        now = self.clock()
        begins = max(now, self.free_at)
        if begins - now > at_most_s:
            what = f"Others are being replayed, {self.per_s:g} a second, for {begins - now:.0f} s more"
            raise Unavailable(what, remedy="Ask again then, or raise events.replays_per_s.")
        self.free_at = begins + count / self.per_s
        return begins - now
