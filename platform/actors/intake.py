"""What the Conductor reads from outside: our topics and those of others, and the sources that packages bring."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from ..config import Events
from ..core.conductor.state import OWNER
from ..core.inbox import Inbox
from ..core.trigger_kind import GROUP, TriggerKind, problem_of
from ..events.bus import Bus
from ..events.ingest import CODED, Caution, Ingest, Owner
from ..events.schemas import schemas_of
from ..events.sources import PREFIX, opened
from ..extensions import installed, unusable
from ..wire import topics
from ..wire.foreign import formats_of
from .owner import start_of


def added_kinds() -> tuple[TriggerKind, ...]:
    """The trigger kinds that packages bring; raises HeadwaterError where they cannot be used together."""
    found: tuple[TriggerKind, ...] = installed(GROUP, TriggerKind, "trigger kind")
    if problem := problem_of(found):
        raise unusable(GROUP, problem)
    return found


class Intake:
    """Each source apart, so that one that is away holds up no other."""

    def __init__(self, bus: Bus, owner: Owner, mail: Inbox, settings: Events, caution: Caution) -> None:
        formats = formats_of(settings.foreign_topics)
        decoder = schemas_of(settings.schema_registry) if CODED & set(formats.values()) else None
        names = (topics.EVENTS.name, topics.RUN_COMMANDS.name, *formats)
        source = bus.source(start_of(OWNER, names, mail.offsets.values()))
        self._of_topics = Ingest(source, owner, formats=formats, decoder=decoder, caution=caution)
        placed = {row.topic: row.next for row in mail.offsets.values() if row.topic.startswith(PREFIX)}
        self._added = {
            f"{PREFIX}{written}": Ingest(each, owner, caution=caution)
            for written, each in zip(settings.sources, opened(settings.sources, placed), strict=True)
        }

    def seek(self, topic: str, partition: int, offset: int | None) -> None:
        """Before the next batch of that topic, go to `offset`; None: to the earliest there is."""
        self._added.get(topic, self._of_topics).seek(topic, partition, offset)

    def runs(self) -> list[Coroutine[Any, Any, None]]:
        """To be awaited side by side, for ever."""
        return [self._of_topics.run(), *(each.run() for each in self._added.values())]
