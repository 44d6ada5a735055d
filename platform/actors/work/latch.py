"""What keeps user code from beginning while the lease that it needs is being written.

prepared ──leased──► begins
    └──another order, or nobody speaks──► dropped: user code never runs
"""

from __future__ import annotations

import threading

from .stoppable import Stopped

SPEAK_WITHIN_S = 10.0


class Latch:
    """`wait` is called once, in the thread of user code; the others on the loop."""

    def __init__(self) -> None:
        self._spoken = threading.Event()
        self.is_open = self.dropped = False

    def open(self) -> None:
        """Of what was dropped, no effect."""
        self.is_open = not self.dropped
        self._spoken.set()

    def drop(self) -> None:
        self.dropped = not self.is_open
        self._spoken.set()

    def wait(self) -> None:
        """Returns once it is open. Raises Stopped where it was dropped."""
        if not self._spoken.wait(SPEAK_WITHIN_S):
            self.drop()
        if self.dropped:
            raise Stopped
