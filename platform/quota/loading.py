"""The leases of an earlier life, entered by the thousand before anything waits.

Nobody takes them back, so no way back is noted; and what a project uses is charged once, not lease by lease, before
whatever is not such a lease is heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .charges import Charges
from .holdings import Holding, Holdings, flavour_of, seats_of, step_of
from .messages import AttemptLeased, Event
from .placement.inventory import Inventory
from .usage import Usage


class Loading:
    def __init__(self, usage: Usage, inventory: Inventory, holdings: Holdings, version: int) -> None:
        self._usage, self._inventory, self._holdings, self._version = usage, inventory, holdings, version
        self._charges = Charges(usage)

    def load(self, history: Iterable[Event], take: Callable[[Event], object]) -> None:
        """Enters the leases, and lets `take` do with the rest what it does at any time."""
        for event in history:
            if isinstance(event, AttemptLeased) and not event.place and event.fence not in self._holdings.all:
                self._enter(event)
            else:
                self._charges.pay()
                take(event)
        self._charges.pay()

    def _enter(self, event: AttemptLeased) -> None:
        holding = self._holding(event)
        for seat in holding.seats:
            self._inventory.expect(seat)
        self._holdings.load(event.fence, holding)
        self._charges.add(event.project, holding.amounts, once=event.once)

    def _holding(self, leased: AttemptLeased) -> Holding:
        seats = seats_of(leased)
        flavour = flavour_of(seats, leased.demand, self._inventory, self._usage)
        amounts = self._charges.amounts(leased.demand, flavour, len(seats))
        return Holding(step_of(leased), seats, flavour, amounts, self._version, leased.now_us)
