"""The life of a run: placed on a host, its commands taken down, its end.

    PENDING ──placed──► RUNNING ──function ended──► SUCCEEDED | FAILED
       └────────┬──────────┘
             cancel ──► CANCELLING ──nothing of it lives──► CANCELLED

A run belongs to one host fence. Word under another comes from a host that was given up.
"""

from __future__ import annotations

import msgspec

from ....wire import calls
from ....wire.entries.runs import RunCancelling, RunFailed, RunSucceeded
from ....wire.terms import Failure
from ...records.runs import Run, RunState
from ...turn import Turn
from .. import messages as m
from ..state import State
from ..steps.placing import leave_host, place
from ..steps.stepping import cancel_steps
from .answering import forget_wait, settle_cancel, tell_parent

replace = msgspec.structs.replace


def host_lost(state: State, turn: Turn, event: m.HostLost) -> None:
    """Its runs are played back elsewhere: alone, where they died together. One that keeps killing its host when it is
    alone there is set aside."""
    if event.host in state.hosts:
        turn.effects.append(m.StartHost())
    state.hosts.remove(event.host)
    runs = [run for run_id in state.runs_on.of(event.host) if (run := state.runs.get(run_id)) is not None]
    for run in runs:
        state.runs_on.discard(event.host, run.id)
        crashes = run.crashes + (len(runs) == 1)
        homeless = replace(run, host=None, host_fence=run.host_fence + 1, crashes=crashes)
        state.runs.put(run.id, homeless)
        state.suspects.put(run.id, True)
        if run.state is RunState.CANCELLING:
            settle_cancel(state, turn, run.id)
        elif crashes >= state.limits.crashes_max:
            why = f"The host died {crashes} times while it executed this run alone: {event.why}"
            end_run(state, turn, homeless, Failure(kind="crash_loop", message=why))
        else:
            place(state, turn, homeless)


def function_ended(state: State, turn: Turn, event: m.RunFunctionEnded) -> None:
    end = event.end
    run = state.runs.get(end.run_id)
    if run is None or run.host_fence != end.fence or run.state is not RunState.RUNNING:
        turn.answer = "the run moved on"
        return
    turn.answer = ""
    if end.outcome.failure is not None:
        end_run(state, turn, run, end.outcome.failure)
        return
    _stop_all(state, turn, run, "the flow function returned without it")
    here = state.runs[run.id]
    ended = replace(here, state=RunState.SUCCEEDED, result=end.preview, ended_us=turn.now_us)
    body = RunSucceeded(
        flow=run.flow,
        duration_us=turn.now_us - run.created_us,
        result=end.preview,
        depth=run.depth,
        root_id=run.root_id,
    )
    state.say(turn, ended, body)
    tell_parent(state, turn, run, end.outcome)


def end_run(state: State, turn: Turn, run: Run, failure: Failure) -> None:
    """The run has failed; what it started and nobody needs any more is cancelled."""
    _stop_all(state, turn, run, f"the run failed: {failure.message}")
    ended = replace(state.runs[run.id], state=RunState.FAILED, failure=failure, ended_us=turn.now_us)
    body = RunFailed(
        flow=run.flow,
        duration_us=turn.now_us - run.created_us,
        failure=failure,
        depth=run.depth,
        root_id=run.root_id,
    )
    state.say(turn, ended, body)
    tell_parent(state, turn, run, calls.Outcome(failure=replace(failure, step=failure.step or run.flow)))


def cancel(state: State, turn: Turn, run: Run, reason: str) -> None:
    """Stops a run that has not ended: its host closes it, its steps and the runs inside it end, and then it is
    CANCELLED."""
    if run.host is not None:
        turn.effects.append(m.CloseRun(run.host, run.id, run.host_fence, reason or "cancelled"))
    cancelling = replace(run, state=RunState.CANCELLING, cancel_reason=reason)
    state.say(turn, cancelling, RunCancelling(flow=run.flow, reason=reason))
    _stop_all(state, turn, state.runs[run.id], reason or "the run was cancelled")
    settle_cancel(state, turn, run.id)


def _stop_all(state: State, turn: Turn, run: Run, reason: str) -> None:
    """Nothing of the run goes on: no host, no timer, no wait, no step, no run inside it."""
    run = replace(run, parked=())  # nothing that ends below brings it back
    state.runs.put(run.id, run)
    leave_host(state, turn, run)
    for timer_id in state.timers_of.of(run.id):
        state.drop_timer(run.id, timer_id)
    for ordinal in state.commands_of.of(run.id):
        row = state.commands[run.id, ordinal]
        if row.outcome is None:
            forget_wait(state, row)
    cancel_steps(state, turn, run.id, reason)
    for child_id in state.children_of.of(run.id):
        child = state.runs.get(child_id)
        if child is not None and not child.state.ended and child.state is not RunState.CANCELLING:
            cancel(state, turn, child, f"{run.flow}, which called it, goes on no more: {reason}")
