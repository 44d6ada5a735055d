"""One short step after another goes on under the place of the one before it."""

from __future__ import annotations

import pytest
from scenes.conductor import Scene, a_step, command

from headwater.core.conductor import messages as m
from headwater.core.conductor.steps.keeping import MOMENT_US, STREAK_US
from headwater.core.records.steps import StepState
from headwater.core.turn import GrantGuard, Turn
from headwater.wire import calls
from headwater.wire.entries.nodes import NodeLeft
from headwater.wire.entries.steps import StepLeased, StepPlaceLeft, StepSucceeded
from headwater.wire.types import Entry


def a_run_of_steps(*, took_us: int = 1_000) -> tuple[Scene, str, int]:
    """A run whose two steps ended on the worker `w1`, one called after the other; the place that is kept."""
    scene = Scene()
    run_id = scene.a_running_run()
    ended(scene, scene.a_step_at_work(run_id), took_us)
    scene.issue(run_id, a_step(1))
    fence = scene.grant(f"{run_id}/1").answer[0].fence
    ended(scene, fence, took_us)
    return scene, run_id, fence


def ended(scene: Scene, fence: int, took_us: int = 1_000) -> Turn:
    outcome = calls.Outcome(payload=calls.Payload(inline=b"42"))
    report = calls.Report(fence=fence, worker="w1", started_us=0, ended_us=took_us, outcome=outcome)
    return scene.tell(m.Reported((report,)))


def places_left(turn: Turn) -> list[int]:
    return [word.body.fence for word in turn.said if isinstance(word.body, StepPlaceLeft)]


def leased(turn: Turn) -> list[tuple[str, int]]:
    return [(word.body.step_id, word.body.place) for word in turn.said if isinstance(word.body, StepLeased)]


def kept(scene: Scene) -> list[bool]:
    return [word.body.kept for word in scene.said if isinstance(word.body, StepSucceeded)]


def test_the_place_of_a_step_that_followed_another_is_kept() -> None:
    scene, _, _ = a_run_of_steps()
    assert kept(scene) == [False, True]


def test_the_next_step_is_leased_and_sent_as_its_call_is_taken_down() -> None:
    scene, run_id, place = a_run_of_steps()
    turn = scene.issue(run_id, a_step(2))
    assert leased(turn) == [(f"{run_id}/2", place)]
    assert places_left(turn) == []
    (sent,) = [effect for effect in turn.effects if isinstance(effect, m.Dispatch)]
    assert (sent.worker, scene.state.attempts[sent.fences[0]].step_id) == ("w1", f"{run_id}/2")
    assert scene.state.steps[f"{run_id}/2"].state is StepState.LEASED


def test_the_guard_asks_for_the_scheduler_and_the_tree_of_the_first_grant_and_for_the_time() -> None:
    scene, run_id, _ = a_run_of_steps()
    (guard,) = scene.issue(run_id, a_step(2)).guards
    assert isinstance(guard, GrantGuard)
    assert (guard.scheduler_epoch, guard.tree_version, guard.step_id) == (1, 1, f"{run_id}/2")
    assert guard.until_us is not None
    assert guard.until_us > scene.now_us


def test_a_place_goes_from_step_to_step() -> None:
    scene, run_id, place = a_run_of_steps()
    for ordinal in range(2, 6):
        turn = scene.issue(run_id, a_step(ordinal))
        assert leased(turn) == [(f"{run_id}/{ordinal}", place)]
        (sent,) = [effect for effect in turn.effects if isinstance(effect, m.Dispatch)]
        ended(scene, sent.fences[0])


def test_where_the_guard_objects_the_place_is_left_and_the_step_waits() -> None:
    scene, run_id, place = a_run_of_steps()
    event = m.Issued(run_id, scene.state.runs[run_id].host_fence, (a_step(2),))
    turn = scene.machine.objected(event, scene.now_us, "scheduler_epoch: 1 proposed, 2 leads")
    assert (places_left(turn), leased(turn), turn.guards, turn.answer) == ([place], [], [], "")
    assert scene.state.steps[f"{run_id}/2"].state is StepState.WAITING


@pytest.mark.parametrize(
    "called",
    [
        command(2, calls.SleepCall(duration_us=5)),
        a_step(2, effect="once"),
        a_step(2, gpus_milli=500),
        a_step(2, priority=3),
        a_step(2, code_digest="that nobody has measured"),
    ],
    ids=["sleep", "once", "gpu", "priority", "unknown"],
)
def test_a_run_that_goes_on_otherwise_leaves_its_place(called: calls.Command) -> None:
    scene, run_id, place = a_run_of_steps()
    turn = scene.issue(run_id, called)
    assert (places_left(turn), leased(turn)) == ([place], [])


def test_what_is_answered_at_once_leaves_the_place_where_it_is() -> None:
    scene, run_id, place = a_run_of_steps()
    assert places_left(scene.issue(run_id, command(2, calls.NowCall()))) == []
    assert leased(scene.issue(run_id, a_step(3))) == [(f"{run_id}/3", place)]


def test_a_place_for_which_nothing_comes_is_left_after_a_moment() -> None:
    scene, _, place = a_run_of_steps()
    scene.now_us += MOMENT_US // 2
    early = scene.tell(m.Due())
    assert places_left(early) == []
    assert any(isinstance(effect, m.Wake) for effect in early.effects)
    scene.now_us += MOMENT_US
    assert places_left(scene.tell(m.Due())) == [place]
    assert places_left(scene.tell(m.Due())) == []


def test_a_run_that_ends_leaves_its_place_before_it_ends() -> None:
    scene, run_id, _ = a_run_of_steps()
    end = calls.RunEnd(run_id=run_id, fence=scene.state.runs[run_id].host_fence, outcome=calls.Outcome())
    scene.tell(m.RunFunctionEnded(end))
    assert scene.types()[-2:] == ["step.place_left", "run.succeeded"]


def test_what_is_left_has_no_number_in_the_run() -> None:
    scene, run_id, _ = a_run_of_steps()
    turn = scene.issue(run_id, command(2, calls.SleepCall(duration_us=5)))
    (word,) = [word for word in turn.said if isinstance(word.body, StepPlaceLeft)]
    assert (word.subject, word.run_id, word.seq) == (run_id, None, None)


def test_nothing_is_kept_while_another_step_waits() -> None:
    scene, run_id, _ = a_run_of_steps()
    (sent,) = [e for e in scene.issue(run_id, a_step(2)).effects if isinstance(e, m.Dispatch)]
    scene.landed("e2")
    other = next(each for each in scene.state.runs if each != run_id)
    scene.issue(other, a_step(0))
    ended(scene, sent.fences[0])
    assert kept(scene)[-1] is False


def test_no_place_is_kept_for_longer_than_a_streak() -> None:
    scene, run_id, _ = a_run_of_steps()
    (sent,) = [e for e in scene.issue(run_id, a_step(2)).effects if isinstance(e, m.Dispatch)]
    scene.now_us += STREAK_US
    ended(scene, sent.fences[0])
    assert kept(scene)[-1] is False


def test_steps_that_take_long_wait_like_any_other() -> None:
    scene, run_id, place = a_run_of_steps(took_us=60_000)
    turn = scene.issue(run_id, a_step(2))
    assert (places_left(turn), leased(turn)) == ([place], [])


def test_a_step_waits_where_the_worker_of_the_place_is_gone() -> None:
    scene, run_id, place = a_run_of_steps()
    scene.tell(m.WorkerLost("w1", "killed"))
    turn = scene.issue(run_id, a_step(2))
    assert (places_left(turn), leased(turn)) == ([place], [])


def test_a_place_is_left_where_its_node_is_lost() -> None:
    scene, run_id, place = a_run_of_steps()
    entry = Entry(
        position=1, body=NodeLeft(node="n1", reason="silent"), subject="n1", project="default", principal="p", time_us=1
    )
    assert places_left(scene.tell(m.Followed((entry,), 1))) == [place]
    assert leased(scene.issue(run_id, a_step(2))) == []


def test_a_conductor_that_was_started_again_says_first_that_what_was_kept_is_free() -> None:
    scene, run_id, _ = a_run_of_steps()
    anew = Scene()
    anew.machine.load(scene.rows_of({run_id}))
    turn = anew.tell(m.Started((m.WorkerJoined("w1", "n1", None, "v1"),)))
    assert places_left(turn) == [0]
    assert isinstance(turn.said[0].body, StepPlaceLeft)
    assert len(anew.state.kept) == 0
    anew.tell(m.HostJoined("h2"))
    assert leased(anew.issue(run_id, a_step(2))) == []  # it asks for its place like any other
    assert anew.state.steps[f"{run_id}/2"].state is StepState.WAITING


def test_where_no_run_goes_on_nothing_can_have_been_kept() -> None:
    assert places_left(Scene().tell(m.Started())) == []


def test_of_several_steps_called_at_once_the_first_goes_on() -> None:
    scene, run_id, place = a_run_of_steps()
    turn = scene.issue(run_id, a_step(2), a_step(3))
    assert leased(turn) == [(f"{run_id}/2", place)]
    assert scene.state.steps[f"{run_id}/3"].state is StepState.WAITING


def test_a_step_that_another_is_fed_by_leaves_its_place_to_it() -> None:
    scene, run_id, _ = a_run_of_steps()
    turn = scene.issue(run_id, a_step(2), a_step(3, 2))
    (sent,) = [e for e in turn.effects if isinstance(e, m.Dispatch)]
    ended(scene, sent.fences[0])
    assert kept(scene)[-1] is False
    assert scene.state.steps[f"{run_id}/3"].state is StepState.WAITING
