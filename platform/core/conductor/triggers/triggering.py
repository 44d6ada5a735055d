"""T1: from what happened to runs. Exactly one outcome for each trigger that listens, kept with the inbox row."""

from __future__ import annotations

from typing import Any

import msgspec

from ....wire.envelope import Event as CloudEvent
from ....wire.ids import digest_of
from ...inbox import Arrived, headers_as_json, letter_id
from ...records.inbox import DeadLetter
from ...trigger import Happening, Match, Mismatch, Trigger, judge
from ...turn import Turn
from ..runs.starting import Start, new_run
from ..runs.waiting import offer
from ..state import State
from .gathering import gather, is_gathered

Outcome = dict[str, str]
DEPTH_DIGITS = 9


class Cause(msgspec.Struct, frozen=True):
    """What happened, on whose word, and the record it came in, if it came from outside."""

    happening: Happening
    principal: str
    record: Arrived | None = None


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
        depth=_depth(event),
        root_id=str(event.extensions.get("hwroot", "")),
    )


def _depth(event: CloudEvent) -> int:
    """How deep in a chain of flows the event is, where somebody sends back what a flow published."""
    text = str(event.extensions.get("hwdepth", ""))
    return int(text) if text.isascii() and text.isdigit() and len(text) < DEPTH_DIGITS else 0


def is_listened_to(state: State, event_type: str) -> bool:
    """Whether a trigger or a run wants events of that type."""
    return bool(state.triggers.get(("event", event_type))) or bool(state.waits.count(event_type))


def match(state: State, turn: Turn, cause: Cause) -> list[Outcome]:
    """Starts what has happened triggers, and gives it to the runs that wait for it; what became of it for each."""
    happening = cause.happening
    listeners = state.triggers.get((happening.kind, happening.subject)) or ()
    return [outcome_of(state, turn, trigger, cause) for trigger in listeners] + offer(state, turn, happening)


def outcome_of(state: State, turn: Turn, trigger: Trigger, cause: Cause) -> Outcome:
    """What becomes of the happening for one trigger."""
    happening = cause.happening
    known = state.trigger_states.get(trigger.id)
    if known is not None and known.paused:
        return {"trigger": trigger.id, "no_match": f"the trigger was paused by {known.paused}"}
    verdict = judge(trigger, happening)
    if isinstance(verdict, Match) and happening.depth >= state.limits.depth_max:
        what = f"Flows have triggered one another {happening.depth} times, from run {happening.root_id or 'unknown'} on"
        verdict = Mismatch("loop_detected", f"{what}; {state.limits.depth_max} is the limit")
    if isinstance(verdict, Mismatch):
        letter = _letter_of(state, turn, trigger, verdict, cause)
        return {"trigger": trigger.id, "dead_letter": letter.id, "reason": verdict.reason}
    if not isinstance(verdict, Match):
        return {"trigger": trigger.id, "no_match": verdict.reason}
    return begin(state, turn, trigger, verdict, cause, digest_of(trigger.id, happening.source, happening.id))


def begin(state: State, turn: Turn, trigger: Trigger, found: Match, cause: Cause, key: str) -> Outcome:
    """The run of a match under that idempotency key, or its place among those that make one together."""
    happening = cause.happening
    if is_gathered(trigger.spec):
        return gather(state, turn, trigger, found, happening, cause.principal)
    start = Start(
        flow=(trigger.project, trigger.flow),
        parameters=found.parameters,
        idempotency_key=key,
        principal=cause.principal,
        trigger=trigger,
        key=found.key,
        event=(happening.source, happening.id),
        depth=happening.depth,
        root_id=happening.root_id,
        labels=found.labels,
    )
    return {"trigger": trigger.id, "run_id": new_run(state, turn, start).id}


def _letter_of(state: State, turn: Turn, trigger: Trigger, verdict: Mismatch, cause: Cause) -> DeadLetter:
    happening, record = cause.happening, cause.record
    letter = DeadLetter(
        id=letter_id(turn, trigger.id, str(trigger.member), happening.source, happening.id),
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
        principal=cause.principal,
        raw=record.raw if record else msgspec.json.encode(happening),
        headers=headers_as_json(record.headers) if record else None,
        received_us=turn.now_us,
    )
    return state.mail.lay_down(turn, letter)
