"""A run that goes on from one that ended badly: a new record, which takes what the other has finished."""

from __future__ import annotations

import hashlib

from ....wire.calls import Order
from ....wire.ids import RANDOM_BYTES, digest_of, uuid7
from ....wire.types import CommandDone, CommandRefused, RunAccepted
from ...records import Run, RunState
from ...turn import Turn
from ..state import State
from ..steps.placing import place


def resume_run(state: State, turn: Turn, order: Order, before: Run | None) -> CommandDone | CommandRefused:
    """A new run that reuses what the one before has finished; its code is the newest, or with `code: same` the same."""
    if before is None or not before.state.ended or before.state is RunState.SUCCEEDED:
        how = f"Run {before.id} is {before.state}" if before else "There is no such run"
        code = "conflict" if before else "not_found"
        return CommandRefused(command=order.id, code=code, reason=f"{how}; a failed or cancelled one can be resumed")
    data = order.data if isinstance(order.data, dict) else {}
    key = digest_of("resume", before.id, str(data.get("key") or f"{order.source}/{order.id}"))
    newest = state.flows.get((before.project, before.flow))
    version = before.code_version if data.get("code") == "same" or newest is None else newest.code_version
    known = state.run_of_key.get(key)
    if known is not None:
        return CommandDone(command=order.id, result={"run_id": known})
    run = Run(
        id=uuid7(turn.now_us, hashlib.sha256(key.encode()).digest()[:RANDOM_BYTES]),
        project=before.project,
        flow=before.flow,
        code_version=version,
        trigger=f"resume:{before.id}",
        event_source=before.event_source,
        event_id=before.event_id,
        idempotency_key=key,
        principal=order.principal,
        parameters=before.parameters,
        resumed_from=before.id,
        root_id=before.root_id,
        depth=before.depth,
        created_us=turn.now_us,
    )
    body = RunAccepted(
        flow=run.flow, code_version=version, trigger=run.trigger, parameters=run.parameters, depth=run.depth
    )
    state.run_of_key.put(key, run.id)
    place(state, turn, state.say(turn, run, body))
    return CommandDone(command=order.id, result={"run_id": run.id})
