"""What is typically asked for: the distribution that fragmentation is measured against.

Either given, or counted from what is asked. The counts change with every demand, the kinds in use only when
as many again have been asked, so that what was measured stays true in between. Kinds beyond the commonest
`KINDS_MAX` are left out, as they are so rare that room need not be kept for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..messages import Demand
from ..undo import Undo

KINDS_MAX = 64
COUNTED_MAX = 4_096  # different demands
FIRST_AT = 64  # demands, before any distribution is used


@dataclass(frozen=True, slots=True)
class Kind:
    """What one rank asks for, and how often: `weight` is a count."""

    gpus_milli: int
    gpu_model: str | None
    cpus_milli: int
    memory_bytes: int
    weight: int


class Workload:
    def __init__(self, undo: Undo) -> None:
        self._undo = undo
        self._counts: dict[Demand, int] = {}
        self._asked = 0
        self._due = FIRST_AT
        self.kinds: tuple[Kind, ...] = ()
        self._common: list[tuple[Demand, int]] = []  # as of these kinds
        self._common_of: tuple[Kind, ...] = ()

    def give(self, counts: Mapping[Demand, int]) -> None:
        """Replaces what was counted; the counts go on from there."""
        self._undo.note(self._restore, self._counts, self._asked, self._due, self.kinds)
        self._counts = dict(counts)
        self._asked = sum(counts.values())
        self._settle()

    def common(self) -> list[tuple[Demand, int]]:
        """What `give` takes: of what is in use, in order; nothing before anything is."""
        if self._common_of is not self.kinds:
            self._common_of = self.kinds
            counted = sorted(self._counts.items(), key=lambda each: (-each[1], repr(each[0])))
            self._common = counted[:KINDS_MAX]
        return self._common

    def ask(self, demand: Demand) -> None:
        """Counts one more step of this demand, whatever its number of ranks."""
        known = self._counts.get(demand, 0)
        if not demand.gpus_milli or (not known and len(self._counts) >= COUNTED_MAX):
            return
        self._undo.put(self._counts, demand, known + 1)
        self._undo.note(self._restore, self._counts, self._asked, self._due, self.kinds)
        self._asked += 1
        if self._asked >= self._due:
            self._settle()

    def _settle(self) -> None:
        merged: dict[tuple[int, str | None, int, int], int] = {}
        for demand, count in self._counts.items():
            if demand.gpus_milli:
                key = (demand.gpus_milli, demand.gpu_model, demand.cpus_milli, demand.memory_bytes)
                merged[key] = merged.get(key, 0) + count
        common = sorted(merged.items(), key=lambda item: (-item[1], item[0][0], repr(item[0][1]), item[0][2:]))
        self.kinds = tuple(Kind(*key, weight) for key, weight in common[:KINDS_MAX])
        self._due = max(FIRST_AT, 2 * self._asked)

    def _restore(self, counts: dict[Demand, int], asked: int, due: int, kinds: tuple[Kind, ...]) -> None:
        self._counts, self._asked, self._due, self.kinds = counts, asked, due, kinds
