"""An attempt makes way for another step: it is told, it ends, and its step waits where it stood."""

from __future__ import annotations

import msgspec
from scenes.conductor import Scene, a_reclaim, a_step, delivered

from headwater.core.conductor import messages as m
from headwater.core.records.attempts import AttemptState
from headwater.core.records.leases import LeaseState
from headwater.core.records.steps import StepState
from headwater.core.turn import ReclaimGuard
from headwater.wire import calls
from headwater.wire.entries.quota import QuotaReclaimed
from headwater.wire.entries.steps import StepFailed, StepPreempting, StepWaiting
from headwater.wire.terms import Failure

PREEMPTED = Failure(kind="preempted", message="it made way")
GPU = {"gpus_milli": 1000}


def reasons(turn: object) -> list[str]:
    return [verdict.reason for verdict in turn.answer]  # type: ignore[attr-defined]


def at_work(scene: Scene, **options: object) -> tuple[str, int]:
    run_id = scene.a_running_run()
    return f"{run_id}/0", scene.a_step_at_work(run_id, "n1/0", **{**GPU, **options})


def test_an_attempt_that_is_to_make_way_is_told_when_that_is_durable() -> None:
    scene = Scene()
    step_id, fence = at_work(scene)
    turn = scene.reclaim(fence, step_id)
    assert reasons(turn) == [""]
    assert turn.guards == [ReclaimGuard(scheduler_epoch=1, tree_version=1, fence=fence)]
    assert m.PreemptAttempt("w1", fence, turn.now_us + 30_000_000) in turn.effects
    told, published = [word.body for word in scene.said[-2:]]
    assert isinstance(told, StepPreempting)
    assert (told.fence, told.for_step, told.grace_s) == (fence, "other/0", 30)
    assert isinstance(published, QuotaReclaimed)
    assert published.devices == ("n1/0",)


def test_it_waits_again_at_its_old_place_in_time_with_its_checkpoint() -> None:
    scene = Scene()
    step_id, fence = at_work(scene, retries=0)
    kept = calls.Payload(inline=b"7", size_bytes=1)
    scene.tell(m.Checkpointed(fence, "w1", kept))
    since = scene.state.steps[step_id].waiting_us
    scene.reclaim(fence, step_id)
    scene.report(fence, PREEMPTED)
    step = scene.state.steps[step_id]
    assert (step.state, step.waiting_us, step.checkpoint) == (StepState.WAITING, since, kept)
    assert (step.evictions, step.failures) == (1, 0)
    failed, waits = [word.body for word in scene.said[-2:]]
    assert isinstance(failed, StepFailed)
    assert (failed.final, failed.failure.kind, failed.devices) == (False, "preempted", ("n1/0",))
    assert "project owner" in failed.failure.message
    assert isinstance(waits, StepWaiting)
    assert (waits.since_us, waits.evictions) == (since, 1)
    assert not len(scene.state.timers)


def test_its_quota_is_free_and_its_device_is_to_be_seen_empty() -> None:
    scene = Scene()
    step_id, fence = at_work(scene)
    scene.reclaim(fence, step_id)
    turn = scene.tell(m.WorkerLost("w1", "killed"), settle=False)
    rows = scene.machine.book.changes()
    assert rows["attempts"][fence].state is AttemptState.PREEMPTED
    assert [lease.state for lease in rows["leases"].values()] == [LeaseState.RELEASING]
    assert turn.answer is None


def test_a_released_lease_knows_when_its_attempt_ran() -> None:
    scene = Scene()
    _, fence = at_work(scene)
    scene.report(fence)
    lease = scene.rows["leases"][fence, "n1/0"]  # it outlives the attempt's row
    assert (lease.state, lease.started_us, lease.ended_us) == (LeaseState.RELEASING, 1, 2)


def test_what_is_done_within_the_grace_is_done() -> None:
    scene = Scene()
    step_id, fence = at_work(scene)
    scene.reclaim(fence, step_id)
    assert 0 in delivered(scene.report(fence))
    assert scene.state.steps[step_id].state is StepState.SUCCEEDED
    assert not len(scene.state.timers)


def test_a_repeated_reclaim_is_answered_again_and_changes_nothing() -> None:
    scene = Scene()
    step_id, fence = at_work(scene)
    scene.reclaim(fence, step_id)
    said = len(scene.said)
    turn = scene.reclaim(fence, step_id)
    assert (reasons(turn), turn.effects, len(scene.said)) == ([""], [], said)


def test_an_attempt_that_has_ended_is_not_reclaimed() -> None:
    scene = Scene()
    step_id, fence = at_work(scene)
    scene.report(fence)
    assert reasons(scene.reclaim(fence, step_id))[0].startswith("over")


def test_what_may_start_only_once_never_makes_way() -> None:
    scene = Scene()
    step_id, fence = at_work(scene, effect="once")
    assert reasons(scene.reclaim(fence, step_id))[0].startswith("once")
    assert scene.state.attempts[fence].preemption is None


def test_a_reclaim_that_the_rows_object_to_ends_nobody() -> None:
    scene = Scene()
    step_id, fence = at_work(scene)
    turn = scene.machine.objected(m.ReclaimsProposed((a_reclaim(fence, step_id),)), 9, "tree_version: 1, not 2")
    assert reasons(turn) == ["tree_version: 1, not 2"]
    assert scene.state.attempts[fence].preemption is None


def test_an_attempt_that_no_worker_has_makes_way_at_once() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, a_step(0, **GPU))
    fence = scene.grant(f"{run_id}/0", "n1/0").answer[0].fence
    scene.reclaim(fence, f"{run_id}/0")
    assert scene.state.steps[f"{run_id}/0"].state is StepState.WAITING
    turn = scene.tell(m.WorkerJoined("w1", "n1", fence))
    assert turn.effects == []


def test_a_process_that_outlives_the_grace_is_ended() -> None:
    scene = Scene()
    step_id, fence = at_work(scene)
    scene.reclaim(fence, step_id)
    scene.now_us += 30_000_000 + scene.state.limits.overdue_us
    turn = scene.tell(m.Due())
    assert m.EndWorker("w1") in turn.effects


def test_a_restart_tells_it_again() -> None:
    scene = Scene()
    step_id, fence = at_work(scene)
    due_us = scene.reclaim(fence, step_id).now_us + 30_000_000
    turn = scene.tell(m.Started((m.WorkerJoined("w1", "n1", None, "v1"),)))
    assert turn.effects.index(m.Dispatch("w1", (fence,))) < turn.effects.index(m.PreemptAttempt("w1", fence, due_us))


def test_a_step_that_was_ended_for_others_too_often_fails_with_the_bound() -> None:
    scene = Scene()
    scene.state.limits = msgspec.structs.replace(scene.state.limits, evictions_max=0)
    step_id, fence = at_work(scene)
    scene.reclaim(fence, step_id)
    scene.report(fence, PREEMPTED)
    step = scene.state.steps[step_id]
    assert step.state is StepState.FAILED
    assert step.failure is not None
    assert "1 times, which is the limit" in step.failure.message


def test_a_cancelled_run_takes_what_makes_way_along() -> None:
    scene = Scene()
    step_id, fence = at_work(scene)
    scene.reclaim(fence, step_id)
    scene.order("run.cancel", run_id=step_id.partition("/")[0])
    scene.report(fence, PREEMPTED)
    assert scene.types()[-1] == "run.cancelled"
