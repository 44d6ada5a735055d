"""Every event type that was seen or is listened for: who publishes it, which flows listen, an example."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from ..core.inbox import LOG as LOG_TOPIC
from ..wire.api.events import EventType
from ..wire.entries.events import EventPublished
from ..wire.manifest import TriggerSpec
from ..wire.topics import RUN_COMMANDS
from .engine import reached
from .schema import FLOWS, INBOX, LOG, LOG_HEAD

TYPES_MAX: Final = 1_000
PUBLISHERS_MAX: Final = 20
LOG_READ_MAX: Final = 50_000

_IS_EVENT: Final = (INBOX.c.owner == "conductor", INBOX.c.topic.not_in(["", LOG_TOPIC, RUN_COMMANDS.name]))


class _Triggers(msgspec.Struct):
    triggers: tuple[TriggerSpec, ...] = ()


def event_types(engine: sa.Engine) -> list[EventType]:
    """By type, at most 1,000; commands are not among them. Of what flows publish, the newest part of the log counts."""
    with reached(engine) as connection, connection.begin():
        found = {kind.type: kind for kind in _received(connection)}
        for kind in _published(connection):
            found[kind.type] = _merged(found.get(kind.type), kind)
        listeners = _listeners(connection)
    names = sorted(found.keys() | listeners.keys())[:TYPES_MAX]
    return [
        msgspec.structs.replace(found.get(name) or EventType(type=name), flows=listeners.get(name, ()))
        for name in names
    ]


def _received(connection: sa.Connection) -> list[EventType]:
    """What came in from outside, from the inbox."""
    counted = (
        sa.select(INBOX.c.type, sa.func.count().label("seen"), sa.func.max(INBOX.c.received_us).label("last_us"))
        .where(*_IS_EVENT)
        .group_by(INBOX.c.type)
        .limit(TYPES_MAX)
    )
    return [_of_inbox(connection, row) for row in connection.execute(counted).all()]


def _of_inbox(connection: sa.Connection, row: sa.Row[Any]) -> EventType:
    of_type = (*_IS_EVENT, INBOX.c.type == row.type)
    sources = sa.select(INBOX.c.source).distinct().where(*of_type).order_by(INBOX.c.source).limit(PUBLISHERS_MAX)
    newest = sa.select(INBOX.c.data).where(*of_type).order_by(INBOX.c.received_us.desc()).limit(1)
    example = connection.execute(newest).scalar()
    return EventType(
        type=row.type,
        publishers=tuple(connection.execute(sources).scalars()),
        seen=row.seen,
        last_seen_us=row.last_us,
        example=None if example is None else msgspec.json.decode(example),
    )


def _published(connection: sa.Connection) -> list[EventType]:
    """What flows published in the newest part of the log, oldest first."""
    head = connection.execute(sa.select(LOG_HEAD.c.position)).scalar_one()
    said = sa.select(LOG.c.project, LOG.c.time_us, LOG.c.body).where(
        LOG.c.position > head - LOG_READ_MAX, LOG.c.type == "event.published"
    )
    found = []
    for row in connection.execute(said.order_by(LOG.c.position)):
        body = msgspec.json.decode(row.body, type=EventPublished)
        about = {"type": body.event_type, "publishers": (f"headwater/{row.project}",), "example": body.data}
        found.append(EventType(**about, seen=1, last_seen_us=row.time_us))
    return found


def _merged(before: EventType | None, later: EventType) -> EventType:
    if before is None:
        return later
    publishers = tuple(sorted({*before.publishers, *later.publishers}))[:PUBLISHERS_MAX]
    is_newer = (later.last_seen_us or 0) >= (before.last_seen_us or 0)
    newest = later if is_newer else before
    return msgspec.structs.replace(newest, publishers=publishers, seen=before.seen + later.seen)


def _listeners(connection: sa.Connection) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for row in connection.execute(sa.select(FLOWS.c.project, FLOWS.c.name, FLOWS.c.manifest)):
        for trigger in msgspec.json.decode(row.manifest, type=_Triggers).triggers:
            if trigger.kind == "event":
                found.setdefault(trigger.subject, []).append(f"{row.project}/{row.name}")
    return {name: tuple(sorted(set(flows))) for name, flows in found.items()}
