"""Dead letters after the fault was mended: each to at most one outcome, by its trigger as it is deployed now."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from scenes.triggers import Life, a_triggered

from headwater.core.inbox import Arrived, Ordered
from headwater.core.records.inbox import DeadLetter
from headwater.wire import calls
from headwater.wire.envelope import Event, Reason, Rejected, encode_structured
from headwater.wire.manifest import TriggerSpec

STRICT = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
LOOSE = {"type": "object", "properties": {"n": {}}, "additionalProperties": False}
LISTENS = TriggerSpec(name="t", kind="event", subject="a", map={"n": "data.n"})


def lands(life: Life, event_id: str, n: Any, raw: bytes | None = None, parsed: Rejected | None = None) -> None:
    """An event as Kafka brings it, with the bytes that a replay reads."""
    event = Event(id=event_id, source="test", type="a", data={"n": n})
    value, headers = encode_structured(event)
    record = Arrived(
        topic="headwater.events", topic_id="t", partition=0, offset=life.offset, previous=life.offset or None,
        parsed=parsed or event, raw=value if raw is None else raw, principal="p",
        headers=headers,
    )  # fmt: skip
    life.offset += 1
    life.tell(record)


def letters(life: Life) -> list[DeadLetter]:
    return list(life.rows["dead_letters"].values())


def resolves(life: Life, verb: str, *ids: str) -> Any:
    """What the Conductor's shell makes of the order: it reads the letters from the rows."""
    order = calls.Order(
        source="cli", id=f"c{life.now_us}", kind=f"letter.{verb}", principal="me", project="", sha256="s",
        data={"ids": list(ids)},
    )  # fmt: skip
    found = tuple(letter for letter in letters(life) if letter.id in ids)
    return life.tell(Ordered(order=order, letters=found)).answer


def a_life_with_a_letter() -> tuple[Life, DeadLetter]:
    life = Life(a_triggered(LISTENS, parameters=STRICT))
    lands(life, "1", "one")
    (letter,) = letters(life)
    return life, letter


def test_a_letter_is_replayed_by_its_trigger_as_it_is_deployed_now() -> None:
    life, letter = a_life_with_a_letter()
    life.deploys(a_triggered(LISTENS, parameters=LOOSE))
    done = resolves(life, "replay", letter.id)["done"]
    (run,) = life.runs()
    assert (run.parameters, run.event_id, run.principal) == ({"n": "one"}, "1", "me")
    assert done["became"] == [{"outcome": "run", "trigger": "eta/train/t", "dead_letter": letter.id, "run_id": run.id}]
    assert (letters(life)[0].state, letters(life)[0].run_id) == ("replayed", run.id)


def test_a_letter_is_replayed_once() -> None:
    life, letter = a_life_with_a_letter()
    life.deploys(a_triggered(LISTENS, parameters=LOOSE))
    resolves(life, "replay", letter.id)
    assert resolves(life, "replay", letter.id)["done"]["left"] == [{"id": letter.id, "reason": "it was replayed by me"}]
    assert len(life.runs()) == 1


def test_a_letter_that_still_does_not_fit_stays_and_says_why() -> None:
    life, letter = a_life_with_a_letter()
    done = resolves(life, "replay", letter.id)["done"]
    assert done["resolved"] == []
    assert '"one"' in done["left"][0]["reason"]
    assert letters(life) == [letter]


def test_a_letter_whose_filter_is_now_false_is_no_match() -> None:
    life, letter = a_life_with_a_letter()
    life.deploys(a_triggered(msgspec.structs.replace(LISTENS, where="data.n == 'two'"), parameters=LOOSE))
    assert resolves(life, "replay", letter.id)["done"]["became"][0]["outcome"] == "no_match"
    assert life.runs() == []


def test_a_record_that_can_be_read_now_is_taken_in_as_new() -> None:
    life = Life(a_triggered(LISTENS, parameters=LOOSE))
    lands(life, "1", 1, parsed=Rejected(Reason.TOO_LARGE, "too large"))
    (letter,) = letters(life)
    resolves(life, "replay", letter.id)
    (run,) = life.runs()
    assert life.outcome("1")["run_id"] == run.id
    lands(life, "1", 1)
    assert len(life.runs()) == 1


@pytest.mark.parametrize("raw", [b"no event", b"\xff"])
def test_a_record_that_is_no_event_stays(raw: bytes) -> None:
    life = Life(a_triggered(LISTENS))
    lands(life, "1", 1, raw=raw, parsed=Rejected(Reason.INVALID_JSON, "not JSON"))
    assert len(resolves(life, "replay", letters(life)[0].id)["done"]["left"]) == 1


def test_a_conflict_needs_an_id_of_its_own() -> None:
    life = Life(a_triggered(LISTENS))
    lands(life, "1", 1)
    lands(life, "1", 2)
    left = resolves(life, "replay", letters(life)[0].id)["done"]["left"]
    assert "id of its own" in left[0]["reason"]


def test_a_fact_of_the_platform_is_replayed_from_what_it_said() -> None:
    failing = TriggerSpec(name="after", kind="finished", subject="train", map={"n": "data.nothing"})
    life = Life(a_triggered(LISTENS), a_triggered(failing, name="next"))
    lands(life, "1", 1)
    life.ends(life.runs()[0].id)
    (letter,) = letters(life)
    life.deploys(a_triggered(msgspec.structs.replace(failing, map={"n": "data.state"}), name="next"))
    resolves(life, "replay", letter.id)
    assert life.runs()[1].parameters == {"n": "SUCCEEDED"}


def test_a_discarded_letter_keeps_its_reason_and_loses_its_bytes() -> None:
    life, letter = a_life_with_a_letter()
    assert resolves(life, "discard", letter.id)["done"]["resolved"] == [letter.id]
    (kept,) = letters(life)
    assert (kept.state, kept.resolved_by, kept.raw, kept.reason) == ("discarded", "me", b"", letter.reason)
    assert len(resolves(life, "replay", letter.id)["done"]["left"]) == 1


def test_an_unknown_letter_is_named_and_too_many_are_refused() -> None:
    life = Life(a_triggered(LISTENS))
    assert resolves(life, "replay", "nobody")["done"]["left"] == [
        {"id": "nobody", "reason": "there is none of that id"}
    ]
    assert resolves(life, "replay", *map(str, range(101)))["refused"]["code"] == "invalid_input"
    assert resolves(life, "discard")["refused"]["code"] == "invalid_input"


def test_an_event_counts_how_often_it_came_again() -> None:
    life = Life(a_triggered(LISTENS))
    for _ in range(1_000):
        lands(life, "1", 1)
    (row,) = [row for row in life.rows["inbox"].values() if row.id == "1"]
    assert (row.duplicates, len(life.runs())) == (999, 1)
