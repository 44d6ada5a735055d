"""Triggers as they stand, and what became of an event: short reads of several tables as of one moment."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..core.inbox import LOG as LOG_TOPIC
from ..core.records.inbox import DeadLetter, InboxRow
from ..core.records.triggers import Gathering, Timer, TriggerState
from ..wire.api.triggers import Became, Explanation, TriggerDetail, outcome_of
from ..wire.manifest import FlowSpec
from ..wire.topics import RUN_COMMANDS
from .reader import Picture
from .schema import DEAD_LETTERS, FLOWS, GATHERINGS, INBOX, TIMERS

EVENTS_MAX: Final = 100
_COMMANDS: Final = ("", RUN_COMMANDS.name)


def triggers(picture: Picture) -> list[TriggerDetail]:
    """Every trigger of the newest version of every flow, by id."""
    states: dict[str, TriggerState] = {row.id: row for row in picture.rows("trigger_states")}
    crons: list[Timer] = picture.rows("timers", TIMERS.c.kind == "cron")
    nexts = {timer.id.removeprefix("cron/"): timer.due_us for timer in crons}
    open_ = picture.rows("gatherings", GATHERINGS.c.state == "OPEN")
    flows = [msgspec.convert(row.manifest, FlowSpec) for row in picture.rows(FLOWS.name)]
    return [_detail(flow, spec.name, states, nexts, open_) for flow in flows for spec in flow.triggers]


def _detail(
    flow: FlowSpec, name: str, states: dict[str, TriggerState], nexts: dict[str, int], open_: list[Gathering]
) -> TriggerDetail:
    spec = next(trigger for trigger in flow.triggers if trigger.name == name)
    trigger_id = f"{flow.project}/{flow.name}/{name}"
    known = states.get(trigger_id) or TriggerState(id=trigger_id)
    return TriggerDetail(
        id=trigger_id,
        project=flow.project,
        flow=flow.name,
        name=name,
        kind=spec.kind,
        subject=spec.subject,
        state="paused" if known.paused else "active",
        paused_by=known.paused,
        paused_us=known.paused_us,
        next_us=nexts.get(trigger_id),
        gathering=sum(gathering.trigger == trigger_id for gathering in open_),
        where=spec.where,
        key=spec.key,
    )


def explain(picture: Picture, event_id: str, source: str | None = None) -> list[Explanation]:
    """What became of the events of that id, of one source or of any; at most 100."""
    mine = [INBOX.c.owner == "conductor", INBOX.c.id == event_id, INBOX.c.topic.not_in(_COMMANDS)]
    if source is not None:
        mine.append(INBOX.c.source == source)
    taken: list[InboxRow] = picture.rows("inbox", *mine)[:EVENTS_MAX]
    letters: list[DeadLetter] = picture.rows("dead_letters", DEAD_LETTERS.c.event_id == event_id)
    found = [_explained(picture, row, letters) for row in taken]
    known = {row.source for row in taken}
    rest = [letter for letter in letters if letter.event_source not in known and source in (None, letter.event_source)]
    return found + [_of_letter(letter) for letter in rest[:EVENTS_MAX]]


def _explained(picture: Picture, row: InboxRow, letters: list[DeadLetter]) -> Explanation:
    told: list[Any] = row.outcome if isinstance(row.outcome, list) else []
    became = [_now(picture, one, letters) for one in told]
    named = {one.dead_letter for one in became}
    others = [letter for letter in letters if letter.event_source == row.source and letter.id not in named]
    return Explanation(
        id=row.id,
        source=row.source,
        type=row.type,
        project=row.project,
        principal=row.principal,
        received_us=row.received_us,
        topic="" if row.topic == LOG_TOPIC else row.topic,
        partition=row.partition,
        offset=row.offset,
        duplicates=row.duplicates,
        became=(*became, *map(_became, others)),
    )


def _now(picture: Picture, told: Any, letters: list[DeadLetter]) -> Became:
    """The outcome as it was written down, and what has become of it since."""
    became = outcome_of(told)
    letter = next((letter for letter in letters if letter.id == became.dead_letter), None)
    if letter is not None:
        return _became(letter)
    if "part_of" not in told:
        return became
    gathering: Gathering | None = next(iter(picture.rows("gatherings", GATHERINGS.c.id == told["part_of"])), None)
    if gathering is None or gathering.state == "OPEN":
        count = gathering.count if gathering else 0
        return msgspec.structs.replace(became, outcome="waiting", reason=f"one of {count} that wait for their run")
    if gathering.state == "ENDED":
        return msgspec.structs.replace(became, outcome="expired", reason=gathering.reason)
    reason = f"one of {gathering.count} events of the run"
    return msgspec.structs.replace(became, outcome="run", run_id=gathering.run_id, reason=reason)


def _became(letter: DeadLetter) -> Became:
    if letter.state == "open":
        return Became(outcome="dead_letter", trigger=letter.trigger, dead_letter=letter.id, reason=letter.reason)
    reason = f"dead letter {letter.id}, {letter.state} by {letter.resolved_by}"
    outcome = "run" if letter.run_id else "dead_letter"
    return Became(outcome=outcome, trigger=letter.trigger, run_id=letter.run_id, dead_letter=letter.id, reason=reason)


def _of_letter(letter: DeadLetter) -> Explanation:
    """An event that was never taken in."""
    return Explanation(
        id=letter.event_id,
        source=letter.event_source,
        type=letter.event_type,
        project=letter.project,
        principal=letter.principal,
        received_us=letter.received_us,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        became=(_became(letter),),
    )
