"""Attempts that nobody can judge: a person says what became of them; and failures told apart."""

from __future__ import annotations

import pytest
from scenes.conductor import Scene, a_step, delivered, value_of

from headwater.core.conductor import messages as m
from headwater.core.records.attempts import AttemptState
from headwater.core.records.runs import RunState
from headwater.core.records.steps import StepState
from headwater.core.retrying import is_retried
from headwater.wire import calls
from headwater.wire.entries.nodes import NodeLeft
from headwater.wire.terms import Failure
from headwater.wire.types import Entry


def a_lost_once(scene: Scene, *, gone: bool = True) -> tuple[str, int]:
    """A run whose `once` step was lost while it ran."""
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id, effect="once")
    scene.tell(m.Claimed(fence, "w1", scene.state.attempts[fence].secret))
    if gone:
        scene.tell(m.WorkerLost("w1", "killed"))
    else:
        body = NodeLeft(node="n1", reason="silent")
        entry = Entry(position=1, body=body, subject="n1", project="eta", principal="p", time_us=1)
        scene.tell(m.Followed((entry,), 1))
    return run_id, fence


def state_of(scene: Scene, run_id: str) -> tuple[RunState, StepState]:
    return scene.state.runs[run_id].state, scene.state.steps[f"{run_id}/0"].state


def test_a_lost_once_attempt_needs_a_person() -> None:
    scene = Scene()
    run_id, _ = a_lost_once(scene)
    assert state_of(scene, run_id) == (RunState.NEEDS_ATTENTION, StepState.NEEDS_ATTENTION)
    assert scene.types()[-2:] == ["step.failed", "run.needs_attention"]


def test_accepting_gives_the_run_the_value_and_goes_on() -> None:
    scene = Scene()
    run_id, _ = a_lost_once(scene)
    scene.order("run.accept", run_id=run_id, value={"paid": True})
    assert state_of(scene, run_id) == (RunState.RUNNING, StepState.SUCCEEDED)
    outcome = scene.state.commands[run_id, 0].outcome
    assert outcome is not None
    assert value_of(outcome) == {"paid": True}


def test_failing_gives_the_run_a_failure_and_goes_on() -> None:
    scene = Scene()
    run_id, _ = a_lost_once(scene)
    scene.order("run.fail", run_id=run_id, reason="the bank says no")
    assert state_of(scene, run_id) == (RunState.RUNNING, StepState.FAILED)
    outcome = scene.state.commands[run_id, 0].outcome
    assert outcome is not None
    assert outcome.failure is not None
    assert "the bank says no" in outcome.failure.message


def test_a_retry_is_a_new_fence() -> None:
    scene = Scene()
    run_id, fence = a_lost_once(scene)
    scene.order("run.retry", run_id=run_id)
    assert state_of(scene, run_id) == (RunState.RUNNING, StepState.WAITING)
    scene.tell(m.WorkerJoined("w2", "n1"))
    assert scene.grant(f"{run_id}/0").answer[0].fence > fence


def test_a_retry_is_refused_until_the_process_is_seen_gone_unless_forced() -> None:
    scene = Scene()
    run_id, _ = a_lost_once(scene, gone=False)
    assert scene.order("run.retry", run_id=run_id)["refused"]["code"] == "conflict"
    scene.tell(m.WorkerLost("w1", "dead after all"))
    assert "done" in scene.order("run.retry", run_id=run_id)
    other = Scene()
    run_id, _ = a_lost_once(other, gone=False)
    assert "done" in other.order("run.retry", run_id=run_id, force=True)


def test_a_late_completion_counts_while_nobody_has_spoken() -> None:
    scene = Scene()
    run_id, fence = a_lost_once(scene, gone=False)
    assert delivered(scene.report(fence)) == {}
    assert state_of(scene, run_id) == (RunState.RUNNING, StepState.SUCCEEDED)
    assert fence not in scene.state.attempts
    assert scene.report(fence).answer.startswith("given up")


def test_a_run_that_needs_no_attention_refuses_a_persons_word() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    refused = scene.order("run.accept", run_id=run_id)["refused"]
    assert "RUNNING and needs no attention" in refused["reason"]
    assert scene.order("run.fail", run_id="gone")["refused"]["code"] == "not_found"


def test_cancelling_a_run_that_needs_attention_ends_it() -> None:
    scene = Scene()
    run_id, _ = a_lost_once(scene)
    scene.order("run.cancel", run_id=run_id)
    assert "run.cancelled" in scene.types()
    assert run_id not in scene.state.runs


def test_a_decision_that_raised_leaves_a_run_for_a_person() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.machine.set_aside(m.Issued(run_id, 1, ()), scene.now_us, ValueError("bad"))
    assert scene.state.runs[run_id].state is RunState.NEEDS_ATTENTION
    scene.order("run.retry", run_id=run_id)
    assert scene.state.runs[run_id].state is RunState.RUNNING


def test_a_step_that_kills_its_process_uses_up_its_retries() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id, retries=1)
    cause = Failure(kind="signal", message="Segmentation fault", last_words="here")
    scene.tell(m.WorkerLost("w1", "died", cause), settle=False)
    step = scene.state.steps[f"{run_id}/0"]
    assert (step.state, step.failures, step.losses) == (StepState.BACKOFF, 1, 0)
    assert scene.state.attempts[fence].state is AttemptState.FAILED
    assert scene.state.attempts[fence].failure == cause


@pytest.mark.parametrize(
    ("retry_on", "kind", "bases", "expected"),
    [
        ((), "exception", (), True),
        (("system",), "timeout", (), True),
        (("system",), "exception", ("builtins.ValueError",), False),
        (("builtins.OSError",), "exception", ("builtins.ConnectionError", "builtins.OSError"), True),
        (("builtins.OSError",), "exception", ("builtins.ValueError",), False),
        (("builtins.OSError",), "timeout", (), False),
    ],
)
def test_only_failures_of_the_kind_that_was_named_are_retried(
    retry_on: tuple[str, ...], kind: str, bases: tuple[str, ...], expected: bool
) -> None:
    assert is_retried(retry_on, Failure(kind=kind, message="", bases=bases)) is expected


def test_a_failure_of_another_kind_ends_the_step_at_once() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id, retries=3, retry_on=("builtins.OSError",))
    scene.report(fence, Failure(kind="exception", message="boom", bases=("builtins.ValueError",)))
    assert scene.state.steps[f"{run_id}/0"].state is StepState.FAILED


def test_a_checkpoint_is_given_to_the_next_attempt_and_dropped_at_the_end() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    kept = calls.Payload(inline=b"half")
    assert scene.tell(m.Checkpointed(fence, "w1", kept)).answer == ""
    assert scene.tell(m.Checkpointed(fence, "w2", kept)).answer.startswith("given up")
    scene.tell(m.WorkerLost("w1", "killed"))
    assert scene.state.steps[f"{run_id}/0"].checkpoint == kept
    scene.tell(m.WorkerJoined("w2", "n1"))
    lost, fence = fence, scene.grant(f"{run_id}/0").answer[0].fence
    late = scene.tell(m.Checkpointed(lost, "w1", calls.Payload(inline=b"older"))).answer
    assert late == "given up: another attempt holds the step, or it has ended"
    assert scene.state.steps[f"{run_id}/0"].checkpoint == kept
    scene.report(fence, worker="w2")
    assert scene.state.steps[f"{run_id}/0"].checkpoint is None


def test_steps_of_a_run_that_needs_attention_go_on() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, a_step(1))
    scene.tell(m.WorkerJoined("w2", "n1"))
    other = scene.grant(f"{run_id}/1").answer[0].fence
    fence = scene.a_step_at_work(run_id, effect="once")
    scene.tell(m.Claimed(fence, "w1", scene.state.attempts[fence].secret))
    scene.tell(m.WorkerLost("w1", "killed"))
    scene.report(other, worker="w2")
    assert scene.state.steps[f"{run_id}/1"].state is StepState.SUCCEEDED
