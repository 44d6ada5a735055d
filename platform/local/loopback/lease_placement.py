"""Ray Serve's controller places replicas that lease devices on the nodes of their leases.

Serve knows one kind of node for all replicas of a deployment; a lease names one node for one replica. So the request
for such a replica is given its node here: one on which the deployment has more seats than replicas. Where there is
none it waits. The seats are files (`NODE COUNT` a line) in the folder that HEADWATER_SEATS names.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PREFIX = "model:"


def seats_of(app_name: str) -> dict[str, int] | None:
    """By Ray node, of a deployment that leases devices; None for any other."""
    folder = os.environ.get("HEADWATER_SEATS")
    if not folder or not app_name.startswith(PREFIX):
        return None
    try:
        lines = Path(folder, app_name.removeprefix(PREFIX)).read_text().splitlines()
    except OSError:
        return None
    return {node: int(count) for node, _, count in (line.partition(" ") for line in lines)}


def free_node(seats: dict[str, int], taken: Sequence[str]) -> str | None:
    """A node with more seats than replicas; None where there is none."""
    return next((node for node in sorted(seats) if seats[node] > taken.count(node)), None)


def place_by_lease(scheduler: Any) -> None:
    """Patches the class."""
    schedule = scheduler._schedule_replica

    def on_its_node(self: Any, scheduling_request: Any, *rest: Any, **more: Any) -> bool:
        deployment = scheduling_request.replica_id.deployment_id
        seats = seats_of(deployment.app_name)
        if seats is not None:
            launching = [info.target_node_id for info in self._launching_replicas[deployment].values()]
            node = free_node(seats, [*launching, *self._running_replicas[deployment].values()])
            if node is None:
                return False
            scheduling_request.target_node_id = node
        placed: bool = schedule(self, scheduling_request, *rest, **more)
        return placed

    scheduler._schedule_replica = on_its_node
