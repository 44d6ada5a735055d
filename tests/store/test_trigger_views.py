"""Triggers as they stand, and what became of an event, read from the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scenes.store import T0, Story, a_flow, a_run, run_id

from headwater.core.records.inbox import DeadLetter, InboxRow
from headwater.core.records.triggers import Gathering, Timer, TriggerState
from headwater.store.inbox import Chosen, Kept, kept_events
from headwater.store.queries import Queries
from headwater.store.reader import Reader
from headwater.wire.api.triggers import Became

TRIGGER = "eta/train_delay/event:flights.landed"


def a_row(event_id: str = "e1", source: str = "/s", **fields: Any) -> InboxRow:
    known: dict[str, Any] = {
        "owner": "conductor", "source": source, "id": event_id, "sha256": "x", "type": "flights.landed",
        "project": "eta", "principal": "p", "topic": "headwater.events", "partition": 0, "offset": 7, "received_us": T0,
    }  # fmt: skip
    return InboxRow(**{**known, **fields})


def a_letter(letter_id: str = "l1", **fields: Any) -> DeadLetter:
    known: dict[str, Any] = {
        "id": letter_id, "owner": "conductor", "code": "bad_parameters", "reason": "n is missing",
        "topic": "headwater.events", "event_source": "/s", "event_id": "e1", "trigger": TRIGGER, "received_us": T0,
    }  # fmt: skip
    return DeadLetter(**{**known, **fields})


def a_gathering(**fields: Any) -> Gathering:
    known: dict[str, Any] = {
        "id": "g1", "trigger": TRIGGER, "project": "eta", "key": "", "opened_us": T0, "due_us": T0 + 1, "count": 2,
    }  # fmt: skip
    return Gathering(**{**known, **fields})


def became(story: Story, event_id: str = "e1") -> tuple[Became, ...]:
    (one,) = Queries(story.reader()).explain(event_id)
    return one.became


def test_a_trigger_says_how_it_stands(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.put("flows", a_flow())
    (active,) = Queries(story.reader()).triggers()
    assert (active.id, active.state, active.next_us, active.gathering) == (TRIGGER, "active", None, 0)
    story.put("trigger_states", TriggerState(id=TRIGGER, paused="me", paused_us=T0))
    story.put("timers", Timer(id=f"cron/{TRIGGER}", kind="cron", due_us=T0 + 9, run_id="", ordinal=0))
    story.put("gatherings", a_gathering())
    (paused,) = Queries(story.reader()).triggers()
    assert (paused.state, paused.paused_by, paused.next_us, paused.gathering) == ("paused", "me", T0 + 9, 1)


def test_an_event_is_explained_trigger_by_trigger(tmp_path: Path) -> None:
    story = Story(tmp_path)
    told = [{"trigger": "a", "run_id": "r1"}, {"trigger": "b", "no_match": "its filter is false"}]
    story.put("inbox", a_row(outcome=told, duplicates=3))
    (one,) = Queries(story.reader()).explain("e1")
    assert (one.source, one.offset, one.duplicates) == ("/s", 7, 3)
    assert one.became == (
        Became(outcome="run", trigger="a", run_id="r1"),
        Became(outcome="no_match", trigger="b", reason="its filter is false"),
    )


def test_a_part_is_explained_by_what_became_of_the_whole(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.put("inbox", a_row(outcome=[{"trigger": TRIGGER, "part_of": "g1"}]))
    for gathering, outcome in (
        (a_gathering(), "waiting"),
        (a_gathering(state="ENDED", reason="too late"), "expired"),
        (a_gathering(state="STARTED", run_id="r1"), "run"),
    ):
        story.put("gatherings", gathering)
        (part,) = became(story)
        assert (part.outcome, part.run_id) == (outcome, gathering.run_id)


def test_a_dead_letter_is_explained_by_what_was_done_with_it(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.put("inbox", a_row(outcome=[{"trigger": TRIGGER, "dead_letter": "l1", "reason": "n is missing"}]))
    story.put("dead_letters", a_letter())
    assert became(story) == (Became(outcome="dead_letter", trigger=TRIGGER, dead_letter="l1", reason="n is missing"),)
    story.put("dead_letters", a_letter(state="replayed", resolved_by="me", run_id="r9"))
    (replayed,) = became(story)
    assert (replayed.outcome, replayed.run_id) == ("run", "r9")
    assert "replayed by me" in replayed.reason


def test_a_conflict_and_what_was_never_taken_in_are_explained_too(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.put("inbox", a_row(outcome=[]))
    story.put("dead_letters", a_letter("l2", code="id_conflict", trigger=""))
    assert [one.dead_letter for one in became(story)] == ["l2"]
    story.put("dead_letters", a_letter("l3", event_id="e3", trigger=""))
    assert [one.outcome for one in became(story, "e3")] == ["dead_letter"]


def test_one_id_of_two_sources_is_two_events(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.put("inbox", a_row(source="/one", outcome=[]))
    story.put("inbox", a_row(source="/two", outcome=[]))
    queries = Queries(story.reader())
    assert [one.source for one in queries.explain("e1")] == ["/one", "/two"]
    assert [one.source for one in queries.explain("e1", "/two")] == ["/two"]
    assert queries.explain("nobody") == []


def test_letters_are_listed_by_state_code_and_trigger(tmp_path: Path) -> None:
    story = Story(tmp_path)
    for letter in (a_letter("l1"), a_letter("l2", state="discarded"), a_letter("l3", code="id_conflict", trigger="")):
        story.put("dead_letters", letter)
    queries = Queries(story.reader())
    assert [one.id for one in queries.dead_letters(state="open").items] == ["l3", "l1"]
    assert [one.id for one in queries.dead_letters(state="open", trigger=TRIGGER).items] == ["l1"]
    assert [one.id for one in queries.dead_letters(code="id_conflict").items] == ["l3"]
    assert queries.counts()["dead_letters"] == {"": 2}


def test_kept_events_come_in_pages_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    story = Story(tmp_path)
    for number in range(5):
        story.put("inbox", a_row(str(number), received_us=T0 + number // 2))
    story.put("inbox", a_row("command", topic=""))
    story.put("runs", a_run(idempotency_key="key of 1"))
    reader = Reader(story.reader())

    def page(**chosen: Any) -> Kept:
        return kept_events(reader, Chosen(**chosen), lambda row: f"key of {row.id}", limit=3)

    first = page(type="flights.landed")
    assert ([row.id for row in first.rows], first.count, first.runs) == (["0", "1", "2"], 5, {"key of 1": run_id(1)})
    last = first.rows[-1]
    rest = page(type="flights.landed", after=(last.received_us, last.source, last.id))
    assert ([row.id for row in rest.rows], rest.count) == (["3", "4"], 5)
    assert [row.id for row in page(type="flights.landed", since=T0 + 1, until=T0 + 2).rows] == ["2", "3"]
    assert [row.id for row in page(ids=("4", "command")).rows] == ["4"]
