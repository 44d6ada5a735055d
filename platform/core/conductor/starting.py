"""T1: from what happened to runs. Exactly one outcome for each trigger that matches, kept with the inbox row."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from ...wire.envelope import Event as CloudEvent
from ...wire.ids import RANDOM_BYTES, digest_of, uuid7
from ...wire.types import RunAccepted
from ..inbox import Arrived, letter_id
from ..records import DeadLetter, Run
from ..trigger import Happening, Match, Mismatch, Trigger, judge
from ..turn import Turn
from .placing import place
from .state import State
from .waiting import offer

Outcome = dict[str, str]


def happening_of(event: CloudEvent) -> Happening:
    attributes: dict[str, Any] = {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject or "",
        "project": event.project or "",
    }
    return Happening(
        kind="event",
        subject=event.type,
        source=event.source,
        id=event.id,
        attributes=attributes,
        data=event.data,
        project=event.project,
    )


def match(
    state: State, turn: Turn, happening: Happening, *, principal: str, record: Arrived | None = None
) -> list[Outcome]:
    """Starts what `happening` triggers, and gives it to the runs that wait for it; what became of it for each."""
    outcomes = [
        _outcome(state, turn, trigger, happening, principal=principal, record=record)
        for trigger in state.triggers.get((happening.kind, happening.subject)) or ()
    ]
    return outcomes + offer(state, turn, happening)


def _outcome(
    state: State,
    turn: Turn,
    trigger: Trigger,
    happening: Happening,
    *,
    principal: str,
    record: Arrived | None,
) -> Outcome:
    verdict = judge(trigger, happening)
    if isinstance(verdict, Match) and happening.depth >= state.limits.depth_max:
        verdict = Mismatch("loop_detected", f"The chain of flows is {happening.depth} deep; it triggers itself")
    if isinstance(verdict, Match):
        run = new_run(
            state,
            turn,
            flow=(trigger.project, trigger.flow),
            parameters=verdict.parameters,
            key=digest_of(trigger.id, happening.source, happening.id),
            principal=principal,
            cause=happening,
            trigger=trigger.id,
        )
        return {"trigger": trigger.id, "run_id": run.id}
    if isinstance(verdict, Mismatch):
        letter = _letter_of_trigger(state, turn, trigger, happening, verdict, record=record, principal=principal)
        return {"trigger": trigger.id, "dead_letter": letter.id, "reason": verdict.reason}
    return {"trigger": trigger.id, "no_match": verdict.reason}


def new_run(
    state: State,
    turn: Turn,
    *,
    flow: tuple[str, str],
    parameters: dict[str, Any],
    key: str,
    principal: str,
    trigger: str = "",
    cause: Happening | None = None,
) -> Run:
    """A run that is accepted, once for its key, and on its way to a host."""
    deployed = state.flows[flow]
    run_id = uuid7(turn.now_us, hashlib.sha256(key.encode()).digest()[:RANDOM_BYTES])
    project, name = flow
    run = Run(
        id=run_id,
        project=project,
        flow=name,
        code_version=deployed.code_version,
        trigger=trigger,
        event_source=cause.source if cause else "",
        event_id=cause.id if cause else "",
        idempotency_key=key,
        principal=principal,
        parameters=parameters,
        root_id=run_id,
        depth=cause.depth if cause else 0,
        created_us=turn.now_us,
    )
    body = RunAccepted(
        flow=name,
        code_version=deployed.code_version,
        trigger=trigger or "call",
        parameters=parameters,
        event_source=run.event_source,
        event_id=run.event_id,
        depth=run.depth,
    )
    state.run_of_key.put(key, run_id)
    spoken = state.say(turn, run, body)
    place(state, turn, spoken)
    return state.runs[run_id]


def _letter_of_trigger(
    state: State,
    turn: Turn,
    trigger: Trigger,
    happening: Happening,
    verdict: Mismatch,
    *,
    record: Arrived | None,
    principal: str,
) -> DeadLetter:
    letter = DeadLetter(
        id=letter_id(turn, trigger.id, happening.source, happening.id),
        owner=state.mail.owner,
        code=verdict.code,
        reason=f"Trigger {trigger.id}: {verdict.reason}",
        topic=record.topic if record else "log",
        partition=record.partition if record else -1,
        offset=record.offset if record else -1,
        event_source=happening.source,
        event_id=happening.id,
        event_type=happening.subject,
        trigger=trigger.id,
        project=trigger.project,
        principal=principal,
        raw=record.raw if record else msgspec.json.encode(happening.data),
        headers=record.headers if record else None,
        received_us=turn.now_us,
    )
    return state.mail.lay_down(turn, letter)
