"""How an owner reads after a start that followed no clean stop: one record at a time, each noted before it is parsed.

    died in health ──► careful: trying(record, 2) ──► died ──► trying(record, 3) ──► died ──► set aside
                          └─ its advance makes the note void; after 1,000 records all is well again

A record that is found tried three times has killed three starts: it goes to the dead letters as `crash_loop`, and its
partition moves on. The crash in health counts as a first try of what is read next, so there are three restarts.
Within one start a record is noted once, however often a database that is away makes it come again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .records.inbox import Offset, Trying

TRIES_MAX: Final = 3
HEALTHY_AFTER: Final = 1_000

Place = tuple[str, int]


class Care:
    """The notes of one owner in one start. `left` counts the records that are still to be read with care."""

    def __init__(self, owner: str, *, unclean: bool, notes: Iterable[Trying], offsets: Iterable[Offset]) -> None:
        nexts = {(offset.topic, offset.partition): offset.next for offset in offsets}
        found = {(note.topic, note.partition): note for note in notes}
        self._owner = owner
        self._found = {place: note for place, note in found.items() if note.offset >= nexts.get(place, 0)}
        self._tried: dict[Place, Trying] = {}
        self._in_health = 0 if self._found else 1
        self.left = HEALTHY_AFTER if unclean else 0

    @property
    def careful(self) -> bool:
        return self.left > 0

    def attempt(self, topic: str, partition: int, offset: int) -> Trying | None:
        """The note to write before the record is parsed; None for one that was tried too often."""
        place = (topic, partition)
        tried = self._tried.get(place)
        if tried is not None and tried.offset == offset:
            return tried
        found = self._found.get(place)
        count = found.count if found is not None and found.offset == offset else self._in_health
        if count >= TRIES_MAX:
            return None
        note = Trying(owner=self._owner, topic=topic, partition=partition, offset=offset, count=count + 1)
        self._tried[place] = note
        return note

    def survived(self, count: int) -> None:
        """So many records were taken in."""
        self.left = max(0, self.left - count)


def sentence(owner: str) -> str:
    """Why the record lies with the dead letters."""
    return (
        f"The {owner} died {TRIES_MAX} times while it was reading this record. "
        "Mend what sends it; replay it only where the cause is mended"
    )
