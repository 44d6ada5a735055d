"""Which nodes the Ray cluster has now."""

from __future__ import annotations

import ray
from msgspec import Struct

NODE_LABEL = "headwater.node"


class RayNode(Struct, frozen=True):
    """`name` is what the node's starter called it: its label `headwater.node`, otherwise its host's name."""

    id: str
    name: str
    here: bool


def alive() -> dict[str, RayNode]:
    """By Ray's id. Blocking, a few milliseconds."""
    here = ray.get_runtime_context().get_node_id()
    found = {}
    for row in ray.nodes():  # type: ignore[no-untyped-call]
        if row["Alive"]:
            name = row.get("Labels", {}).get(NODE_LABEL) or row["NodeManagerHostname"]
            found[row["NodeID"]] = RayNode(row["NodeID"], name, row["NodeID"] == here)
    return found
