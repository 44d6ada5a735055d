"""A start of the Conductor takes in what goes on, and of runs that only wait no more than a page at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scenes.store import T0, Story, a_run, a_step, an_attempt, run_id

from headwater.actors.loading import load_state, rows_of
from headwater.core.conductor import messages as m
from headwater.core.conductor.machine import Conductor, Rows
from headwater.core.conductor.state import State
from headwater.core.conductor.triggers.limiting import freed
from headwater.core.inventory import CodeVersion, FlowRow
from headwater.core.ledger import Away
from headwater.core.records.attempts import AttemptState
from headwater.core.records.runs import CommandRow
from headwater.core.records.triggers import Timer
from headwater.core.turn import Turn
from headwater.store.reader import Reader
from headwater.wire import calls

PAGE = 7


class Watched(Conductor):
    """Knows how many runs a page had, and how many were in memory after it."""

    def __init__(self) -> None:
        super().__init__(State(secret=b"s"))
        self.pages: list[tuple[int, int]] = []

    def load_waiting(self, rows: Rows) -> None:
        super().load_waiting(rows)
        self.pages.append((len(rows.runs), len(self.state.runs)))


@pytest.fixture
def story(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    monkeypatch.setattr("headwater.actors.loading.AT_ONCE", PAGE)
    is_server = getattr(request, "param", "sqlite") == "postgresql"
    one = Story(tmp_path, url=request.getfixturevalue("postgres").migrated() if is_server else "")
    yield one
    one.close()


def started(story: Story) -> Watched:
    machine = Watched()
    engine = story.reader()
    with Reader(engine).picture() as picture:
        load_state(machine, picture)
    engine.dispose()
    return machine


def asks(story: Story, number: int, call: calls.Call, outcome: calls.Outcome | None = None, ordinal: int = 0) -> None:
    asked = calls.Command(ordinal=ordinal, name="c", key=f"c#{ordinal}", call=call)
    row = CommandRow(
        run_id=run_id(number), ordinal=ordinal, kind=asked.kind, name="c", key=asked.key, command=asked, issued_us=T0,
        outcome=outcome, answered=1 if outcome else 0,
    )  # fmt: skip
    story.put("commands", row)


def parks(story: Story, number: int, call: calls.Call | None = None, **fields: Any) -> None:
    """A run that has finished a step, and sleeps."""
    story.put("runs", a_run(number, state="RUNNING", parked=(1,), started_us=T0, host_fence=2, **fields))
    step = a_step(run_id(number), 0, state="SUCCEEDED")
    story.put("steps", step)
    asks(story, number, calls.StepCall(function="f", arguments=calls.Payload(inline=b"")), calls.Outcome())
    asks(story, number, call or calls.SleepCall(duration_us=9), ordinal=1)
    story.put(
        "timers", Timer(id=f"{run_id(number)}/1", kind="sleep", due_us=T0 + number, run_id=run_id(number), ordinal=1)
    )


@pytest.mark.parametrize("story", ["sqlite", "postgresql"], indirect=True)
def test_runs_that_only_wait_pass_through_memory_a_page_at_a_time(story: Story) -> None:
    for number in range(1, 31):
        parks(story, number)
    story.put("runs", a_run(31, state="RUNNING", started_us=T0))
    story.put("runs", a_run(32))
    machine = started(story)
    assert machine.pages == [(PAGE, 2)] * 4 + [(2, 2)]
    assert set(machine.state.runs) == {run_id(31), run_id(32)}
    assert set(machine.state.away) == {run_id(number) for number in range(1, 31)}
    assert (len(machine.state.commands), len(machine.state.steps), len(machine.state.timers)) == (0, 0, 30)


def test_what_was_away_since_the_start_comes_back_when_it_is_due(story: Story) -> None:
    for number in range(1, 10):
        parks(story, number)
    machine = started(story)
    with pytest.raises(Away) as away:
        machine.decide(m.Due(), T0 + 4)
    machine.state.book.rollback()
    assert away.value.run_ids == {run_id(number) for number in range(1, 5)}
    engine = story.reader()
    machine.take_back(rows_of(Reader(engine), away.value.run_ids))
    engine.dispose()
    machine.decide(m.Due(), T0 + 4)
    assert {key for key, row in machine.book.changes()["commands"].items() if row.outcome} == {
        (run_id(number), 1) for number in range(1, 5)
    }


def test_a_parked_run_that_waits_for_a_step_stays_and_one_with_an_attempt_at_work_too(story: Story) -> None:
    parks(story, 1, calls.StepCall(function="f", arguments=calls.Payload(inline=b"")))
    parks(story, 2)
    step = a_step(run_id(2), 5, state="RUNNING")
    story.put("steps", step)
    story.put("attempts", an_attempt(step, 1, state=AttemptState.RUNNING))
    parks(story, 3)
    machine = started(story)
    assert set(machine.state.runs) == {run_id(1), run_id(2)}
    assert machine.state.live_of.of(run_id(2)) == [1]


def test_runs_that_are_away_hold_their_slots_in_the_order_in_which_they_came(story: Story) -> None:
    trigger = {"name": "t", "kind": "event", "subject": "a", "concurrency": {"limit": 2, "over": "queue"}}
    manifest = {"name": "train_delay", "project": "eta", "function": "f", "parameters": {}, "triggers": [trigger]}
    story.put(
        "code_versions", CodeVersion(version="c1", bundle="b", manifest={"flows": []}, principal="p", deployed_us=T0)
    )
    story.put("flows", FlowRow(
        project="eta", name="train_delay", code_version="c1", manifest=manifest, principal="p", deployed_us=T0,
    ))  # fmt: skip
    slot: dict[str, Any] = {"trigger": "eta/train_delay/t", "slot": "s"}
    story.put("runs", a_run(2, state="RUNNING", started_us=T0, **slot))
    parks(story, 1, **slot)
    story.put("runs", a_run(3, **slot))
    machine = started(story)
    machine.decide(m.Started(), T0)
    assert machine.state.busy_in.of("s") == [run_id(1), run_id(2)]
    assert machine.state.waiting_for.of("s") == [run_id(3)]
    turn = Turn(T0)
    freed(machine.state, turn, run_id(1))
    assert machine.state.busy_in.of("s") == [run_id(2), run_id(3)]
