"""Runs inside runs: a flow called in a flow is a run of its own, of its parent's code version."""

from __future__ import annotations

import hashlib

import msgspec

from ....wire import calls
from ....wire.entries.runs import RunAccepted
from ....wire.ids import RANDOM_BYTES, digest_of, uuid7
from ....wire.terms import Failure
from ...records.runs import CommandRow, Run, RunState
from ...turn import Turn
from ..state import State
from ..steps.placing import place
from .answering import answer

replace = msgspec.structs.replace


def start_child(
    state: State, turn: Turn, parent: Run, row: CommandRow, call: calls.RunCall, resumed_from: str | None = None
) -> None:
    """`resumed_from` is the run that this call was answered by in the run that `parent` resumes."""
    refusal = _refusal(state, parent, call)
    if refusal is not None:
        answer(state, turn, parent.id, row.ordinal, calls.Outcome(failure=replace(refusal, step=call.flow)))
        return
    child = replace(_child_of(turn, parent, row, call), resumed_from=resumed_from, redo=parent.redo)
    body = RunAccepted(
        flow=child.flow,
        code_version=child.code_version,
        trigger=child.trigger,
        parameters=child.parameters,
        parent_id=parent.id,
        depth=child.depth,
    )
    state.run_of_key.put(child.idempotency_key, child.id)
    state.children_of.add(parent.id, child.id)
    place(state, turn, state.say(turn, child, body))


def _refusal(state: State, parent: Run, call: calls.RunCall) -> Failure | None:
    if (parent.code_version, call.project, call.flow) not in state.functions:
        message = f"Flow {call.project}/{call.flow} is not in the code that this run executes"
        return Failure(kind="not_found", message=message)
    if parent.depth + 1 >= state.limits.depth_max:
        message = f"Flows call flows {parent.depth + 1} deep; {state.limits.depth_max} is the bound"
        return Failure(kind="loop_detected", message=message)
    if state.children_of.count(parent.id) >= state.limits.sub_runs_max:
        message = f"{state.limits.sub_runs_max} runs inside this run go on at once; wait for some of them"
        return Failure(kind="refused", message=message)
    return None


def key_of_child(parent_id: str, ordinal: int) -> str:
    """The idempotency key of the run that a command of a run calls."""
    return digest_of("run", parent_id, str(ordinal))


def _child_of(turn: Turn, parent: Run, row: CommandRow, call: calls.RunCall) -> Run:
    key = key_of_child(parent.id, row.ordinal)
    return Run(
        id=uuid7(turn.now_us, hashlib.sha256(key.encode()).digest()[:RANDOM_BYTES]),
        project=call.project,
        flow=call.flow,
        code_version=parent.code_version,
        state=RunState.PENDING,
        trigger=f"run:{parent.id}",
        idempotency_key=key,
        principal=parent.principal,
        parameters=call.parameters,
        labels=parent.labels,
        parent_id=parent.id,
        parent_ordinal=row.ordinal,
        root_id=parent.root_id,
        depth=parent.depth + 1,
        created_us=turn.now_us,
    )
