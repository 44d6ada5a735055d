"""Several events on their way to one run: all of a join, a batch, or the last of a burst.

    first event ──► OPEN ──all there | enough | quiet for long enough──► STARTED (a run)
                      └──a join's window is over | the trigger is gone | it does not fit──► ENDED

A join takes each member once: a second A opens the next gathering of its key, and a B goes to the oldest
that lacks one, so that no event is lost and none counts twice. The window runs from the first event taken in.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from ....wire.entries.events import TriggerExpired
from ....wire.ids import RANDOM_BYTES, digest_of, uuid7
from ....wire.manifest import TriggerSpec
from ....wire.types import Said
from ...inbox import letter_id
from ...records.inbox import DeadLetter
from ...records.triggers import Gathering, Part, Timer
from ...trigger import Happening, Match, Trigger, misfit
from ...turn import Turn
from ..runs.starting import Start, new_run
from ..state import State

replace = msgspec.structs.replace
GATHER = "gather"


def is_gathered(spec: TriggerSpec) -> bool:
    return bool(spec.members) or spec.batch is not None or spec.debounce_s > 0


def gather(
    state: State, turn: Turn, trigger: Trigger, found: Match, happening: Happening, principal: str
) -> dict[str, str]:
    """The event becomes part of a gathering, and starts its run where it was the last."""
    gathering = _place_in(state, turn, trigger, found.key, happening)
    spec, number = trigger.spec, gathering.count
    if trigger.member is not None:
        number = trigger.member
    elif spec.debounce_s:
        number = 0
    part = Part(
        gathering_id=gathering.id,
        number=number,
        source=happening.source,
        event_id=happening.id,
        event_type=happening.subject,
        parameters=found.parameters,
        labels=found.labels,
        principal=principal,
        depth=happening.depth,
        root_id=happening.root_id,
        received_us=turn.now_us,
    )
    state.parts.put((gathering.id, number), part)
    state.parts_of.add(gathering.id, number)
    gathering = replace(gathering, count=gathering.count + 1)
    if spec.debounce_s:
        gathering = replace(gathering, due_us=turn.now_us + _us(spec.debounce_s))
    state.gatherings.put(gathering.id, gathering)
    if _is_complete(spec, gathering):
        _start(state, turn, trigger, gathering)
    else:
        _wake_for(state, turn, gathering)
    after = state.gatherings[gathering.id]
    return {"trigger": trigger.id, "part_of": after.id} | ({"run_id": after.run_id} if after.run_id else {})


def due(state: State, turn: Turn, gathering_id: str) -> None:
    """Its time is over: a batch or a burst becomes a run, a join has expired. That of a paused trigger stays as it is
    until the trigger goes on."""
    gathering = state.gatherings.get(gathering_id)
    if gathering is None or gathering.state != "OPEN":
        return
    trigger = state.trigger_of.get(gathering.trigger)
    if trigger is None or not is_gathered(trigger.spec):
        _end(state, turn, gathering, "its trigger is no longer deployed")
    elif trigger.spec.members:
        _end(state, turn, gathering, f"not all of it came within {trigger.spec.within_s:g} s")
    elif not _is_paused(state, trigger):
        _start(state, turn, trigger, gathering)


def give_up(state: State, turn: Turn, gathering_id: str, reason: str) -> None:
    """What was gathered could not be decided: it is a dead letter."""
    gathering = state.gatherings.get(gathering_id)
    if gathering is None or gathering.state != "OPEN":
        return
    if any((gathering_id, number) in state.parts for number in state.parts_of.of(gathering_id)):
        _bury(state, turn, gathering, reason, code="engine_error")
    else:
        _end(state, turn, gathering, reason)


def goes_on(state: State, turn: Turn, trigger: Trigger) -> None:
    """The trigger is paused no more: what had its time meanwhile becomes a run now."""
    for key in [key for trigger_id, key in state.open_of.groups() if trigger_id == trigger.id]:
        for gathering_id in state.open_of.of((trigger.id, key)):
            if state.gatherings[gathering_id].due_us <= turn.now_us:
                due(state, turn, gathering_id)


def _is_paused(state: State, trigger: Trigger) -> bool:
    known = state.trigger_states.get(trigger.id)
    return known is not None and bool(known.paused)


def _place_in(state: State, turn: Turn, trigger: Trigger, key: str, happening: Happening) -> Gathering:
    """The oldest open gathering of the key that has room for the event, or a new one."""
    for gathering_id in state.open_of.of((trigger.id, key)):
        gathering = state.gatherings[gathering_id]
        if gathering.due_us <= turn.now_us:
            due(state, turn, gathering_id)
        elif trigger.member is None or (gathering_id, trigger.member) not in state.parts:
            return gathering
    seed = hashlib.sha256(f"{trigger.id}\0{happening.source}\0{happening.id}\0{trigger.member}".encode()).digest()
    spec = trigger.spec
    lasts_s = spec.batch.within_s if spec.batch is not None else spec.debounce_s or spec.within_s
    opened = Gathering(
        id=uuid7(turn.now_us, seed[:RANDOM_BYTES]),
        trigger=trigger.id,
        project=trigger.project,
        key=key,
        opened_us=turn.now_us,
        due_us=turn.now_us + _us(lasts_s),
    )
    state.open_of.add((trigger.id, key), opened.id)
    return opened


def _is_complete(spec: TriggerSpec, gathering: Gathering) -> bool:
    if spec.batch is not None:
        return gathering.count >= spec.batch.count
    return bool(spec.members) and gathering.count >= len(spec.members)


def _wake_for(state: State, turn: Turn, gathering: Gathering) -> None:
    timer = Timer(id=f"{GATHER}/{gathering.id}", kind=GATHER, due_us=gathering.due_us, run_id="", ordinal=0)
    state.timers.put(timer.id, timer)
    state.wake(turn, timer.due_us)


def _start(state: State, turn: Turn, trigger: Trigger, gathering: Gathering) -> None:
    parts = [state.parts[gathering.id, number] for number in sorted(state.parts_of.of(gathering.id))]
    parameters = _merged(trigger.spec, parts)
    problem = _of_two_versions(trigger.spec, parts) or misfit(trigger.parameters, parameters)
    if problem:
        _bury(state, turn, gathering, f"Flow {trigger.flow!r}: {problem}")
        return
    last = max(parts, key=lambda part: (part.received_us, part.number))
    deepest = max(parts, key=lambda part: part.depth)
    members = sorted(f"{part.source}\0{part.event_id}" for part in parts)
    start = Start(
        flow=(trigger.project, trigger.flow),
        parameters=parameters,
        idempotency_key=digest_of(trigger.id, *members),
        principal=last.principal,
        trigger=trigger,
        key=gathering.key,
        event=(last.source, last.event_id),
        depth=deepest.depth,
        root_id=deepest.root_id,
        labels={name: text for part in parts for name, text in part.labels.items()},
    )
    run = new_run(state, turn, start)
    _close(state, replace(gathering, state="STARTED", run_id=run.id))


def _of_two_versions(spec: TriggerSpec, parts: list[Part]) -> str:
    """Why a batch whose trigger was deployed with another map meanwhile cannot be one run."""
    maps = list(dict.fromkeys(tuple(sorted(part.parameters)) for part in parts))
    if spec.batch is None or len(maps) == 1:
        return ""
    return f"the map was changed while the batch was gathered: it gave {', '.join(maps[0])}, then {', '.join(maps[1])}"


def _merged(spec: TriggerSpec, parts: list[Part]) -> dict[str, Any]:
    """Of a batch each parameter is the list of what came; of a join the members fill in what is theirs."""
    if spec.batch is not None:
        return {name: [part.parameters.get(name) for part in parts] for name in parts[0].parameters}
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= part.parameters
    return merged


def _end(state: State, turn: Turn, gathering: Gathering, reason: str) -> None:
    parts = _there(state, gathering)
    body = TriggerExpired(
        trigger=gathering.trigger,
        gathering_id=gathering.id,
        key=gathering.key,
        reason=reason,
        events=tuple(f"{part.source}/{part.event_id}" for part in parts),
    )
    principal = parts[-1].principal if parts else "headwater"
    turn.said.append(
        Said(
            body=body,
            subject=gathering.trigger,
            project=gathering.project,
            principal=principal,
            time_us=turn.now_us,
        )
    )
    _close(state, replace(gathering, state="ENDED", reason=reason))


def _bury(state: State, turn: Turn, gathering: Gathering, reason: str, *, code: str = "bad_parameters") -> None:
    parts = _there(state, gathering)
    letter = DeadLetter(
        id=letter_id(turn, gathering.trigger, gathering.id),
        owner=state.mail.owner,
        code=code,
        reason=f"Trigger {gathering.trigger}: {reason}",
        topic="log",
        event_source=parts[-1].source,
        event_id=parts[-1].event_id,
        event_type=parts[-1].event_type,
        trigger=gathering.trigger,
        project=gathering.project,
        principal=parts[-1].principal,
        raw=msgspec.json.encode(parts),
        received_us=turn.now_us,
    )
    state.mail.lay_down(turn, letter)
    _close(state, replace(gathering, state="ENDED", reason=reason))


def _there(state: State, gathering: Gathering) -> list[Part]:
    found = (state.parts.get((gathering.id, number)) for number in sorted(state.parts_of.of(gathering.id)))
    return [part for part in found if part is not None]


def _close(state: State, gathering: Gathering) -> None:
    for number in state.parts_of.of(gathering.id):
        state.parts.remove((gathering.id, number))
        state.parts_of.discard(gathering.id, number)
    state.open_of.discard((gathering.trigger, gathering.key), gathering.id)
    state.timers.remove(f"{GATHER}/{gathering.id}")
    state.gatherings.put(gathering.id, gathering)


def _us(seconds: float) -> int:
    return int(seconds * 1_000_000)
