"""An owner's care for what it reads: whether its last life ended in order, and a note of each record it tries.

A start leaves a row that only a clean stop takes away. A start that finds one notes each record in a transaction of
its own before it is parsed (`core/care.py` decides), so that the next start knows what this one died of.
"""

from __future__ import annotations

from ..core.care import Care, sentence
from ..core.records.inbox import OwnerStart
from ..events.bus import Record
from ..store.reader import Picture
from ..store.schema import OFFSETS, STARTS, TRYING
from ..wire.rejection import Reason, Rejected
from .journal import Journal


class Careful:
    """Loaded with the owner's picture; `begin` before anything is read."""

    def __init__(self, owner: str, picture: Picture) -> None:
        self._owner = owner
        unclean = bool(picture.rows(STARTS.name, STARTS.c.owner == owner))
        notes = picture.rows(TRYING.name, TRYING.c.owner == owner)
        offsets = picture.rows(OFFSETS.name, OFFSETS.c.owner == owner)
        self._care = Care(owner, unclean=unclean, notes=notes, offsets=offsets)

    async def begin(self, journal: Journal, now_us: int) -> None:
        self._journal = journal
        await journal.commit({STARTS.name: {self._owner: OwnerStart(owner=self._owner, began_us=now_us)}}, [], [])

    async def end(self) -> None:
        """The stop is clean: the next start reads as ever."""
        await self._journal.commit({STARTS.name: {self._owner: None}}, [], [])

    @property
    def careful(self) -> bool:
        return self._care.careful

    async def attempt(self, record: Record) -> Rejected | None:
        """None once the record may be parsed; otherwise why it must not be."""
        note = self._care.attempt(record.topic, record.partition, record.offset)
        if note is None:
            return Rejected(Reason.CRASH_LOOP, sentence(self._owner))
        key = (self._owner, record.topic, record.partition)
        await self._journal.commit({TRYING.name: {key: note}}, [], [])
        return None

    def survived(self, count: int) -> None:
        self._care.survived(count)
