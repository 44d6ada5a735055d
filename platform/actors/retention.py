"""What the Conductor lets go of by age, beside runs: dead letters, and results kept for other runs.

A dead letter that somebody replayed or discarded goes without a word. One that nobody has resolved goes much later, and
the log says of each that it went, in the transaction that takes it away. All letters are in one hand: the Conductor
resolves those of every owner, so that nobody resolves one while it goes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from ..config import Store
from ..core.inbox import DEFAULT_PROJECT
from ..core.records.inbox import DeadLetter
from ..errors import Unavailable
from ..store.aged import forget_cache, forget_resolved_letters, open_letters
from ..store.reader import Reader
from ..store.writer import Changes
from ..wire.entries.events import EventGivenUp
from ..wire.types import Entry, Said
from .journal import Journal
from .loop import wall_clock_us
from .oblivion import RETRY_S

LETTERS_AT_ONCE: Final = 500

log = logging.getLogger("headwater.conductor")


class Retention:
    """`published` is told what was said of letters that went."""

    def __init__(
        self, journal: Journal, reader: Reader, settings: Store, published: Callable[[list[Entry]], None]
    ) -> None:
        self._journal, self._reader, self._settings, self._published = journal, reader, settings, published

    async def run(self) -> None:
        """For ever, every `archive_every_s`."""
        while True:
            try:
                await self.look(wall_clock_us())
                await asyncio.sleep(self._settings.archive_every_s)
            except Unavailable as error:
                log.warning("Old dead letters could not be put away: %s", error)
                await asyncio.sleep(min(self._settings.archive_every_s, RETRY_S))

    async def look(self, now_us: int) -> None:
        """Takes away what is past its age by now."""
        keep = self._settings
        if keep.cache_keep_s:
            made_us = now_us - int(keep.cache_keep_s * 1e6)
            await self._journal.forget(lambda rows: forget_cache(rows, made_us))
        if keep.letters_keep_s:
            resolved_us = now_us - int(keep.letters_keep_s * 1e6)
            await self._journal.forget(lambda rows: forget_resolved_letters(rows, resolved_us))
        if keep.open_letters_keep_s:
            while await self._give_up(now_us - int(keep.open_letters_keep_s * 1e6), now_us):
                pass

    async def _give_up(self, before_us: int, now_us: int) -> int:
        """How many letters that nobody has resolved have gone."""
        letters: list[DeadLetter] = []

        def choose() -> tuple[Changes, list[Said]]:
            letters.extend(open_letters(self._reader, before_us, LETTERS_AT_ONCE))
            return {"dead_letters": {letter.id: None for letter in letters}}, [_said(one, now_us) for one in letters]

        entries = await self._journal.commit_chosen(choose)
        if letters:
            log.warning("%d dead letters that nobody has resolved were past store.open_letters_keep_s", len(letters))
        if entries:
            self._published(entries)
        return len(letters)


def _said(letter: DeadLetter, now_us: int) -> Said:
    body = EventGivenUp(
        dead_letter_id=letter.id,
        code=letter.code,
        reason=letter.reason,
        topic=letter.topic,
        received_us=letter.received_us,
        event_source=letter.event_source,
        event_id=letter.event_id,
        trigger=letter.trigger,
    )
    project = letter.project or DEFAULT_PROJECT
    return Said(body=body, subject=letter.id, project=project, principal="headwater", time_us=now_us)
