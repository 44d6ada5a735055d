"""Which small jobs to move so that a large one fits, where that alone is enough.

A node is looked at whose free room and movable jobs together hold the claimant. The largest of those jobs
are lifted until it fits, those that turn out not to be in its way are set down again, the claimant takes its
place, and each lifted job is placed elsewhere as if it came anew. Where one finds no place, the next node is
looked at. It is tried on the inventory itself, which is then put back exactly: what comes out is a proposal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..messages import Demand
from .fit import place, ranks_free, seats_on
from .inventory import Holder, Inventory, Node, Seat

NODES_TRIED = 16


@dataclass(frozen=True, slots=True)
class Movable:
    """A running job of one rank that may be interrupted: what it asks for, where it may go, where it is."""

    demand: Demand
    models: tuple[str, ...]
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True)
class Move:
    holder: Holder
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True)
class Consolidation:
    """`moves` first, each to its new seats; then `seats` are free for the claimant."""

    moves: tuple[Move, ...]
    seats: tuple[Seat, ...]


def consolidation(
    inventory: Inventory, demand: Demand, models: tuple[str, ...], movable: Mapping[Holder, Movable]
) -> Consolidation | None:
    """The moves that let the whole gang fit on one node, or None. The least GPU moved is tried first."""
    for node in _candidates(inventory, demand, models, movable):
        trial = _Trial(inventory)
        try:
            found = _on(trial, node, demand, movable)
        finally:
            trial.put_back()
        if found is not None:
            return found
    return None


def _candidates(
    inventory: Inventory, demand: Demand, models: tuple[str, ...], movable: Mapping[Holder, Movable]
) -> list[Node]:
    by_node: dict[str, int] = {}
    for job in movable.values():
        by_node[job.seats[0].node] = by_node.get(job.seats[0].node, 0) + job.demand.gpus_milli
    wanted = demand.gpus_milli * demand.ranks
    found = []
    for node_id, lifted in by_node.items():
        node = inventory.nodes[node_id]
        free = sum(device.free for device in node.devices.values() if not device.quarantined)
        if node.in_service and node.spec.gpu_model in models and free + lifted >= wanted:
            found.append((wanted - free, node_id))
    return [inventory.nodes[node_id] for _, node_id in sorted(found)[:NODES_TRIED]]


def _on(trial: _Trial, node: Node, demand: Demand, movable: Mapping[Holder, Movable]) -> Consolidation | None:
    mine = {holder: job for holder, job in movable.items() if job.seats[0].node == node.spec.id}
    order = sorted(mine, key=lambda holder: (-mine[holder].demand.gpus_milli, str(holder)))
    lifted = []
    for holder in order:
        if ranks_free(node, demand) >= demand.ranks:
            break
        trial.unhold(holder, mine[holder].seats)
        lifted.append(holder)
    if ranks_free(node, demand) < demand.ranks:
        return None
    for holder in list(reversed(lifted)):
        trial.hold(holder, mine[holder].seats)
        if ranks_free(node, demand) >= demand.ranks:
            lifted.remove(holder)
        else:
            trial.unhold(holder, mine[holder].seats)
    return _elsewhere(trial, node, demand, {holder: mine[holder] for holder in lifted})


def _elsewhere(trial: _Trial, node: Node, demand: Demand, lifted: Mapping[Holder, Movable]) -> Consolidation | None:
    seats = seats_on(node, demand, demand.ranks)
    trial.hold("claimant", seats)
    moves = []
    for holder, job in lifted.items():
        found = place(trial.inventory, job.demand, job.models)
        if found is None:
            return None
        trial.hold(holder, found)
        moves.append(Move(holder, found))
    return Consolidation(tuple(moves), seats)


class _Trial:
    """Changes to the inventory that are taken back."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._done: list[tuple[bool, Holder, tuple[Seat, ...]]] = []

    def hold(self, holder: Holder, seats: tuple[Seat, ...]) -> None:
        self.inventory.hold(holder, seats)
        self._done.append((True, holder, seats))

    def unhold(self, holder: Holder, seats: tuple[Seat, ...]) -> None:
        self.inventory.unhold(holder, seats)
        self._done.append((False, holder, seats))

    def put_back(self) -> None:
        while self._done:
            held, holder, seats = self._done.pop()
            (self.inventory.unhold if held else self.inventory.hold)(holder, seats)
