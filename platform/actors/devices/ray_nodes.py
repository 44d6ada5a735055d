"""Which nodes the Ray cluster has now."""

from __future__ import annotations

import ray
from msgspec import Struct

from ...core.node_offer import Offer, offer_of


class RayNode(Struct, frozen=True):
    """`offer` is what the node's starter said of it; its name is its host's, where nobody gave it one."""

    id: str
    offer: Offer
    here: bool


def alive() -> dict[str, RayNode]:
    """By Ray's id. Blocking, a few milliseconds."""
    here = ray.get_runtime_context().get_node_id()
    found = {}
    for row in ray.nodes():  # type: ignore[no-untyped-call]
        if row["Alive"]:
            offer = offer_of(row.get("Labels", {}), name=row["NodeManagerHostname"])
            found[row["NodeID"]] = RayNode(row["NodeID"], offer, row["NodeID"] == here)
    return found
