"""Where a shape would go now, asked once until something changes.

What did not fit cannot fit before something comes back, so a full platform answers from memory. What is typically
asked for decides where something goes, so what was found by other kinds is asked again.
"""

from __future__ import annotations

import msgspec

from .messages import Demand
from .placement import fit
from .placement.inventory import Inventory, Seat

Key = tuple[Demand, int, tuple[str, ...]]


class Places:
    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._fitting: dict[Key, tuple[Seat, ...]] = {}
        self._full: set[Key] = set()
        self._kinds = inventory.workload.kinds

    def taken(self) -> None:
        """Something was taken: what fitted is to be asked again."""
        self._fitting.clear()

    def changed(self) -> None:
        self._fitting.clear()
        self._full.clear()

    def seats(self, demand: Demand, ranks_min: int, models: tuple[str, ...]) -> tuple[Seat, ...] | None:
        """Seats for as many ranks as fit, at most `demand.ranks`; None where even the fewest do not."""
        key = (demand, ranks_min, models)
        if key in self._full:
            return None
        if self._kinds is not self._inventory.workload.kinds:
            self._kinds = self._inventory.workload.kinds
            self._fitting.clear()
        found = self._fitting.get(key)
        if found is None:
            found = widest(self._inventory, demand, ranks_min, models)
            if found is None:
                self._full.add(key)
            else:
                self._fitting[key] = found
        return found


def widest(inventory: Inventory, demand: Demand, ranks_min: int, models: tuple[str, ...]) -> tuple[Seat, ...] | None:
    """Seats for the most ranks between `ranks_min` and `demand.ranks` that fit."""
    whole = fit.place(inventory, demand, models)
    if whole is not None or ranks_min >= demand.ranks:
        return whole
    found: tuple[Seat, ...] | None = None
    low, high = ranks_min, demand.ranks - 1
    while low <= high:
        middle = (low + high + 1) // 2 if found else low
        seats = fit.place(inventory, msgspec.structs.replace(demand, ranks=middle), models)
        if seats is None:
            high = middle - 1
        else:
            found, low = seats, middle + 1
    return found
