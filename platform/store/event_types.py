"""Every event type that was seen or is listened for: who publishes it, which flows listen, an example."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from ..wire import api
from ..wire.manifest import TriggerSpec
from ..wire.topics import RUN_COMMANDS
from .schema import FLOWS, INBOX

TYPES_MAX: Final = 1_000
PUBLISHERS_MAX: Final = 20

_IS_EVENT: Final = (INBOX.c.owner == "conductor", INBOX.c.topic.not_in(["", RUN_COMMANDS.name]))


class _Triggers(msgspec.Struct):
    triggers: tuple[TriggerSpec, ...] = ()


def event_types(engine: sa.Engine) -> list[api.EventType]:
    """By type, at most 1,000; commands are not among them."""
    with engine.connect() as connection, connection.begin():
        listeners = _listeners(connection)
        seen = {row.type: row for row in connection.execute(_SEEN.limit(TYPES_MAX))}
        return [
            _event_type(connection, name, seen.get(name), listeners.get(name, ()))
            for name in sorted(seen.keys() | listeners.keys())
        ]


_SEEN: Final = (
    sa.select(INBOX.c.type, sa.func.count().label("seen"), sa.func.max(INBOX.c.received_us).label("last_seen_us"))
    .where(*_IS_EVENT)
    .group_by(INBOX.c.type)
    .order_by(INBOX.c.type)
)


def _listeners(connection: sa.Connection) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for row in connection.execute(sa.select(FLOWS.c.project, FLOWS.c.name, FLOWS.c.manifest)):
        for trigger in msgspec.json.decode(row.manifest, type=_Triggers).triggers:
            if trigger.kind == "event":
                found.setdefault(trigger.subject, []).append(f"{row.project}/{row.name}")
    return {name: tuple(sorted(set(flows))) for name, flows in found.items()}


def _event_type(
    connection: sa.Connection, name: str, seen: sa.Row[Any] | None, flows: tuple[str, ...]
) -> api.EventType:
    if seen is None:
        return api.EventType(type=name, flows=flows)
    of_type = (*_IS_EVENT, INBOX.c.type == name)
    sources = sa.select(INBOX.c.source).distinct().where(*of_type).order_by(INBOX.c.source).limit(PUBLISHERS_MAX)
    newest = sa.select(INBOX.c.data).where(*of_type).order_by(INBOX.c.received_us.desc()).limit(1)
    example = connection.execute(newest).scalar()
    return api.EventType(
        type=name,
        publishers=tuple(connection.execute(sources).scalars()),
        flows=flows,
        seen=seen.seen,
        last_seen_us=seen.last_seen_us,
        example=None if example is None else msgspec.json.decode(example),
    )
