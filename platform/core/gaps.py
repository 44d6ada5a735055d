"""A partition whose next records are gone stands still, says so once, and goes on when a person says from where."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from ..wire.calls import Order
from ..wire.entries.events import CommandDone, CommandRefused, DataGap
from .ledger import Ledger
from .records.inbox import Offset
from .turn import Turn

RESUME: Final = "events.resume"

Offsets = Ledger[tuple[str, str, int], Offset]


class TopicGap(msgspec.Struct, frozen=True, kw_only=True):
    """Records that were to be read are not there; the partition stands still until a person decides."""

    topic: str
    topic_id: str
    partition: int
    wanted: int
    first: int
    reason: str


class SeekTo(msgspec.Struct, frozen=True):
    """An effect: ingest reads on from here; None is the earliest record that is kept."""

    topic: str
    partition: int
    offset: int | None


class Resume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data of `events.resume`. Without a partition all of the topic that stand still are meant, without an
    offset they go on at the earliest record that is kept: what lies between is given up."""

    topic: str
    partition: int | None = None
    offset: Annotated[int, msgspec.Meta(ge=0)] | None = None


def halt(offsets: Offsets, owner: str, gap: TopicGap) -> DataGap | None:
    """The partition stands still; what the log should say of it, None where it was said."""
    key = owner, gap.topic, gap.partition
    kept = offsets.get(key)
    if kept is not None and (kept.next, kept.halted) == (gap.wanted, gap.reason):
        return None
    topic_id = kept.topic_id if kept else gap.topic_id  # of the topic that the position belongs to
    offsets.put(
        key,
        Offset(
            owner=owner,
            topic=gap.topic,
            partition=gap.partition,
            next=gap.wanted,
            topic_id=topic_id,
            halted=gap.reason,
        ),
    )
    return DataGap(
        topic=gap.topic,
        partition=gap.partition,
        from_offset=gap.wanted,
        to_offset=gap.first,
        reason=gap.reason,
    )


def resume(offsets: Offsets, owner: str, turn: Turn, order: Order) -> CommandDone | CommandRefused:
    """The partitions go on. One that begins at the earliest record has no row until that record is taken."""
    try:
        asked = msgspec.convert(order.data, Resume)
    except msgspec.ValidationError as error:
        return CommandRefused(command=order.id, code="bad_command", reason=f"{RESUME} takes {_FIELDS}: {error}")
    still = [row for row in offsets.values() if row.owner == owner and row.halted and _is_meant(row, asked)]
    if not still:
        which = "no partition" if asked.partition is None else f"partition {asked.partition} is not one that"
        reason = f"Of {asked.topic} {which} stands still. `headwater events gaps` lists those that do"
        return CommandRefused(command=order.id, code="not_halted", reason=reason)
    for row in still:
        key = owner, row.topic, row.partition
        if asked.offset is None:
            offsets.remove(key)
        else:
            offsets.put(key, msgspec.structs.replace(row, next=asked.offset, topic_id="", halted=""))
        turn.effects.append(SeekTo(row.topic, row.partition, asked.offset))
    stood = [{"partition": row.partition, "stood_at": row.next, "reason": row.halted} for row in still]
    return CommandDone(command=order.id, result={"topic": asked.topic, "from": asked.offset, "resumed": stood})


def _is_meant(row: Offset, asked: Resume) -> bool:
    return row.topic == asked.topic and asked.partition in (None, row.partition)


_FIELDS: Final = "topic, partition, offset"
