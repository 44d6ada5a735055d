"""Pins: what a run sees of a table or a model, decided at first use, the same ever after.

A run that resumes another sees what that one saw: what it reuses and what it does anew fit together.
"""

from __future__ import annotations

import msgspec

from ....wire import calls
from ....wire.terms import Failure
from ...records.runs import Pin
from ...turn import Turn
from .. import messages as m
from ..state import State


def pinned(state: State, turn: Turn, event: m.Pinned) -> None:
    """What the run sees of a table or model: decided at first use, the same ever after."""
    key = (event.run_id, event.kind, event.name)
    pin = state.pins.get(key)
    if event.run_id not in state.runs:
        turn.answer = Failure(kind="cancelled", message=f"Run {event.run_id} is over; it pins nothing more")
        return
    if pin is None:
        found = _found(state, event)
        if isinstance(found, str) and event.before is None:
            turn.answer = Failure(kind="not_found", message=found)
            return
        pin = Pin(
            run_id=event.run_id,
            kind=event.kind,
            name=event.name,
            body=event.before or msgspec.to_builtins(found),
            pinned_us=turn.now_us,
        )
        state.pins.put(key, pin)
        state.pins_of.add(event.run_id, key)
    turn.answer = msgspec.convert(pin.body, calls.PinnedTable if event.kind == "table" else calls.PinnedModel)


def _found(state: State, event: m.Pinned) -> calls.PinnedTable | calls.PinnedModel | str:
    """What the name means now; in words, where it means nothing."""
    if event.meant is not None:
        return event.meant
    known = state.tables if event.kind == "table" else state.models
    named = f"known are {', '.join(sorted(known)[:10]) or 'none'}"
    return known.get(event.name) or f"No {event.kind} is named {event.name!r}; {named}"
