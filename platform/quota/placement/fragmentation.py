"""How much of a node's free GPU is of no use to what is typically asked for. Exact, in thousandths of a GPU.

Two measures for each typical kind of demand, weighted by how often it is asked:

    stranded   what the next one of the kind could not use: everything, where it does not fit, otherwise
               the devices with too little left (fragmentation as in "Beware of Fragmentation", ATC 2023)
    unused     what would be left if nothing but the kind came until CPUs, memory or devices ran out

The first looks one task ahead: it sees a node with 8 free GPUs and CPUs for one task as whole. The second
looks to the end: it sees the 7 GPUs that will stay idle, and what is left over on a device. A placement goes
where their sum grows least. STRANDED to UNUSED is 7 to 3, found on the openb trace (bench/openb.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .workload import Kind

WHOLE = 1000
STRANDED, UNUSED = 7, 3
RATE_BITS = 20  # rates are whole numbers of 2^-20
MEBI_BITS = 20


@dataclass(frozen=True, slots=True)
class Room:
    """What is free on a node: of each device in service, in thousandths."""

    cpus_milli: int
    memory_bytes: int
    devices: tuple[int, ...]


def fragmentation(room: Room, kinds: Sequence[Kind]) -> int:
    """The weighted sum over the kinds; the unit is that of the weights, so only differences mean anything."""
    return sum(kind.weight * (STRANDED * stranded(room, kind) + UNUSED * unused(room, kind)) for kind in kinds)


def stranded(room: Room, kind: Kind) -> int:
    enough = room.cpus_milli >= kind.cpus_milli and room.memory_bytes >= kind.memory_bytes
    if not enough or not copies(room, kind):
        return sum(room.devices)
    each = min(kind.gpus_milli, WHOLE)
    return sum(free for free in room.devices if free < each)


def unused(room: Room, kind: Kind) -> int:
    usable = copies(room, kind) * kind.gpus_milli
    if kind.cpus_milli:
        usable = min(usable, rate(kind.gpus_milli, kind.cpus_milli) * room.cpus_milli >> RATE_BITS)
    if mebis := kind.memory_bytes >> MEBI_BITS:
        usable = min(usable, rate(kind.gpus_milli, mebis) * (room.memory_bytes >> MEBI_BITS) >> RATE_BITS)
    return sum(room.devices) - usable


def copies(room: Room, kind: Kind) -> int:
    """How many of the kind the devices alone could hold."""
    if kind.gpus_milli < WHOLE:
        return sum(free // kind.gpus_milli for free in room.devices)
    return sum(free >= WHOLE for free in room.devices) * WHOLE // kind.gpus_milli


def rate(gpus_milli: int, need: int) -> int:
    """Thousandths of a GPU for each unit of what is needed, rounded down."""
    return (gpus_milli << RATE_BITS) // need
