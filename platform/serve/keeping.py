"""The flow that keeps devices for the replicas of deployments: where its code is, and what its step does.

One run of it stands for each replica that leases devices, so that a replica's place has what every step has: quota, a
tier, a reason why it waits, checkpoint and grace where it is to make way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..sdk import current
from .seat import KeptSeat

MODULE: Final = "headwater_serving.py"
FLOW: Final = "headwater-serving"
CODE: Final = Path(__file__).with_name(f"{MODULE}.txt")  # with the places of its name and its project


def code_for(project: str) -> str:
    return CODE.read_text().format(flow=FLOW, project=project)


def keep_seat(folder: str) -> None:
    """Holds the lease of one replica until it is to make way, and ends when the replica has ended."""
    import ray

    here = current()
    seat = KeptSeat(Path(folder), here.fence, ray.get_runtime_context().get_node_id())
    try:
        seat.keep(lambda: here.preempting)
    finally:
        seat.leave()
    here.checkpoint(None)  # ends here, and waits for another place
