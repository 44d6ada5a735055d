"""What a flow function asks for: each command taken down once, by its number, and set to work."""

from __future__ import annotations

import hashlib

import msgspec

from ...wire import calls
from ...wire.ids import RANDOM_BYTES, uuid7
from ...wire.types import EventPublished, ModelRequested
from ..records import CommandRow, Run, RunState, Timer
from ..turn import Turn
from . import messages as m
from .answering import answer, deliver
from .state import State
from .stepping import issue_step


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
