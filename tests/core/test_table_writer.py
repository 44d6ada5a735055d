"""What the TableWriter announces, from facts alone."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from headwater.core.inbox import Ordered
from headwater.core.table_writer import Author, Seen, SnapshotFact, TableWriter
from headwater.core.turn import Turn
from headwater.wire.calls import Order
from headwater.wire.entries.tables import TableCommitted, TableReset
from headwater.wire.types import Said


def a_fact(number: int, *, key: str = "", rows: int | None = None) -> SnapshotFact:
    return SnapshotFact(
        id=number,
        parent=number - 1 or None,
        operation="append",
        rows_added=10,
        rows_deleted=0,
        rows_total=rows,
        committed_us=number,
        key=key,
    )


def seen(*line: SnapshotFact, announced: int | None = None, **more: Any) -> Seen:
    facts: dict[str, Any] = {
        "table": "lake.trips",
        "announced": announced,
        "current": line[-1].id if line else announced,
        "line": line,
        "metadata_location": "file:///m.json",
        "columns": (("day", "string"),),
    }
    return Seen(**{**facts, **more})


def hear(writer: TableWriter, event: Seen) -> Turn:
    turn = writer.decide(event, now_us=7)
    writer.settle()
    return turn


def test_every_snapshot_since_the_head_is_announced_oldest_first() -> None:
    writer = TableWriter()
    turn = hear(writer, seen(a_fact(1), a_fact(2, key="r1/2/1")))
    said = [word.body for word in turn.said if isinstance(word.body, TableCommitted)]
    assert [(body.snapshot_id, body.previous_snapshot_id, body.rows_total) for body in said] == [
        (1, None, 10),
        (2, 1, 20),
    ]
    assert writer.heads["lake.trips"].snapshot_id == 2
    assert writer.heads["lake.trips"].columns == [["day", "string"]]


def test_a_look_that_another_announcement_overtook_changes_nothing() -> None:
    writer = TableWriter()
    hear(writer, seen(a_fact(1)))
    turn = hear(writer, seen(a_fact(1), a_fact(2)))
    assert (turn.answer, turn.said) == (False, [])
    assert writer.heads["lake.trips"].snapshot_id == 1


def test_nothing_new_says_nothing() -> None:
    writer = TableWriter()
    hear(writer, seen(a_fact(1)))
    turn = hear(writer, seen(announced=1))
    assert (turn.answer, turn.said, writer.book.changes()) == (True, [], {})


def test_only_the_authors_own_snapshot_carries_the_author() -> None:
    author = Author(key="r1/2/1", project="flights", principal="ann")
    turn = hear(TableWriter(), seen(a_fact(1), a_fact(2, key="r1/2/1"), author=author))
    assert [(word.project, word.principal, word.causation) for word in turn.said] == [
        ("default", "headwater", None),
        ("flights", "ann", "r1/2/1"),
    ]


def test_a_commit_key_is_written_with_the_head() -> None:
    writer = TableWriter()
    writer.decide(seen(a_fact(1, key="k")), now_us=7)
    changes = writer.book.changes()
    assert changes["commit_keys"]["lake.trips", "k"].snapshot_id == 1
    assert changes["table_heads"]["lake.trips"].snapshot_id == 1


def test_a_rollback_is_one_reset_and_the_keys_on_the_line_stay_spent() -> None:
    writer = TableWriter()
    hear(writer, seen(a_fact(1), a_fact(2)))
    event = seen(announced=2, current=1, line=None, keyed=(a_fact(1, key="k"),), rows_total=10)
    turn = writer.decide(event, now_us=8)
    [word] = turn.said
    assert word.body == TableReset(
        table="lake.trips", from_snapshot_id=2, to_snapshot_id=1, metadata_location="file:///m.json"
    )
    assert ("lake.trips", "k") in writer.book.changes()["commit_keys"]
    assert writer.heads["lake.trips"].rows_total == 10


def test_a_table_that_is_gone_is_reset_to_nothing_and_forgotten() -> None:
    writer = TableWriter()
    hear(writer, seen(a_fact(1)))
    turn = hear(writer, seen(announced=1, current=None, line=None, metadata_location="", columns=()))
    assert isinstance(turn.said[0].body, TableReset)
    assert "lake.trips" not in writer.heads


def test_what_a_rollback_undoes_is_announced_again() -> None:
    writer = TableWriter()
    writer.decide(seen(a_fact(1)), now_us=7)
    writer.book.rollback()
    assert writer.announced("lake.trips") is None
    assert hear(writer, seen(a_fact(1))).answer is True


def test_a_command_is_refused_with_the_way_to_append() -> None:
    order = Order(source="cli", id="c1", kind="table.append", principal="ann", project="flights")
    answer = TableWriter().decide(Ordered(order=order), now_us=1).answer
    assert "POST /v1/tables/NAME/append" in answer["refused"]["reason"]


def test_each_project_is_charged_what_it_wrote_of_a_table() -> None:
    writer = TableWriter()
    facts = [replace(a_fact(1), project="eta", bytes_added=70), replace(a_fact(2), project="flights", bytes_added=30)]
    turn = hear(writer, seen(*facts))
    assert [stored_in(word) for word in turn.said] == [{"eta": 70}, {"flights": 30}]
    rewritten = replace(a_fact(3), project="", bytes_added=40, bytes_removed=100)  # by another engine
    turn = hear(writer, seen(rewritten, announced=2))
    assert [stored_in(word) for word in turn.said] == [{"eta": -60}]  # 40 of it were its own to remove
    assert stored_in(hear(writer, seen(announced=3, current=1, line=None, bytes_total=5)).said[0]) == {
        "eta": -5,
        "flights": -30,
    }
    gone = hear(writer, seen(announced=1, current=None, line=None, metadata_location="", columns=()))
    assert stored_in(gone.said[0]) == {"eta": -5}
    assert not len(writer.shares)


def test_shares_are_written_with_the_head_and_loaded_again() -> None:
    writer = TableWriter()
    writer.decide(seen(replace(a_fact(1), project="eta", bytes_added=70)), now_us=7)
    share = writer.book.changes()["table_shares"]["lake.trips", "eta"]
    again = TableWriter(writer.heads.values(), shares=[share])
    turn = hear(again, seen(replace(a_fact(2), project="eta", bytes_removed=70), announced=1))
    assert stored_in(turn.said[0]) == {"eta": -70}


def stored_in(word: Said) -> dict[str, int]:
    assert isinstance(word.body, TableCommitted | TableReset)
    return word.body.stored
