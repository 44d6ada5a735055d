"""When and where a large gang that waits could go at the latest, by what those that run have declared.

Their ends are gone through, the earliest first, until what is free by then holds the gang and its quota; the
place is the placer's own. Those that declared nothing never end, as far as this knows.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from itertools import islice

from .admission import Admission, Option, Placed
from .holdings import Holding, Holdings
from .messages import StepWaiting
from .placement.inventory import WHOLE, Inventory
from .places import widest
from .queues import shape_of
from .rooms import fewest
from .undo import Undo
from .usage import Usage

ENDS_MAX = 128

End = tuple[int, int]  # when, fence


@dataclass(frozen=True, slots=True)
class Date:
    at_us: int
    placed: Placed
    basis: str


class Backfill:
    def __init__(
        self, undo: Undo, usage: Usage, inventory: Inventory, holdings: Holdings, admission: Admission
    ) -> None:
        self._undo, self._usage, self._inventory = undo, usage, inventory
        self._holdings, self._admission = holdings, admission
        self._ends: dict[str, list[End]] = {}
        for holder, holding in holdings.all.items():
            if isinstance(holder, int):
                self._add(holder, holding)
        holdings.watch(self._add, self._remove)

    def date(self, step: StepWaiting) -> Date | None:
        """The earliest time by which the gang has a place; None where nothing that was declared gives one."""
        dates = [self._date(step, option) for option in self._admission.options(shape_of(step))]
        return min((date for date in dates if date is not None), key=lambda date: date.at_us, default=None)

    def soonest(self, step: StepWaiting, option: Option, ends: list[End]) -> tuple[int, Placed] | None:
        """How many of the ends it takes until the gang has quota and a place, and which; by doubling, then halving:
        with more ends the gang fits if it did with fewer. None where all of them are not enough.
        """
        if not self._usage.path(step.project):
            return None
        low, high = 1, min(1, len(ends))
        while (placed := self._placed_without(step, option, ends[:high])) is None and high < len(ends):
            low, high = high + 1, min(2 * high, len(ends))
        while placed is not None and low < high:
            middle = (low + high) // 2
            found = self._placed_without(step, option, ends[:middle])
            if found is None:
                low = middle + 1
            else:
                high, placed = middle, found
        return (high, placed) if placed is not None and ends else None

    def _date(self, step: StepWaiting, option: Option) -> Date | None:
        ends = list(islice(self._ends.get(option.flavour or "cpu", ()), ENDS_MAX))
        found = self.soonest(step, option, ends)
        if found is None:
            return None
        count, placed = found
        last = self._holdings.all[ends[count - 1][1]].step.name
        who = "the step that runs" if count == 1 else f"{count} of the steps that run"
        return Date(ends[count - 1][0], placed, f"{who}, {last} the last, declared to have ended by then")

    def _placed_without(self, step: StepWaiting, option: Option, ends: list[End]) -> Placed | None:
        with self._undo.undone():
            for holder in {*(fence for _, fence in ends), *self._holdings.going}:
                self._holdings.as_if_gone(holder)
            at_us = max(self._usage.now_us, ends[-1][0]) if ends else None
            for flavour, amount in option.amounts.items():
                if not self._usage.governs(flavour):
                    continue
                if self._usage.lendable(step.project, flavour, shape_of(step), at_us).amount < amount:
                    return None
            demand = fewest(step)
            seats = widest(self._inventory, demand, demand.ranks, option.models)
        return None if seats is None else Placed(option, seats)

    def _add(self, fence: int, holding: Holding) -> None:
        end = _end_of(holding)
        if end is not None:
            insort(self._ends.setdefault(holding.flavour or "cpu", []), (end, fence))

    def _remove(self, fence: int, holding: Holding) -> None:
        end = _end_of(holding)
        if end is not None:
            ends = self._ends[holding.flavour or "cpu"]
            del ends[bisect_left(ends, (end, fence))]


def is_large(step: StepWaiting) -> bool:
    """Whether smaller ones could for ever take what the step waits for."""
    return step.demand.gpus_milli * (step.ranks_min or step.demand.ranks) > WHOLE


def _end_of(holding: Holding) -> int | None:
    return None if holding.released or holding.leaving else holding.ends_us()
