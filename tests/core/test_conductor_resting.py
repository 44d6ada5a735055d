"""Runs that only wait leave memory, and come back when what they wait for comes."""

from __future__ import annotations

import pytest
from scenes.conductor import Scene, a_step, command

from headwater.core.conductor import messages as m
from headwater.core.conductor.timers import Timers
from headwater.core.ledger import Away, Book
from headwater.core.records.triggers import Timer
from headwater.wire import calls
from headwater.wire.envelope import Event


def parked(*calls_made: calls.Call) -> tuple[Scene, str]:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, *(command(ordinal, call) for ordinal, call in enumerate(calls_made)))
    assert scene.tell(m.Parked(run_id, 1, (len(calls_made) - 1,))).answer == ""
    return scene, run_id


def test_a_sleeping_run_leaves_memory_and_comes_back_when_it_is_due() -> None:
    scene, run_id = parked(calls.NowCall(), calls.SleepCall(duration_us=1_000))
    assert set(scene.state.away) == {run_id}
    assert len(scene.state.runs) == len(scene.state.commands) == 0
    scene.now_us += 1_000
    turn = scene.tell(m.Due())
    assert [type(effect) for effect in turn.effects if isinstance(effect, m.Execute)] == [m.Execute]
    assert scene.state.runs[run_id].host == "h1"
    assert scene.state.commands[run_id, 1].outcome == calls.Outcome()
    assert scene.state.away == {}


def test_an_event_that_it_does_not_wait_for_leaves_it_where_it_is() -> None:
    scene, run_id = parked(calls.WaitCall(event_type="approved", where="data.n == 4"))
    scene.arrive(Event(id="e2", source="test", type="approved", data={"n": 3}))
    assert set(scene.state.away) == {run_id}
    scene.arrive(Event(id="e3", source="test", type="approved", data={"n": 4}))
    assert scene.state.away == {}
    assert scene.state.runs[run_id].host == "h1"
    assert scene.rows["inbox"]["conductor", "test", "e3"].outcome


def test_a_run_that_waits_for_a_step_as_well_stays() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, a_step(0), command(1, calls.SleepCall(duration_us=1_000)))
    scene.tell(m.Parked(run_id, 1, (1,)))
    assert scene.state.away == {}


def test_a_run_that_is_away_is_cancelled_like_any_other() -> None:
    scene, run_id = parked(calls.SleepCall(duration_us=1_000))
    scene.order("run.cancel", run_id=run_id)
    assert "run.cancelled" in scene.types()
    assert len(scene.state.timers) == 0
    assert scene.state.away == {}


def test_its_sequence_goes_on_where_it_was() -> None:
    scene, run_id = parked(calls.WaitCall(event_type="approved"))
    before = [word.seq for word in scene.said if word.run_id == run_id]
    scene.arrive(Event(id="e2", source="test", type="approved"))
    scene.order("run.cancel", run_id=run_id)
    numbers = [word.seq for word in scene.said if word.run_id == run_id]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > len(before)


def test_a_restart_takes_none_of_them_into_memory() -> None:
    scene, run_id = parked(calls.SleepCall(duration_us=1_000))
    anew = Scene()
    anew.machine.load(scene.rows_of(frozenset({run_id})))
    anew.tell(m.Started())
    assert set(anew.state.away) == {run_id}
    assert len(anew.state.runs) == 0


def test_nothing_of_a_run_that_is_away_is_taken_for_absent() -> None:
    scene, run_id = parked(calls.SleepCall(duration_us=1_000))
    state = scene.state
    for ask in (
        lambda: state.runs.get(run_id),
        lambda: run_id in state.runs,
        lambda: state.commands.get((run_id, 0)),
        lambda: state.steps.get(f"{run_id}/0"),
        lambda: state.pins.get((run_id, "table", "lake.x")),
    ):
        with pytest.raises(Away):
            ask()
    assert state.runs.known(run_id) is None
    assert state.runs.get("another") is None


def a_timer(name: str, due_us: int) -> Timer:
    return Timer(id=name, kind="sleep", due_us=due_us, run_id=name, ordinal=0)


def test_timers_are_found_by_their_time_whatever_was_taken_back() -> None:
    book = Book()
    timers = Timers(book, "timers")
    for number in range(10):
        timers.put(f"t{number}", a_timer(f"t{number}", 100 - number))
    book.settle()
    assert [timer.id for timer in timers.due(93)] == ["t9", "t8", "t7"]
    timers.remove("t9")
    assert timers.soonest_us() == 92
    book.rollback()
    assert timers.soonest_us() == 91
    timers.remove("t9")
    timers.put("t8", a_timer("t8", 500))
    book.settle()
    timers.tidy()
    assert [timer.id for timer in timers.due(95)] == ["t7", "t6", "t5"]
    assert timers.soonest_us() == 93
