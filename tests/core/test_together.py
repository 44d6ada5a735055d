"""Short steps of a fan-out go to a worker in one call, under one place and a fence each."""

from __future__ import annotations

from typing import Any

from scenes.conductor import Scene, a_step

from headwater.core.conductor import messages as m
from headwater.core.records.steps import StepState
from headwater.core.turn import GrantGuard, Turn
from headwater.wire import calls
from headwater.wire.entries.steps import StepFailed, StepLeased
from headwater.wire.terms import Failure


def a_warm_scene(*, pace_us: int = 1_000) -> tuple[Scene, str]:
    """A run with the worker `w1`, whose one step `run/0` took `pace_us`."""
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    scene.tell(reported(fence, started_us=0, ended_us=pace_us))
    return scene, run_id


def reported(*fences: int, failure: Failure | None = None, worker: str = "w1", **more: Any) -> m.Reported:
    outcome = calls.Outcome(failure=failure, payload=None if failure else calls.Payload(inline=b"42"))
    times = {"started_us": 1, "ended_us": 2} | more
    return m.Reported(tuple(calls.Report(fence=fence, worker=worker, outcome=outcome, **times) for fence in fences))


def fanned_out(scene: Scene, run_id: str, count: int, **options: Any) -> Turn:
    """Steps 1 to `count` are issued, and the first is granted."""
    scene.issue(run_id, *(a_step(ordinal, **options) for ordinal in range(1, count + 1)))
    return scene.grant(f"{run_id}/1")


def sent(turn: Turn) -> list[tuple[int, ...]]:
    return [effect.fences for effect in turn.effects if isinstance(effect, m.Dispatch)]


def states(scene: Scene, run_id: str) -> list[StepState]:
    return [scene.state.steps[step_id].state for step_id in scene.state.steps_of.of(run_id)]


def test_short_steps_of_a_fan_out_go_along_with_the_first_under_its_place() -> None:
    scene, run_id = a_warm_scene()
    turn = fanned_out(scene, run_id, 5)
    (fences,) = sent(turn)
    assert len(fences) == 5
    attempts = [scene.state.attempts[fence] for fence in fences]
    assert [attempt.step_id for attempt in attempts] == [f"{run_id}/{ordinal}" for ordinal in range(1, 6)]
    assert [attempt.place for attempt in attempts] == [0, *[fences[0]] * 4]
    assert {attempt.worker for attempt in attempts} == {"w1"}
    assert [word.body.place for word in turn.said if isinstance(word.body, StepLeased)] == [0, *[fences[0]] * 4]
    (guard,) = turn.guards
    assert isinstance(guard, GrantGuard)
    assert guard.companions == tuple(attempt.step_id for attempt in attempts[1:])


def test_no_more_than_fifty_milliseconds_of_work_go_together() -> None:
    scene, run_id = a_warm_scene(pace_us=10_000)
    (fences,) = sent(fanned_out(scene, run_id, 20))
    assert len(fences) == 5


def test_steps_that_take_long_go_alone() -> None:
    scene, run_id = a_warm_scene(pace_us=30_000)
    (fences,) = sent(fanned_out(scene, run_id, 5))
    assert len(fences) == 1


def test_steps_of_code_that_nobody_has_measured_go_alone() -> None:
    scene, run_id = a_warm_scene()
    (fences,) = sent(fanned_out(scene, run_id, 5, code_digest="another"))
    assert len(fences) == 1


def test_what_may_start_only_once_goes_alone() -> None:
    scene, run_id = a_warm_scene()
    (fences,) = sent(fanned_out(scene, run_id, 5, effect="once"))
    assert len(fences) == 1


def test_what_holds_a_device_goes_alone() -> None:
    scene, run_id = a_warm_scene()
    scene.issue(run_id, *(a_step(ordinal, gpus_milli=500) for ordinal in (1, 2)))
    (fences,) = sent(scene.grant(f"{run_id}/1", "n1/0"))
    assert len(fences) == 1


def test_steps_that_ask_for_other_places_do_not_go_along() -> None:
    scene, run_id = a_warm_scene()
    scene.issue(run_id, a_step(1), a_step(2, priority=1), a_step(3))
    (fences,) = sent(scene.grant(f"{run_id}/1"))
    assert [scene.state.attempts[fence].step_id for fence in fences] == [f"{run_id}/1", f"{run_id}/3"]


def test_steps_of_several_runs_that_do_the_same_go_together() -> None:
    scene, run_id = a_warm_scene()
    scene.landed("e2")
    (other,) = set(scene.state.runs) - {run_id}
    scene.issue(run_id, a_step(1))
    scene.issue(other, a_step(0))
    (fences,) = sent(scene.grant(f"{run_id}/1"))
    assert [scene.state.attempts[fence].run_id for fence in fences] == [run_id, other]


def test_a_call_fits_a_worker_that_has_loaded_the_code() -> None:
    """One that must start first would keep the others waiting."""
    scene, run_id = a_warm_scene()
    scene.tell(m.WorkerLost("w1", "killed"))
    turn = fanned_out(scene, run_id, 5)
    assert sent(turn) == []
    assert states(scene, run_id)[2:] == [StepState.WAITING] * 4


def test_the_worker_is_idle_when_all_have_been_reported() -> None:
    scene, run_id = a_warm_scene()
    (fences,) = sent(fanned_out(scene, run_id, 3))
    scene.tell(reported(*fences[:2]))
    assert scene.state.workers["w1"].fences == fences[2:]
    scene.tell(reported(fences[2]))
    assert scene.state.workers["w1"].fences == ()
    assert states(scene, run_id) == [StepState.SUCCEEDED] * 4


def test_a_failure_among_them_is_its_own() -> None:
    scene, run_id = a_warm_scene()
    (fences,) = sent(fanned_out(scene, run_id, 3))
    scene.tell(reported(fences[0], failure=Failure(kind="exception", message="no")))
    scene.tell(reported(*fences[1:]))
    assert states(scene, run_id)[1:] == [StepState.FAILED, StepState.SUCCEEDED, StepState.SUCCEEDED]


def test_what_has_not_begun_is_called_back_and_goes_with_others_again() -> None:
    scene, run_id = a_warm_scene()
    (fences,) = sent(fanned_out(scene, run_id, 3))
    scene.tell(reported(*fences[1:], begun=False))
    assert states(scene, run_id)[2:] == [StepState.WAITING] * 2
    assert scene.state.steps[f"{run_id}/2"].losses == 0
    scene.tell(reported(fences[0]))
    (again,) = sent(scene.grant(f"{run_id}/2"))
    assert len(again) == 2
    assert min(again) > max(fences)


def test_those_that_died_together_come_back_alone_and_the_death_does_not_count() -> None:
    scene, run_id = a_warm_scene()
    (fences,) = sent(fanned_out(scene, run_id, 4))
    scene.tell(reported(fences[0]))
    turn = scene.tell(m.WorkerLost("w1", "killed", Failure(kind="signal", message="Segmentation fault")))
    lost = [word.body for word in turn.said if isinstance(word.body, StepFailed)]
    assert [(body.fence, body.failure.kind, body.final) for body in lost] == [(f, "lost", False) for f in fences[1:]]
    assert [scene.state.steps[f"{run_id}/{ordinal}"].losses for ordinal in (2, 3, 4)] == [0, 0, 0]
    scene.tell(m.WorkerJoined("w2", "n1", None, "v1"))
    (alone,) = sent(scene.grant(f"{run_id}/2"))
    assert len(alone) == 1
    scene.tell(m.WorkerLost("w2", "killed"))
    assert scene.state.steps[f"{run_id}/2"].losses == 1


def test_the_last_of_a_call_dies_alone() -> None:
    scene, run_id = a_warm_scene()
    (fences,) = sent(fanned_out(scene, run_id, 3))
    scene.tell(reported(*fences[:2]))
    scene.tell(m.WorkerLost("w1", "killed"))
    assert scene.state.steps[f"{run_id}/3"].losses == 1


def test_a_cancelled_run_calls_all_of_them_back() -> None:
    scene, run_id = a_warm_scene()
    (fences,) = sent(fanned_out(scene, run_id, 3))
    scene.order("run.cancel", run_id=run_id)
    scene.tell(reported(fences[0], failure=Failure(kind="cancelled", message="told to stop")))
    scene.tell(reported(*fences[1:], begun=False))
    assert scene.types()[-1] == "run.cancelled"
    assert run_id not in scene.state.runs


def test_a_report_that_is_repeated_changes_nothing() -> None:
    scene, run_id = a_warm_scene()
    (fences,) = sent(fanned_out(scene, run_id, 3))
    scene.tell(reported(*fences))
    assert scene.tell(reported(*fences)).said == []


def test_a_worker_that_lived_through_a_restart_is_sent_all_of_them_again() -> None:
    scene, run_id = a_warm_scene()
    (fences,) = sent(fanned_out(scene, run_id, 3))
    joined = m.WorkerJoined("w1", "n1", None, "v1")
    assert sent(scene.tell(joined)) == [fences]
    assert scene.state.workers["w1"].fences == fences
