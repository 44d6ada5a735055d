"""The life of a run: placed on a host, its commands taken down, its end.

    PENDING ──placed──► RUNNING ──function ended──► SUCCEEDED | FAILED
       └────────┬──────────┘
             cancel ──► CANCELLING ──nothing of it lives──► CANCELLED

A run belongs to one host fence. Word under another comes from a host that was given up.
"""

from __future__ import annotations

import msgspec

from ...wire.types import Failure, RunCancelling, RunFailed, RunStarted, RunSucceeded
from ..records import Run, RunState
from ..turn import Turn
from . import messages as m
from .answering import settle_cancel
from .state import Host, State
from .stepping import cancel_steps

replace = msgspec.structs.replace


def place(state: State, turn: Turn, run: Run) -> None:
    """The run goes to a host of its code version, to a blank one, or waits until one has started."""
    host = _host_for(state, run.code_version)
    if host is None:
        state.homeless.add(run.code_version, run.id)
        turn.effects.append(m.StartHost())
        return
    if host.code_version is None:
        state.hosts.put(host.id, replace(host, code_version=run.code_version))
        turn.effects.append(m.StartHost())  # the next blank one
    state.runs_on.add(host.id, run.id)
    placed = replace(
        run,
        state=RunState.RUNNING,
        host=host.id,
        host_fence=run.host_fence + 1,
        started_us=run.started_us or turn.now_us,
    )
    state.say(turn, placed, RunStarted(flow=run.flow, host=host.id))
    turn.effects.append(m.Execute(host.id, run.id, placed.host_fence))


def _host_for(state: State, code_version: str) -> Host | None:
    hosts = state.hosts.values()
    for host in hosts:
        if host.code_version == code_version and state.runs_on.count(host.id) < state.limits.runs_a_host:
            return host
    return next((host for host in hosts if host.code_version is None), None)


def host_joined(state: State, turn: Turn, event: m.HostJoined) -> None:
    state.hosts.put(event.host, Host(event.host))
    for version in state.homeless.groups():
        waiting = state.homeless.of(version)
        host = _host_for(state, version)
        if host is None:
            continue
        for run_id in waiting[: state.limits.runs_a_host]:
            state.homeless.discard(version, run_id)
            run = state.runs.get(run_id)
            if run is not None and run.state in (RunState.PENDING, RunState.RUNNING):
                place(state, turn, run)


def host_lost(state: State, turn: Turn, event: m.HostLost) -> None:
    """Its runs are played back elsewhere; one that keeps killing its host is set aside."""
    state.hosts.remove(event.host)
    turn.effects.append(m.StartHost())
    runs = [run for run_id in state.runs_on.of(event.host) if (run := state.runs.get(run_id)) is not None]
    for run in runs:
        state.runs_on.discard(event.host, run.id)
        crashes = run.crashes + (len(runs) == 1)
        homeless = replace(run, host=None, host_fence=run.host_fence + 1, crashes=crashes)
        state.runs.put(run.id, homeless)
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
    _leave_host(state, run)
    cancel_steps(state, turn, run.id, "the flow function returned without them")
    here = state.runs[run.id]
    ended = replace(here, state=RunState.SUCCEEDED, result=end.preview, ended_us=turn.now_us)
    state.say(turn, ended, RunSucceeded(flow=run.flow, duration_us=turn.now_us - run.created_us, result=end.preview))


def end_run(state: State, turn: Turn, run: Run, failure: Failure) -> None:
    """The run has failed; what it started and nobody needs any more is cancelled."""
    _leave_host(state, run)
    cancel_steps(state, turn, run.id, f"the run failed: {failure.message}")
    ended = replace(state.runs[run.id], state=RunState.FAILED, failure=failure, ended_us=turn.now_us)
    state.say(turn, ended, RunFailed(flow=run.flow, duration_us=turn.now_us - run.created_us, failure=failure))


def cancel(state: State, turn: Turn, run: Run, reason: str) -> None:
    """Stops a run that has not ended: its host closes it, its steps end, and then it is CANCELLED."""
    if run.host is not None:
        turn.effects.append(m.CloseRun(run.host, run.id, run.host_fence, reason or "cancelled"))
    _leave_host(state, run)
    cancelling = replace(state.runs[run.id], state=RunState.CANCELLING, cancel_reason=reason)
    state.say(turn, cancelling, RunCancelling(flow=run.flow, reason=reason))
    cancel_steps(state, turn, run.id, reason or "the run was cancelled")
    settle_cancel(state, turn, run.id)


def _leave_host(state: State, run: Run) -> None:
    state.homeless.discard(run.code_version, run.id)
    for timer_id in state.timers_of.of(run.id):
        state.timers.remove(timer_id)
        state.timers_of.discard(run.id, timer_id)
    if run.host is not None:
        state.runs_on.discard(run.host, run.id)
        state.runs.put(run.id, replace(run, host=None))
