"""The log's one fan-out: in the Conductor's process, contiguous, in the order of positions.

Own commits enter as they land; where another owner has committed in between, the hub reads the
database. Each follower is pushed the entries of the types it asked for, with the stretch they cover.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from ..core.decisions import DECISION_TYPES
from ..store.reader import Reader
from ..wire.entries.steps import StepFailed, StepLeased, StepStarted, StepSucceeded, StepWaiting
from ..wire.types import AnyBody, Entry
from .follower import Follower

Push = Callable[[int, int, list[Entry]], None]

SCHEDULER_TYPES: Final = frozenset(
    {
        "step.waiting",
        "step.leased",
        "step.checkpointed",
        "step.preempting",
        "step.succeeded",
        "step.failed",
        "step.ended",
        "step.place_left",
        "device.freed",
        "device.quarantined",
        "node.joined",
        "node.left",
        "node.drained",
        "quota.changed",
    }
)
GPU_POOL_TYPES: Final = frozenset({"step.succeeded", "step.failed", "quota.changed"})
REGISTRY_TYPES: Final = frozenset({"model.requested", "quota.changed"})
DEPLOYER_TYPES: Final = frozenset({"deployment.requested", "quota.reclaimed", "node.left"})
CONDUCTOR_TYPES: Final = frozenset(
    {
        "run.succeeded",
        "run.failed",
        "run.cancelled",
        "run.needs_attention",
        "event.published",
        "flow.deployed",
        "model.registered",
        "model.aliased",
        "model.refused",
        "table.committed",
        "table.reset",
        *DECISION_TYPES,
    }
)
FOLLOWERS: Final[dict[str, frozenset[str] | None]] = {
    "scheduler": SCHEDULER_TYPES,
    "gpu_pool": GPU_POOL_TYPES,
    "registry": REGISTRY_TYPES,
    "deployer": DEPLOYER_TYPES,
    "web": None,
}

AT_ONCE: Final = frozenset({"scheduler"})
"""Those that a waiting step waits for. The others hear right after them, at most once in a moment."""

LINGER_S = 0.002

PATIENCE_S: Final = 0.02
"""How long what concerns nobody who waits is kept back: a run that goes from step to step under one place."""


class Listener(NamedTuple):
    """`types` None asks for everything; `sent` is the position up to which it was told."""

    types: frozenset[str] | None
    push: Push
    sent: int
    at_once: bool


class Hub:
    """Pushes the log to its followers. `attach` may be called at any time; a newcomer catches up by itself."""

    def __init__(self, reader: Reader, cursor: int) -> None:
        self._followers: dict[str, Listener] = {}
        self._log = Follower(reader, cursor, self._fan_out)
        self._later: list[Entry] = []
        self._soon: list[Entry] = []
        self._upto = cursor
        self._told_s = 0.0  # by `time.monotonic`: those who only tell

    @property
    def cursor(self) -> int:
        return self._log.cursor

    def attach(self, name: str, types: frozenset[str] | None, push: Push, *, at_once: bool = True) -> None:
        """Nothing is pushed while there is nothing of interest. Who comes again goes on where it was."""
        known = self._followers.get(name)
        self._followers[name] = Listener(types, push, self._log.cursor if known is None else known.sent, at_once)

    def detach(self, name: str) -> None:
        self._followers.pop(name, None)

    def committed(self, entries: list[Entry]) -> None:
        """What an owner has just committed, or the last of it; where it does not continue the log, the rest is read."""
        self._log.offer(entries[0].position - 1, entries[-1].position, entries)

    async def catch_up(self) -> None:
        """Reads what others have committed by now and were not heard of."""
        await self._log.catch_up()

    async def run(self) -> None:
        await self._log.run()

    def _fan_out(self, entries: list[Entry], upto: int) -> None:
        waited, self._upto = bool(self._soon), upto
        self._soon += entries
        if _is_urgent(entries):
            self._tell_the_first()
        elif not waited:
            asyncio.get_running_loop().call_later(PATIENCE_S, self._tell_the_first)
        if all(follower.at_once for follower in self._followers.values()):
            return
        if not self._later:
            self._tell_the_others_soon()
        self._later += entries

    def _tell_the_others_soon(self) -> None:
        """After whatever this commit leads to; a moment later where they were told just now."""
        loop, wait_s = asyncio.get_running_loop(), self._told_s + LINGER_S - time.monotonic()
        if wait_s > 0:
            loop.call_later(wait_s, self._tell_the_others)
        else:
            loop.call_soon(self._tell_the_others)

    def _tell_the_first(self) -> None:
        entries, self._soon = self._soon, []
        if entries:
            first = [name for name, follower in self._followers.items() if follower.at_once]
            self._tell(first, entries, self._upto)

    def _tell_the_others(self) -> None:
        entries, self._later, self._told_s = self._later, [], time.monotonic()
        self._tell([name for name, follower in self._followers.items() if not follower.at_once], entries, self._upto)

    def _tell(self, names: list[str], entries: list[Entry], upto: int) -> None:
        for name in names:
            follower = self._followers[name]
            wanted = [entry for entry in entries if entry.position > follower.sent and _asked_for(follower, entry)]
            if wanted:
                self._followers[name] = follower._replace(sent=upto)
                follower.push(follower.sent, upto, wanted)


def _asked_for(follower: Listener, entry: Entry) -> bool:
    if follower.types is None:
        return True
    return entry.type in follower.types and not (follower.types is GPU_POOL_TYPES and _leaves_no_device(entry.body))


def _leaves_no_device(body: AnyBody) -> bool:
    return isinstance(body, StepSucceeded | StepFailed) and not body.devices


def _is_urgent(entries: list[Entry]) -> bool:
    """Whether anything in it may let somebody go, or make him wait."""
    leased = {entry.body.step_id for entry in entries if isinstance(entry.body, StepLeased) and entry.body.place}
    waited = {entry.body.step_id for entry in entries if isinstance(entry.body, StepWaiting)}
    return not all(_goes_on(entry.body, leased & waited) for entry in entries)


def _goes_on(body: AnyBody, together: set[str]) -> bool:
    """Of a step that waited and was leased in one transaction, or whose place stays with its run."""
    match body:
        case StepWaiting(step_id=step_id) | StepLeased(step_id=step_id):
            return step_id in together
        case StepStarted():
            return True
        case StepSucceeded(kept=kept):
            return kept
        case _:
            return False
