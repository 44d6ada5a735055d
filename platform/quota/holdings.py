"""What was granted: pending until the Conductor leases it, live until released, kept until its devices are empty."""

from __future__ import annotations

from dataclasses import dataclass

from .admission import amounts_of
from .messages import AttemptLeased, Demand, Grant, StepWaiting
from .placement.inventory import WHOLE, Inventory, Seat
from .usage import Usage


@dataclass(frozen=True, slots=True)
class Holding:
    step: StepWaiting
    seats: tuple[Seat, ...]
    flavour: str | None
    amounts: dict[str, int]
    tree_version: int
    leased_us: int = 0
    released: bool = False

    def ends_us(self) -> int | None:
        """When it must have ended, by the runtime that it declared."""
        if self.leased_us and self.step.max_runtime_s is not None:
            return self.leased_us + self.step.max_runtime_s * 1_000_000
        return None

    def grant(self) -> Grant:
        nodes = tuple(seat.node for seat in self.seats)
        devices = tuple(seat.devices for seat in self.seats)
        return Grant(self.step.step_id, self.step.project, nodes[0], devices, self.tree_version, nodes, self.flavour)


def holding_of(leased: AttemptLeased, step: StepWaiting, inventory: Inventory, usage: Usage, version: int) -> Holding:
    """The holding that a lease describes, charged as the tree says now."""
    seats = seats_of(leased)
    flavour = flavour_of(seats, leased.demand, inventory, usage)
    return Holding(step, seats, flavour, amounts_of(leased.demand, flavour), version, leased.now_us)


def flavour_of(seats: tuple[Seat, ...], demand: Demand, inventory: Inventory, usage: Usage) -> str | None:
    if not demand.gpus_milli:
        return None
    node = inventory.nodes.get(seats[0].node)
    model = node.spec.gpu_model if node is not None and node.spec.gpu_model else demand.gpu_model or ""
    return usage.flavour_of(model)


def seats_of(leased: AttemptLeased) -> tuple[Seat, ...]:
    demand = leased.demand
    nodes = leased.nodes or (leased.node,) * demand.ranks
    devices = leased.devices or ((),) * len(nodes)
    milli = min(demand.gpus_milli, WHOLE)
    places = zip(nodes, devices, strict=True)
    return tuple(Seat(node, ids, milli, demand.cpus_milli, demand.memory_bytes) for node, ids in places)
