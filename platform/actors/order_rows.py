"""What the rows know about a command to the Conductor, looked up before it is decided."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from ..core.conductor.runs.ordering import call_key
from ..core.conductor.state import OWNER
from ..core.conductor.triggers.kept_events import replay_key
from ..core.conductor.triggers.letters import identity_of
from ..core.inbox import DEFAULT_PROJECT, Arrived, Ordered, order_of
from ..core.records.inbox import DeadLetter
from ..core.replays import REPLAYED_AT_ONCE
from ..errors import InvalidInput
from ..store.inbox import (
    Chosen,
    Kept,
    kept_events,
    known_inbox,
    letters_of,
    run_of,
    run_of_key,
    steps_named,
)
from ..store.reader import Reader
from ..wire.calls import Order
from ..wire.envelope import Event
from ..wire.topics import RUN_COMMANDS


async def asked_of(reader: Reader, order: Order) -> Ordered:
    """The command with its rows. Raises InvalidInput where it chooses events in no way that there is."""
    known = await known_inbox(reader, OWNER, [(order.source, order.id)])
    run = await asyncio.to_thread(run_of_key, reader, call_key(order))
    about = str(order.data.get("run_id", "")) if isinstance(order.data, dict) else ""
    ended = await asyncio.to_thread(run_of, reader, about) if about else None
    steps = await _steps_for(reader, order, about) if ended is not None else ()
    letters = await _letters_in(reader, order)
    taken = await known_inbox(reader, OWNER, list(map(identity_of, letters)))
    kept = await _kept_for(reader, order)
    return Ordered(
        order=order,
        known=known.get((order.source, order.id)),
        known_run=run,
        ended_as=ended.state if ended else "",
        ended=ended,
        steps=steps,
        letters=letters,
        taken=frozenset(taken),
        kept=tuple(kept.rows),
        kept_runs=kept.runs,
        kept_page=_page(kept),
    )


async def looked_up(reader: Reader, record: Arrived) -> Arrived:
    """A record of the command topic with what the rows know about its command; any other as it is."""
    if record.topic != RUN_COMMANDS.name or not isinstance(record.parsed, Event):
        return record
    order = order_of(record.parsed, record.principal, DEFAULT_PROJECT)
    try:
        asked = await asked_of(reader, order)
    except InvalidInput as error:
        asked = Ordered(order=order, refused=str(error))
    return msgspec.structs.replace(record, asked=asked)


async def _steps_for(reader: Reader, order: Order, run_id: str) -> tuple[str, ...]:
    """Asked only where the command names a step."""
    step = str(order.data.get("step") or "") if isinstance(order.data, dict) else ""
    return await asyncio.to_thread(steps_named, reader, run_id, step) if step and order.kind == "run.retry" else ()


async def _letters_in(reader: Reader, order: Order) -> tuple[DeadLetter, ...]:
    ids = order.data.get("ids") if isinstance(order.data, dict) and order.kind.startswith("letter.") else None
    if not isinstance(ids, list | tuple):
        return ()
    return tuple(await asyncio.to_thread(letters_of, reader, [str(each) for each in ids]))


async def _kept_for(reader: Reader, order: Order) -> Kept:
    """The page of events that the command replays."""
    data = order.data
    if order.kind != "event.replay" or not isinstance(data, dict):
        return Kept([], 0, {})
    try:
        chosen = msgspec.convert(data, Chosen)
    except msgspec.ValidationError as error:
        remedy = "Give ids, or type with since and until"
        raise InvalidInput(f"This chooses no events: {error}", remedy=remedy) from None
    return await asyncio.to_thread(kept_events, reader, chosen, lambda row: replay_key(data, row))


def _page(kept: Kept) -> dict[str, Any]:
    last = kept.rows[-1] if len(kept.rows) == REPLAYED_AT_ONCE else None
    return {"count": kept.count, "next": [last.received_us, last.source, last.id] if last else None}
