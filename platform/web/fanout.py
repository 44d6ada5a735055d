"""How one log reaches many subscribers without a gap or a repeat. Pure.

The `Follower` keeps how far the log was heard. Word from the log says what it covers, (after, upto]:
what continues the follower is taken, what it knows is dropped, and what leaves a hole is a `Gap`,
which the shell closes from the database by the same door.

A `Subscription` joins at a position of the follower. What lies between its own cursor and that
position is backfilled from the database, page by page; what comes after is offered live and waits in
a bounded buffer. A subscriber that does not keep up is cut, and resumes with its cursor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..store.scope import LogPage, Scope
from ..wire.calls import Progress
from ..wire.labels import carries
from ..wire.types import Entry


@dataclass(frozen=True, slots=True)
class Gap:
    """The positions after `after` up to `upto` were not heard."""

    after: int
    upto: int


@dataclass(slots=True)
class Follower:
    position: int

    def accept(self, after: int, upto: int, entries: Sequence[Entry]) -> list[Entry] | Gap:
        """The entries that are new, of word that covers (after, upto]; or the hole before it."""
        if after > self.position:
            return Gap(self.position, upto)
        fresh = [entry for entry in entries if entry.position > self.position]
        self.position = max(self.position, upto)
        return fresh


def wants(scope: Scope, entry: Entry, flow: str | None = None) -> bool:
    """Whether the entry is of that part of the log. `flow` is that of its run, which only a scope with a flow asks."""
    if scope.run_id is not None:
        return entry.run_id == scope.run_id
    fits = scope.project in (None, entry.project) and scope.flow in (None, flow)
    fits = fits and (not scope.labels or carries(entry.labels, scope.labels))
    return fits and (not scope.types or entry.type in scope.types)


@dataclass(slots=True)
class Subscription:
    """One subscriber. `delivered` is its cursor: everything of its scope up to there was handed out."""

    scope: Scope
    delivered: int
    joined: int
    buffer_max: int
    is_cut: bool = False
    _live: deque[Entry] = field(default_factory=deque)
    _progress: dict[str, Progress] = field(default_factory=dict)

    def wants(self, entry: Entry, flow: str | None = None) -> bool:
        """`flow` is that of the entry's run, which only a scope with a flow asks for."""
        return wants(self.scope, entry, flow)

    def offer(self, entry: Entry, flow: str | None = None) -> None:
        if self.is_cut or not self.wants(entry, flow):
            return
        if len(self._live) >= self.buffer_max:
            self.cut()
        else:
            self._live.append(entry)

    def cut(self) -> None:
        """Nothing more is handed out: the subscriber is to come back with its cursor."""
        self.is_cut = True
        self._live.clear()

    def offer_progress(self, progress: Progress) -> None:
        """The newest word of each step replaces the one before: progress is lossy."""
        if len(self._progress) < self.buffer_max or progress.step_id in self._progress:
            self._progress[progress.step_id] = progress

    def missing(self) -> tuple[int, int] | None:
        """What must be read from the database first, as (after, upto]; None once it has caught up."""
        return (self.delivered, self.joined) if self.delivered < self.joined else None

    def backfill(self, page: LogPage) -> list[Entry]:
        self.delivered = max(self.delivered, page.through)
        return page.entries

    def take(self) -> list[Entry]:
        """What came live since the last call, in order. Only once nothing is `missing`."""
        fresh = [entry for entry in self._live if entry.position > self.delivered]
        self._live.clear()
        if fresh:
            self.delivered = fresh[-1].position
        return fresh

    def take_progress(self) -> list[Progress]:
        newest = list(self._progress.values())
        self._progress.clear()
        return newest
