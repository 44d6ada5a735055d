"""A gang that no node holds alone: within the narrowest level of topology that it may use, on the fewest nodes.

Of the domains that hold all ranks the one is taken that needs the fewest nodes, then the one with the least
room beside. The node that takes the last ranks is the one that they fill best.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..messages import Demand
from .inventory import Inventory
from .topology import grouped, levels_for


def spread(inventory: Inventory, demand: Demand, models: tuple[str, ...]) -> list[tuple[str, int]] | None:
    """Nodes, with how many ranks each takes; None where the levels allowed do not hold all."""
    held = inventory.board.held(demand, models, inventory.workload.kinds)
    if sum(held.values()) < demand.ranks:
        return None
    specs = [inventory.nodes[node_id].spec for node_id in held]
    for level in levels_for(demand):
        ways = []
        for domain, node_ids in grouped(specs, level).items():
            room = {node_id: held[node_id] for node_id in node_ids}
            total = sum(room.values())
            if total >= demand.ranks:
                taken = filled(room, demand.ranks)
                ways.append((len(taken), total, domain, taken))
        if ways:
            return min(ways, key=lambda way: way[:3])[3]
    return None


def filled(room: Mapping[str, int], ranks: int) -> list[tuple[str, int]]:
    """The fewest nodes for so many ranks, which they must hold together."""
    rest, taken = ranks, list[tuple[str, int]]()
    left = sorted(((count, node_id) for node_id, count in room.items()), key=lambda each: (-each[0], each[1]))
    for at, (count, node_id) in enumerate(left):
        if count >= rest:
            last = min((c, other) for c, other in left[at:] if c >= rest)
            return [*taken, (last[1], rest)]
        taken.append((node_id, count))
        rest -= count
    return taken
