"""Outcomes: recorded once, fed to the steps that wait for them, told to the host that executes the run."""

from __future__ import annotations

import msgspec

from ....wire import calls
from ....wire.entries.runs import RunCancelled
from ....wire.entries.steps import StepEnded, StepWaiting
from ....wire.terms import Failure
from ...records.runs import CommandRow, Run, RunState
from ...records.steps import Step, StepState
from ...turn import Turn
from .. import messages as m
from ..state import CHOICE, State
from ..steps.placing import place
from ..steps.together import queue
from .caching import look_up
from .choosing import ended

replace = msgspec.structs.replace


def answer(state: State, turn: Turn, run_id: str, ordinal: int, outcome: calls.Outcome) -> None:
    """Records the outcome of a command, once, and passes it on."""
    row = state.commands.get((run_id, ordinal))
    if row is None or row.outcome is not None:
        return
    number = (state.answered_of.get(run_id) or 0) + 1
    state.answered_of.put(run_id, number)
    row = replace(row, outcome=outcome, answered=number, ended_us=turn.now_us)
    state.commands.put((run_id, ordinal), row)
    deliver(state, turn, row)
    _feed(state, turn, run_id, ordinal, outcome)
    for watcher in state.watched_by.of((run_id, ordinal)):
        if watcher == CHOICE:
            if (asking := ended(state, run_id, ordinal)) is not None:
                answer(state, turn, run_id, asking, value(ordinal))
        else:
            forget_watch(state, state.commands[run_id, watcher])
            answer(state, turn, run_id, watcher, value(False))


def value(content: object) -> calls.Outcome:
    """An outcome that is this value, as JSON."""
    raw = msgspec.json.encode(content)
    return calls.Outcome(payload=calls.Payload(codec="json", inline=raw, size_bytes=len(raw)))


def deliver(state: State, turn: Turn, row: CommandRow) -> None:
    """Tells the host of the run what the command led to; a run that was parked for it goes to a host again."""
    run = state.runs.get(row.run_id)
    if run is None or run.state is not RunState.RUNNING or row.outcome is None:
        return
    if run.host is not None:
        word = calls.Answer(
            run_id=run.id, fence=run.host_fence, ordinal=row.ordinal, outcome=row.outcome, answered=row.answered
        )
        turn.effects.append(m.Deliver(run.host, word))
    elif row.ordinal in run.parked and not state.homeless.has(run.code_version, run.id):
        place(state, turn, run)


def forget_watch(state: State, row: CommandRow) -> None:
    """The time that a command was given to end in has no meaning any more."""
    if isinstance(row.command.call, calls.DeadlineCall):
        state.watched_by.discard((row.run_id, row.command.call.of), row.ordinal)
    state.drop_timer(row.run_id, f"{row.run_id}/{row.ordinal}")


def forget_wait(state: State, row: CommandRow) -> None:
    """The run waits for this event no more."""
    if isinstance(row.command.call, calls.WaitCall):
        state.waits.discard(row.command.call.event_type, (row.run_id, row.ordinal))
        state.drop_timer(row.run_id, f"{row.run_id}/{row.ordinal}")


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
        if not step.missing and not look_up(state, turn, step):
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
    queue(state, waiting)
    body = StepWaiting(
        step_id=step.id,
        name=step.name,
        ordinal=step.ordinal,
        priority=step.priority,
        demand=step.demand,
        since_us=since,
        max_runtime_s=step.max_runtime_s,
        once=step.effect == "once",
        min_runtime_s=step.min_runtime_s,
        ranks_min=step.ranks_min,
        evictions=step.evictions,
        flow=state.runs[step.run_id].flow,
        tier=step.tier,
    )
    state.say_of_run(turn, step.run_id, body)


def settle_cancel(state: State, turn: Turn, run_id: str) -> None:
    """A run that is being cancelled has ended once nothing of it lives, runs inside it included."""
    run = state.runs.get(run_id)
    if run is None or run.state is not RunState.CANCELLING:
        return
    if state.live_of.count(run_id) or state.children_of.count(run_id):
        return
    body = RunCancelled(
        flow=run.flow,
        duration_us=turn.now_us - run.created_us,
        reason=run.cancel_reason,
        depth=run.depth,
        root_id=run.root_id,
    )
    state.say(turn, replace(run, state=RunState.CANCELLED, ended_us=turn.now_us), body)
    failure = Failure(kind="cancelled", message=f"Run {run.id} of {run.flow} was cancelled", step=run.flow)
    tell_parent(state, turn, run, calls.Outcome(failure=failure))


def tell_parent(state: State, turn: Turn, run: Run, outcome: calls.Outcome) -> None:
    """A run inside a run has ended: its outcome is that of the command that called it."""
    if run.parent_id is None or run.parent_ordinal is None:
        return
    state.children_of.discard(run.parent_id, run.id)
    answer(state, turn, run.parent_id, run.parent_ordinal, outcome)
    settle_cancel(state, turn, run.parent_id)
