"""What one decision leads to: words for the log, guards for the transaction, effects, an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..wire.types import Said


class GrantGuard(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold in the rows when a grant is committed: the Scheduler that proposed it still leads, the tree is
    the one it decided on, the step waits and so do `companions`, the devices are in service and free of any live lease.
    With `until_us` it is no later than that.
    """

    scheduler_epoch: int
    tree_version: int
    step_id: str
    devices: tuple[str, ...]
    milli: int
    companions: tuple[str, ...] = ()
    until_us: int | None = None


class ReclaimGuard(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold in the rows when an attempt is to make way: who proposed it still leads, the tree is the one it
    decided on, the attempt lives."""

    scheduler_epoch: int
    tree_version: int
    fence: int


Guard = GrantGuard | ReclaimGuard


@dataclass(slots=True)
class Turn:
    """Filled by the machine while it decides. `guards` are asked in their order, inside the transaction."""

    now_us: int
    said: list[Said] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    effects: list[Any] = field(default_factory=list)
    answer: Any = None
