"""Of the oracle: what was published is the log, and every offset of an inbound topic came to an end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from headwater.core.records.inbox import DeadLetter, InboxRow
from headwater.events.relay import message_of, topic_of
from headwater.wire.envelope import Event, Rejected, parse
from headwater.wire.topics import BY_NAME, EVENTS, Direction
from scenes.evidence import Evidence, Recorded

RELAY = "relay"
Known = dict[int, tuple[str, bytes | None]]
At = tuple[str, int, int]


@dataclass
class Taken:
    """Inbox rows by their key, dead letters of records by their place, and how often an event came again."""

    rows: dict[tuple[str, str, str], InboxRow]
    letters: dict[At, list[DeadLetter]]
    duplicates: Counter[tuple[str, str, str]] = field(default_factory=Counter)


def what_was_published_is_the_log(seen: Evidence) -> Iterator[str]:
    entries = {entry.position: entry for entry in seen.entries}
    found: Known = {}
    for (topic, number), records in seen.topics.items():
        if topic in BY_NAME and BY_NAME[topic].direction is Direction.OUTBOUND:
            yield from _off_order(f"{topic}/{number}", records, found, topic)
    marked = seen.next_of(RELAY)
    for position, entry in entries.items():
        if position in found:
            topic, value = found[position]
            if (topic, value) != (topic_of(entry), message_of(entry).value):
                yield f"position {position} ({entry.type}) was published to {topic} as something else than the log has"
        elif position < marked:
            yield f"position {position} ({entry.type}) is marked as published, and {topic_of(entry)} has it not"
    yield from (
        f"position {position} was published, and the log has none of it"
        for position in found
        if position <= seen.position and position not in entries
    )


def offsets_came_to_an_end(seen: Evidence) -> Iterator[str]:
    """Of the records that are still there: where retention took some, an event may count more duplicates than those."""
    taken = _taken(seen)
    for offset in seen.offsets:
        for record in seen.topics.get((offset.topic, offset.partition), []):
            if record.offset >= offset.next or offset.halted == "topic_id_changed":
                continue
            at = (offset.topic, offset.partition, record.offset)
            if offset.topic in BY_NAME:
                yield from _off_record(taken, offset.owner, at, record)
            elif not taken.letters[at] and not any((r.topic, r.partition, r.offset) == at for r in seen.inbox):
                yield f"{at[0]}/{at[1]}@{at[2]} ended as nothing"
    some_are_gone = any(topic == EVENTS.name for topic, _ in seen.begins)
    for key, row in taken.rows.items():
        came = taken.duplicates[key]
        if row.topic == EVENTS.name and (row.duplicates < came if some_are_gone else row.duplicates != came):
            yield f"event {row.source}/{row.id} counts {row.duplicates} duplicates, and {came} came"


def _taken(seen: Evidence) -> Taken:
    letters: dict[At, list[DeadLetter]] = defaultdict(list)
    for letter in seen.dead_letters:
        if not letter.trigger:
            letters[letter.topic, letter.partition, letter.offset].append(letter)
    return Taken({(row.owner, row.source, row.id): row for row in seen.inbox}, letters)


def _off_order(place: str, records: list[Recorded], found: Known, topic: str) -> Iterator[str]:
    """The positions of a partition, each once: they only grow."""
    highest = 0
    for record in records:
        event = parse(record.value, record.headers, key=None)
        if not isinstance(event, Event):
            yield f"{place}@{record.offset} holds what is no event: {event.sentence}"
            continue
        position = int(str(event.extensions["hwposition"]))
        if position not in found:
            found[position] = (topic, record.value)
            if position < highest:
                yield f"{place}@{record.offset} is position {position}, and {highest} came before it"
            highest = max(highest, position)
        elif found[position] != (topic, record.value):
            yield f"{place}@{record.offset} is position {position} once more, with other bytes"


def _off_record(taken: Taken, owner: str, at: At, record: Recorded) -> Iterator[str]:
    where, letters = f"{at[0]}/{at[1]}@{at[2]}", taken.letters[at]
    event = parse(record.value, record.headers, key=record.key)
    if isinstance(event, Rejected) or letters:
        if len(letters) != 1:
            yield f"{where} cannot be taken in, and has {len(letters)} dead letters"
        elif letters[0].raw != (record.value or b"") and letters[0].state != "discarded":
            yield f"{where} has a dead letter with other bytes"
        return
    key = (owner, event.source, event.id)
    row = taken.rows.get(key)
    if row is None or row.sha256 != event.sha256:
        yield f"{where} ({event.source}/{event.id}) ended as nothing: no outcome, no duplicate, no dead letter"
    elif (row.topic, row.partition, row.offset) != at:
        taken.duplicates[key] += 1
