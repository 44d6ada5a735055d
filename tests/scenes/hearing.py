"""Listening to the log from before something is done until its answer is there."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from headwater.sdk import Client
from headwater.wire.entries.runs import RunAccepted
from headwater.wire.terms import Body
from headwater.wire.types import TERMINAL, Entry

B = TypeVar("B", bound=Body)


class Ear:
    """Hears what is said after it was made, or after the cursor `since`, in order."""

    def __init__(self, hw: Client, project: str | None = None, *, since: str | None = None) -> None:
        self._entries: Generator[Entry, None, None] = hw.watch(project, since=since)

    def next(self, kind: type[B], wanted: Callable[[B], bool] = lambda _: True) -> tuple[Entry, B]:
        """The next entry whose body is of this kind and wanted; all before it is heard and gone."""
        for entry in self._entries:
            if isinstance(entry.body, kind) and wanted(entry.body):
                return entry, entry.body
        raise AssertionError("a watch of a project does not end")

    def run_of(self, event_id: str) -> str:
        """The id of the next run that the event started."""
        entry, _ = self.next(RunAccepted, lambda body: body.event_id == event_id)
        assert entry.run_id is not None
        return entry.run_id

    def to_the_end_of(self, run_id: str) -> Entry:
        for entry in self._entries:
            if entry.run_id == run_id and entry.type in TERMINAL:
                return entry
        raise AssertionError("a watch of a project does not end")
