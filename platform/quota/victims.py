"""Those that may be ended for others, in the order in which they would be: elastic gangs that can begin again with
fewer ranks, then the lower priority, then the one that loses less work (time since its last checkpoint, times its
devices).

What is lost grows with time, but among gangs of one size it grows alike: so each size has a list by the time of
the last checkpoint, and the lists are merged as of now.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping

from .holdings import Holding
from .placement.inventory import Holder
from .usage import Usage

Pool = tuple[int, str]  # a cohort's node, and a flavour
Rank = tuple[bool, int]  # whether it has no ranks to give back, and its priority: the smaller goes first
Saved = tuple[int, int]  # minus the time of the last checkpoint, fence


class Victims:
    def __init__(self, usage: Usage, holdings: Mapping[Holder, Holding]) -> None:
        self._usage = usage
        self._pools: dict[Pool, dict[Rank, dict[int, list[Saved]]]] = {}
        lists: dict[int, list[Saved]] = {}
        for holder, holding in holdings.items():
            pool = self._pool(holding)
            if pool is not None and isinstance(holder, int):
                saved = self._saved(pool, holding)
                saved.append((-holding.saved_us(), holder))
                lists[id(saved)] = saved
        for saved in lists.values():
            saved.sort()

    def add(self, fence: int, holding: Holding) -> None:
        pool = self._pool(holding)
        if pool is not None:
            insort(self._saved(pool, holding), (-holding.saved_us(), fence))

    def remove(self, fence: int, holding: Holding) -> None:
        pool = self._pool(holding)
        if pool is not None:
            sizes = self._pools[pool][self._rank(holding)]
            saved = sizes[size_of(holding)]
            del saved[bisect_left(saved, (-holding.saved_us(), fence))]
            if not saved:
                del sizes[size_of(holding)]

    def in_order(self, pool: Pool, now_us: int) -> Iterator[int]:
        """The fences of the pool, the one to end first first."""
        by_priority = self._pools.get(pool, {})
        for priority in sorted(by_priority):
            lists = [_losses(size, saved, now_us) for size, saved in by_priority[priority].items()]
            for _, fence in heapq.merge(*lists):
                yield fence

    def _saved(self, pool: Pool, holding: Holding) -> list[Saved]:
        sizes = self._pools.setdefault(pool, {}).setdefault(self._rank(holding), {})
        return sizes.setdefault(size_of(holding), [])

    def _rank(self, holding: Holding) -> Rank:
        """What has grown into idle room goes first: it may begin again with fewer ranks."""
        has_grown = 0 < holding.step.ranks_min < len(holding.seats)
        return not has_grown, holding.step.priority + self._usage.priorities.get(holding.step.project, 0)

    def _pool(self, holding: Holding) -> Pool | None:
        path = self._usage.path(holding.step.project)
        if not path or holding.released or holding.leaving or holding.step.once:
            return None
        return (path[-1], holding.flavour or "cpu")


def size_of(holding: Holding) -> int:
    """Thousandths of devices; of cores where it has none."""
    return max(1, sum(seat.milli * len(seat.devices) or seat.cpus_milli for seat in holding.seats))


def _losses(size: int, saved: list[Saved], now_us: int) -> Iterator[tuple[int, int]]:
    for minus_saved, fence in saved:
        yield (now_us + minus_saved) * size, fence
