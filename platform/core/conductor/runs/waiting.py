"""Events that runs wait for: any that was accepted since the run began, oldest first, each once per run."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ....wire import calls, topics
from ....wire.terms import Failure
from ...inbox import LOG
from ...records.inbox import InboxRow
from ...records.runs import CommandRow, Run
from ...records.triggers import Timer
from ...trigger import Happening, Mismatch, passes
from ...turn import Turn
from ..state import State
from .answering import answer, forget_wait
from .resting import call_back_listeners

_NO_EVENTS = ("", LOG, topics.RUN_COMMANDS.name)


def wait_for(
    state: State, turn: Turn, run: Run, row: CommandRow, call: calls.WaitCall, there: Iterable[Happening]
) -> None:
    """Takes the oldest of the events that are there, or waits for the next."""
    state.waits.add(call.event_type, (run.id, row.ordinal))
    if call.timeout_us is not None:
        timer = Timer(
            id=f"{run.id}/{row.ordinal}",
            kind="wait",
            due_us=turn.now_us + call.timeout_us,
            run_id=run.id,
            ordinal=row.ordinal,
        )
        state.set_timer(turn, timer)
    for happening in there:
        if _offer(state, turn, run, row, call, happening):
            return


def since(state: State, run: Run, event_type: str, found: Iterable[Happening], upto: int) -> list[Happening]:
    """Events of the type that were accepted since the run began, oldest first: those `found` in the rows up to the
    log's position `upto`, and what has come since then. The event that started the run is not among them."""
    newer = [
        happening_of_row(row, state.mail.default_project)
        for row in state.mail.rows.values()
        if row.type == event_type and row.received_us >= run.created_us and row.topic not in _NO_EVENTS
    ]
    newer += [happening for position, happening in state.heard if position > upto]
    every = {(one.source, one.id): one for one in (*found, *newer) if one.subject == event_type}
    every.pop((run.event_source, run.event_id), None)
    return list(every.values())


def happening_of_row(row: InboxRow, default_project: str) -> Happening:
    """The event as its inbox row has kept it. One of the default project is for every project, as when it came."""
    attributes = {"id": row.id, "source": row.source, "type": row.type, "subject": "", "project": row.project}
    return Happening(
        kind="event",
        subject=row.type,
        source=row.source,
        id=row.id,
        attributes=attributes,
        data=row.data,
        project=None if row.project == default_project else row.project,
    )


def offer(state: State, turn: Turn, happening: Happening) -> list[dict[str, str]]:
    """Gives the event to each run that waits for it; what it answered, as the inbox keeps it."""
    answered: list[dict[str, str]] = []
    if happening.kind != "event":
        return answered
    call_back_listeners(state, happening)
    for run_id, ordinal in state.waits.of(happening.subject):
        if run_id in state.away:
            continue
        run, row = state.runs[run_id], state.commands[run_id, ordinal]
        assert isinstance(row.command.call, calls.WaitCall)
        if _offer(state, turn, run, row, row.command.call, happening):
            answered.append({"wait_for": row.key, "run_id": run_id})
    return answered


def taken_by(row: CommandRow) -> tuple[str, str] | None:
    """The event, by source and id, that has answered this wait."""
    payload = row.outcome.payload if row.outcome else None
    if not isinstance(row.command.call, calls.WaitCall) or payload is None:
        return None
    told = msgspec.json.decode(payload.inline or b"")
    return told["source"], told["id"]


def timed_out(state: State, turn: Turn, row: CommandRow) -> None:
    call = row.command.call
    assert isinstance(call, calls.WaitCall)
    forget_wait(state, row)
    message = f"No event {call.event_type!r} came within {(call.timeout_us or 0) / 1_000_000:g} s"
    failure = Failure(kind="timeout", message=message, step=row.key)
    answer(state, turn, row.run_id, row.ordinal, calls.Outcome(failure=failure))


def _offer(state: State, turn: Turn, run: Run, row: CommandRow, call: calls.WaitCall, happening: Happening) -> bool:
    identity = (happening.source, happening.id)
    if happening.project not in (None, run.project) or state.taken_of.has(run.id, identity):
        return False
    passed = True if call.where is None else passes(call.where, happening)
    if passed is False:
        return False
    forget_wait(state, row)
    state.taken_of.add(run.id, identity)
    if isinstance(passed, Mismatch):
        message = f"Event {happening.id!r} of {happening.source!r}: {passed.reason}"
        outcome = calls.Outcome(failure=Failure(kind=passed.code, message=message, step=row.key))
    else:
        outcome = calls.Outcome(payload=_event(happening))
    answer(state, turn, run.id, row.ordinal, outcome)
    return True


def _event(happening: Happening) -> calls.Payload:
    told = {
        "id": happening.id,
        "source": happening.source,
        "type": happening.subject,
        "subject": happening.attributes.get("subject", ""),
        "data": happening.data,
    }
    raw = msgspec.json.encode(told)
    return calls.Payload(codec="json", inline=raw, size_bytes=len(raw))
