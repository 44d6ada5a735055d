"""The log's one fan-out: in the Conductor's process, contiguous, in the order of positions.

Own commits enter as they land; where another owner has committed in between, the hub reads the
database. Each follower is pushed the entries of the types it asked for, with the stretch they cover.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..store.reader import Reader
from ..wire.types import Entry
from .follower import Follower

Push = Callable[[int, int, list[Entry]], None]

SCHEDULER_TYPES: Final = frozenset(
    {
        "step.waiting",
        "step.leased",
        "step.succeeded",
        "step.failed",
        "step.ended",
        "device.freed",
        "device.quarantined",
        "node.joined",
        "node.left",
        "node.drained",
        "quota.changed",
    }
)
GPU_POOL_TYPES: Final = frozenset({"step.leased", "step.succeeded", "step.failed", "quota.changed"})
REGISTRY_TYPES: Final = frozenset({"model.requested", "quota.changed"})
DEPLOYER_TYPES: Final = frozenset({"deployment.requested"})
CONDUCTOR_TYPES: Final = frozenset(
    {
        "run.succeeded",
        "run.failed",
        "run.cancelled",
        "run.needs_attention",
        "event.published",
        "flow.deployed",
        "model.registered",
        "model.refused",
        "table.committed",
        "table.reset",
        "node.left",
    }
)
FOLLOWERS: Final[dict[str, frozenset[str] | None]] = {
    "scheduler": SCHEDULER_TYPES,
    "gpu_pool": GPU_POOL_TYPES,
    "registry": REGISTRY_TYPES,
    "deployer": DEPLOYER_TYPES,
    "web": None,
}

FIRST: Final = {name: rank for rank, name in enumerate(("conductor", "scheduler", "gpu_pool"))}
"""Who is told before the others: those that a waiting step waits for."""


class Hub:
    """Pushes the log to its followers. `attach` may be called at any time; a newcomer catches up by itself."""

    def __init__(self, reader: Reader, cursor: int) -> None:
        self._followers: dict[str, tuple[frozenset[str] | None, Push, int]] = {}
        self._log = Follower(reader, cursor, self._fan_out)
        self._start = cursor

    @property
    def cursor(self) -> int:
        return self._log.cursor

    def attach(self, name: str, types: frozenset[str] | None, push: Push) -> None:
        """`types` None asks for everything. Nothing is pushed while there is nothing of interest."""
        self._followers[name] = (types, push, self._log.cursor)
        self._followers = dict(sorted(self._followers.items(), key=lambda item: FIRST.get(item[0], len(FIRST))))

    def detach(self, name: str) -> None:
        self._followers.pop(name, None)

    def committed(self, entries: list[Entry]) -> None:
        """Own entries, as they landed."""
        self._log.offer(entries[0].position - 1, entries[-1].position, entries)

    def notice(self, position: int) -> None:
        """Another owner has committed up to `position`."""
        if position > self._log.cursor:
            self._log.offer(position, position + 1, [])

    async def run(self) -> None:
        await self._log.run()

    def _fan_out(self, entries: list[Entry], upto: int) -> None:
        for name, (types, push, sent) in list(self._followers.items()):
            wanted = entries if types is None else [entry for entry in entries if entry.type in types]
            if wanted:
                self._followers[name] = (types, push, upto)
                push(sent, upto, wanted)
