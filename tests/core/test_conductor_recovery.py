"""What the Conductor makes good: a cancelled run's devices, effects that a restart lost, decisions that raised."""

from __future__ import annotations

import msgspec
from scenes.conductor import Scene, a_step

from headwater.core.conductor import messages as m
from headwater.core.inbox import Ordered
from headwater.core.records.runs import RunState
from headwater.core.records.steps import StepState
from headwater.wire import calls
from headwater.wire.entries.events import CommandRefused, EventRejected
from headwater.wire.entries.models import FlowDeployed
from headwater.wire.entries.nodes import NodeLeft
from headwater.wire.entries.steps import StepFailed
from headwater.wire.terms import Failure
from headwater.wire.types import AnyBody, Entry


def cancel(scene: Scene, run_id: str) -> None:
    order = calls.Order(
        source="cli", id="c", kind="run.cancel", principal="me", project="eta", data={"run_id": run_id}, sha256="s"
    )
    scene.tell(Ordered(order=order))


def wakes(effects: list[object]) -> list[int]:
    return [effect.at_us for effect in effects if isinstance(effect, m.Wake)]


def test_a_success_after_the_cancel_frees_its_devices_aloud() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id, "n1/0", gpus_milli=1000)
    cancel(scene, run_id)
    scene.report(fence)
    told = [word.body for word in scene.said if isinstance(word.body, StepFailed)]
    assert [(body.fence, body.devices, body.final) for body in told] == [(fence, ("n1/0",), True)]
    assert scene.types()[-1] == "run.cancelled"


def test_a_cancelled_step_whose_worker_has_not_started_ends_at_once() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, a_step(0))
    fence = scene.grant(f"{run_id}/0").answer[0].fence
    cancel(scene, run_id)
    assert "run.cancelled" in scene.types()
    turn = scene.tell(m.WorkerJoined("w1", "n1", fence))
    assert not any(isinstance(effect, m.Dispatch) for effect in turn.effects)
    assert scene.state.workers["w1"].fences == ()


def test_a_start_tells_workers_of_a_cancelled_run_again() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    cancel(scene, run_id)
    turn = scene.tell(m.Started((m.WorkerJoined("w1", "n1", None, "v1"),)))
    assert m.CancelAttempt("w1", fence) in turn.effects


def test_many_timers_ask_for_one_wake_at_a_time() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    sleeps = [calls.SleepCall(duration_us=1_000 * number) for number in range(1, 41)]
    commands = [calls.Command(ordinal=n, name="sleep", key=f"s#{n}", call=call) for n, call in enumerate(sleeps)]
    due = wakes(scene.issue(run_id, *commands).effects)
    asked = 0
    while due:
        assert len(due) == 1
        scene.now_us = due.pop()
        due = wakes(scene.tell(m.Due()).effects)
        asked += 1
    assert asked == 40
    assert not len(scene.state.timers)


def test_a_wake_that_came_too_early_is_asked_for_again() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    call = calls.SleepCall(duration_us=1_000)
    due = wakes(scene.issue(run_id, calls.Command(ordinal=0, name="sleep", key="s", call=call)).effects)
    assert wakes(scene.tell(m.Due()).effects) == due


def test_an_entry_that_cannot_be_followed_is_a_dead_letter_and_the_next_counts() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.a_step_at_work(run_id)
    bodies: list[AnyBody] = [
        FlowDeployed(flow="broken", code_version="v2", manifest=None),
        NodeLeft(node="n1", reason="gone"),
    ]
    entries = tuple(
        Entry(position=number, body=body, subject="x", project="eta", principal="p", time_us=1)
        for number, body in enumerate(bodies, 1)
    )
    turn = scene.machine.set_aside(m.Followed(entries, 2), scene.now_us, TypeError("no manifest"))
    (letter,) = [word.body for word in turn.said if isinstance(word.body, EventRejected)]
    assert (letter.code, letter.topic, letter.offset) == ("engine_error", "log", 1)
    assert scene.state.steps[f"{run_id}/0"].state is StepState.WAITING
    assert scene.state.cursor == 2


def test_the_cursor_goes_back_with_the_book() -> None:
    scene = Scene()
    scene.machine.decide(m.Followed((), 7), 1)
    scene.machine.book.rollback()
    assert scene.state.cursor == 0


def test_a_command_whose_decision_raised_is_refused_in_the_log() -> None:
    scene = Scene()
    order = calls.Order(source="cli", id="c", kind="run.start", principal="me", project="eta", sha256="s")
    turn = scene.machine.set_aside(Ordered(order=order), 1, ValueError("bad"))
    assert turn.answer["refused"]["code"] == "engine_error"
    (word,) = turn.said
    assert isinstance(word.body, CommandRefused)
    assert word.causation == "cli/c"


def test_a_report_whose_decision_raised_fails_its_attempt() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    outcome = calls.Outcome(failure=Failure(kind="exception", message="\ud800"))
    report = calls.Report(fence=fence, worker="w1", started_us=1, ended_us=2, outcome=outcome)
    scene.machine.set_aside(m.Reported((report,)), 5, ValueError("surrogates"))
    failure = scene.state.steps[f"{run_id}/0"].failure
    assert failure is not None
    assert failure.kind == "engine_error"


def test_a_function_that_returned_leaves_no_step_waiting() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, a_step(0))
    step_id, rows = f"{run_id}/0", scene.state.steps
    scene.tell(m.RunFunctionEnded(calls.RunEnd(run_id=run_id, fence=1, outcome=calls.Outcome())), settle=False)
    assert rows[step_id].state is StepState.CANCELLED
    assert scene.state.runs[run_id].state is RunState.SUCCEEDED


def test_a_run_that_is_over_pins_nothing() -> None:
    scene = Scene()
    scene.state.tables.load("lake.x", calls.PinnedTable(name="lake.x", metadata_location="one", snapshot_id=1))
    answer = scene.tell(m.Pinned("gone", "table", "lake.x")).answer
    assert msgspec.structs.asdict(answer)["kind"] == "cancelled"
    assert not len(scene.state.pins)
