"""Lines that wait for the time, the soonest first."""

from __future__ import annotations

import heapq

from .queues import LineKey
from .undo import Undo

HEAP_MIN = 64
Entry = tuple[int, int, LineKey]  # when, a number that none other has, the line


class Alarms:
    """`at`: when each is due, in µs. The heap follows from it: an entry counts while it is its line's newest, and says
    what `at` does."""

    def __init__(self, undo: Undo) -> None:
        self._undo = undo
        self.at: dict[LineKey, int] = {}
        self._heap: list[Entry] = []
        self._newest: dict[LineKey, Entry] = {}
        self._number = 0

    def put(self, key: LineKey, at_us: int | None) -> None:
        """The line is due then, and at no other time; at none with None."""
        if self.at.get(key) == at_us:
            return
        if at_us is None:
            self._undo.pop(self.at, key)
        else:
            self._undo.put(self.at, key, at_us)
            self._push(key, at_us)

    def soonest(self) -> int | None:
        heap = self._heap
        while heap and not self._counts(heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def take_due(self, now_us: int) -> list[LineKey]:
        """The lines that are due by now, which wait no more."""
        found: list[LineKey] = []
        while (soonest := self.soonest()) is not None and soonest <= now_us:
            found.append(heapq.heappop(self._heap)[2])
            self._undo.pop(self.at, found[-1])
        return found

    def rolled_back(self) -> None:
        self._heap, self._newest = [], {}
        for key, at_us in self.at.items():
            self._push(key, at_us)

    def _counts(self, entry: Entry) -> bool:
        return self._newest.get(entry[2]) is entry and self.at.get(entry[2]) == entry[0]

    def _push(self, key: LineKey, at_us: int) -> None:
        if len(self._heap) > HEAP_MIN + 2 * len(self.at):
            self._heap = [entry for entry in self._heap if self._counts(entry)]
            heapq.heapify(self._heap)
            self._newest = {entry[2]: entry for entry in self._heap}
        self._number += 1
        entry = self._newest[key] = (at_us, self._number, key)
        heapq.heappush(self._heap, entry)
