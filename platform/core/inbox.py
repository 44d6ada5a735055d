"""An owner's inbox: what comes in is taken once, in order, and every command gets exactly one answer.

The same code for every owner. A record of a topic advances its offset in the transaction that takes
it in; one that cannot be taken is a dead letter with its raw bytes. A command comes by its topic or
directly, in one envelope; asked again it gets the first answer, with another payload it is refused.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from ..wire.calls import Order
from ..wire.entries.events import CommandDone, CommandRefused, EventRejected
from ..wire.envelope import Event, Rejected
from ..wire.ids import RANDOM_BYTES, digest_of, uuid7
from ..wire.terms import JSON
from ..wire.types import Said
from .gaps import RESUME, SeekTo, TopicGap, halt, resume
from .ledger import Book, Ledger
from .records.inbox import DeadLetter, InboxRow, Offset
from .records.runs import Run
from .trigger import Happening
from .turn import Turn

Obey = Callable[[Order], CommandDone | CommandRefused]
Headers = Sequence[tuple[str, bytes | None]]
IN_MEMORY_MAX = 10_000
DEFAULT_PROJECT = "default"
LOG = "log"


class Ordered(Struct, frozen=True, kw_only=True):
    """A command. From the rows: `known`, its inbox row where it was taken before; `known_run`, the run of its
    idempotency key; `ended_as`, the state of the ended run that it is about, `ended` that run, and `steps` the names by
    which the command may call a step of it; `letters`, the dead letters that it names, and which of the events
    (source, id) in them were `taken` in; `kept`, the page of events that it replays, `kept_runs`, the runs that were
    started for them before, by key, and `kept_page`, how many there are of all and where the next page begins."""

    order: Order
    known: InboxRow | None = None
    known_run: str | None = None
    ended_as: str = ""
    ended: Run | None = None
    steps: tuple[str, ...] = ()
    letters: tuple[DeadLetter, ...] = ()
    taken: frozenset[tuple[str, str]] = frozenset()
    kept: tuple[InboxRow, ...] = ()
    kept_runs: dict[str, str] = {}
    kept_page: JSON = None
    refused: str = ""


class Arrived(Struct, frozen=True, kw_only=True):
    """A record of an inbound topic, parsed. `known` is the inbox row of the same (source, id), if there is one;
    `asked`, what the rows know about the command that it is."""

    topic: str
    topic_id: str
    partition: int
    offset: int
    previous: int | None
    parsed: Event | Rejected
    raw: bytes
    headers: Headers
    principal: str
    known: InboxRow | None = None
    asked: Ordered | None = None


class Inbox:
    """The ledgers of one owner's inbox, in the owner's book."""

    def __init__(self, book: Book, owner: str, *, default_project: str = DEFAULT_PROJECT) -> None:
        self.owner, self.default_project = owner, default_project
        self.complete = False  # whether every row of the store is in memory, so that nobody need look there
        self.rows: Ledger[tuple[str, str, str], InboxRow] = Ledger(book, "inbox")
        self.dead_letters: Ledger[str, DeadLetter] = Ledger(book, "dead_letters")
        self.offsets: Ledger[tuple[str, str, int], Offset] = Ledger(book, "offsets")

    def load(self, offsets: Iterable[Offset]) -> None:
        for offset in offsets:
            self.offsets.load((offset.owner, offset.topic, offset.partition), offset)

    def load_rows(self, rows: Iterable[InboxRow]) -> None:
        """All rows of the store, where they are few enough to be kept."""
        for row in rows:
            self.rows.load((row.owner, row.source, row.id), row)
        self.complete = True

    def next_of(self, topic: str, partition: int = 0) -> int | None:
        """The first of an ordered source that was not taken; None where nothing ever was."""
        offset = self.offsets.get((self.owner, topic, partition))
        return None if offset is None else offset.next

    def put_next(self, topic: str, next_: int, *, partition: int = 0, topic_id: str = "") -> None:
        offset = Offset(owner=self.owner, topic=topic, partition=partition, next=next_, topic_id=topic_id)
        self.offsets.put((self.owner, topic, partition), offset)

    def advance(self, turn: Turn, record: Arrived) -> bool:
        """Whether the record is the next of its partition; if it is, it counts as taken."""
        wanted = self.next_of(record.topic, record.partition)
        if wanted is not None and record.offset < wanted:
            turn.answer = "taken"
            return False
        if wanted is not None and (record.previous or 0) != wanted:
            turn.effects.append(SeekTo(record.topic, record.partition, wanted))
            turn.answer = "gap"
            return False
        self.put_next(record.topic, record.offset + 1, partition=record.partition, topic_id=record.topic_id)
        return True

    def seen(self, turn: Turn, record: Arrived, event: Event) -> bool:
        """Whether the event was taken before; one that conflicts with what was taken is buried."""
        known = self.rows.get((self.owner, event.source, event.id)) or record.known
        if known is None:
            return False
        if known.sha256 == event.sha256:
            again = msgspec.structs.replace(known, duplicates=known.duplicates + 1)
            self.rows.put((self.owner, event.source, event.id), again)
            turn.answer = "duplicate"
            return True
        reason = (
            f"Event {event.id!r} of source {event.source!r} came before with another payload. "
            "Give each event an id of its own"
        )
        self.bury(turn, record, code="id_conflict", reason=reason)
        return True

    def take_event(self, turn: Turn, record: Arrived, event: Event, outcome: JSON) -> None:
        """The row of an event that was taken in, with what became of it."""
        row = InboxRow(
            owner=self.owner,
            source=event.source,
            id=event.id,
            sha256=event.sha256,
            type=event.type,
            project=event.project or self.default_project,
            principal=record.principal,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            received_us=turn.now_us,
            data=None if isinstance(event.data, bytes) else event.data,
            outcome=outcome,
        )
        self.rows.put((self.owner, event.source, event.id), row)
        turn.answer = "taken in"

    def take_own(self, turn: Turn, happening: Happening, principal: str, project: str, outcome: JSON) -> None:
        """The row of something that the platform itself said, with what it started."""
        digest = digest_of(happening.subject, msgspec.json.encode(happening.data).decode())
        row = InboxRow(
            owner=self.owner,
            source=happening.source,
            id=happening.id,
            sha256=digest,
            type=happening.subject,
            project=project,
            principal=principal,
            topic=LOG,
            received_us=turn.now_us,
            data=happening.data,
            outcome=outcome,
        )
        self.rows.put((self.owner, happening.source, happening.id), row)

    def command_record(self, turn: Turn, record: Arrived, obey: Obey) -> None:
        """A record of a command topic: obeyed as if it had come directly."""
        if not self.advance(turn, record):
            return
        if isinstance(record.parsed, Rejected):
            self.bury(turn, record, code=str(record.parsed.reason), reason=record.parsed.sentence)
        elif not self.seen(turn, record, record.parsed):
            order = order_of(record.parsed, record.principal, self.default_project)
            self.ordered(turn, record.asked or Ordered(order=order), obey)

    def ordered(self, turn: Turn, event: Ordered, obey: Obey) -> None:
        """The command's one answer, as the turn's answer and as an entry with the command as its cause."""
        order = event.order
        known = self.rows.get((self.owner, order.source, order.id)) or event.known
        if known is not None:
            turn.answer = _repeated(known, order)
            return
        result = resume(self.offsets, self.owner, turn, order) if order.kind == RESUME else obey(order)
        turn.answer = _answer_in(result)
        self.rows.put((self.owner, order.source, order.id), self._row_of(order, turn))
        turn.said.append(
            Said(
                body=result,
                subject=order.id,
                project=order.project,
                principal=order.principal,
                time_us=turn.now_us,
                causation=f"{order.source}/{order.id}",
            )
        )

    def _row_of(self, order: Order, turn: Turn) -> InboxRow:
        return InboxRow(
            owner=self.owner,
            source=order.source,
            id=order.id,
            sha256=order.sha256,
            type=order.kind,
            project=order.project,
            principal=order.principal,
            received_us=turn.now_us,
            data=order.data,
            outcome=turn.answer,
        )

    def bury(self, turn: Turn, record: Arrived, *, code: str, reason: str) -> DeadLetter:
        """A dead letter for a record, with its raw bytes, in the transaction that advances the offset."""
        event = record.parsed if isinstance(record.parsed, Event) else None
        letter = DeadLetter(
            id=letter_id(turn, record.topic, str(record.partition), str(record.offset)),
            owner=self.owner,
            code=code,
            reason=reason,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            event_source=event.source if event else "",
            event_id=event.id if event else "",
            event_type=event.type if event else "",
            project=(event.project if event else None) or self.default_project,
            principal=record.principal,
            raw=record.raw,
            headers=headers_as_json(record.headers),
            received_us=turn.now_us,
        )
        return self.lay_down(turn, letter)

    def lay_down(self, turn: Turn, letter: DeadLetter) -> DeadLetter:
        self.dead_letters.put(letter.id, letter)
        body = EventRejected(
            dead_letter_id=letter.id,
            code=letter.code,
            reason=letter.reason,
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            event_id=letter.event_id,
            trigger=letter.trigger,
        )
        turn.said.append(
            Said(
                body=body,
                subject=letter.id,
                project=letter.project,
                principal=letter.principal,
                time_us=turn.now_us,
            )
        )
        turn.answer = "dead letter"
        return letter

    def set_aside(self, turn: Turn, record: Arrived, reason: str) -> None:
        """A record whose decision raised: it counts as taken and lies with the dead letters."""
        self.put_next(record.topic, record.offset + 1, partition=record.partition, topic_id=record.topic_id)
        self.bury(turn, record, code="engine_error", reason=reason)

    def undecided(self, event: object, now_us: int, error: Exception, *, who: str) -> Turn:
        """The turn of a decision that raised: a record lies with the dead letters, whoever asked gets the error."""
        turn = Turn(now_us)
        if isinstance(event, Arrived):
            self.set_aside(turn, event, f"{who} could not decide this: {type(error).__name__}: {error}")
        else:
            turn.answer = error
        return turn

    def halt(self, turn: Turn, gap: TopicGap) -> None:
        """The partition stands still, and the log says why."""
        body = halt(self.offsets, self.owner, gap)
        if body is None:
            return
        turn.said.append(
            Said(
                body=body,
                subject=gap.topic,
                project=self.default_project,
                principal="headwater",
                time_us=turn.now_us,
            )
        )

    def tidy(self) -> None:
        """Drops old rows from memory; the newest stay, so that a burst of duplicates needs no look at the store."""
        for letter in list(self.dead_letters):
            self.dead_letters.forget(letter)
        if len(self.rows) > 2 * IN_MEMORY_MAX:
            self.complete = False
            for key in list(self.rows)[:IN_MEMORY_MAX]:
                self.rows.forget(key)


def order_of(event: Event, principal: str, default_project: str) -> Order:
    """The command that an event on a command topic is: its type is the kind."""
    return Order(
        source=event.source,
        id=event.id,
        kind=event.type,
        principal=principal,
        project=event.project or default_project,
        data=None if isinstance(event.data, bytes) else event.data,
        sha256=event.sha256,
    )


def letter_id(turn: Turn, *facts: str) -> str:
    return uuid7(turn.now_us, hashlib.sha256("\0".join(facts).encode()).digest()[:RANDOM_BYTES])


def headers_as_json(headers: Headers) -> list[list[str | None]]:
    """Headers as (name, base64) pairs, for a dead letter's row."""
    return [[name, None if value is None else base64.b64encode(value).decode()] for name, value in headers]


def _answer_in(result: CommandDone | CommandRefused) -> dict[str, Any]:
    if isinstance(result, CommandDone):
        return {"done": result.result}
    return {"refused": {"code": result.code, "reason": result.reason}}


def _repeated(known: InboxRow, order: Order) -> dict[str, Any]:
    if known.sha256 == order.sha256 and isinstance(known.outcome, dict):
        return known.outcome
    reason = f"Command {order.id!r} of {order.source!r} came before with another payload; give it an id of its own"
    return {"refused": {"code": "id_conflict", "reason": reason}}


__all__ = ["Arrived", "Inbox", "Ordered", "SeekTo", "TopicGap", "headers_as_json", "letter_id", "order_of"]
