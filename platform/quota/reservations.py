"""Places kept for steps that cannot go yet: after a reclaim, and for a large gang that waits.

A kept place is held like a granted one, over those who are still there: what is free of a device then counts
below zero until they are gone, and nobody else is placed on it. A step whose place can be had goes as any other,
there or anywhere else; its own hold is lifted while that is tried. So is the hold of a dated place for a step
that has declared to be over by then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .admission import Placed
from .holdings import Holding, Holdings
from .messages import StepWaiting
from .placement.inventory import Inventory
from .places import Places
from .undo import Undo

RESERVATIONS_MAX = 1024


@dataclass(frozen=True, slots=True)
class Reservation:
    """`at_us`: when those who are there have ended, by `basis`; None where nobody can say."""

    step: StepWaiting
    placed: Placed
    number: int
    at_us: int | None
    basis: str
    victims: tuple[int, ...] = ()

    def holder(self) -> str:
        return f"kept for {self.step.step_id}"

    def holding(self) -> Holding:
        return Holding(self.step, self.placed.seats, self.placed.option.flavour, self.placed.amounts(), 0)


class Reservations:
    def __init__(self, undo: Undo, inventory: Inventory, places: Places, holdings: Holdings) -> None:
        self._undo, self._inventory, self._places, self._holdings = undo, inventory, places, holdings
        self.kept: dict[str, Reservation] = {}
        self._count = 0

    def keep(self, step: StepWaiting, placed: Placed, at_us: int | None, basis: str, victims: tuple[int, ...]) -> None:
        self._undo.note(setattr, self, "_count", self._count)
        self._count += 1
        reservation = Reservation(step, placed, self._count, at_us, basis, victims)
        self._undo.put(self.kept, step.step_id, reservation)
        self._hold(reservation)
        self._places.taken()

    def drop(self, step_id: str) -> Reservation:
        reservation = self._undo.pop(self.kept, step_id)
        self._lift(reservation)
        self._places.changed()
        return reservation

    def in_order(self) -> list[Reservation]:
        """Those with a right first: what is reclaimed, then by age."""
        return sorted(self.kept.values(), key=lambda each: (not each.victims, each.number))

    def by(self, at_us: int) -> list[Reservation]:
        """The dated ones that are not needed before."""
        return [each for each in self.in_order() if each.at_us is not None and not each.victims and each.at_us >= at_us]

    @contextmanager
    def lifted(self, reservations: list[Reservation]) -> Iterator[None]:
        """As if these places were not kept."""
        with self._undo.undone():
            for reservation in reservations:
                self._lift(reservation)
            self._places.changed()
            yield
        self._places.changed()

    def may_be_free(self, reservation: Reservation) -> bool:
        """Whether those who were on the kept place may be gone; a quick look, before it is tried."""
        for seat in reservation.placed.seats:
            node = self._inventory.nodes.get(seat.node)
            if node is None or min(node.cpus_free, node.memory_free) < 0:
                return False
            if any(i not in node.devices or node.devices[i].free < 0 for i in seat.devices):
                return False
        return True

    def broken(self) -> list[str]:
        """The steps whose kept place is not in service any more."""
        return [step_id for step_id, each in self.kept.items() if not self._in_service(each)]

    def _in_service(self, reservation: Reservation) -> bool:
        for seat in reservation.placed.seats:
            node = self._inventory.nodes.get(seat.node)
            if node is None or not node.in_service:
                return False
            if any(i not in node.devices or node.devices[i].quarantined for i in seat.devices):
                return False
        return True

    def _hold(self, reservation: Reservation) -> None:
        self._inventory.hold(reservation.holder(), reservation.placed.seats)
        self._holdings.charge(reservation.holding())

    def _lift(self, reservation: Reservation) -> None:
        self._inventory.unhold(reservation.holder(), reservation.placed.seats)
        self._holdings.discharge(reservation.holding())
