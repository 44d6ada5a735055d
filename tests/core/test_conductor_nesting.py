"""Runs inside runs: linked, answered, cancelled together, bounded in depth."""

from __future__ import annotations

import msgspec
from scenes.conductor import Scene, command, delivered

from headwater.core.conductor import messages as m
from headwater.core.records.runs import Run, RunState
from headwater.wire import calls
from headwater.wire.entries.runs import RunAccepted
from headwater.wire.terms import Failure

CALL = calls.RunCall(project="eta", flow="train", parameters={"day": "monday"})


def a_child(scene: Scene, parent: str, ordinal: int = 0) -> Run:
    scene.issue(parent, command(ordinal, CALL))
    return next(run for run in scene.state.runs.values() if run.parent_ordinal == ordinal and run.parent_id == parent)


def ended(run: Run, **outcome: object) -> m.RunFunctionEnded:
    end = calls.RunEnd(run_id=run.id, fence=run.host_fence, outcome=calls.Outcome(**outcome))  # type: ignore[arg-type]
    return m.RunFunctionEnded(end)


def test_a_flow_called_in_a_flow_is_a_run_linked_to_its_parent() -> None:
    scene = Scene()
    parent = scene.a_running_run()
    child = a_child(scene, parent)
    assert (child.root_id, child.depth, child.code_version, child.state) == (parent, 1, "v1", RunState.RUNNING)
    accepted = [word.body for word in scene.said if isinstance(word.body, RunAccepted)][-1]
    assert (accepted.parent_id, accepted.parameters) == (parent, {"day": "monday"})


def test_what_it_returned_answers_the_parent() -> None:
    scene = Scene()
    child = a_child(scene, scene.a_running_run())
    told = delivered(scene.tell(ended(child, payload=calls.Payload(inline=b"x"))))
    assert told[0].payload == calls.Payload(inline=b"x")


def test_how_it_failed_answers_the_parent() -> None:
    scene = Scene()
    child = a_child(scene, scene.a_running_run())
    told = delivered(scene.tell(ended(child, failure=Failure(kind="exception", message="boom"))))
    assert told[0].failure == Failure(kind="exception", message="boom", step="train")


def test_cancelling_reaches_runs_inside_runs_and_ends_after_them() -> None:
    scene = Scene()
    parent = scene.a_running_run()
    child = a_child(scene, parent)
    grandchild = a_child(scene, child.id)
    fence = scene.a_step_at_work(grandchild.id)
    scene.order("run.cancel", run_id=parent)
    assert scene.state.runs[parent].state is RunState.CANCELLING
    scene.report(fence, Failure(kind="cancelled", message="cancelled"))
    assert scene.types()[-3:] == ["run.cancelled"] * 3
    assert not len(scene.state.runs)


def test_a_failed_run_takes_the_runs_inside_it_along() -> None:
    scene = Scene()
    parent = scene.a_running_run()
    child = a_child(scene, parent)
    scene.tell(ended(scene.state.runs[parent], failure=Failure(kind="exception", message="boom")))
    assert child.id not in scene.state.runs
    assert scene.types()[-1] == "run.failed"
    assert "run.cancelled" in scene.types()


def test_flows_that_call_themselves_without_end_are_stopped() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    for _ in range(scene.state.limits.depth_max - 1):
        run_id = a_child(scene, run_id).id
    failure = delivered(scene.issue(run_id, command(0, CALL)))[0].failure
    assert failure is not None
    assert failure.kind == "loop_detected"


def test_a_flow_that_the_code_does_not_have_answers_as_a_failure() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    missing = msgspec.structs.replace(CALL, flow="gone")
    failure = delivered(scene.issue(run_id, command(0, missing)))[0].failure
    assert failure is not None
    assert failure.kind == "not_found"
