"""What is said of what comes in (commands, dead letters, gaps), by whoever owns the inbox; and of events that flows
publish.
"""

from __future__ import annotations

from ..terms import JSON, Body


class EventPublished(Body, frozen=True, tag="event.published"):
    """An event that a flow publishes; relayed to `headwater.published`."""

    event_id: str
    event_type: str
    data: JSON
    depth: int = 0
    root_id: str = ""


class TriggerExpired(Body, frozen=True, tag="trigger.expired"):
    """Events that were gathered for one run, and became none."""

    trigger: str
    gathering_id: str
    key: str
    reason: str
    events: tuple[str, ...] = ()


class CommandDone(Body, frozen=True, tag="command.done"):
    command: str
    result: JSON = None


class CommandRefused(Body, frozen=True, tag="command.refused"):
    command: str
    code: str
    reason: str


class EventRejected(Body, frozen=True, tag="event.rejected"):
    """A dead letter was written; the raw bytes are in its row."""

    dead_letter_id: str
    code: str
    reason: str
    topic: str
    partition: int = -1
    offset: int = -1
    event_id: str = ""
    trigger: str = ""


class EventGivenUp(Body, frozen=True, tag="event.given_up"):
    """A dead letter that nobody has resolved is past its age and leaves the database; its bytes go with it."""

    dead_letter_id: str
    code: str
    reason: str
    topic: str
    received_us: int
    event_source: str = ""
    event_id: str = ""
    trigger: str = ""


class DataGap(Body, frozen=True, tag="data.gap"):
    topic: str
    partition: int
    from_offset: int
    to_offset: int
    reason: str
