"""TableWriter as a pure machine: which snapshots have been announced, and which commit keys are spent.

What the catalog holds comes in as facts, read by the shell. Every word is a compare-and-set on the announced
head: read before another announcement, it is stale, changes nothing, and the shell reads again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct

from ..wire.calls import Order
from ..wire.entries.events import CommandDone, CommandRefused
from ..wire.entries.tables import TableCommitted, TableReset
from ..wire.types import AnyBody, Said
from .inbox import DEFAULT_PROJECT, Arrived, Inbox, Ordered, TopicGap
from .inventory import CommitKey, TableHead, TableShare
from .ledger import Book, Groups, Ledger
from .records.inbox import Offset
from .storage import charged, levelled, moved
from .turn import Turn

OWNER: Final = "table_writer"
NOBODY: Final = "headwater"


class Author(Struct, frozen=True, kw_only=True):
    """Who appended under `key`."""

    key: str
    project: str
    principal: str


class SnapshotFact(Struct, frozen=True, kw_only=True):
    """One snapshot of a table, as its metadata tells it. `key` is empty where another engine made it."""

    id: int
    parent: int | None
    operation: str
    rows_added: int
    rows_deleted: int
    rows_total: int | None
    committed_us: int
    key: str = ""
    project: str = ""
    bytes_added: int = 0
    bytes_removed: int = 0


class Seen(Struct, frozen=True, kw_only=True):
    """What the catalog held of a table, looked at when its announced head was `announced`.

    `line` are the snapshots since then, oldest first; None where the head is no ancestor of `current` any more, and
    then `keyed` are those of the table's whole line that carry a key. Without a `metadata_location` the table is gone.
    """

    table: str
    announced: int | None
    current: int | None
    line: tuple[SnapshotFact, ...] | None
    metadata_location: str
    columns: tuple[tuple[str, str], ...]
    rows_total: int = 0
    bytes_total: int = 0
    keyed: tuple[SnapshotFact, ...] = ()
    author: Author | None = None


Event = Seen | Ordered | Arrived | TopicGap


class TableWriter:
    """Decides what is announced. Its answer to `Seen` is whether the head was still the one looked at."""

    def __init__(
        self,
        heads: Iterable[TableHead] = (),
        offsets: Iterable[Offset] = (),
        shares: Iterable[TableShare] = (),
    ) -> None:
        self.book = Book()
        self.mail = Inbox(self.book, OWNER)
        self.heads: Ledger[str, TableHead] = Ledger(self.book, "table_heads")
        self.keys: Ledger[tuple[str, str], CommitKey] = Ledger(self.book, "commit_keys")
        self.shares: Ledger[tuple[str, str], TableShare] = Ledger(self.book, "table_shares")
        self.shares_of: Groups[str, str] = Groups(self.book)
        for head in heads:
            self.heads.load(head.name, head)
        for share in shares:
            self.shares.load((share.table, share.project), share)
            self.shares_of.load(share.table, share.project)
        self.mail.load(offsets)

    def announced(self, table: str) -> int | None:
        head = self.heads.get(table)
        return head.snapshot_id if head else None

    def decide(self, event: Event, now_us: int) -> Turn:
        turn = Turn(now_us)
        _HANDLERS[type(event)](self, turn, event)
        return turn

    def set_aside(self, event: Event, now_us: int, error: Exception) -> Turn:
        return self.mail.undecided(event, now_us, error, who="The engine")

    def objected(self, event: Event, now_us: int, reason: str) -> Turn:
        """Never asked for: this machine sets no guards."""
        return self.set_aside(event, now_us, RuntimeError(reason))

    def settle(self) -> None:
        self.book.settle()
        for key in list(self.keys):
            self.keys.forget(key)
        self.mail.tidy()


def _seen(self: TableWriter, turn: Turn, seen: Seen) -> None:
    turn.answer = self.announced(seen.table) == seen.announced
    if not turn.answer:
        return
    if seen.line is None:
        _reset(self, turn, seen)
    elif seen.line:
        for fact in seen.line:
            _announce(self, turn, seen, fact)


def _announce(self: TableWriter, turn: Turn, seen: Seen, fact: SnapshotFact) -> None:
    before = self.heads.get(seen.table)
    total = fact.rows_total
    if total is None:  # a writer that does not count
        total = max(0, (before.rows_total if before else 0) + fact.rows_added - fact.rows_deleted)
    self.heads.put(seen.table, _head(turn, seen, fact.id, total))
    _spend(self, seen.table, fact)
    author = seen.author if seen.author is not None and seen.author.key == fact.key else None
    writer = fact.project or (author.project if author else "") or DEFAULT_PROJECT
    shares = _shares(self, seen.table)
    stored = _share_out(self, seen.table, charged(shares, writer, added=fact.bytes_added, removed=fact.bytes_removed))
    body = TableCommitted(
        table=seen.table,
        snapshot_id=fact.id,
        previous_snapshot_id=fact.parent,
        metadata_location=seen.metadata_location,
        operation=fact.operation,
        rows_added=fact.rows_added,
        rows_total=total,
        commit_key=fact.key,
        stored=stored,
    )
    _say(turn, body, seen.table, author)


def _spend(self: TableWriter, table: str, fact: SnapshotFact) -> None:
    if fact.key:
        row = CommitKey(
            table=table,
            key=fact.key,
            snapshot_id=fact.id,
            rows_added=fact.rows_added,
            committed_us=fact.committed_us,
        )
        self.keys.put((table, fact.key), row)


def _reset(self: TableWriter, turn: Turn, seen: Seen) -> None:
    """The line before the reset is announced no more, but the keys in it stay spent."""
    for fact in seen.keyed:
        _spend(self, seen.table, fact)
    if seen.metadata_location:
        self.heads.put(seen.table, _head(turn, seen, seen.current, seen.rows_total))
    else:
        self.heads.remove(seen.table)
    stored = _share_out(self, seen.table, levelled(_shares(self, seen.table), seen.bytes_total, DEFAULT_PROJECT))
    body = TableReset(
        table=seen.table,
        from_snapshot_id=seen.announced,
        to_snapshot_id=seen.current,
        metadata_location=seen.metadata_location,
        stored=stored,
    )
    _say(turn, body, seen.table, None)


def _shares(self: TableWriter, table: str) -> dict[str, int]:
    return {project: self.shares[table, project].size_bytes for project in self.shares_of.of(table)}


def _share_out(self: TableWriter, table: str, after: dict[str, int]) -> dict[str, int]:
    """By how much each project's part of the table has changed."""
    changed = moved(_shares(self, table), after)
    for project in changed:
        if after[project]:
            self.shares.put((table, project), TableShare(table=table, project=project, size_bytes=after[project]))
            self.shares_of.add(table, project)
        else:
            self.shares.remove((table, project))
            self.shares_of.discard(table, project)
    return changed


def _head(turn: Turn, seen: Seen, snapshot_id: int | None, rows_total: int) -> TableHead:
    return TableHead(
        name=seen.table,
        snapshot_id=snapshot_id,
        metadata_location=seen.metadata_location,
        rows_total=rows_total,
        columns=[list(column) for column in seen.columns],
        announced_us=turn.now_us,
    )


def _say(turn: Turn, body: AnyBody, table: str, author: Author | None) -> None:
    turn.said.append(
        Said(
            body=body,
            subject=table,
            project=(author.project if author else "") or DEFAULT_PROJECT,
            principal=author.principal if author else NOBODY,
            time_us=turn.now_us,
            causation=author.key if author else None,
        )
    )


def _ordered(self: TableWriter, turn: Turn, event: Ordered) -> None:
    self.mail.ordered(turn, event, _obey)


def _arrived(self: TableWriter, turn: Turn, record: Arrived) -> None:
    self.mail.command_record(turn, record, _obey)


def _halted(self: TableWriter, turn: Turn, gap: TopicGap) -> None:
    self.mail.halt(turn, gap)


def _obey(order: Order) -> CommandDone | CommandRefused:
    reason = f"Tables take no command {order.kind!r}. Append to one with POST /v1/tables/NAME/append"
    return CommandRefused(command=order.id, code="unknown_command", reason=reason)


_HANDLERS: dict[type, Callable[[TableWriter, Turn, Any], None]] = {
    Seen: _seen,
    Ordered: _ordered,
    Arrived: _arrived,
    TopicGap: _halted,
}
