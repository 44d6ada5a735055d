"""Joins, batches and bursts: several events to one run, none lost and none twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes.triggers import HOUR, SECOND, Life, a_triggered

from headwater.wire.entries.events import EventRejected, TriggerExpired
from headwater.wire.manifest import Batch, TriggerSpec

LISTS = {
    "type": "object",
    "properties": {"n": {"type": "array", "items": {"type": "integer"}}},
    "required": ["n"],
    "additionalProperties": False,
}


def listens(event_type: str, **fields: Any) -> TriggerSpec:
    return TriggerSpec(**{"name": f"event:{event_type}", "kind": "event", "subject": event_type, **fields})


def a_join(*members: TriggerSpec, within_s: float = 3_600, key: str | None = "data.day") -> TriggerSpec:
    chosen = members or (listens("a", map={"n": "data.v"}), listens("b", map={"m": "data.v"}))
    return TriggerSpec(name="both", kind="all_of", subject="a + b", members=chosen, within_s=within_s, key=key)


def a_joining_life(**fields: Any) -> Life:
    return Life(a_triggered(a_join(**fields)))


def expired(life: Life) -> list[TriggerExpired]:
    return [word.body for word in life.said if isinstance(word.body, TriggerExpired)]


# Joins.


def test_a_join_runs_when_all_of_it_has_come_with_what_each_gives() -> None:
    life = a_joining_life()
    life.lands("a", "1", day="mon", v=1)
    life.lands("b", "2", day="mon", v=2)
    (run,) = life.runs()
    assert run.parameters == {"n": 1, "m": 2}
    assert life.outcome("1")["part_of"] == life.outcome("2")["part_of"]
    assert life.outcome("2")["run_id"] == run.id
    assert life.rows["parts"] == {}
    assert life.rows["timers"] == {}


@pytest.mark.parametrize(("after_us", "runs"), [(HOUR - SECOND, 1), (HOUR + SECOND, 0)])
def test_what_comes_within_the_window_joins_and_what_comes_later_does_not(after_us: int, runs: int) -> None:
    life = a_joining_life()
    life.lands("a", "1", day="mon", v=1)
    life.passes(after_us)
    life.lands("b", "2", day="mon", v=2)
    assert len(life.runs()) == runs
    assert [body.events for body in expired(life)] == ([] if runs else [("test/1",)])
    life.passes(2 * HOUR)
    assert len(life.runs()) + len(expired(life)) == (1 if runs else 2)


def test_a_late_member_does_not_join_though_no_wake_up_has_come_in_between() -> None:
    life = a_joining_life()
    life.lands("a", "1", day="mon", v=1)
    life.now_us += HOUR
    life.lands("b", "2", day="mon", v=2)
    assert life.runs() == []
    assert [body.events for body in expired(life)] == [("test/1",)]


def test_keys_join_apart() -> None:
    life = a_joining_life()
    life.lands("a", "1", day="mon", v=1)
    life.lands("b", "2", day="tue", v=2)
    assert life.runs() == []
    life.lands("b", "3", day="mon", v=3)
    assert [run.parameters for run in life.runs()] == [{"n": 1, "m": 3}]


def test_a_crash_between_the_two_keeps_the_first() -> None:
    life = a_joining_life()
    life.lands("a", "1", day="mon", v=1)
    life.restart()
    life.lands("b", "2", day="mon", v=2)
    assert [run.parameters for run in life.runs()] == [{"n": 1, "m": 2}]


def test_a_window_that_ended_while_nobody_was_there_has_ended() -> None:
    life = a_joining_life()
    life.lands("a", "1", day="mon", v=1)
    life.now_us += 2 * HOUR
    life.restart()
    life.passes(0)
    assert len(expired(life)) == 1


def test_one_event_may_be_two_members() -> None:
    life = Life(a_triggered(a_join(listens("a", where="data.v > 0"), listens("a", where="data.v > 5"))))
    life.lands("a", "1", day="mon", v=9)
    assert len(life.runs()) == 1


def test_a_join_whose_trigger_is_gone_expires() -> None:
    life = a_joining_life()
    life.lands("a", "1", day="mon", v=1)
    life.deploys(a_triggered())
    life.passes(2 * HOUR)
    assert ["no longer deployed" in body.reason for body in expired(life)] == [True]


EVENTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["mon", "tue"]), st.integers(0, HOUR), st.integers(0, 9)),
    max_size=25,
)


@given(EVENTS)
def test_every_event_is_in_one_run_one_expiry_or_still_waits(
    events: list[tuple[str, str, int, int]],
) -> None:
    life = a_joining_life()
    for number, (event_type, day, pause_us, chance) in enumerate(events):
        life.lands(event_type, str(number), day=day, v=number)
        life.passes(pause_us)
        if chance == 0:
            life.restart()
        if chance == 1:
            life.lands(event_type, str(number), day=day, v=number)
    in_runs = [str(value) for run in life.runs() for value in run.parameters.values()]
    in_expiries = [event.removeprefix("test/") for body in expired(life) for event in body.events]
    waiting = [part.event_id for part in life.rows["parts"].values()]
    assert Counter(in_runs + in_expiries + waiting) == Counter(map(str, range(len(events))))
    for run in life.runs():
        assert events[run.parameters["n"]][:2] == ("a", events[run.parameters["m"]][1])


# Batches.


def a_batching_life(count: int = 3, **fields: Any) -> Life:
    trigger = listens("a", map={"n": "data.v"}, batch=Batch(count=count, within_s=60), **fields)
    return Life(a_triggered(trigger, parameters=LISTS))


def test_so_many_events_are_one_run_in_their_order() -> None:
    life = a_batching_life()
    for number in range(7):
        life.lands("a", str(number), v=number)
    assert [run.parameters for run in life.runs()] == [{"n": [0, 1, 2]}, {"n": [3, 4, 5]}]
    life.restart()
    life.passes(60 * SECOND)
    assert life.runs()[-1].parameters == {"n": [6]}


def test_a_batch_without_a_map_is_the_list_of_what_came() -> None:
    trigger = listens("a", batch=Batch(count=2, within_s=60))
    life = Life(a_triggered(trigger, parameters={"type": "object", "properties": {"files": {}}}))
    life.lands("a", "1", path="x")
    life.lands("a", "2", path="y")
    assert life.runs()[0].parameters == {"files": [{"path": "x"}, {"path": "y"}]}


def test_what_does_not_fit_into_a_batch_is_a_dead_letter_and_the_others_run() -> None:
    life = a_batching_life(count=2)
    life.lands("a", "1", v=1)
    life.lands("a", "2", v="two")
    life.lands("a", "3", v=3)
    assert [run.parameters for run in life.runs()] == [{"n": [1, 3]}]
    (rejected,) = [word.body for word in life.said if isinstance(word.body, EventRejected)]
    assert '"two"' in rejected.reason


# Bursts.


def test_of_a_burst_the_last_runs_once_it_is_quiet() -> None:
    life = Life(a_triggered(listens("a", map={"n": "data.v"}, key="data.day", debounce_s=10)))
    for number in range(5):
        life.lands("a", str(number), day="mon", v=number)
        life.passes(9 * SECOND)
    life.lands("a", "other", day="tue", v=7)
    assert life.runs() == []
    life.restart()
    life.passes(10 * SECOND)
    assert sorted(run.parameters["n"] for run in life.runs()) == [4, 7]
    (gathering,) = [row for row in life.rows["gatherings"].values() if row.key == "mon"]
    assert (gathering.count, gathering.run_id) == (5, next(r.id for r in life.runs() if r.parameters["n"] == 4))
