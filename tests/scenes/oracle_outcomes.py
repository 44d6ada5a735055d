"""Of the oracle: each accepted event has one outcome for each trigger that matches, and no run is without one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from headwater.core.conductor.state import State
from headwater.core.conductor.triggers.following import happening_of as own_happening
from headwater.core.conductor.triggers.triggering import happening_of
from headwater.core.inbox import LOG
from headwater.core.records.inbox import InboxRow
from headwater.core.records.runs import Run
from headwater.core.trigger import Happening, Match, Mismatch, Trigger, judge, listeners_of, triggers_of
from headwater.wire.entries.events import TriggerExpired
from headwater.wire.entries.models import FlowDeployed
from headwater.wire.envelope import Event, parse
from headwater.wire.manifest import FlowSpec
from headwater.wire.topics import BY_NAME, EVENTS, Direction
from scenes.evidence import Evidence

LEARNED_WITHIN_US = 1_000_000
"""A deploy so short before or after an event may have been in force when that was matched, or not."""
ANSWERS = ("command.done", "command.refused")
COMMANDS = {topic.name for topic in BY_NAME.values() if topic.direction is Direction.INBOUND and topic != EVENTS}
Deploys = dict[tuple[str, str], list[tuple[int, FlowSpec]]]


def outcomes_are_what_the_triggers_say(seen: Evidence) -> Iterator[str]:
    """Judged once more by the triggers in force: each has one outcome, and the outcome is of that kind."""
    deploys = _deploys(seen)
    for row, happening, when_us in _accepted(seen):
        told = Counter(one.get("trigger") for one in _told(row) if one.get("trigger"))
        for trigger_id, listeners in _in_force(deploys, happening, when_us).items():
            if told[trigger_id] != len(listeners):
                yield f"event {_name(row)} has {told[trigger_id]} outcomes for trigger {trigger_id}"
            elif len(listeners) == 1:
                yield from _off_kind(row, listeners[0], happening)


def accepted_words_of_our_own_are_in_the_inbox(seen: Evidence) -> Iterator[str]:
    deploys, taken = _deploys(seen), {(row.source, row.id) for row in seen.inbox if row.owner == "conductor"}
    state = State(secret=b"")
    for entry in seen.entries:
        happening = own_happening(state, entry)
        if happening is None or entry.position >= seen.next_of(LOG):
            continue
        if _in_force(deploys, happening, entry.time_us) and (happening.source, happening.id) not in taken:
            yield f"entry {entry.position} ({entry.type}) was followed, and no trigger that listens has an outcome"


def outcomes_are_there(seen: Evidence) -> Iterator[str]:
    """What an outcome names exists: the run of that trigger and event, the gathering, the dead letter."""
    runs = {run.id: run for run in seen.runs}
    gatherings = {gathering.id for gathering in seen.gatherings}
    letters = {letter.id for letter in seen.dead_letters}
    for row in seen.inbox:
        for one in _told(row):
            if not one.keys() & {"run_id", "part_of", "no_match", "dead_letter"}:
                yield f"event {_name(row)} came to nothing for {one}"
            if one.get("part_of", "") and one["part_of"] not in gatherings:
                yield f"event {_name(row)} is part of gathering {one['part_of']}, which is not there"
            if one.get("dead_letter", "") and one["dead_letter"] not in letters:
                yield f"event {_name(row)} became dead letter {one['dead_letter']}, which is not there"
            if one.get("run_id", ""):
                yield from _off_run(row, one, runs.get(one["run_id"]))


def runs_have_one_cause(seen: Evidence) -> Iterator[str]:
    causes = _causes(seen)
    for run in seen.runs:
        found = causes[run.id]
        if not found:
            yield f"run {run.id} ({run.flow}, trigger {run.trigger or 'none'}) has no outcome that names it"
        if run.trigger and len(found) > 1:
            yield f"run {run.id} of trigger {run.trigger} has {len(found)} causes: {', '.join(sorted(found))}"


def gatherings_end_as_they_say(seen: Evidence) -> Iterator[str]:
    runs = {run.id for run in seen.runs}
    expired = {entry.body.gathering_id for entry in seen.entries if isinstance(entry.body, TriggerExpired)}
    buried = {letter.trigger for letter in seen.dead_letters if letter.topic == LOG}
    for one in seen.gatherings:
        if one.state == "STARTED" and one.run_id not in runs:
            yield f"gathering {one.id} of {one.trigger} started run {one.run_id}, which is not there"
        if one.state == "ENDED" and one.id not in expired and one.trigger not in buried:
            yield f"gathering {one.id} of {one.trigger} ended, and no word of the log and no dead letter says so"
    parts = Counter(one["part_of"] for row in seen.inbox for one in _told(row) if "part_of" in one)
    for one in seen.gatherings:
        if parts[one.id] > one.count:
            yield f"gathering {one.id} counts {one.count} events, and {parts[one.id]} say that they are part of it"


def commands_have_one_answer(seen: Evidence) -> Iterator[str]:
    answers = Counter(entry.causation for entry in seen.entries if entry.type in ANSWERS)
    for row in seen.inbox:
        if _is_command(row) and answers[_name(row)] != 1:
            yield f"command {_name(row)} ({row.type}) has {answers[_name(row)]} answers in the log"


def _told(row: InboxRow) -> list[dict[str, Any]]:
    return row.outcome if isinstance(row.outcome, list) and not _is_command(row) else []


def _name(row: InboxRow) -> str:
    return f"{row.source}/{row.id}"


def _is_command(row: InboxRow) -> bool:
    return row.topic == "" or row.topic in COMMANDS


def _deploys(seen: Evidence) -> Deploys:
    """Each flow's versions with the time of their deploy."""
    found: Deploys = defaultdict(list)
    for entry in seen.entries:
        if isinstance(entry.body, FlowDeployed):
            spec = msgspec.convert(entry.body.manifest["spec"], FlowSpec)
            found[spec.project, spec.name].append((entry.time_us, spec))
    return found


def _in_force(deploys: Deploys, happening: Happening, when_us: int) -> dict[str, list[Trigger]]:
    """The listeners by trigger; a flow that was deployed around that time is left out."""
    found: dict[str, list[Trigger]] = {}
    for versions in deploys.values():
        before = [spec for at_us, spec in versions if at_us <= when_us]
        if not before or any(abs(at_us - when_us) < LEARNED_WITHIN_US for at_us, _ in versions):
            continue
        for trigger in triggers_of(before[-1]):
            listeners = [one for one in listeners_of(trigger) if _listens(one, happening)]
            if listeners:
                found[trigger.id] = listeners
    return found


def _listens(trigger: Trigger, happening: Happening) -> bool:
    kind, subject = trigger.heard.kind, trigger.heard.subject
    if kind == "finished" and "/" not in subject:
        subject = f"{trigger.project}/{subject}"
    return (kind, subject) == (happening.kind, happening.subject)


def _accepted(seen: Evidence) -> Iterator[tuple[InboxRow, Happening, int]]:
    """The events that were taken in, as they were: from Kafka, or from the log."""
    rows = {(row.source, row.id): row for row in seen.inbox if row.owner == "conductor"}
    places = {(row.topic, row.partition, row.offset): row for row in rows.values()}
    for (topic, number), records in seen.topics.items():
        for record in records if topic == EVENTS.name else ():
            row = places.get((topic, number, record.offset))
            event = parse(record.value, record.headers, key=record.key)
            if row is not None and isinstance(event, Event):
                yield row, happening_of(event), row.received_us
    state = State(secret=b"")
    for entry in seen.entries:
        happening = own_happening(state, entry)
        own = None if happening is None else rows.get((happening.source, happening.id))
        if happening is not None and own is not None:
            yield own, happening, entry.time_us


def _off_kind(row: InboxRow, trigger: Trigger, happening: Happening) -> Iterator[str]:
    told = next(one for one in _told(row) if one.get("trigger") == trigger.id)
    verdict = judge(trigger, happening)
    paused = "was paused by" in told.get("no_match", "")
    matched = bool(told.keys() & {"run_id", "part_of"})
    if isinstance(verdict, Match):
        wrong = not matched and not paused and "dead_letter" not in told
    else:
        wrong = matched or (("dead_letter" in told) != isinstance(verdict, Mismatch) and not paused)
    if wrong:
        yield f"event {_name(row)} became {told}, and trigger {trigger.id} says {type(verdict).__name__}"


def _off_run(row: InboxRow, told: dict[str, Any], run: Run | None) -> Iterator[str]:
    if run is None:
        yield f"event {_name(row)} became run {told['run_id']}, which is not there"
        return
    wanted = (told.get("trigger"), row.source, row.id)
    if not told.keys() & {"part_of", "wait_for"} and (run.trigger, run.event_source, run.event_id) != wanted:
        yield f"event {_name(row)} became run {run.id}, which says that it is of {run.trigger} and {run.event_id}"


def _causes(seen: Evidence) -> dict[str, set[str]]:
    """For each run what says that it led to it."""
    causes: dict[str, set[str]] = defaultdict(set)
    for row in seen.inbox:
        for one in _told(row):
            if one.get("run_id") and "wait_for" not in one and "part_of" not in one:
                causes[one["run_id"]].add(f"event {_name(row)}")
        for run_id in _started_by(row):
            causes[run_id].add(f"command {_name(row)}")
    for gathering in seen.gatherings:
        if gathering.run_id:
            causes[gathering.run_id].add(f"gathering {gathering.id}")
    commands = {(one.run_id, one.ordinal) for one in seen.commands}
    for run in seen.runs:
        if (run.parent_id, run.parent_ordinal) in commands:
            causes[run.id].add(f"command {run.parent_ordinal} of run {run.parent_id}")
    return causes


def _started_by(row: InboxRow) -> list[str]:
    """The runs that a command's answer names as new."""
    done = row.outcome.get("done") if _is_command(row) and isinstance(row.outcome, dict) else None
    if not isinstance(done, dict):
        return []
    became = [one["run_id"] for one in done.get("became", ()) if one.get("run_id") and not one.get("part_of")]
    return became + ([done["run_id"]] if row.type in ("run.start", "run.resume") and "run_id" in done else [])
