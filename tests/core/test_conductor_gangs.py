"""Gangs: ranks join, begin together, and end together."""

from __future__ import annotations

from typing import Any

from scenes.conductor import Scene, a_step, delivered

from headwater.core.conductor import messages as m
from headwater.core.records.attempts import AttemptState
from headwater.core.records.leases import LeaseState
from headwater.core.records.steps import StepState
from headwater.core.turn import Turn
from headwater.wire import calls
from headwater.wire.entries.nodes import NodeLeft
from headwater.wire.entries.steps import StepFailed, StepLeased
from headwater.wire.terms import Failure
from headwater.wire.types import Entry

NODES = ("n1", "n1", "n2")
DEVICES = ("n1/0", "n1/1", "n2/0")


class Gang(Scene):
    """A run with a step of three ranks on two nodes, whose workers `w0`, `w1` and `w2` are there."""

    def __init__(self, *, workers: int = 3, **options: Any) -> None:
        super().__init__()
        run_id = self.a_running_run()
        self.step_id = f"{run_id}/0"
        self.issue(run_id, a_step(0, gpus_milli=1000, ranks=3, **options))
        for rank in range(workers):
            self.tell(m.WorkerJoined(f"w{rank}", NODES[rank]))
        self.granted = self.propose()

    def propose(self, ranks: int = 3) -> Turn:
        grant = calls.Grant(
            step_id=self.step_id,
            node="n1",
            devices=DEVICES[:ranks],
            nodes=NODES[:ranks],
            tree_version=1,
            scheduler_epoch=1,
        )
        turn = self.tell(m.Proposed((grant,)))
        self.fence = int(turn.answer[0].fence)
        return turn

    def attempt(self) -> Any:
        return self.state.attempts[self.fence]

    def join(self, rank: int, port: int = 1) -> Turn:
        secret = self.attempt().secret
        return self.tell(m.Joined(self.fence, f"w{rank}", secret, f"127.0.0.1:{port}"))

    def begin(self) -> Turn:
        self.join(0, 70)
        self.join(2)
        return self.join(1)

    def ends(self, rank: int, kind: str = "") -> Turn:
        return self.report(self.fence, Failure(kind=kind, message="boom") if kind else None, f"w{rank}")


def test_a_gang_is_one_lease_of_all_its_places() -> None:
    scene = Gang()
    (body,) = [word.body for word in scene.said if isinstance(word.body, StepLeased)]
    assert (body.nodes, body.devices, body.demand.ranks) == (NODES, DEVICES, 3)
    assert {lease.device: lease.node for lease in scene.state.leases.values()} == dict(zip(DEVICES, NODES, strict=True))
    sent = [effect.worker for effect in scene.granted.effects if isinstance(effect, m.Dispatch)]
    assert sent == ["w0", "w1", "w2"]


def test_ranks_begin_when_all_have_joined_and_meet_at_rank_0() -> None:
    scene = Gang()
    assert scene.join(0, 70).answer == calls.Rendezvous()
    assert scene.join(2).answer == calls.Rendezvous()
    assert scene.attempt().state is AttemptState.LEASED
    turn = scene.join(1)
    assert turn.answer == calls.Rendezvous(address="127.0.0.1:70")
    assert scene.attempt().state is AttemptState.RUNNING
    assert {effect.worker for effect in turn.effects if isinstance(effect, m.Begin)} == {"w0", "w1", "w2"}
    assert scene.join(0, 99).answer == calls.Rendezvous(address="127.0.0.1:70")
    assert scene.types().count("step.started") == 1


def test_the_result_is_that_of_rank_0_when_all_are_done() -> None:
    scene = Gang()
    scene.begin()
    scene.ends(0)
    assert scene.state.steps[scene.step_id].state is StepState.RUNNING
    scene.ends(2)
    outcome = delivered(scene.ends(1))[0]
    assert outcome.payload is not None
    assert outcome.payload.inline == b"42"
    assert {worker.fences for worker in scene.state.workers.values()} == {()}


def test_one_rank_that_fails_stops_the_others_and_ends_the_gang() -> None:
    scene = Gang()
    scene.begin()
    turn = scene.ends(1, "exception")
    stopped = [effect.worker for effect in turn.effects if isinstance(effect, m.CancelAttempt)]
    assert stopped == ["w0", "w2"]
    assert {lease.state for lease in scene.state.leases.values()} == {LeaseState.HELD}
    scene.ends(0, "cancelled")
    scene.ends(2, "cancelled")
    step = scene.state.steps[scene.step_id]
    assert step.state is StepState.FAILED
    assert step.failure is not None
    assert step.failure.message == "Rank 1 on n1: boom"


def test_a_lost_rank_ends_the_gang_as_lost_though_its_peers_failed_first() -> None:
    scene = Gang()
    scene.begin()
    scene.ends(0, "exception")
    scene.tell(m.WorkerLost("w1", "killed"))
    scene.ends(2, "cancelled")
    step = scene.state.steps[scene.step_id]
    assert (step.state, step.losses, step.failures) == (StepState.WAITING, 1, 0)
    ended = scene.rows["attempts"][scene.fence]
    assert [member.seen_empty for member in ended.members] == [True, False, True]  # the devices of w1 are looked at


def test_a_gang_that_lost_a_rank_goes_on_with_fewer_where_that_is_declared() -> None:
    scene = Gang(ranks_min=2)
    scene.begin()
    body = NodeLeft(node="n2", reason="gone")
    entry = Entry(position=1, body=body, subject="n2", project="eta", principal="p", time_us=1)
    scene.tell(m.Followed((entry,), 1))
    scene.ends(0, "cancelled")
    scene.ends(1, "cancelled")
    scene.propose(2)
    assert scene.attempt().demand.ranks == len(scene.attempt().members) == 2


def test_ranks_without_a_worker_get_the_first_to_start_on_their_node() -> None:
    scene = Gang(workers=1)
    starts = [effect.node for effect in scene.granted.effects if isinstance(effect, m.StartWorker) and effect.fence]
    assert starts == ["n1", "n2"]
    scene.tell(m.WorkerJoined("w2", "n2", scene.fence))
    scene.tell(m.WorkerJoined("w1", "n1", scene.fence))
    assert [member.worker for member in scene.attempt().members] == ["w0", "w1", "w2"]
    scene.begin()
    assert scene.attempt().state is AttemptState.RUNNING


def test_a_rank_whose_worker_does_not_start_ends_the_gang() -> None:
    scene = Gang(workers=2)
    turn = scene.tell(m.WorkerNotStarted(scene.fence, "no room"))
    assert [effect.worker for effect in turn.effects if isinstance(effect, m.CancelAttempt)] == ["w0", "w1"]
    scene.ends(0, "cancelled")
    scene.ends(1, "cancelled")
    assert scene.state.steps[scene.step_id].losses == 1


def test_a_gang_makes_way_as_one() -> None:
    scene = Gang()
    scene.begin()
    turn = scene.reclaim(scene.fence, scene.step_id)
    told = [effect.worker for effect in turn.effects if isinstance(effect, m.PreemptAttempt)]
    assert told == ["w0", "w1", "w2"]
    scene.ends(1, "exception")  # its peer had gone
    scene.ends(0, "preempted")
    scene.ends(2, "cancelled")
    step = scene.state.steps[scene.step_id]
    assert (step.state, step.evictions, step.failures) == (StepState.WAITING, 1, 0)
    ended = [word.body for word in scene.said if isinstance(word.body, StepFailed)]
    assert [body.failure.kind for body in ended] == ["preempted"]


def test_a_cancelled_gang_ends_when_its_last_rank_has() -> None:
    scene = Gang()
    scene.begin()
    scene.order("run.cancel", run_id=scene.step_id.partition("/")[0])
    scene.ends(0, "cancelled")
    scene.ends(1)
    assert scene.types()[-1] != "run.cancelled"
    scene.ends(2, "cancelled")
    assert scene.types()[-1] == "run.cancelled"


def test_a_restart_finds_the_ranks_that_live_and_misses_the_others() -> None:
    scene = Gang()
    scene.begin()
    found = tuple(m.WorkerJoined(f"w{rank}", NODES[rank], None, "v1") for rank in (0, 2))
    turn = scene.tell(m.Started(found))
    assert [effect.worker for effect in turn.effects if isinstance(effect, m.Dispatch)] == ["w0", "w2"]
    assert [effect.worker for effect in turn.effects if isinstance(effect, m.CancelAttempt)] == ["w0", "w2"]
    scene.ends(0, "cancelled")
    scene.ends(2, "cancelled")
    assert scene.state.steps[scene.step_id].state is StepState.WAITING


def test_a_stranger_does_not_join() -> None:
    scene = Gang()
    answer = scene.tell(m.Joined(scene.fence, "w0", "guessed", "x:1")).answer
    assert answer.refused == "claim_lost"
