"""A run begins: accepted once for its key, and on its way to a host or to its turn."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from ....wire.entries.runs import RunAccepted
from ....wire.ids import RANDOM_BYTES, digest_of, uuid7
from ...records.runs import Run
from ...trigger import Trigger
from ...turn import Turn
from ..state import State
from ..triggers.limiting import admit


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is started with. `event` is (source, id) of what caused it; `key` the trigger's;
    `labels` go before those of the flow."""

    flow: tuple[str, str]
    parameters: dict[str, Any]
    idempotency_key: str
    principal: str
    trigger: Trigger | None = None
    key: str = ""
    event: tuple[str, str] = ("", "")
    depth: int = 0
    root_id: str = ""
    labels: dict[str, str] = {}


def new_run(state: State, turn: Turn, start: Start) -> Run:
    """The run, accepted, and placed where nothing holds it back."""
    run = _run_of(state, turn, start)
    body = RunAccepted(
        flow=run.flow,
        code_version=run.code_version,
        trigger=run.trigger or "call",
        parameters=run.parameters,
        event_source=run.event_source,
        event_id=run.event_id,
        depth=run.depth,
        root_id=run.root_id,
    )
    state.run_of_key.put(run.idempotency_key, run.id)
    admit(state, turn, state.say(turn, run, body))
    return state.runs[run.id]


def _run_of(state: State, turn: Turn, start: Start) -> Run:
    seed = hashlib.sha256(start.idempotency_key.encode()).digest()[:RANDOM_BYTES]
    run_id, trigger = uuid7(turn.now_us, seed), start.trigger
    limited = trigger is not None and trigger.spec.concurrency is not None
    flow = state.flows[start.flow]
    return Run(
        id=run_id,
        project=start.flow[0],
        flow=start.flow[1],
        code_version=flow.code_version,
        trigger=trigger.id if trigger else "",
        event_source=start.event[0],
        event_id=start.event[1],
        idempotency_key=start.idempotency_key,
        principal=start.principal,
        parameters=start.parameters,
        labels=flow.spec.labels | start.labels,
        slot=digest_of(trigger.id, start.key) if trigger and limited else "",
        priority=trigger.spec.priority if trigger else 0,
        root_id=start.root_id or run_id,
        depth=start.depth,
        created_us=turn.now_us,
    )
