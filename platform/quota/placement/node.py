"""A node, its devices and a rank's seat on it, as the inventory keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..messages import NodeSpec

Holder = str | int
WHOLE = 1000


@dataclass(frozen=True, slots=True)
class Seat:
    """One rank's place: the node, its devices, and how much of each."""

    node: str
    devices: tuple[str, ...]
    milli: int
    cpus_milli: int
    memory_bytes: int


@dataclass(slots=True)
class Device:
    id: str
    node: str
    total: int
    free: int
    quarantined: bool = False
    holders: dict[Holder, int] = field(default_factory=dict)


@dataclass(slots=True)
class Node:
    spec: NodeSpec
    devices: dict[str, Device]
    cpus_free: int
    memory_free: int
    whole_free: int = 0
    in_service: bool = True
    left: bool = False
