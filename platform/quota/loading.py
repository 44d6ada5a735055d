"""The leases of an earlier life, entered by the thousand before anything waits.

Nobody takes them back, so no way back is noted; and what a project uses is charged once, not lease by lease, before
whatever is not such a lease is heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .admission import amounts_of
from .holdings import Holding, Holdings, flavour_of, seats_of, step_of
from .messages import AttemptLeased, Demand, Event
from .placement.inventory import Inventory
from .usage import Usage

Charged = tuple[str, bool]  # a project, and whether the step may run only once


class Loading:
    def __init__(self, usage: Usage, inventory: Inventory, holdings: Holdings, version: int) -> None:
        self._usage, self._inventory, self._holdings, self._version = usage, inventory, holdings, version
        self._amounts: dict[tuple[Demand, str | None, int], dict[str, int]] = {}
        self._sums: dict[Charged, dict[str, int]] = {}

    def load(self, history: Iterable[Event], take: Callable[[Event], object]) -> None:
        """Enters the leases, and lets `take` do with the rest what it does at any time."""
        for event in history:
            if isinstance(event, AttemptLeased) and not event.place and event.fence not in self._holdings.all:
                self._enter(event)
            else:
                self._charge()
                take(event)
        self._charge()

    def _enter(self, event: AttemptLeased) -> None:
        holding = self._holding(event)
        for seat in holding.seats:
            self._inventory.expect(seat)
        self._holdings.load(event.fence, holding)
        sums = self._sums.setdefault((event.project, event.once), {})
        for flavour, amount in holding.amounts.items():
            sums[flavour] = sums.get(flavour, 0) + amount

    def _charge(self) -> None:
        for (project, once), sums in self._sums.items():
            self._usage.add(project, sums)
            if once:
                self._usage.add_once(project, sums)
        self._sums.clear()

    def _holding(self, leased: AttemptLeased) -> Holding:
        seats = seats_of(leased)
        flavour = flavour_of(seats, leased.demand, self._inventory, self._usage)
        key = leased.demand, flavour, len(seats)
        amounts = self._amounts.get(key)
        if amounts is None:
            amounts = self._amounts[key] = amounts_of(*key)
        return Holding(step_of(leased), seats, flavour, amounts, self._version, leased.now_us)
