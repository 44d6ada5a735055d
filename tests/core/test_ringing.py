"""A timer whose decision raises is set aside with its own subject; all others ring at their time."""

from __future__ import annotations

from typing import Any

import pytest
from scenes.conductor import Scene, command, delivered
from scenes.triggers import HOUR, SECOND, Life, a_triggered

from headwater.core.conductor import messages as m
from headwater.core.conductor.triggers import timetable
from headwater.core.conductor.triggers.triggering import outcome_of
from headwater.core.turn import Turn
from headwater.sdk import on
from headwater.wire import calls
from headwater.wire.entries.events import EventRejected, TriggerExpired
from headwater.wire.entries.runs import RunNeedsAttention

SLEEP = calls.SleepCall(duration_us=5 * SECOND)
NOMINAL = {"type": "object", "properties": {"nominal": {}}}


def rings(life: Life) -> Turn:
    """As the loop decides: what raises is rolled back and set aside."""
    machine, life.now_us = life.machine, life.now_us + 1
    with pytest.raises(KeyError) as raised:
        machine.decide(m.Due(), life.now_us)
    machine.book.rollback()
    turn = machine.set_aside(m.Due(), life.now_us, raised.value)
    machine.settle()
    return turn


def said(turn: Turn, kind: type) -> list[Any]:
    return [word.body for word in turn.said if isinstance(word.body, kind)]


def test_what_was_gathered_and_cannot_be_decided_is_a_dead_letter_and_the_next_rings() -> None:
    trigger = on.event("a", map={"n": "data.n"}, key="data.m", batch=(9, "5s"))
    life = Life(a_triggered(trigger, parameters={"type": "object", "properties": {"n": {"type": "array"}}}))
    for number, key in enumerate("xxy"):
        life.lands("a", str(number), n=number, m=key)
    broken = next(row for row in life.state.gatherings.values() if row.key == "x")
    life.state.parts.forget((broken.id, 0))  # no way leads here; an engine error is one that nobody thought of
    life.now_us += 6 * SECOND
    turn = rings(life)
    (letter,) = said(turn, EventRejected)
    assert (letter.code, letter.trigger) == ("engine_error", "eta/train/event:a")
    assert [run.parameters for run in life.state.runs.values()] == [{"n": [2]}]
    assert len(life.state.timers) == 0


def test_what_is_left_of_nothing_expires_in_words() -> None:
    life = Life(a_triggered(on.event("a", map={"n": "data.n"}, batch=(9, "5s"))))
    life.lands("a", "0", n=0)
    (gathering,) = life.state.gatherings.values()
    life.state.parts.forget((gathering.id, 0))
    life.now_us += 6 * SECOND
    assert [body.gathering_id for body in said(rings(life), TriggerExpired)] == [gathering.id]


def test_a_clock_that_cannot_be_decided_goes_on_with_its_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    triggers = on.cron("0 13 * * *", name="one"), on.cron("0 13 * * *", name="two")
    life = Life(a_triggered(*triggers, parameters=NOMINAL))

    def fails_for_one(state: Any, turn: Turn, trigger: Any, cause: Any) -> Any:
        if trigger.spec.name == "one":
            raise KeyError("one")
        return outcome_of(state, turn, trigger, cause)

    monkeypatch.setattr(timetable, "outcome_of", fails_for_one)
    life.now_us += HOUR
    rings(life)
    assert [run.trigger for run in life.state.runs.values()] == ["eta/train/two"]
    assert len({timer.due_us for timer in life.state.timers.values()}) == 1
    assert all(timer.due_us > life.now_us for timer in life.state.timers.values())


def test_a_run_whose_timer_cannot_be_decided_needs_attention_and_others_are_woken() -> None:
    scene = Scene()
    first = scene.a_running_run()
    scene.landed("e2")
    second = next(run for run in scene.state.runs if run != first)
    for run_id in (first, second):
        scene.issue(run_id, command(0, SLEEP))
    scene.state.commands.forget((first, 0))
    scene.now_us += 6 * SECOND
    with pytest.raises(KeyError) as raised:
        scene.machine.decide(m.Due(), scene.now_us)
    scene.machine.book.rollback()
    turn = scene.machine.set_aside(m.Due(), scene.now_us, raised.value)
    assert [word.run_id for word in turn.said if isinstance(word.body, RunNeedsAttention)] == [first]
    assert list(delivered(turn)) == [0]
    assert len(scene.state.timers) == 0
