"""What a flow function asks for: each command taken down once, by its number, and set to work."""

from __future__ import annotations

import hashlib

from ....wire import calls
from ....wire.entries.events import EventPublished
from ....wire.entries.models import ModelRequested
from ....wire.ids import RANDOM_BYTES, uuid7
from ....wire.terms import Failure
from ...records.runs import CommandRow, Run, RunState
from ...records.triggers import Timer
from ...turn import Turn
from .. import messages as m
from ..state import State
from ..steps.going_on import go_on
from ..steps.stepping import issue_step
from ..storing import charge, know, no_room
from .answering import answer, deliver, forget_watch, value
from .choosing import choose
from .nesting import start_child
from .reusing import begun_before, reuse
from .waiting import since, timed_out, wait_for


def issued(state: State, turn: Turn, event: m.Issued) -> None:
    """Takes down what a flow function asked for; the answer is why its host must close it, or nothing."""
    run = state.runs.get(event.run_id)
    if run is None or run.state is not RunState.RUNNING:
        turn.answer = f"the run is {run.state if run else 'over'}"
        return
    if run.host_fence != event.fence:
        turn.answer = f"the run moved on: fence {run.host_fence} holds it now"
        return
    know(state, event.charged)
    for command in event.commands:
        known = state.commands.get((run.id, command.ordinal))
        if known is None:
            _take_down(state, turn, state.runs[run.id], command, event)
        elif known.outcome is not None:
            deliver(state, turn, known)
    go_on(state, turn, state.runs[run.id], event.commands)
    turn.answer = ""


def _take_down(state: State, turn: Turn, run: Run, command: calls.Command, event: m.Issued) -> None:
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
    if reuse(state, turn, run, row, event):
        return
    match command.call:
        case calls.StepCall() as call:
            issue_step(state, turn, run, row, call)
        case calls.RunCall() as call:
            start_child(state, turn, run, row, call, begun_before(row, event))
        case calls.RegisterCall() as call:
            _request_model(state, turn, run, row, call)
        case calls.PublishCall() as call:
            _publish(state, turn, run, row, call)
        case calls.SleepCall() as call:
            _set_timer(state, turn, row, "sleep", call.duration_us)
        case calls.WaitCall() as call:
            wait_for(state, turn, run, row, call, since(state, run, call.event_type, event.happenings, event.upto))
        case calls.FirstCall() as call:
            _first(state, turn, row, call)
        case calls.DeadlineCall() as call:
            _deadline(state, turn, row, call)
        case calls.NowCall():
            answer(state, turn, run.id, row.ordinal, value(turn.now_us))
        case calls.UuidCall():
            answer(state, turn, run.id, row.ordinal, value(uuid7(turn.now_us, _seed(run, row)[:RANDOM_BYTES])))
        case calls.RandomCall():
            answer(state, turn, run.id, row.ordinal, value(int.from_bytes(_seed(run, row)[:8]) / 2**64))


def _seed(run: Run, row: CommandRow) -> bytes:
    return hashlib.sha256(f"{run.idempotency_key}/{row.ordinal}".encode()).digest()


def _request_model(state: State, turn: Turn, run: Run, row: CommandRow, call: calls.RegisterCall) -> None:
    if (run.project, call.digest) not in state.stored:
        if why := no_room(state, run.project, f"model {call.name}", call.size_bytes):
            answer(state, turn, run.id, row.ordinal, calls.Outcome(failure=Failure(kind="refused", message=why)))
            return
        charge(state, turn, run.project, call.digest, call.size_bytes)
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
    body = EventPublished(
        event_id=event_id,
        event_type=call.event_type,
        data=call.data,
        depth=run.depth + 1,
        root_id=run.root_id,
    )
    state.say(turn, run, body)
    answer(state, turn, run.id, row.ordinal, value(event_id))


def _first(state: State, turn: Turn, row: CommandRow, call: calls.FirstCall) -> None:
    """The command that has ended first, as their outcomes are numbered; where none has, the next to end."""
    chosen = choose(state, row, call)
    if chosen is not None:
        answer(state, turn, row.run_id, row.ordinal, value(chosen))


def _deadline(state: State, turn: Turn, row: CommandRow, call: calls.DeadlineCall) -> None:
    awaited = state.commands.get((row.run_id, call.of))
    if awaited is None or awaited.outcome is not None:
        answer(state, turn, row.run_id, row.ordinal, value(False))
        return
    state.watched_by.add((row.run_id, call.of), row.ordinal)
    _set_timer(state, turn, row, "deadline", call.duration_us)


def _set_timer(state: State, turn: Turn, row: CommandRow, kind: str, after_us: int) -> None:
    timer = Timer(
        id=f"{row.run_id}/{row.ordinal}",
        kind=kind,
        due_us=turn.now_us + after_us,
        run_id=row.run_id,
        ordinal=row.ordinal,
    )
    state.set_timer(turn, timer)


def due(state: State, turn: Turn, timer: Timer) -> None:
    """What a command asked to be told of at this time."""
    row = state.commands[timer.run_id, timer.ordinal]
    if timer.kind == "wait":
        timed_out(state, turn, row)
    elif timer.kind == "deadline":
        forget_watch(state, row)
        answer(state, turn, row.run_id, row.ordinal, value(True))
    else:
        answer(state, turn, row.run_id, row.ordinal, calls.Outcome())
