"""Timers by when they are due: a heap beside the ledger, whose stale entries are passed over and dropped later."""

from __future__ import annotations

import heapq

from ..ledger import Ledger
from ..records.triggers import Timer

STALE_MAX = 1_000


class Timers(Ledger[str, Timer]):
    """An entry counts while the timer is there and due at that time, so that nothing of it need go back."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self._heap: list[tuple[int, str]] = []

    def load(self, key: str, value: Timer) -> None:
        super().load(key, value)
        heapq.heappush(self._heap, (value.due_us, key))

    def put(self, key: str, value: Timer) -> None:
        super().put(key, value)
        heapq.heappush(self._heap, (value.due_us, key))

    def due(self, now_us: int) -> list[Timer]:
        """Those that are due, the oldest first."""
        found: dict[str, Timer] = {}
        look = [0]
        while look:
            index = look.pop()
            if index < len(self._heap) and self._heap[index][0] <= now_us:
                timer = self._alive(index)
                if timer is not None:
                    found[timer.id] = timer
                look += (2 * index + 1, 2 * index + 2)
        return sorted(found.values(), key=lambda timer: (timer.due_us, timer.id))

    def soonest_us(self) -> int | None:
        look = [(self._heap[0][0], 0)] if self._heap else []
        while look:
            due_us, index = heapq.heappop(look)
            if self._alive(index) is not None:
                return due_us
            for child in (2 * index + 1, 2 * index + 2):
                if child < len(self._heap):
                    heapq.heappush(look, (self._heap[child][0], child))
        return None

    def tidy(self) -> None:
        """Only for what was settled."""
        if len(self._heap) > 2 * len(self) + STALE_MAX:
            self._heap = [(timer.due_us, key) for key, timer in self._rows.items()]
            heapq.heapify(self._heap)
        while self._heap and self._alive(0) is None:
            heapq.heappop(self._heap)

    def _alive(self, index: int) -> Timer | None:
        due_us, key = self._heap[index]
        timer = self._rows.get(key)
        return timer if timer is not None and timer.due_us == due_us else None
