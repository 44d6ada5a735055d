"""Nodes as they would be if some of those on them were gone: counted, so that thousands can be tried at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from .holdings import Holding
from .messages import Demand, StepWaiting
from .placement.inventory import WHOLE, Node

Gone = dict[tuple[str, int], int]  # by flavour and node of the tree


@dataclass(slots=True)
class Room:
    """What a node would have if those chosen were gone."""

    cpus: int
    memory: int
    devices: dict[str, int]
    ranks_now: int = 0
    chosen: list[int] = field(default_factory=list)
    gone: Gone = field(default_factory=dict)

    def take(self, fence: int, name: str, holding: Holding) -> None:
        """As if the gang had left the node of this name."""
        self.chosen.append(fence)
        for seat in holding.seats:
            if seat.node == name:
                self.cpus += seat.cpus_milli
                self.memory += seat.memory_bytes
                for device in seat.devices:
                    if device in self.devices:
                        self.devices[device] += seat.milli

    def ranks(self, demand: Demand) -> int:
        ranks = demand.ranks
        if demand.cpus_milli:
            ranks = min(ranks, self.cpus // demand.cpus_milli)
        if demand.memory_bytes:
            ranks = min(ranks, self.memory // demand.memory_bytes)
        if demand.gpus_milli >= WHOLE:
            whole = sum(1 for free in self.devices.values() if free >= WHOLE)
            return max(0, min(ranks, whole * WHOLE // demand.gpus_milli))
        if demand.gpus_milli:
            return max(0, min(ranks, sum(max(0, free) // demand.gpus_milli for free in self.devices.values())))
        return max(0, ranks)


def room_of(node: Node) -> Room:
    return Room(node.cpus_free, node.memory_free, {d.id: d.free for d in node.devices.values() if not d.quarantined})


def fewest(step: StepWaiting) -> Demand:
    """The demand of the fewest ranks that the step goes with."""
    return msgspec.structs.replace(step.demand, ranks=step.ranks_min or step.demand.ranks)
