"""The hub: hears the log from the Conductor, closes holes from the database, and wakes subscribers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import Unavailable
from ..store.queries import Queries
from ..store.scope import Scope
from ..wire.calls import Progress
from ..wire.types import TERMINAL, Entry
from .direct import Line, chunked
from .fanout import Follower, Gap, Subscription, wants
from .frames import EntryFrames
from .latest_progress import LatestProgress

RUNS_MAX = 10_000
UNKNOWN = "?"  # no flow has this name

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Seat:
    """A subscription and the bell that tells its stream of something new. While the stream is idle, what comes can go
    out by its line at once."""

    subscription: Subscription
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    line: Line | None = None
    is_idle: bool = False

    def sends(self, chunk: bytes, first: int, last: int) -> bool:
        """Whether the entries from position `first` to `last` went out by the line."""
        if self.line is None or not self.is_idle or self.bell.is_set() or first <= self.subscription.delivered:
            return False
        if not self.line.write(chunk):
            return False
        self.subscription.delivered = last
        return True


class RunName(NamedTuple):
    """What subscribers ask of a run. `flow` is empty where nobody has said it yet."""

    project: str = ""
    flow: str = ""


NOBODY = RunName()


class Hub:
    """Lives on one event loop; only `store_epoch` and `position` may be read from elsewhere."""

    def __init__(self, queries: Queries, *, buffer_max: int = 2_000) -> None:
        head = queries.head()
        self.store_epoch = head.store_epoch
        self.cuts = 0
        self.frames = EntryFrames(head.store_epoch)
        self._queries, self._buffer_max = queries, buffer_max
        self._follower = Follower(head.position)
        self._rooms: dict[Scope, set[Seat]] = {}
        self._filling: asyncio.Task[None] | None = None
        self._wanted = head.position
        self._runs: dict[str, RunName] = {}
        self.latest = LatestProgress()

    @property
    def position(self) -> int:
        return self._follower.position

    @property
    def subscribers(self) -> int:
        return sum(map(len, self._rooms.values()))

    @contextmanager
    def seat(self, scope: Scope, *, after: int | None) -> Iterator[Seat]:
        """A place in the audience from now on; `after` is the subscriber's cursor, None for only what is new."""
        joined = self.position
        seat = Seat(Subscription(scope, joined if after is None else after, joined, self._buffer_max))
        room = self._rooms.setdefault(scope, set())
        room.add(seat)
        try:
            yield seat
        finally:
            room.discard(seat)
            if not room and self._rooms.get(scope) is room:
                del self._rooms[scope]
            self.cuts += seat.subscription.is_cut

    def follow(self, after: int, upto: int, entries: Sequence[Entry]) -> None:
        """Word from the log: all its entries with after < position <= upto. Repeats change nothing."""
        heard = self._follower.accept(after, upto, entries)
        if isinstance(heard, Gap):
            self._close_gap(heard.upto)
            return
        named = [(entry, self._run_of(entry)) for entry in heard]
        for scope, room in list(self._rooms.items()):
            self._hand_out(scope, room, named)

    def progress(self, items: Sequence[Progress]) -> None:
        for item in items:
            self.latest.hear(item)
            run = self._runs.get(item.run_id, NOBODY)
            for scope, room in self._rooms.items():
                fits = scope.project in (None, run.project) and scope.flow in (None, run.flow) and not scope.types
                if item.run_id == scope.run_id or (scope.run_id is None and fits):
                    for seat in room:
                        seat.subscription.offer_progress(item)
                        seat.bell.set()

    async def tick(self) -> None:
        """Reads what was lost on the way, where something was."""
        head = await asyncio.to_thread(self._queries.head)
        if head.position > self.position:
            self._close_gap(head.position)
        if self._filling is not None:
            await asyncio.shield(self._filling)

    def _run_of(self, entry: Entry) -> RunName:
        self.latest.follow(entry)
        run = self._learn_run(entry)
        if not run.flow and any(scope.flow is not None for scope in self._rooms):
            run = self._asked(entry)
        return run

    def _hand_out(self, scope: Scope, room: set[Seat], named: Sequence[tuple[Entry, RunName]]) -> None:
        """What those in the room want, written out once for all who can be sent it at once."""
        if scope.flow is not None and any(run is NOBODY for _, run in named):
            for seat in room:
                seat.subscription.cut()  # it comes back, and reads what it wants from the database
                seat.bell.set()
            return
        wanted = [(entry, run.flow) for entry, run in named if wants(scope, entry, run.flow)]
        if not wanted:
            return
        chunk, first, last = b"", wanted[0][0].position, wanted[-1][0].position
        for seat in room:
            chunk = chunk or chunked(self.frames.of([entry for entry, _ in wanted]))
            if not seat.sends(chunk, first, last):
                for entry, flow in wanted:
                    seat.subscription.offer(entry, flow)
                seat.bell.set()

    def _learn_run(self, entry: Entry) -> RunName:
        """The project and the flow of the entry's run, as far as the log has told them."""
        if entry.run_id is None:
            return RunName(entry.project)
        known = self._runs.get(entry.run_id)
        if known is None or not known.flow:
            flow = str(getattr(entry.body, "flow", "")) if entry.type.startswith("run.") else ""
            known = RunName(entry.project, flow)
        if entry.type in TERMINAL:
            self._runs.pop(entry.run_id, None)
        elif entry.run_id in self._runs or len(self._runs) < RUNS_MAX:
            self._runs[entry.run_id] = known
        return known

    def _asked(self, entry: Entry) -> RunName:
        """The same from the database, of a run that began before this hub, or among too many; NOBODY where it does not
        answer."""
        try:
            flow = self._queries.run_flow(entry.run_id) if entry.run_id is not None else None
        except Unavailable:
            return NOBODY
        found = RunName(entry.project, flow or UNKNOWN)
        if entry.run_id in self._runs:
            self._runs[entry.run_id] = found
        return found

    def _close_gap(self, upto: int) -> None:
        self._wanted = max(self._wanted, upto)
        if self._filling is None:
            self._filling = asyncio.get_running_loop().create_task(self._fill())

    async def _fill(self) -> None:
        try:
            while self.position < self._wanted:
                after = self.position
                page = await asyncio.to_thread(self._queries.log, Scope(), after=after, upto=self._wanted)
                self.follow(after, page.through, page.entries)
        except Exception:
            log.exception("The log could not be read; the next tick tries again.")
        finally:
            self._filling = None
