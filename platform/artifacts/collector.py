"""Carries out a collection: lists, asks what is needed, asks again, removes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..core.collection import Kept, Needs, collectable, named_in, needed
from ..errors import NotFound
from .files import Files
from .frames import MAGIC, unframed

PICKLE: Final = b"\x80"
JSON_OBJECT: Final = b"{"


@dataclass(frozen=True, slots=True)
class Collector:
    """`references` gives what rows need now, those of runs that ended before a time left out."""

    files: Files
    references: Callable[[int], Needs]
    keep_us: int
    grace_us: int

    def free(self, now_us: int) -> list[Kept]:
        """What a collection would take."""
        return self._free(now_us)[0]

    def collect(self, now_us: int) -> list[Kept]:
        """What is gone now."""
        free, before_us = self._free(now_us)
        wanted = self._needed(self._needs(now_us)) if free else set()
        self.files.remove_drafts(before_us=now_us - self.grace_us)
        return [
            each for each in free if each.digest not in wanted and self.files.remove(each.digest, before_us=before_us)
        ]

    def _free(self, now_us: int) -> tuple[list[Kept], int]:
        """With the time since which nothing that was written may go."""
        there, needs = list(self.files.there()), self._needs(now_us)
        before_us = min(now_us - self.grace_us, needs.at_work_since_us or now_us)
        return collectable(there, self._needed(needs), before_us=before_us), before_us

    def _needs(self, now_us: int) -> Needs:
        return self.references(now_us - self.keep_us)

    def _needed(self, needs: Needs) -> set[str]:
        return needed(needs.digests, self._names)

    def _names(self, digest: str) -> set[str]:
        """What an artifact names: the files of a tree, and what a pickle refers to. Other kinds name nothing."""
        try:
            content = self.files.mapped(digest)
        except NotFound:
            return set()
        if bytes(content[: len(MAGIC)]) == MAGIC:
            return named_in(unframed(content)[0])
        return named_in(content) if bytes(content[:1]) in (PICKLE, JSON_OBJECT) else set()
