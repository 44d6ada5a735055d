"""The Registry's shell: commands of code and deployments, requests for models from the log, word of the Deployer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

import ray

from ..core.records.inbox import Offset
from ..core.registry import messages as m
from ..core.registry.machine import Registry
from ..core.registry.state import OWNER, Replicas, Rows, State
from ..store.reader import PAGE_MAX, Picture
from ..store.schema import QUOTA_TREES
from ..store.writer import CommitFailed
from ..wire import topics
from ..wire.entries.models import ModelRequested
from ..wire.entries.quota import QuotaChanged
from ..wire.types import Entry
from .loop import Machine
from .owner import OwnerActor

AGAIN_S: Final = 1.0

log = logging.getLogger("headwater.registry")


class RegistryActor(OwnerActor):
    """See the module. It reads the log from the machine's own cursor, so that no request goes unanswered."""

    owner = OWNER
    command_topic: str | None = topics.MODEL_COMMANDS.name

    def load(self, picture: Picture, offsets: list[Offset]) -> Machine:
        serving = self.wiring.settings.serve
        self.state = State(replicas=Replicas(serving.min_replicas, serving.max_replicas))
        newest = QUOTA_TREES.select().with_only_columns(QUOTA_TREES.c.version).order_by(QUOTA_TREES.c.version.desc())
        trees = picture.rows("quota_trees", QUOTA_TREES.c.version == picture.scalar(newest.limit(1)))
        self.state.load(
            Rows(
                flows=picture.rows("flows"),
                versions=picture.rows("model_versions"),
                aliases=picture.rows("model_aliases"),
                deployments=picture.rows("deployments"),
                offsets=offsets,
                tree=trees[0].tree if trees else None,
            )
        )
        self._heard_upto = self.state.cursor
        return Registry(self.state)

    def _load(self) -> tuple[Machine, int]:
        machine, _ = super()._load()
        return machine, self.state.cursor

    async def started(self) -> None:
        """What was asked for while this owner was away, before commands are taken in."""
        await self.follower.catch_up()

    def heard(self, entries: list[Entry], upto: int) -> None:
        after, self._heard_upto = self._heard_upto, upto
        self.spawn(self._tell(stretches(after, entries, upto)))

    def carry_out(self, effect: Any) -> None:
        if isinstance(effect, m.Reread):
            self.spawn(self._reread())

    @ray.method
    async def deployment_ready(self, name: str, version: int, url: str, duration_us: int) -> bool:
        """Whether that version is still wanted. Idempotent."""
        wanted: bool = await self.loop.ask(m.BecameReady(name, version, url, duration_us))
        return wanted

    @ray.method
    async def deployment_failed(self, name: str, version: int, reason: str) -> bool:
        """Whether that version is still wanted. Idempotent."""
        wanted: bool = await self.loop.ask(m.BecameFailed(name, version, reason))
        return wanted

    @ray.method
    async def serving_began(self) -> None:
        """Nothing answers until it is told again. Idempotent."""
        await self.begun()
        await self.loop.ask(m.ServingBegan())

    async def _tell(self, heard: Sequence[m.Followed]) -> None:
        """A stretch whose commit failed is read again: the machine has not moved past it."""
        try:
            await asyncio.gather(*(self.loop.ask(each) for each in heard))
        except CommitFailed as error:
            log.warning("Requests for models wait: %s", error)
            await asyncio.sleep(AGAIN_S)
            self.spawn(self._reread())

    async def _reread(self) -> None:
        before = -1
        while before < (after := self.state.cursor) < self.follower.cursor:
            upto = min(self.follower.cursor, after + PAGE_MAX)
            entries = await asyncio.to_thread(self.reader.entries, after, upto=upto)
            await self._tell(stretches(after, entries, upto))
            before = after


def stretches(after: int, entries: Sequence[Entry], upto: int) -> list[m.Followed]:
    """The log from `after` to `upto`, cut behind each entry that concerns the Registry."""
    cut: list[m.Followed] = []
    for entry in entries:
        if isinstance(entry.body, ModelRequested | QuotaChanged) and entry.position > after:
            cut.append(m.Followed(after, entry.position, entry))
            after = entry.position
    return [*cut, m.Followed(after, upto)] if upto > after else cut
