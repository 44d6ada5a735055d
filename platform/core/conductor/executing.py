"""The life of a run: placed on a host, its commands taken down, its end.

    PENDING ──placed──► RUNNING ──function ended──► SUCCEEDED | FAILED
       └────────┬──────────┘
             cancel ──► CANCELLING ──nothing of it lives──► CANCELLED

A run belongs to one host fence. Word under another comes from a host that was given up.
"""

from __future__ import annotations

import hashlib

import msgspec

from ...wire import calls
from ...wire.ids import RANDOM_BYTES, uuid7
from ...wire.types import (
    EventPublished,
    Failure,
    ModelRequested,
    RunCancelling,
    RunFailed,
    RunStarted,
    RunSucceeded,
)
from ..records import CommandRow, Pin, Run, RunState, Timer
from ..turn import Turn
from . import messages as m
from .answering import answer, deliver, settle_cancel
from .state import Host, State
from .stepping import cancel_steps, issue_step

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


def issued(state: State, turn: Turn, event: m.Issued) -> None:
    """Takes down what a flow function asked for; the answer is why its host must close it, or nothing."""
    run = state.runs.get(event.run_id)
    if run is None or run.state is not RunState.RUNNING:
        turn.answer = f"the run is {run.state if run else 'over'}"
        return
    if run.host_fence != event.fence:
        turn.answer = f"the run moved on: fence {run.host_fence} holds it now"
        return
    for command in event.commands:
        known = state.commands.get((run.id, command.ordinal))
        if known is None:
            _take_down(state, turn, state.runs[run.id], command)
        elif known.outcome is not None:
            deliver(state, turn, run.id, command.ordinal, known.outcome)
    turn.answer = ""


def _take_down(state: State, turn: Turn, run: Run, command: calls.Command) -> None:
    row = CommandRow(
        run_id=run.id,
        ordinal=command.ordinal,
        kind=command.kind,
        name=command.name,
        key=command.key,
        digest=command.digest,
        command=command,
        issued_us=turn.now_us,
    )
    state.commands.put((run.id, command.ordinal), row)
    state.commands_of.add(run.id, command.ordinal)
    match command.call:
        case calls.StepCall() as call:
            issue_step(state, turn, run, row, call)
        case calls.RegisterCall() as call:
            _request_model(state, turn, run, row, call)
        case calls.PublishCall() as call:
            _publish(state, turn, run, row, call)
        case calls.SleepCall() as call:
            _sleep(state, turn, run, row, call)
        case calls.NowCall():
            answer(state, turn, run.id, row.ordinal, _json(turn.now_us))
        case calls.UuidCall():
            answer(state, turn, run.id, row.ordinal, _json(uuid7(turn.now_us, _seed(run, row)[:RANDOM_BYTES])))
        case calls.RandomCall():
            answer(state, turn, run.id, row.ordinal, _json(int.from_bytes(_seed(run, row)[:8]) / 2**64))


def _seed(run: Run, row: CommandRow) -> bytes:
    return hashlib.sha256(f"{run.idempotency_key}/{row.ordinal}".encode()).digest()


def _json(value: object) -> calls.Outcome:
    raw = msgspec.json.encode(value)
    return calls.Outcome(payload=calls.Payload(codec="json", inline=raw, size_bytes=len(raw)))


def _request_model(state: State, turn: Turn, run: Run, row: CommandRow, call: calls.RegisterCall) -> None:
    tables = {
        pin.name: pin.body.get("snapshot_id")
        for pin in (state.pins[key] for key in state.pins_of.of(run.id))
        if pin.kind == "table"
    }
    body = ModelRequested(
        name=call.name,
        ordinal=row.ordinal,
        digest=call.digest,
        runtime=call.runtime,
        signature=call.signature,
        metrics=call.metrics,
        size_bytes=call.size_bytes,
        code_version=run.code_version,
        tables=tables,
        serving=call.serving,
    )
    state.say(turn, run, body)


def _publish(state: State, turn: Turn, run: Run, row: CommandRow, call: calls.PublishCall) -> None:
    event_id = f"{run.id}/{row.ordinal}"
    body = EventPublished(event_id=event_id, event_type=call.event_type, data=call.data, depth=run.depth + 1)
    state.say(turn, run, body)
    answer(state, turn, run.id, row.ordinal, _json(event_id))


def _sleep(state: State, turn: Turn, run: Run, row: CommandRow, call: calls.SleepCall) -> None:
    timer = Timer(
        id=f"{run.id}/{row.ordinal}",
        kind="sleep",
        due_us=turn.now_us + call.duration_us,
        run_id=run.id,
        ordinal=row.ordinal,
    )
    state.timers.put(timer.id, timer)
    state.timers_of.add(run.id, timer.id)
    state.wake(turn, timer.due_us)


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


def pinned(state: State, turn: Turn, event: m.Pinned) -> None:
    """What the run sees of a table or model: decided at first use, the same ever after."""
    key = (event.run_id, event.kind, event.name)
    pin = state.pins.get(key)
    if event.run_id not in state.runs:
        turn.answer = Failure(kind="cancelled", message=f"Run {event.run_id} is over; it pins nothing more")
        return
    if pin is None:
        found = state.tables.get(event.name) if event.kind == "table" else state.models.get(event.name)
        if found is None:
            known = sorted(state.tables if event.kind == "table" else state.models)
            message = f"No {event.kind} is named {event.name!r}; known are {', '.join(known[:10]) or 'none'}"
            turn.answer = Failure(kind="not_found", message=message)
            return
        pin = Pin(
            run_id=event.run_id,
            kind=event.kind,
            name=event.name,
            body=msgspec.to_builtins(found),
            pinned_us=turn.now_us,
        )
        state.pins.put(key, pin)
        state.pins_of.add(event.run_id, key)
    turn.answer = msgspec.convert(pin.body, calls.PinnedTable if event.kind == "table" else calls.PinnedModel)
