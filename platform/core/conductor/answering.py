"""Outcomes: recorded once, fed to the steps that wait for them, told to the host that executes the run."""

from __future__ import annotations

import msgspec

from ...wire import calls
from ...wire.types import Failure, RunCancelled, StepEnded, StepWaiting
from ..records import RunState, Step, StepState
from ..turn import Turn
from . import messages as m
from .state import State

replace = msgspec.structs.replace


def answer(state: State, turn: Turn, run_id: str, ordinal: int, outcome: calls.Outcome) -> None:
    """Records the outcome of a command, once, and passes it on."""
    row = state.commands.get((run_id, ordinal))
    if row is None or row.outcome is not None:
        return
    state.commands.put((run_id, ordinal), replace(row, outcome=outcome, ended_us=turn.now_us))
    _feed(state, turn, run_id, ordinal, outcome)
    deliver(state, turn, run_id, ordinal, outcome)


def deliver(state: State, turn: Turn, run_id: str, ordinal: int, outcome: calls.Outcome) -> None:
    run = state.runs.get(run_id)
    if run is not None and run.host is not None and run.state is RunState.RUNNING:
        word = calls.Answer(run_id=run_id, fence=run.host_fence, ordinal=ordinal, outcome=outcome)
        turn.effects.append(m.Deliver(run.host, word))


def _feed(state: State, turn: Turn, run_id: str, ordinal: int, outcome: calls.Outcome) -> None:
    """What waits for the command `ordinal` has one input more, or will never have it."""
    for step_id in state.fed_by.of((run_id, ordinal)):
        step = state.steps.get(step_id)
        if step is None or step.state is not StepState.BLOCKED:
            continue
        if outcome.failure is not None:
            skip(state, turn, step, outcome.failure)
            continue
        step = replace(step, missing=step.missing - 1)
        state.steps.put(step.id, step)
        if not step.missing:
            ask(state, turn, step)


def skip(state: State, turn: Turn, step: Step, failure: Failure) -> None:
    """A step fed by a failed one ends the same way, without an attempt."""
    state.steps.put(step.id, replace(step, state=StepState.SKIPPED, failure=failure, ended_us=turn.now_us))
    reason = f"an input failed: {failure.message}"
    state.say_of_run(turn, step.run_id, StepEnded(step_id=step.id, name=step.name, state="SKIPPED", reason=reason))
    answer(state, turn, step.run_id, step.ordinal, calls.Outcome(failure=failure))


def ask(state: State, turn: Turn, step: Step) -> None:
    """The step asks for its place. Coming back, it keeps its place in time."""
    since = step.waiting_us or turn.now_us
    waiting = replace(step, state=StepState.WAITING, waiting_us=since, held_code="", held_reason="")
    state.steps.put(step.id, waiting)
    body = StepWaiting(
        step_id=step.id,
        name=step.name,
        ordinal=step.ordinal,
        priority=step.priority,
        demand=step.demand,
        since_us=since,
        max_runtime_s=step.max_runtime_s,
    )
    state.say_of_run(turn, step.run_id, body)


def settle_cancel(state: State, turn: Turn, run_id: str) -> None:
    """A run that is being cancelled has ended once nothing of it lives."""
    run = state.runs.get(run_id)
    if run is None or run.state is not RunState.CANCELLING or state.live_of.count(run_id):
        return
    body = RunCancelled(flow=run.flow, duration_us=turn.now_us - run.created_us, reason=run.cancel_reason)
    state.say(turn, replace(run, state=RunState.CANCELLED, ended_us=turn.now_us), body)
