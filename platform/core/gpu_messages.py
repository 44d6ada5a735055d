"""What the GpuPool is told (past tense) and what it has done (imperative)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from ..wire.entries.nodes import Device
from .attempt_mark import mark_of
from .device_health import DeviceHealth
from .inbox import Arrived, Ordered, TopicGap
from .records.leases import Lease

WHOLE: Final = 1000
LOGICAL: Final = "logical"  # the model of a device that stands for no real one, unless its node declares another


class NodeReport(Struct, frozen=True, kw_only=True):
    """What a NodeAgent says of its node."""

    node: str
    ray_node: str
    cpus_milli: int
    memory_bytes: int
    devices: tuple[Device, ...] = ()
    labels: dict[str, str] = {}
    health: tuple[DeviceHealth, ...] = ()


def is_logical(node: str, device: str) -> bool:
    """Whether the device stands for no real one: a real one is named by its NVML id."""
    return device.startswith(f"{node}/")


class Reported(Struct, frozen=True):
    report: NodeReport


class NodeGone(Struct, frozen=True):
    """`was_told`: that it goes, or went while nobody looked, says nothing of how it holds up."""

    node: str
    reason: str
    was_told: bool = False


class Part(Struct, frozen=True):
    """Devices of an attempt on one node, and the worker that had them; empty where it has said that it left nothing."""

    node: str
    worker: str
    devices: tuple[str, ...]


class Released(Struct, frozen=True):
    """An attempt that has ended, with its leases as the rows have them. `worker` is None where none was ever bound;
    of a gang there is a part for each rank that had one."""

    fence: int
    worker: str | None
    seen_empty: bool
    leases: tuple[Lease, ...]
    parts: tuple[Part, ...] = ()


class Examined(Struct, frozen=True):
    """The NodeAgent's last word: whether nothing of the attempt is left, or why that is not known. A later one may say
    that what put its devices into quarantine has gone.
    """

    fence: int
    empty: bool
    why: str = ""


class Examine(Struct, frozen=True):
    """Effect: look, for as long as is reasonable, until nothing of the attempt is left; answered by `Examined`.

    The devices of its parts are those that it had for itself; `mark` is what its processes have in their environment.
    """

    fence: int
    parts: tuple[Part, ...]
    mark: str = ""


def examine(parts: Sequence[Part], leases: Sequence[Lease]) -> Examine:
    """The look for what the workers of one attempt and their children may have left behind."""
    one, whole = leases[0], {lease.device for lease in leases if lease.milli >= WHOLE}
    alone = (Part(part.node, part.worker, tuple(each for each in part.devices if each in whole)) for part in parts)
    return Examine(one.fence, tuple(alone), mark_of(one.step_id, one.fence))


def parts_of(event: Released, kept: Sequence[Lease]) -> tuple[Part, ...]:
    """Where the attempt was: its ranks, or its one worker."""
    if event.parts or event.worker is None:
        return event.parts
    return (Part(kept[0].node, event.worker, tuple(lease.device for lease in kept)),)


Event = Reported | NodeGone | Released | Examined | Ordered | Arrived | TopicGap
