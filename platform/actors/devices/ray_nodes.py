"""Which nodes the Ray cluster has now."""

from __future__ import annotations

import socket

import ray
from msgspec import Struct

from ...core.node_offer import Offer, offer_of


class RayNode(Struct, frozen=True):
    """`offer` is what the node's starter said of it; its name is its host's, where nobody gave it one.

    `address` is that of its raylet.
    """

    id: str
    offer: Offer
    here: bool
    address: tuple[str, int] = ("", 0)


def alive() -> dict[str, RayNode]:
    """By Ray's id. Blocking, a few milliseconds."""
    here = ray.get_runtime_context().get_node_id()
    found = {}
    for row in ray.nodes():  # type: ignore[no-untyped-call]
        if row["Alive"]:
            offer = offer_of(row.get("Labels", {}), name=row["NodeManagerHostname"])
            address = (row["NodeManagerAddress"], row["NodeManagerPort"])
            found[row["NodeID"]] = RayNode(row["NodeID"], offer, row["NodeID"] == here, address)
    return found


def refuses(node: RayNode, within_s: float) -> bool:
    """Whether nobody listens where the node's raylet did. Ray itself is sure of a death only after a while."""
    try:
        socket.create_connection(node.address, timeout=within_s).close()
    except ConnectionRefusedError:
        return True
    except OSError:  # no answer is no proof
        return False
    return False
