"""What the API answers about events, those that could not be taken in included."""

from __future__ import annotations

from ..terms import JSON
from .answer import Answer


class Accepted(Answer, frozen=True):
    """Events that are durable in the broker, in the order sent."""

    ids: tuple[str, ...]


class EventType(Answer, frozen=True):
    """An event type seen or listened for. `flows` are `project/flow`; `example` is the data of the last one."""

    type: str
    publishers: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    seen: int = 0
    last_seen_us: int | None = None
    example: JSON = None


class GapView(Answer, frozen=True):
    """A partition that stands still: its records from `stands_at` on are not there, or of another topic."""

    owner: str
    topic: str
    partition: int
    stands_at: int
    reason: str


class DeadLetterSummary(Answer, frozen=True):
    id: str
    code: str
    reason: str
    topic: str
    partition: int
    offset: int
    event_type: str
    event_id: str
    trigger: str
    project: str
    received_us: int


class DeadLetterDetail(Answer, frozen=True):
    """`raw` is what came, as base64 in JSON; `headers` are (name, base64) pairs."""

    id: str
    code: str
    reason: str
    topic: str
    partition: int
    offset: int
    event_source: str
    event_type: str
    event_id: str
    trigger: str
    project: str
    principal: str
    received_us: int
    raw: bytes
    headers: JSON
