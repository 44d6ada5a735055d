"""Runs that wait: for events, for the first of several, within a time; parked while they do."""

from __future__ import annotations

import msgspec
from scenes.conductor import Scene, a_flow, a_step, command, delivered, value_of

from headwater.core.conductor import messages as m
from headwater.core.conductor.state import Deployed
from headwater.core.records.runs import RunState
from headwater.wire import calls
from headwater.wire.entries.events import EventPublished
from headwater.wire.types import Entry

WAIT = calls.WaitCall(event_type="approved", where="data.n == 1", timeout_us=1_000)


def approved(scene: Scene, event_id: str, n: int = 1) -> dict[int, calls.Outcome]:
    from headwater.wire.envelope import Event

    return delivered(scene.arrive(Event(id=event_id, source="test", type="approved", data={"n": n})))


def test_an_event_that_passes_the_filter_answers_the_wait() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, command(0, WAIT))
    assert approved(scene, "a", n=2) == {}
    told = value_of(approved(scene, "b")[0])
    assert (told["id"], told["source"], told["data"]) == ("b", "test", {"n": 1})


def test_the_inbox_keeps_which_wait_an_event_has_answered() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, command(0, WAIT))
    approved(scene, "b")
    row = scene.state.mail.rows["conductor", "test", "b"]
    assert row.outcome == [{"wait_for": "c#0", "run_id": run_id}]


def test_events_accepted_since_the_run_began_are_taken_oldest_first_and_once() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    approved(scene, "first")
    approved(scene, "second")
    taken = [value_of(delivered(scene.issue(run_id, command(n, WAIT)))[n])["id"] for n in range(2)]
    assert taken == ["first", "second"]
    assert delivered(scene.issue(run_id, command(2, WAIT))) == {}


def test_the_event_that_started_the_run_is_not_waited_for() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    assert delivered(scene.issue(run_id, command(0, calls.WaitCall(event_type="landed")))) == {}


def test_an_event_that_a_flow_publishes_answers_a_wait() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, command(0, WAIT))
    body = EventPublished(event_id="r/1", event_type="approved", data={"n": 1})
    entry = Entry(position=1, body=body, subject="r", project="eta", principal="p", time_us=1, run_id="r")
    assert 0 in delivered(scene.tell(m.Followed((entry,), 1)))


def test_a_filter_that_cannot_be_evaluated_fails_the_wait_naming_the_event() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, command(0, calls.WaitCall(event_type="approved", where="data.missing > 1")))
    failure = approved(scene, "odd")[0].failure
    assert failure is not None
    assert failure.kind == "filter_failed"
    assert "'odd'" in failure.message


def test_a_wait_ends_when_its_time_is_over() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, command(0, WAIT))
    scene.now_us += 2_000
    failure = delivered(scene.tell(m.Due()))[0].failure
    assert failure is not None
    assert failure.kind == "timeout"
    assert approved(scene, "late") == {}


def test_first_is_the_command_whose_outcome_was_recorded_first() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    scene.issue(run_id, a_step(1), command(2, calls.FirstCall(of=(0, 1))))
    told = delivered(scene.report(fence))
    assert value_of(told[2]) == 0
    again = delivered(scene.issue(run_id, command(3, calls.FirstCall(of=(1, 0)))))
    assert value_of(again[3]) == 0


def test_a_deadline_says_whether_the_command_ended_in_time() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    deadlines = [command(n, calls.DeadlineCall(of=0, duration_us=us)) for n, us in ((1, 10), (2, 10_000))]
    scene.issue(run_id, *deadlines)
    scene.now_us += 100
    assert value_of(delivered(scene.tell(m.Due()))[1]) is True
    assert value_of(delivered(scene.report(fence))[2]) is False
    assert value_of(delivered(scene.issue(run_id, command(3, calls.DeadlineCall(of=0, duration_us=9))))[3]) is False


def test_a_parked_run_has_no_host_and_comes_back_when_it_is_answered() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, command(0, calls.SleepCall(duration_us=1_000)))
    assert scene.tell(m.Parked(run_id, 1, (0,))).answer == ""
    run = scene.rows["runs"][run_id]
    assert (run.host, run.parked, run.state) == (None, (0,), RunState.RUNNING)
    said = len(scene.said)
    scene.now_us += 2_000
    turn = scene.tell(m.Due())
    run = scene.state.runs[run_id]
    assert m.Execute("h1", run_id, run.host_fence) in turn.effects
    assert run.parked == ()
    assert len(scene.said) == said


def test_a_run_whose_answer_is_there_is_not_parked() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, command(0, calls.NowCall()))
    assert scene.tell(m.Parked(run_id, 1, (0,))).answer == "answered"
    assert scene.tell(m.Parked(run_id, 0, (0,))).answer == "the run moved on"


def test_a_host_with_nothing_to_do_ends_after_a_while() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, command(0, WAIT), command(1, calls.WaitCall(event_type="approved")))
    scene.tell(m.Parked(run_id, 1, (1,)))
    assert m.EndHost("h1") not in scene.tell(m.Due()).effects
    scene.now_us += scene.state.limits.host_idle_us
    turn = scene.tell(m.Due())
    assert m.EndHost("h1") in turn.effects
    assert scene.tell(m.HostLost("h1", "ended")).effects == []
    assert approved(scene, "b") == {}
    assert scene.state.homeless.has("v1", run_id)


def test_runs_that_died_together_come_back_alone() -> None:
    scene = Scene()
    scene.tell(m.HostJoined("h1"))
    scene.landed("a")
    scene.landed("b")
    first, second = scene.state.runs.values()
    scene.tell(m.HostLost("h1", "killed"))
    scene.tell(m.HostJoined("h2"))
    scene.tell(m.HostJoined("h3"))
    assert {scene.state.runs[first.id].host, scene.state.runs[second.id].host} == {"h2", "h3"}
    assert scene.state.runs[first.id].crashes == 0
    scene.landed("c")
    third = next(run for run in scene.state.runs.values() if run.id not in (first.id, second.id))
    assert third.host is None


def test_a_host_that_ends_makes_room_for_runs_of_other_code() -> None:
    scene = Scene()
    scene.state.limits = msgspec.structs.replace(scene.state.limits, hosts_max=1)
    run_id = scene.a_running_run()
    scene.issue(run_id, command(0, calls.WaitCall(event_type="approved")))
    scene.state.flows.put(("eta", "train"), Deployed(a_flow(), "v2", "b"))
    assert m.StartHost() not in scene.landed("other").effects
    scene.tell(m.Parked(run_id, 1, (0,)))
    scene.now_us += scene.state.limits.host_idle_us
    assert m.StartHost() in scene.tell(m.Due()).effects
