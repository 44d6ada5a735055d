"""A node, its devices and a rank's seat on it, as the inventory keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Struct

from ..messages import NodeSpec

Holder = str | int
WHOLE = 1000


class Seat(Struct, frozen=True):
    """One rank's place: the node, its devices, and how much of each."""

    node: str
    devices: tuple[str, ...]
    milli: int
    cpus_milli: int
    memory_bytes: int


@dataclass(slots=True)
class Device:
    """`room`: what may be given of it now; WHOLE only where nobody holds any of it."""

    id: str
    node: str
    total: int
    free: int
    quarantined: bool = False
    holders: dict[Holder, int] = field(default_factory=dict)
    room: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._look()

    def give(self, holder: Holder, milli: int) -> int:
        """So much more (or less) to the holder. By how many the whole devices of its node changed: -1, 0 or 1."""
        held = self.holders.get(holder, 0) + milli
        if held:
            self.holders[holder] = held
        else:
            self.holders.pop(holder, None)
        self.free -= milli
        return self._look()

    def suspect(self, quarantined: bool) -> int:
        """In quarantine, or out of it. Gives back what `give` does."""
        self.quarantined = quarantined
        return self._look()

    def _look(self) -> int:
        before, most = self.room, WHOLE - 1 if self.holders else WHOLE
        free = self.free if self.free < most else most
        self.room = 0 if self.quarantined or free < 0 else free
        return (self.room == WHOLE) - (before == WHOLE)


@dataclass(slots=True)
class Node:
    """`whole_free`: how many devices may be given whole; whoever changes a device adds what that says."""

    spec: NodeSpec
    devices: dict[str, Device]
    cpus_free: int
    memory_free: int
    in_service: bool = True
    left: bool = False
    whole_free: int = field(init=False)

    def __post_init__(self) -> None:
        self.whole_free = sum(device.room == WHOLE for device in self.devices.values())
