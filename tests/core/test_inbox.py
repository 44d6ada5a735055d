"""What comes in is taken once and in order; a command gets one answer, by whichever door."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headwater.core.inbox import IN_MEMORY_MAX, Arrived, Inbox, Ordered, SeekTo, TopicGap, headers_as_json
from headwater.core.ledger import Book
from headwater.core.turn import Turn
from headwater.wire.calls import Order
from headwater.wire.entries.events import CommandDone, CommandRefused, DataGap, EventRejected
from headwater.wire.envelope import Event, Reason, Rejected

EVENT = Event(id="e1", source="s", type="quota.apply", data={"n": 1}, project="eta")
ORDER = Order(source="cli", id="c1", kind="quota.apply", principal="me", project="eta", data={"n": 1}, sha256="one")


class Scene:
    """An inbox whose commands are obeyed by counting them."""

    def __init__(self) -> None:
        self.book = Book()
        self.mail = Inbox(self.book, "scheduler")
        self.obeyed: list[Order] = []

    def obey(self, order: Order) -> CommandDone | CommandRefused:
        self.obeyed.append(order)
        if order.kind == "refuse":
            return CommandRefused(command=order.id, code="no", reason="never")
        return CommandDone(command=order.id, result=len(self.obeyed))

    def arrive(self, offset: int, previous: int | None, parsed: Event | Rejected = EVENT, **changes: Any) -> Turn:
        turn = Turn(5)
        self.mail.command_record(turn, a_record(offset, previous, parsed, **changes), self.obey)
        return turn

    def order(self, order: Order = ORDER, **changes: Any) -> Turn:
        turn = Turn(5)
        self.mail.ordered(turn, Ordered(order=order, **changes), self.obey)
        return turn

    def codes(self) -> list[str]:
        return [letter.code for letter in self.mail.dead_letters.values()]


def a_record(offset: int, previous: int | None, parsed: Event | Rejected = EVENT, **changes: Any) -> Arrived:
    record = Arrived(
        topic="t",
        topic_id="id1",
        partition=0,
        offset=offset,
        previous=previous,
        parsed=parsed,
        raw=b"raw",
        headers=[],
        principal="topic:t",
    )
    return msgspec.structs.replace(record, **changes)


def test_the_first_record_of_a_partition_may_lie_anywhere() -> None:
    scene = Scene()
    scene.arrive(7, None)
    assert scene.mail.next_of("t") == 8


def test_a_record_that_was_taken_is_not_taken_again() -> None:
    scene = Scene()
    scene.arrive(0, None)
    assert scene.arrive(0, None).answer == "taken"
    assert len(scene.obeyed) == 1


def test_a_record_after_a_gap_is_sought_again() -> None:
    scene = Scene()
    scene.arrive(0, None)
    turn = scene.arrive(5, 5, Event(id="e2", source="s", type="t"))
    assert (turn.answer, turn.effects) == ("gap", [SeekTo("t", 0, 1)])
    assert (scene.mail.next_of("t"), len(scene.obeyed)) == (1, 1)


def test_offsets_that_a_topic_left_out_are_no_gap() -> None:
    scene = Scene()
    scene.arrive(0, None)
    scene.arrive(5, 1, Event(id="e2", source="s", type="t"))
    assert (scene.mail.next_of("t"), len(scene.obeyed)) == (6, 2)


def test_partitions_are_in_order_each_by_itself() -> None:
    scene = Scene()
    scene.arrive(0, None)
    scene.arrive(3, None, Event(id="e2", source="s", type="t"), partition=1)
    assert (scene.mail.next_of("t"), scene.mail.next_of("t", 1)) == (1, 4)


def test_an_offset_goes_back_with_the_book() -> None:
    scene = Scene()
    scene.arrive(0, None)
    scene.book.rollback()
    assert scene.mail.next_of("t") is None


def test_a_command_by_its_topic_is_answered_once_in_the_log() -> None:
    scene = Scene()
    turn = scene.arrive(0, None)
    (word,) = turn.said
    assert (word.body, word.causation) == (CommandDone(command="e1", result=1), "s/e1")
    assert (word.project, word.principal) == ("eta", "topic:t")


def test_the_same_command_by_both_doors_is_obeyed_once() -> None:
    scene = Scene()
    by_topic = scene.arrive(0, None)
    order = Order(
        source="s", id="e1", kind=EVENT.type, principal="me", project="eta", data=EVENT.data, sha256=EVENT.sha256
    )
    direct = scene.order(order)
    assert direct.answer == by_topic.answer == {"done": 1}
    assert (len(scene.obeyed), direct.said) == (1, [])


@pytest.mark.parametrize("kind", ["quota.apply", "refuse"])
def test_a_repeated_command_gets_the_first_answer(kind: str) -> None:
    scene, order = Scene(), msgspec.structs.replace(ORDER, kind=kind)
    first = scene.order(order)
    assert scene.order(order).answer == first.answer
    row = scene.mail.rows["scheduler", "cli", "c1"]
    assert Scene().order(order, known=row).answer == first.answer
    assert len(scene.obeyed) == 1


def test_a_refusal_is_an_entry_too() -> None:
    turn = Scene().order(msgspec.structs.replace(ORDER, kind="refuse"))
    assert turn.answer == {"refused": {"code": "no", "reason": "never"}}
    assert isinstance(turn.said[0].body, CommandRefused)


def test_a_command_with_anothers_id_is_refused() -> None:
    scene = Scene()
    scene.order()
    turn = scene.order(msgspec.structs.replace(ORDER, sha256="two"))
    assert turn.answer["refused"]["code"] == "id_conflict"
    assert len(scene.obeyed) == 1


def test_a_record_with_anothers_id_is_a_dead_letter() -> None:
    scene = Scene()
    scene.arrive(0, None)
    scene.arrive(1, 1, msgspec.structs.replace(EVENT, data={"n": 2}))
    assert scene.codes() == ["id_conflict"]
    assert scene.mail.next_of("t") == 2


def test_a_duplicate_that_only_the_store_remembers_is_known() -> None:
    first, scene = Scene(), Scene()
    first.arrive(0, None)
    row = first.mail.rows["scheduler", "s", "e1"]
    assert scene.arrive(3, None, known=row).answer == "duplicate"
    assert (scene.obeyed, scene.mail.next_of("t")) == ([], 4)


def test_what_is_no_event_is_buried_with_its_bytes() -> None:
    scene = Scene()
    turn = scene.arrive(0, None, Rejected(Reason.INVALID_JSON, "not JSON"))
    (letter,) = scene.mail.dead_letters.values()
    assert (letter.code, letter.raw, letter.offset, letter.project) == ("invalid_json", b"raw", 0, "default")
    (word,) = turn.said
    assert isinstance(word.body, EventRejected)
    assert (word.body.dead_letter_id, word.subject) == (letter.id, letter.id)


def test_dead_letters_of_one_moment_have_ids_of_their_own() -> None:
    scene = Scene()
    for offset in range(3):
        scene.arrive(offset, offset, Rejected(Reason.INVALID_JSON, "not JSON"))
    assert len(scene.mail.dead_letters) == 3


def test_a_record_whose_decision_raised_counts_as_taken() -> None:
    scene = Scene()
    scene.mail.set_aside(Turn(5), a_record(4, None), "KeyError")
    assert (scene.codes(), scene.mail.next_of("t")) == (["engine_error"], 5)


def test_a_partition_that_stands_still_keeps_the_topic_its_position_belongs_to() -> None:
    scene, turn = Scene(), Turn(5)
    scene.arrive(0, None)
    gap = TopicGap(topic="t", topic_id="id2", partition=0, wanted=1, first=0, reason="topic_id_changed")
    scene.mail.halt(turn, gap)
    row = scene.mail.offsets["scheduler", "t", 0]
    assert (row.next, row.halted, row.topic_id) == (1, "topic_id_changed", "id1")
    assert isinstance(turn.said[0].body, DataGap)
    again = Turn(6)
    scene.mail.halt(again, gap)  # found again at the next start
    assert again.said == []


def a_standing(*partitions: int, next_: int = 4) -> Scene:
    scene = Scene()
    for partition in partitions:
        scene.arrive(next_ - 1, None, msgspec.structs.replace(EVENT, id=f"e{partition}"), partition=partition)
        gap = TopicGap(topic="t", topic_id="id2", partition=partition, wanted=next_, first=9, reason="data_gap")
        scene.mail.halt(Turn(5), gap)
    scene.obeyed.clear()
    return scene


def resume(scene: Scene, **data: Any) -> Turn:
    return scene.order(msgspec.structs.replace(ORDER, id="r1", kind="events.resume", data=data))


def test_a_partition_that_stands_still_goes_on_at_the_earliest_record_once_somebody_says_so() -> None:
    scene = a_standing(0, 1)
    turn = resume(scene, topic="t", partition=1)
    assert turn.effects == [SeekTo("t", 1, None)]
    (word,) = turn.said
    assert (word.principal, word.causation, scene.obeyed) == ("me", "cli/r1", [])
    resumed = [{"partition": 1, "stood_at": 4, "reason": "data_gap"}]
    assert word.body == CommandDone(command="r1", result={"topic": "t", "from": None, "resumed": resumed})
    assert scene.mail.offsets["scheduler", "t", 0].halted == "data_gap"
    scene.arrive(9, None, msgspec.structs.replace(EVENT, id="e9"), partition=1, topic_id="id2")
    row = scene.mail.offsets["scheduler", "t", 1]
    assert (row.next, row.topic_id, row.halted) == (10, "id2", "")


def test_all_partitions_of_a_topic_go_on_where_none_is_named() -> None:
    assert {effect.partition for effect in resume(a_standing(0, 1), topic="t").effects} == {0, 1}


def test_a_partition_goes_on_at_the_offset_that_is_named() -> None:
    scene = a_standing(0)
    assert resume(scene, topic="t", offset=11).effects == [SeekTo("t", 0, 11)]
    assert scene.arrive(11, 11, msgspec.structs.replace(EVENT, id="e11"), topic_id="id2").said
    assert scene.mail.next_of("t") == 12


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        ({"topic": "other"}, "not_halted", "Of other no partition stands still"),
        ({"topic": "t", "partition": 3}, "not_halted", "partition 3"),
        ({"topic": "t", "offset": -1}, "bad_command", "offset"),
        ({"topic": "t", "ofset": 1}, "bad_command", "topic, partition, offset"),
        ({}, "bad_command", "topic"),
    ],
)
def test_what_cannot_be_resumed_is_refused_with_one_entry(data: dict[str, Any], code: str, says: str) -> None:
    scene = a_standing(0)
    turn = resume(scene, **data)
    assert turn.answer["refused"]["code"] == code
    assert says in turn.answer["refused"]["reason"]
    assert (len(turn.said), turn.effects) == (1, [])
    assert scene.mail.offsets["scheduler", "t", 0].halted == "data_gap"


def test_memory_keeps_the_newest_and_no_dead_letters() -> None:
    scene = Scene()
    for number in range(2 * IN_MEMORY_MAX + 1):
        scene.order(msgspec.structs.replace(ORDER, id=f"c{number}"))
    scene.arrive(0, None, Rejected(Reason.INVALID_JSON, "not JSON"))
    scene.book.settle()
    scene.mail.tidy()
    assert (len(scene.mail.rows), len(scene.mail.dead_letters)) == (IN_MEMORY_MAX + 1, 0)
    assert ("scheduler", "cli", f"c{2 * IN_MEMORY_MAX}") in scene.mail.rows


def test_headers_are_kept_as_json() -> None:
    assert headers_as_json([("a", b"\xff"), ("b", None)]) == [["a", "/w=="], ["b", None]]
