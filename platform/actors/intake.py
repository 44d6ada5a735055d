"""What the Conductor reads from outside: our topics and those of others, and the sources that packages bring."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Coroutine, Sequence
from typing import Any

from ..config import Events
from ..core.conductor.state import OWNER
from ..core.inbox import Inbox
from ..core.replays import replays_in
from ..core.trigger_kind import GROUP, TriggerKind, problem_of
from ..events.bus import Bus, Gap
from ..events.ingest import CODED, Caution, Decoder, Ingest, Owner, Parsed
from ..events.pace import Pace
from ..events.schemas import schemas_of
from ..events.sources import PREFIX, opened
from ..extensions import installed, unusable
from ..wire import topics
from ..wire.calls import Order
from ..wire.envelope import Event
from ..wire.foreign import formats_of
from .owner import start_of


def added_kinds() -> tuple[TriggerKind, ...]:
    """The trigger kinds that packages bring; raises HeadwaterError where they cannot be used together."""
    found: tuple[TriggerKind, ...] = installed(GROUP, TriggerKind, "trigger kind")
    if problem := problem_of(found):
        raise unusable(GROUP, problem)
    return found


class Intake:
    """Each source apart, so that one that waits holds up no other: a topic whose records need a schema registry, the
    commands, of which those that replay keep a pace, and what packages bring."""

    def __init__(self, bus: Bus, owner: Owner, mail: Inbox, settings: Events, caution: Caution) -> None:
        self._formats = formats_of(settings.foreign_topics)
        self._bus, self._mail, self._caution = bus, mail, caution
        self._replays = Pace(settings.replays_per_s)
        coded = [name for name, form in self._formats.items() if form in CODED]
        plain = [topics.EVENTS.name, *(name for name in self._formats if name not in coded)]
        self._of_topics = self._ingest(plain, owner)
        self._apart = {name: self._ingest([name], owner, schemas_of(settings.schema_registry)) for name in coded}
        self._apart[topics.RUN_COMMANDS.name] = self._ingest([topics.RUN_COMMANDS.name], Paced(owner, self._replays))
        placed = {row.topic: row.next for row in mail.offsets.values() if row.topic.startswith(PREFIX)}
        for written, each in zip(settings.sources, opened(settings.sources, placed), strict=True):
            self._apart[f"{PREFIX}{written}"] = Ingest(each, owner, caution=caution)

    def _ingest(self, names: Sequence[str], owner: Owner, decoder: Decoder | None = None) -> Ingest:
        source = self._bus.source(start_of(OWNER, tuple(names), list(self._mail.offsets.values())))
        return Ingest(source, owner, formats=self._formats, decoder=decoder, caution=self._caution)

    def count(self, order: Order) -> None:
        """A command that came directly, and has waited where it came in: those of the topic wait for it."""
        if many := replays_in(order.kind, order.data):
            self._replays.wait_s(many, at_most_s=math.inf)

    def seek(self, topic: str, partition: int, offset: int | None) -> None:
        """Before the next batch of that topic, go to `offset`; None: to the earliest there is."""
        self._apart.get(topic, self._of_topics).seek(topic, partition, offset)

    def runs(self) -> list[Coroutine[Any, Any, None]]:
        """To be awaited side by side, for ever."""
        return [self._of_topics.run(), *(each.run() for each in self._apart.values())]


class Paced:
    """The owner of a topic of commands, of which those that replay wait for their turn."""

    def __init__(self, owner: Owner, pace: Pace) -> None:
        self._owner, self._pace = owner, pace

    async def take(self, records: list[Parsed]) -> None:
        for count, some in itertools.groupby(records, _replays_of):
            for stretch in [[one] for one in some] if count else [list(some)]:
                if count:
                    await asyncio.sleep(self._pace.wait_s(count, at_most_s=math.inf))
                await self._owner.take(stretch)

    async def gap(self, gap: Gap, topic_id: str) -> None:
        await self._owner.gap(gap, topic_id)

    def room(self) -> int:
        return self._owner.room()


def _replays_of(parsed: Parsed) -> int:
    return replays_in(parsed.said.type, parsed.said.data) if isinstance(parsed.said, Event) else 0
