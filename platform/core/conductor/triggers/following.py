"""What the Conductor does about the log: answers from other owners, and triggers on our own events."""

from __future__ import annotations

from typing import Any

import msgspec

from ....wire import calls
from ....wire.entries.events import EventPublished
from ....wire.entries.models import FlowDeployed, ModelAliased, ModelRefused, ModelRegistered
from ....wire.entries.nodes import NodeLeft
from ....wire.entries.quota import QuotaChanged
from ....wire.entries.runs import RunCancelled, RunFailed, RunModelRegistered, RunNeedsAttention, RunSucceeded
from ....wire.entries.tables import TableCommitted, TableReset
from ....wire.manifest import FlowSpec
from ....wire.terms import Failure
from ....wire.types import Entry, encode_body, encode_entry
from ...decisions import DECISION_TYPES, NAMES, PREFIX, SAID
from ...inbox import LOG, letter_id
from ...records.inbox import DeadLetter
from ...records.runs import Run
from ...trigger import Happening, Trigger, listeners_of, triggers_of
from ...trigger_kind import heard_by
from ...turn import Turn
from .. import messages as m
from ..alone import decide_alone
from ..runs.answering import answer
from ..state import Deployed, State
from ..steps.crewing import node_lost
from ..storing import limits_changed, tables_changed
from .limiting import freed
from .timetable import set_clocks
from .triggering import Cause, match

replace = msgspec.structs.replace

_STATES = {
    RunSucceeded: "SUCCEEDED",
    RunFailed: "FAILED",
    RunCancelled: "CANCELLED",
    RunNeedsAttention: "NEEDS_ATTENTION",
}


def followed(state: State, turn: Turn, event: m.Followed) -> None:
    """Entries in the order of the log. The cursor is written with whatever they lead to."""
    for entry in event.entries:
        if entry.position > state.cursor:
            _follow(state, turn, entry)
    _advance(state, max(state.cursor, event.upto))


def followed_one_by_one(state: State, turn: Turn, event: m.Followed) -> None:
    """The same where that raised: an entry that cannot be followed is a dead letter, and the others count."""
    for entry in event.entries:
        if entry.position > state.cursor:
            decide_alone(state, turn, entry, _follow, _set_aside)
    _advance(state, max(state.cursor, event.upto))


def _advance(state: State, cursor: int) -> None:
    before = state.cursor
    state.book.note(lambda: setattr(state, "cursor", before))
    state.cursor = cursor
    state.mail.put_next(LOG, cursor + 1)


def _set_aside(state: State, turn: Turn, entry: Entry, error: Exception) -> None:
    state.mail.lay_down(turn, _letter_of(state, turn, entry, error))


def _letter_of(state: State, turn: Turn, entry: Entry, error: Exception) -> DeadLetter:
    return DeadLetter(
        id=letter_id(turn, LOG, str(entry.position)),
        owner=state.mail.owner,
        code="engine_error",
        reason=f"The engine could not follow entry {entry.position}: {type(error).__name__}: {error}",
        topic=LOG,
        offset=entry.position,
        event_type=entry.type,
        project=entry.project,
        principal=entry.principal,
        raw=encode_entry(entry),
        received_us=turn.now_us,
    )


def _follow(state: State, turn: Turn, entry: Entry) -> None:
    body = entry.body
    match_body(state, turn, entry)
    if isinstance(body, TableCommitted | TableReset):
        tables_changed(state, turn, body.stored)
    elif isinstance(body, QuotaChanged):
        limits_changed(state, turn, body.tree)
    elif isinstance(body, FlowDeployed):
        learn_flow(state, body.manifest, body.code_version)
        set_clocks(state, turn)
    elif isinstance(body, ModelRegistered):
        learn_model(state, body)
        _registered(state, turn, body)
    elif isinstance(body, ModelRefused):
        failure = Failure(kind="refused", message=body.reason)
        answer(state, turn, body.run_id, body.ordinal, calls.Outcome(failure=failure))
    elif isinstance(body, RunSucceeded | RunFailed | RunCancelled | RunNeedsAttention):
        freed(state, turn, entry.run_id or "")
    elif isinstance(body, NodeLeft):
        node_lost(state, turn, body.node, Failure(kind="lost", message=f"node {body.node} left: {body.reason}"))


def match_body(state: State, turn: Turn, entry: Entry) -> None:
    """Tables are learned before their triggers fire, so that a run sees at least what started it."""
    body = entry.body
    if isinstance(body, TableCommitted):
        learn_table(state, body.table, body.metadata_location, body.snapshot_id)
    elif isinstance(body, TableReset):
        learn_table(state, body.table, body.metadata_location, body.to_snapshot_id)
    match_added(state, turn, entry)
    happening = happening_of(state, entry)
    if happening is None:
        return
    if isinstance(body, EventPublished):
        state.heard.append((entry.position, happening))
    outcomes = match(state, turn, Cause(happening, entry.principal))
    if outcomes or isinstance(body, EventPublished):
        state.mail.take_own(turn, happening, entry.principal, entry.project, outcomes)


def match_added(state: State, turn: Turn, entry: Entry) -> None:
    """The entry to the trigger kinds that packages bring. One that fails is a dead letter and stops nobody else."""
    for kind in state.kinds:
        try:
            heard = heard_by(kind, entry)
        except Exception as error:  # it is not ours
            reason = f"The trigger kind {kind.name!r} failed on entry {entry.position}: {type(error).__name__}: {error}"
            letter = _letter_of(state, turn, entry, error)
            state.mail.lay_down(
                turn, replace(letter, id=letter_id(turn, kind.name, letter.id), code="kind_failed", reason=reason)
            )
            continue
        for number, one in enumerate(heard):
            happening = _chained(state, entry, _happening(entry, kind.name, one.subject, one.data))
            happening = replace(happening, id=f"{happening.id}/{kind.name}/{number}")
            outcomes = match(state, turn, Cause(happening, entry.principal))
            if outcomes:
                state.mail.take_own(turn, happening, entry.principal, entry.project, outcomes)


def _chained(state: State, entry: Entry, happening: Happening) -> Happening:
    """With the place in the chain of flows of the run that the entry is about."""
    depth = getattr(entry.body, "depth", None)
    if depth is not None:
        return replace(happening, depth=depth + 1, root_id=getattr(entry.body, "root_id", ""))
    return _after(happening, state.runs.get(str(entry.run_id or getattr(entry.body, "run_id", ""))))


def happening_of(state: State, entry: Entry) -> Happening | None:
    """The entry as something that triggers can match; None where no trigger listens to its type."""
    body = entry.body
    if isinstance(body, TableCommitted):
        happening = _happening(entry, "commit", body.table, msgspec.to_builtins(body))
        return _after(happening, state.runs.get(body.commit_key.partition("/")[0]))
    if isinstance(body, ModelRegistered):
        happening = _happening(entry, "model", body.name, msgspec.to_builtins(body))
        return _after(happening, state.runs.get(body.run_id))
    if isinstance(body, EventPublished):
        happening = _happening(entry, "event", body.event_type, body.data)
        return replace(happening, id=body.event_id, depth=body.depth, root_id=body.root_id)
    if isinstance(body, ModelAliased):
        return _happening(entry, "model", f"{body.name}@{body.alias}", msgspec.to_builtins(body))
    if entry.type in DECISION_TYPES:
        return _decided(state, entry)
    ended = _STATES.get(type(body))
    if ended is not None and isinstance(body, RunSucceeded | RunFailed | RunCancelled | RunNeedsAttention):
        data = {
            "run_id": entry.run_id,
            "flow": body.flow,
            "project": entry.project,
            "state": ended,
            "labels": entry.labels or {},
        }
        happening = _happening(entry, "finished", f"{entry.project}/{body.flow}", data)
        return replace(happening, state=ended, depth=body.depth + 1, root_id=body.root_id)
    return None


def _happening(entry: Entry, kind: str, subject: str, data: Any) -> Happening:
    source, event_id = "headwater", f"{entry.run_id or entry.subject}/{entry.position}"
    attributes = {"id": event_id, "source": source, "type": entry.type, "subject": subject, "project": entry.project}
    return Happening(kind=kind, subject=subject, source=source, id=event_id, attributes=attributes, data=data)


def _decided(state: State, entry: Entry) -> Happening | None:
    """A decision about quota or devices, where a trigger listens to it; one about an attempt stands in the chain of
    flows where that attempt's run does."""
    name = f"{PREFIX}{entry.type}"
    if not state.triggers.get((SAID, name)):
        return None
    happening = _happening(entry, SAID, name, msgspec.json.decode(encode_body(entry.body)))
    happening = replace(happening, attributes={**happening.attributes, "type": name})
    fence = getattr(entry.body, "fence", None)
    attempt = state.attempts.get(fence) if fence is not None else None
    run = state.runs.get(attempt.run_id) if attempt is not None else None
    depth, root_id = (run.depth, run.root_id) if run is not None else state.chains.get(fence, (-1, ""))
    return replace(happening, depth=depth + 1, root_id=root_id)


def _after(happening: Happening, run: Run | None) -> Happening:
    """What a run did that is still known, with the run's place in the chain of flows."""
    return happening if run is None else replace(happening, depth=run.depth + 1, root_id=run.root_id)


def _registered(state: State, turn: Turn, body: ModelRegistered) -> None:
    run = state.runs.get(body.run_id)
    command = state.commands.get((body.run_id, body.ordinal))
    if run is None or command is None or command.outcome is not None:
        return
    state.say(turn, run, RunModelRegistered(name=body.name, version=body.version))
    raw = msgspec.json.encode({"name": body.name, "version": body.version})
    payload = calls.Payload(codec="json", inline=raw, size_bytes=len(raw))
    answer(state, turn, body.run_id, body.ordinal, calls.Outcome(payload=payload))


def learn_flow(state: State, manifest: Any, code_version: str) -> None:
    """New runs of the flow take this version; its triggers replace those of the version before."""
    spec = msgspec.convert(manifest["spec"], FlowSpec)
    key = (spec.project, spec.name)
    before = state.flows.get(key)
    if before is not None:
        for trigger in triggers_of(before.spec):
            _unlisten(state, trigger)
            state.trigger_of.remove(trigger.id)
    state.flows.put(key, Deployed(spec, code_version, manifest["bundle"]))
    state.bundles.put(code_version, manifest["bundle"])
    state.functions.put((code_version, *key), spec.function)
    for trigger in triggers_of(spec):
        state.trigger_of.put(trigger.id, trigger)
        for listener in listeners_of(trigger):
            others = state.triggers.get(_subject(listener)) or ()
            state.triggers.put(_subject(listener), (*others, listener))


def _unlisten(state: State, trigger: Trigger) -> None:
    for listener in listeners_of(trigger):
        others = state.triggers.get(_subject(listener)) or ()
        state.triggers.put(_subject(listener), tuple(other for other in others if other.id != trigger.id))


def _subject(trigger: Trigger) -> tuple[str, str]:
    """A finished flow without a project is one of the listener's own; what the platform says comes from the log."""
    spec = trigger.heard
    if spec.kind == "event" and spec.subject in NAMES:
        return SAID, spec.subject
    if spec.kind == "finished" and "/" not in spec.subject:
        return spec.kind, f"{trigger.project}/{spec.subject}"
    return spec.kind, spec.subject


def learn_table(state: State, name: str, metadata_location: str, snapshot_id: int | None) -> None:
    state.tables.put(name, calls.PinnedTable(name=name, metadata_location=metadata_location, snapshot_id=snapshot_id))


def learn_model(state: State, body: ModelRegistered) -> None:
    state.models.put(
        body.name,
        calls.PinnedModel(
            name=body.name,
            version=body.version,
            digest=body.digest,
            runtime=body.runtime,
            signature=body.signature,
            metrics=body.metrics,
        ),
    )
