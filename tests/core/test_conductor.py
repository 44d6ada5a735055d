from __future__ import annotations

import msgspec
import pytest
from scenes.conductor import Scene, a_flow, a_step

from headwater.core.conductor import messages as m
from headwater.core.inbox import Ordered, SeekTo
from headwater.core.records.attempts import AttemptState
from headwater.core.records.leases import LeaseState
from headwater.core.records.runs import RunState
from headwater.core.records.steps import StepState
from headwater.wire import calls
from headwater.wire.entries.events import EventRejected
from headwater.wire.entries.models import ModelRegistered
from headwater.wire.entries.runs import RunFailed, RunNeedsAttention
from headwater.wire.entries.steps import StepFailed
from headwater.wire.entries.tables import TableCommitted
from headwater.wire.envelope import Event, Reason, Rejected
from headwater.wire.manifest import TriggerSpec
from headwater.wire.terms import Failure
from headwater.wire.types import Entry, Said


def entry(scene: Scene, body: object, position: int = 1) -> m.Followed:
    word = Entry(
        position=position,
        body=body,  # type: ignore[arg-type]
        subject="x",
        project="eta",
        principal="p",
        time_us=1,
    )
    return m.Followed((word,), position)


def order(kind: str, **data: object) -> Ordered:
    return Ordered(
        order=calls.Order(source="cli", id="c1", kind=kind, principal="me", project="eta", data=data, sha256="s")
    )


# Starting.


def test_an_event_starts_the_flow_that_listens() -> None:
    scene = Scene()
    scene.landed()
    (run,) = scene.state.runs.values()
    assert (run.flow, run.parameters, run.state) == ("train", {"day": "monday"}, RunState.PENDING)
    assert scene.types() == ["run.accepted"]


def test_the_same_event_again_is_a_duplicate() -> None:
    scene = Scene()
    scene.landed("e1")
    assert scene.landed("e1").answer == "duplicate"
    assert len(scene.state.runs) == 1


def test_the_same_id_with_another_payload_is_a_dead_letter() -> None:
    scene = Scene()
    scene.landed("e1", day="monday")
    scene.landed("e1", day="tuesday")
    word = scene.said[-1].body
    assert isinstance(word, EventRejected)
    assert word.code == "id_conflict"
    assert len(scene.state.runs) == 1


def test_a_record_that_is_no_event_is_buried_with_its_bytes() -> None:
    scene = Scene()
    scene.arrive(Rejected(Reason.INVALID_JSON, "not JSON"), settle=False)
    (letter,) = scene.state.mail.dead_letters.values()
    assert (letter.code, letter.offset, letter.raw) == ("invalid_json", 0, b"raw")
    assert scene.state.mail.next_of("headwater.events") == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"day": 7}, ["'day'", "7", "string"]),
        ({}, ["'day'", "missing"]),
        ({"day": "monday", "extra": 1}, ["'extra'", "unknown"]),
    ],
)
def test_data_that_does_not_fit_is_a_dead_letter_that_names_the_field(
    data: dict[str, object], words: list[str]
) -> None:
    scene = Scene()
    scene.arrive(Event(id="e1", source="s", type="landed", data=data))  # type: ignore[arg-type]
    word = scene.said[-1].body
    assert isinstance(word, EventRejected)
    assert word.code == "bad_parameters"
    assert all(expected in word.reason for expected in [*words, "eta/train/event:landed"])
    assert not len(scene.state.runs)


def test_a_filter_that_fails_is_a_dead_letter_and_never_false() -> None:
    trigger = TriggerSpec(name="t", kind="event", subject="landed", where="data.rows > 0")
    scene = Scene(a_flow(triggers=(trigger,)))
    scene.landed("e1", day="monday")
    word = scene.said[-1].body
    assert isinstance(word, EventRejected)
    assert word.code == "filter_failed"


def test_a_record_after_a_gap_sends_ingest_back() -> None:
    scene = Scene()
    scene.landed("e1")
    turn = scene.arrive(Event(id="e9", source="s", type="landed"), offset=5, previous=5)
    assert turn.effects == [SeekTo("headwater.events", 0, 1)]
    assert turn.answer == "gap"


def test_a_table_commit_starts_its_flow_with_the_snapshots_it_asks_for() -> None:
    schema = {"type": "object", "properties": {"snapshot_id": {"type": "integer"}}, "additionalProperties": False}
    flow = a_flow(triggers=(TriggerSpec(name="t", kind="commit", subject="lake.x"),), parameters=schema)
    scene = Scene(flow)
    body = TableCommitted(
        table="lake.x",
        snapshot_id=9,
        previous_snapshot_id=8,
        metadata_location="m",
        operation="append",
        rows_added=1,
        rows_total=2,
    )
    scene.tell(entry(scene, body))
    (run,) = scene.state.runs.values()
    assert run.parameters == {"snapshot_id": 9}


def test_an_entry_is_followed_once() -> None:
    scene = Scene(a_flow(triggers=(TriggerSpec(name="t", kind="model", subject="delay"),), parameters={}))
    body = ModelRegistered(name="delay", version=1, digest="d", run_id="r", ordinal=0)
    scene.tell(entry(scene, body))
    scene.tell(entry(scene, body))
    assert len(scene.state.runs) == 1


def test_a_run_is_started_by_command_once_for_its_key() -> None:
    scene = Scene()
    first = scene.tell(order("run.start", flow="train", parameters={"day": "monday"}))
    again = scene.tell(order("run.start", flow="train", parameters={"day": "monday"}))
    assert first.answer == again.answer
    assert len(scene.state.runs) == 1
    assert scene.types().count("command.done") == 1


def test_an_unknown_flow_is_refused_with_what_is_known() -> None:
    turn = Scene().tell(order("run.start", flow="trian"))
    assert turn.answer["refused"]["code"] == "not_found"
    assert "Did you mean 'train'?" in turn.answer["refused"]["reason"]


# Executing.


def test_a_run_waits_for_a_host_and_goes_to_the_first_that_joins() -> None:
    scene = Scene()
    turn = scene.landed()
    assert m.StartHost() in turn.effects
    run_id = next(iter(scene.state.runs))
    turn = scene.tell(m.HostJoined("h1"))
    assert m.Execute("h1", run_id, 1) in turn.effects
    assert scene.state.runs[run_id].state is RunState.RUNNING


def test_a_lost_host_hands_its_runs_to_another_under_a_new_fence() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.tell(m.HostJoined("h2"))
    turn = scene.tell(m.HostLost("h1", "killed"))
    run = scene.state.runs[run_id]
    assert run.host == "h2"
    assert m.Execute("h2", run_id, run.host_fence) in turn.effects


def test_a_run_that_keeps_killing_its_host_is_set_aside() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    for number in range(3):
        scene.tell(m.HostJoined(f"next{number}"))
        host = scene.state.runs[run_id].host
        assert host is not None
        scene.tell(m.HostLost(host, "killed"))
    body = scene.said[-1].body
    assert isinstance(body, RunFailed)
    assert body.failure.kind == "crash_loop"


def test_word_from_a_host_that_was_given_up_changes_nothing() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    turn = scene.tell(m.Issued(run_id, 99, (a_step(0),)))
    assert "moved on" in turn.answer
    assert not len(scene.state.steps)


def test_a_command_issued_again_gets_its_recorded_outcome() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    now = calls.Command(ordinal=0, name="now", key="now#0", call=calls.NowCall())
    first = scene.issue(run_id, now).effects
    assert scene.issue(run_id, now).effects == first
    assert isinstance(first[0], m.Deliver)


def test_a_finished_function_ends_its_run_and_frees_memory() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    end = calls.RunEnd(run_id=run_id, fence=1, outcome=calls.Outcome(), preview={"mae": 4})
    scene.tell(m.RunFunctionEnded(end))
    assert scene.types()[-1] == "run.succeeded"
    assert run_id not in scene.state.runs


def test_a_model_is_asked_for_and_its_version_answers_the_command() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    call = calls.RegisterCall(name="delay", digest="d", runtime="onnx")
    scene.issue(run_id, calls.Command(ordinal=0, name="register", key="register#0", call=call))
    assert scene.types()[-1] == "model.requested"
    body = ModelRegistered(name="delay", version=3, digest="d", run_id=run_id, ordinal=0)
    turn = scene.tell(entry(scene, body))
    (word,) = [effect for effect in turn.effects if isinstance(effect, m.Deliver)]
    assert word.answer.outcome.payload is not None
    assert msgspec.json.decode(word.answer.outcome.payload.inline or b"") == {"name": "delay", "version": 3}
    assert scene.types()[-1] == "run.model_registered"


def test_a_sleep_ends_when_it_is_due() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    call = calls.SleepCall(duration_us=1_000)
    scene.issue(run_id, calls.Command(ordinal=0, name="sleep", key="sleep#0", call=call))
    assert not any(isinstance(effect, m.Deliver) for effect in scene.tell(m.Due()).effects)
    scene.now_us += 2_000
    assert any(isinstance(effect, m.Deliver) for effect in scene.tell(m.Due()).effects)


def test_a_pin_is_the_same_for_the_whole_run() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.state.tables.load("lake.x", calls.PinnedTable(name="lake.x", metadata_location="one", snapshot_id=1))
    first = scene.tell(m.Pinned(run_id, "table", "lake.x")).answer
    scene.state.tables.load("lake.x", calls.PinnedTable(name="lake.x", metadata_location="two", snapshot_id=2))
    assert scene.tell(m.Pinned(run_id, "table", "lake.x")).answer == first
    missing = scene.tell(m.Pinned(run_id, "table", "lake.y")).answer
    assert isinstance(missing, Failure)
    assert "lake.x" in missing.message


# Stepping.


def test_a_step_waits_for_its_inputs() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    scene.issue(run_id, a_step(1, 0))
    assert scene.state.steps[f"{run_id}/1"].state is StepState.BLOCKED
    scene.report(fence)
    assert scene.state.steps[f"{run_id}/1"].state is StepState.WAITING


def test_a_step_fed_by_a_failed_one_is_skipped() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    scene.issue(run_id, a_step(1, 0))
    scene.report(fence, Failure(kind="exception", message="boom"))
    assert scene.state.steps[f"{run_id}/1"].state is StepState.SKIPPED


def test_a_grant_leases_the_device_and_goes_to_an_idle_worker() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id, "n1/0", gpus_milli=1000)
    lease = scene.state.leases[fence, "n1/0"]
    assert (lease.milli, lease.state) == (1000, LeaseState.HELD)
    assert scene.state.workers["w1"].fences == (fence,)


def test_a_device_is_not_granted_twice() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.a_step_at_work(run_id, "n1/0", gpus_milli=1000)
    scene.issue(run_id, a_step(1, gpus_milli=1000))
    (verdict,) = scene.grant(f"{run_id}/1", "n1/0").answer
    assert verdict.reason == "device_held: n1/0"


def test_a_grant_for_a_step_that_does_not_wait_is_refused() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.a_step_at_work(run_id)
    (verdict,) = scene.grant(f"{run_id}/0").answer
    assert verdict.reason == "step_not_waiting"


def test_the_first_worker_to_register_is_bound() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, a_step(0))
    turn = scene.grant(f"{run_id}/0")
    fence = turn.answer[0].fence
    assert m.StartWorker("n1", fence) in turn.effects
    assert m.Dispatch("w1", (fence,)) in scene.tell(m.WorkerJoined("w1", "n1", fence)).effects
    scene.tell(m.WorkerJoined("w2", "n1", fence))
    assert scene.state.attempts[fence].worker == "w1"
    assert scene.state.workers["w2"].fences == ()


def test_a_worker_that_is_free_sooner_takes_over_what_waits_for_one_to_start() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    at_work = scene.a_step_at_work(run_id)
    scene.issue(run_id, a_step(1), a_step(2, env=("tool==1",)))
    other, waiting = (scene.grant(f"{run_id}/{ordinal}").answer[0].fence for ordinal in (2, 1))
    assert m.Dispatch("w1", (waiting,)) in scene.report(at_work).effects
    assert scene.state.attempts[waiting].worker == "w1"
    turn = scene.tell(m.WorkerJoined("w2", "n1", waiting))
    assert not any(isinstance(effect, m.Dispatch) for effect in turn.effects)
    assert scene.state.attempts[other].worker is None
    scene.report(waiting)
    assert "step.succeeded" in scene.types()


def test_a_worker_that_did_not_start_costs_nothing_once_another_has_taken_over() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    at_work = scene.a_step_at_work(run_id)
    scene.issue(run_id, a_step(1))
    waiting = scene.grant(f"{run_id}/1").answer[0].fence
    scene.report(at_work)
    scene.tell(m.WorkerNotStarted(waiting, "no worker started"))
    assert scene.state.attempts[waiting].state is AttemptState.LEASED
    assert scene.state.workers["w1"].fences == (waiting,)


def test_a_blank_worker_that_joins_takes_over_what_waits() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, a_step(0))
    fence = scene.grant(f"{run_id}/0").answer[0].fence
    assert m.Dispatch("w1", (fence,)) in scene.tell(m.WorkerJoined("w1", "n1")).effects


def test_a_step_with_packages_of_its_own_gets_a_worker_that_was_started_with_them() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.tell(m.WorkerJoined("blank", "n1"))
    scene.issue(run_id, a_step(0, env=("tool==1",)), a_step(1, env=("tool==1",)), a_step(2, env=("tool==2",)))
    turn = scene.grant(f"{run_id}/0")
    fence = turn.answer[0].fence
    assert m.StartWorker("n1", fence) in turn.effects
    scene.tell(m.WorkerJoined("w1", "n1", fence, env=("tool==1",)))
    scene.report(fence)
    assert any(isinstance(effect, m.Dispatch) for effect in scene.grant(f"{run_id}/1").effects)
    assert any(isinstance(effect, m.StartWorker) for effect in scene.grant(f"{run_id}/2").effects)


def test_packages_that_cannot_be_installed_fail_the_step_with_the_installers_words() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, a_step(0, env=("tool==1",)))
    fence = scene.grant(f"{run_id}/0").answer[0].fence
    scene.tell(m.WorkerNotStarted(fence, "no", Failure(kind="bad_environment", message="no such version")))
    step = scene.state.steps[f"{run_id}/0"]
    assert (step.state, step.failure and step.failure.message) == (StepState.FAILED, "no such version")


def test_a_report_ends_the_attempt_and_tells_the_host() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    turn = scene.report(fence)
    assert scene.state.steps[f"{run_id}/0"].state is StepState.SUCCEEDED
    assert any(isinstance(effect, m.Deliver) for effect in turn.effects)
    assert scene.state.workers["w1"].fences == ()


def test_a_short_attempt_tells_of_its_start_with_its_end() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.report(scene.a_step_at_work(run_id))
    assert scene.types()[-3:] == ["step.leased", "step.started", "step.succeeded"]


def test_a_late_report_changes_nothing() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    scene.tell(m.WorkerLost("w1", "killed"))
    said = len(scene.said)
    assert "given up" in scene.report(fence).answer
    assert len(scene.said) == said


def test_a_lost_retry_attempt_waits_for_a_new_fence_and_keeps_its_retries() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.a_step_at_work(run_id)
    scene.tell(m.WorkerLost("w1", "killed"))
    step = scene.state.steps[f"{run_id}/0"]
    assert (step.state, step.failures, step.losses) == (StepState.WAITING, 0, 1)


def test_a_lost_once_attempt_that_began_does_not_run_again() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id, effect="once")
    secret = scene.state.attempts[fence].secret
    assert scene.tell(m.Claimed(fence, "w1", secret)).answer == ""
    scene.tell(m.WorkerLost("w1", "killed"))
    assert scene.state.steps[f"{run_id}/0"].state is StepState.NEEDS_ATTENTION
    assert scene.types()[-1] == "run.needs_attention"


def test_a_claim_by_another_worker_is_lost() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id, effect="once")
    secret = scene.state.attempts[fence].secret
    assert scene.tell(m.Claimed(fence, "w2", secret)).answer == "claim_lost"
    assert scene.tell(m.Claimed(fence, "w1", "guess")).answer == "claim_lost"


def test_a_failed_step_backs_off_while_retries_are_left() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id, retries=1)
    scene.report(fence, Failure(kind="exception", message="boom"))
    assert scene.state.steps[f"{run_id}/0"].state is StepState.BACKOFF
    scene.now_us += 10_000_000
    scene.tell(m.Due())
    assert scene.state.steps[f"{run_id}/0"].state is StepState.WAITING
    fence = scene.grant(f"{run_id}/0").answer[0].fence
    scene.report(fence, Failure(kind="exception", message="boom"))
    assert scene.state.steps[f"{run_id}/0"].state is StepState.FAILED


def test_the_reason_a_step_waits_is_said_once() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, a_step(0))
    hold = calls.Hold(step_id=f"{run_id}/0", code="quota", reason="eta has no GPU left")
    scene.tell(m.HeldBack((hold,)))
    scene.tell(m.HeldBack((hold,)))
    assert scene.types().count("step.held") == 1


def test_a_worker_that_could_not_stop_its_attempt_gets_no_other() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id, retries=1, backoff_s=0.0)
    outcome = calls.Outcome(failure=Failure(kind="timeout", message="it did not stop when told"))
    report = calls.Report(fence=fence, worker="w1", started_us=1, ended_us=2, outcome=outcome, seen_empty=False)
    scene.tell(m.Reported((report,)))
    scene.tell(m.Due())
    turn = scene.grant(f"{run_id}/0")
    assert not any(isinstance(effect, m.Dispatch) for effect in turn.effects)


# Cancelling.


def test_cancelling_reaches_the_host_the_worker_and_what_waits() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    scene.issue(run_id, a_step(1))
    turn = scene.tell(order("run.cancel", run_id=run_id))
    assert m.CancelAttempt("w1", fence) in turn.effects
    assert scene.state.runs[run_id].state is RunState.CANCELLING
    assert scene.state.steps[f"{run_id}/1"].state is StepState.CANCELLED
    scene.report(fence, Failure(kind="cancelled", message="cancelled"))
    assert scene.types()[-1] == "run.cancelled"


def test_a_run_that_has_ended_cannot_be_cancelled() -> None:
    over = msgspec.structs.replace(order("run.cancel", run_id="gone"), ended_as="SUCCEEDED")
    refused = Scene().tell(over).answer["refused"]
    assert refused["code"] == "ended"
    assert "SUCCEEDED" in refused["reason"]
    assert Scene().tell(order("run.cancel", run_id="gone")).answer["refused"]["code"] == "not_found"


def test_when_the_function_raises_what_is_outstanding_is_cancelled() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    scene.issue(run_id, a_step(1), a_step(2, 1))
    failure = Failure(kind="exception", message="boom")
    end = calls.RunEnd(run_id=run_id, fence=1, outcome=calls.Outcome(failure=failure))
    turn = scene.tell(m.RunFunctionEnded(end))
    assert m.CancelAttempt("w1", fence) in turn.effects
    scene.report(fence, Failure(kind="cancelled", message="cancelled"))
    ended = [scene.rows["steps"][f"{run_id}/{ordinal}"].state for ordinal in range(3)]
    assert ended == [StepState.CANCELLED] * 3
    assert "run.failed" in scene.types()


def test_a_failed_run_ends_its_steps_and_frees_their_devices_later() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id, "n1/0", gpus_milli=1000)
    failure = Failure(kind="exception", message="boom")
    end = calls.RunEnd(run_id=run_id, fence=1, outcome=calls.Outcome(failure=failure))
    turn = scene.tell(m.RunFunctionEnded(end))
    assert m.CancelAttempt("w1", fence) in turn.effects
    scene.report(fence, Failure(kind="cancelled", message="cancelled"))
    last = scene.said[-1]
    assert isinstance(last.body, StepFailed)
    assert last.body.devices == ("n1/0",)
    assert last.seq is None


# Going back, and starting again.


def test_seq_is_gapless_for_each_run() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.report(scene.a_step_at_work(run_id))
    scene.tell(m.RunFunctionEnded(calls.RunEnd(run_id=run_id, fence=1, outcome=calls.Outcome())))
    numbers = [word.seq for word in scene.said if word.run_id == run_id]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_decision_that_is_rolled_back_leaves_nothing() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    before = dict(scene.state.steps._rows), scene.state.runs[run_id]
    mark = scene.machine.book.mark()
    scene.machine.decide(m.Issued(run_id, 1, (a_step(0), a_step(1, 0))), 5)
    scene.machine.book.rollback(mark)
    assert (dict(scene.state.steps._rows), scene.state.runs[run_id]) == before
    assert scene.machine.book.changes() == {}


def test_a_decision_that_raises_sets_its_subject_aside() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    event = m.Issued(run_id, 1, (a_step(0),))
    turn = scene.machine.set_aside(event, 5, ValueError("bad"))
    body = turn.said[-1].body
    assert isinstance(body, RunNeedsAttention)
    assert body.failure.kind == "engine_error"


def test_a_start_finds_hosts_for_runs_and_sends_living_workers_their_fence_again() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    scene.state.workers.forget("w1")
    scene.state.hosts.forget("h1")
    turn = scene.tell(m.Started((m.WorkerJoined("w1", "n1", None, "v1"),)))
    assert m.Dispatch("w1", (fence,)) in turn.effects
    assert m.StartHost() in turn.effects
    assert scene.state.homeless.of("v1") == [run_id]


def test_a_start_loses_attempts_whose_worker_is_gone() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    scene.state.workers.forget("w1")
    scene.tell(m.Started())
    assert fence not in scene.state.attempts or scene.state.attempts[fence].state is AttemptState.LOST
    assert scene.state.steps[f"{run_id}/0"].state is StepState.WAITING


def test_every_word_names_its_principal_and_project() -> None:
    scene = Scene()
    scene.a_running_run()
    assert all(isinstance(word, Said) and word.principal and word.project for word in scene.said)
