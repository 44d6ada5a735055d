"""A run that goes on from one that ended badly: a new record, which takes what the other has finished."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from ....errors import did_you_mean
from ....wire.calls import Order
from ....wire.entries.events import CommandDone, CommandRefused
from ....wire.entries.runs import RunAccepted
from ....wire.ids import RANDOM_BYTES, digest_of, uuid7
from ...inbox import Ordered
from ...records.runs import Run, RunState
from ...turn import Turn
from ..state import Deployed, State
from ..steps.placing import place

RESUMABLE: Final = frozenset({RunState.FAILED, RunState.CANCELLED})


def resume_run(state: State, turn: Turn, order: Order, before: Run | None) -> CommandDone | CommandRefused:
    """A new run that reuses what the one before has finished; its code is the newest, or with `code: same` the same."""
    if before is None or before.state not in RESUMABLE:
        how = f"Run {before.id} is {before.state}" if before else "There is no such run"
        code = "conflict" if before else "not_found"
        return CommandRefused(command=order.id, code=code, reason=f"{how}; a failed or cancelled one can be resumed")
    newest = state.flows.get((before.project, before.flow))
    stays = newest is None or _data(order).get("code") == "same"
    return _go_on(state, turn, order, before, newest if newest is not None and not stays else before)


def retry_ended(state: State, turn: Turn, asked: Ordered, before: Run) -> CommandDone | CommandRefused:
    """The same for one step of a run that is over: of the same code, with that step done again, however it ended."""
    order, step = asked.order, str(_data(asked.order).get("step") or "")
    if step and step not in asked.steps:
        reason = f"Run {before.id} has called no step {step!r}. {did_you_mean(step, asked.steps)}"
        return CommandRefused(command=order.id, code="not_found", reason=reason)
    return _go_on(state, turn, order, before, before, redo=(step,) if step else ())


def _data(order: Order) -> dict[str, Any]:
    return order.data if isinstance(order.data, dict) else {}


def _go_on(
    state: State, turn: Turn, order: Order, before: Run, code: Run | Deployed, *, redo: tuple[str, ...] = ()
) -> CommandDone:
    key = digest_of("resume", before.id, str(_data(order).get("key") or f"{order.source}/{order.id}"))
    known = state.run_of_key.get(key)
    if known is not None:
        return CommandDone(command=order.id, result={"run_id": known})
    run = Run(
        id=uuid7(turn.now_us, hashlib.sha256(key.encode()).digest()[:RANDOM_BYTES]),
        project=before.project,
        flow=before.flow,
        code_version=code.code_version,
        trigger=f"resume:{before.id}",
        event_source=before.event_source,
        event_id=before.event_id,
        idempotency_key=key,
        principal=order.principal,
        parameters=before.parameters,
        labels=before.labels,
        resumed_from=before.id,
        redo=redo,
        root_id=before.root_id,
        depth=before.depth,
        created_us=turn.now_us,
    )
    body = RunAccepted(
        flow=run.flow, code_version=run.code_version, trigger=run.trigger, parameters=run.parameters, depth=run.depth
    )
    state.run_of_key.put(key, run.id)
    place(state, turn, state.say(turn, run, body))
    return CommandDone(command=order.id, result={"run_id": run.id})
