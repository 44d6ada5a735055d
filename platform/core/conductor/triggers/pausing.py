"""Triggers are paused and go on by a person's word. What happens meanwhile starts nothing, and says so; what was
gathered before waits with it."""

from __future__ import annotations

from typing import Any

import msgspec

from ....errors import did_you_mean
from ....wire.calls import Order
from ....wire.entries.events import CommandDone, CommandRefused
from ...records.triggers import TriggerState
from ...turn import Turn
from ..state import State
from .gathering import goes_on


def pause(state: State, turn: Turn, order: Order, data: dict[str, Any]) -> CommandDone | CommandRefused:
    return _set(state, order, data, paused=order.principal or "somebody", since_us=turn.now_us)


def resume(state: State, turn: Turn, order: Order, data: dict[str, Any]) -> CommandDone | CommandRefused:
    done = _set(state, order, data, paused="", since_us=None)
    if isinstance(done, CommandDone):
        goes_on(state, turn, state.trigger_of[str(data["trigger"])])
    return done


def _set(
    state: State, order: Order, data: dict[str, Any], *, paused: str, since_us: int | None
) -> CommandDone | CommandRefused:
    trigger_id = str(data.get("trigger", ""))
    if trigger_id not in state.trigger_of:
        near = did_you_mean(trigger_id, state.trigger_of) or "Nothing is deployed yet"
        reason = f"There is no trigger {trigger_id!r}; its id is project/flow/name. {near}"
        return CommandRefused(command=order.id, code="not_found", reason=reason)
    known = state.trigger_states.get(trigger_id) or TriggerState(id=trigger_id)
    if bool(known.paused) != bool(paused):
        state.trigger_states.put(trigger_id, msgspec.structs.replace(known, paused=paused, paused_us=since_us))
    return CommandDone(command=order.id, result={"trigger": trigger_id, "state": "paused" if paused else "active"})
