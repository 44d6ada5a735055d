"""Where a gang goes: whole or not at all, where it leaves the least behind.

One node for the whole gang where one has the room: the one whose fragmentation it adds the least to, measured
by what is typically asked for (`fragmentation`). Before anything typical is known, the best fit: the one with
the fewest free devices that suffice, then the fewest CPUs; a share of a GPU goes to the device already shared
that it fills best; a step without GPUs goes to a node without GPUs, otherwise to one whose GPUs are taken. A
gang that no node holds alone is spread over the fewest nodes. Ties go to the smaller id, so that the same
picture gives the same place.
"""

from __future__ import annotations

from bisect import bisect_left

from ..messages import Demand
from .gang import spread
from .inventory import WHOLE, Inventory, Node, Seat
from .topology import grouped


def place(inventory: Inventory, demand: Demand, models: tuple[str, ...]) -> tuple[Seat, ...] | None:
    """Seats for every rank on nodes of these models (not looked at without GPUs), or None."""
    if inventory.workload.kinds:
        best = inventory.board.best(demand, models, inventory.workload.kinds)
        if best is not None:
            return _seats_at(inventory.nodes[best[0]], demand, best[1])
        return _spread(inventory, demand, models) if demand.ranks > 1 else None
    if demand.gpus_milli == 0:
        models = tuple(sorted(inventory.by_room))
    candidates = [node for model in models if (node := _one_node(inventory, demand, model)) is not None]
    if candidates:
        node = min(candidates, key=lambda node: _leftover(node, demand))
        return seats_on(node, demand, demand.ranks)
    return _spread(inventory, demand, models) if demand.ranks > 1 else None


def largest(inventory: Inventory, demand: Demand) -> int:
    """How many ranks of the demand the known nodes (of one domain, where that is required) could hold, empty."""
    found = inventory.largest_seats.get(demand)
    if found is None:
        nodes = [node for node in inventory.nodes.values() if not node.left and _right_model(node, demand)]
        held = {node.spec.id: _ranks_of_empty(node, demand) for node in nodes}
        domains = grouped((node.spec for node in nodes), demand.required_level).values()
        alone = max(held.values(), default=0)  # a node is within any level
        found = max((sum(held[node_id] for node_id in domain) for domain in domains), default=0)
        found = inventory.largest_seats[demand] = max(found, alone)
    return found


def ranks_free(node: Node, demand: Demand) -> int:
    """How many ranks of the demand the node holds now."""
    ranks = demand.ranks
    if demand.cpus_milli:
        ranks = min(ranks, node.cpus_free // demand.cpus_milli)
    if demand.memory_bytes:
        ranks = min(ranks, node.memory_free // demand.memory_bytes)
    if ranks <= 0 or not demand.gpus_milli:
        return max(0, ranks)
    if demand.gpus_milli >= WHOLE:
        return min(ranks, node.whole_free * WHOLE // demand.gpus_milli)
    shares = (device.free // demand.gpus_milli for device in node.devices.values() if not device.quarantined)
    return min(ranks, sum(max(0, share) for share in shares))


def seats_on(node: Node, demand: Demand, ranks: int) -> tuple[Seat, ...]:
    """Seats for so many ranks, which the node must hold: the first empty devices, or the fullest to share."""
    if demand.gpus_milli >= WHOLE:
        each = demand.gpus_milli // WHOLE
        empty = [device.id for device in node.devices.values() if device.room == WHOLE]
        chosen = [tuple(empty[rank * each : (rank + 1) * each]) for rank in range(ranks)]
    elif demand.gpus_milli:
        chosen = _shared(node, demand.gpus_milli)[:ranks]
    else:
        chosen = [()] * ranks
    milli = min(demand.gpus_milli, WHOLE)
    return tuple([Seat(node.spec.id, ids, milli, demand.cpus_milli, demand.memory_bytes) for ids in chosen])


def _shared(node: Node, milli: int) -> list[tuple[str, ...]]:
    """A device for each share that the node holds, the fullest first."""
    devices = sorted((device.free, device.id) for device in node.devices.values() if not device.quarantined)
    return [(device_id,) for free, device_id in devices for _ in range(free // milli)]


def _one_node(inventory: Inventory, demand: Demand, model: str) -> Node | None:
    rooms, nodes = inventory.by_room.get(model, []), inventory.nodes
    if 0 < demand.gpus_milli < WHOLE:
        if demand.ranks > 1:  # shares of several devices: no index orders them
            fitting = [node for _, _, node_id in rooms if ranks_free(node := nodes[node_id], demand) >= demand.ranks]
            return min(fitting, key=lambda node: _leftover(node, demand), default=None)
        partly = inventory.partly.get(model, [])
        for _, device_id in partly[bisect_left(partly, (demand.gpus_milli, "")) :]:
            node = nodes[inventory.devices[device_id].node]
            if _has_room(node, demand):
                return node
    devices = -(-demand.gpus_milli * demand.ranks // WHOLE)
    tightest = (devices, demand.cpus_milli * demand.ranks, "")
    for position in range(bisect_left(rooms, tightest), len(rooms)):
        node = nodes[rooms[position][2]]
        if ranks_free(node, demand) >= demand.ranks:
            return node
    return None


def _has_room(node: Node, demand: Demand) -> bool:
    return node.cpus_free >= demand.cpus_milli and node.memory_free >= demand.memory_bytes


def _leftover(node: Node, demand: Demand) -> tuple[int, int, int, str]:
    """What the gang would leave: the less, the better. A shared device comes before a whole one."""
    shared = 0 < demand.gpus_milli < WHOLE and _tightest(node, demand.gpus_milli) < WHOLE
    return (0 if shared else 1, node.whole_free, node.cpus_free, node.spec.id)


def _tightest(node: Node, milli: int) -> int:
    fits = (d.free for d in node.devices.values() if not d.quarantined and d.free >= milli)
    return min(fits, default=WHOLE)


def _spread(inventory: Inventory, demand: Demand, models: tuple[str, ...]) -> tuple[Seat, ...] | None:
    parts = spread(inventory, demand, models)
    if parts is None:
        return None
    return tuple(seat for node_id, ranks in parts for seat in seats_on(inventory.nodes[node_id], demand, ranks))


def _seats_at(node: Node, demand: Demand, device: int) -> tuple[Seat, ...]:
    if device < 0:
        return seats_on(node, demand, demand.ranks)
    shared = tuple(node.devices)[device]
    return (Seat(node.spec.id, (shared,), demand.gpus_milli, demand.cpus_milli, demand.memory_bytes),)


def _right_model(node: Node, demand: Demand) -> bool:
    return not demand.gpus_milli or demand.gpu_model in (None, node.spec.gpu_model)


def _ranks_of_empty(node: Node, demand: Demand) -> int:
    ranks = demand.ranks
    if demand.cpus_milli:
        ranks = min(ranks, node.spec.cpus_milli // demand.cpus_milli)
    if demand.memory_bytes:
        ranks = min(ranks, node.spec.memory_bytes // demand.memory_bytes)
    if demand.gpus_milli >= WHOLE:
        return min(ranks, len(node.devices) * WHOLE // demand.gpus_milli)
    if demand.gpus_milli:
        return min(ranks, sum(device.milli // demand.gpus_milli for device in node.spec.devices))
    return ranks
