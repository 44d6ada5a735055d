"""Why a gang has no place now: how many nodes do not hold one rank, by the first reason, and what would fit.

drained       out of service, or leaving
model         not of a GPU model that it may use
cpus, memory  too little free
devices       too little free on its devices, even taken together
fragmented    enough free on its devices taken together, but not as whole devices or not on one
"""

from __future__ import annotations

from dataclasses import dataclass

from ..messages import Demand
from .fit import ranks_free
from .inventory import WHOLE, Inventory, Node
from .topology import grouped

REASONS = {
    "drained": "out of service",
    "model": "of another GPU model",
    "cpus": "short of CPUs",
    "memory": "short of memory",
    "devices": "without enough free GPU",
    "fragmented": "with enough free GPU only in pieces",
}


@dataclass(frozen=True, slots=True)
class Shortfall:
    """`ranks`: that fit now within what is required; `largest_milli`: of GPU, for one rank otherwise the same."""

    nodes: int
    short: dict[str, int]
    ranks: int
    largest_milli: int

    def __str__(self) -> str:
        parts = [f"{self.short[name]} {words}" for name, words in REASONS.items() if self.short.get(name)]
        return f"of {self.nodes} {'node' if self.nodes == 1 else 'nodes'}: {', '.join(parts)}" if parts else ""


def shortfall(inventory: Inventory, demand: Demand, models: tuple[str, ...]) -> Shortfall:
    short = dict.fromkeys(REASONS, 0)
    held: dict[str, int] = {}
    most = 0
    for node_id, node in inventory.nodes.items():
        reason = _reason(node, demand, models)
        if reason is not None:
            short[reason] += 1
        else:
            held[node_id] = ranks_free(node, demand)
        if reason in (None, "devices", "fragmented"):
            most = max(most, _largest(node))
    ranks = _together(inventory, held, demand)
    short = {reason: count for reason, count in short.items() if count}
    return Shortfall(len(inventory.nodes), short, min(ranks, demand.ranks), most)


def _reason(node: Node, demand: Demand, models: tuple[str, ...]) -> str | None:
    """Why the node does not hold one rank."""
    if not node.in_service:
        return "drained"
    if demand.gpus_milli and node.spec.gpu_model not in models:
        return "model"
    if node.cpus_free < demand.cpus_milli:
        return "cpus"
    if node.memory_free < demand.memory_bytes:
        return "memory"
    if ranks_free(node, demand):
        return None
    return "fragmented" if sum(_free(node)) >= demand.gpus_milli else "devices"


def _free(node: Node) -> list[int]:
    return [max(0, device.free) for device in node.devices.values() if not device.quarantined]


def _largest(node: Node) -> int:
    return node.whole_free * WHOLE or max(_free(node), default=0)


def _together(inventory: Inventory, held: dict[str, int], demand: Demand) -> int:
    """The most ranks within one domain of the level that is required."""
    specs = (inventory.nodes[node_id].spec for node_id in held)
    domains = grouped(specs, demand.required_level).values()
    return max((sum(held[node_id] for node_id in domain) for domain in domains), default=0)
