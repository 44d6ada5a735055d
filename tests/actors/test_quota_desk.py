from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes.scheduler import Scene, a_node, a_tree, apply, leased, made_way, succeeded, told_to_make_way, waits

from headwater.actors.sharing.quota_desk import Answered, Propose, ReclaimsAnswered, Seeded, Ticked, TickLater
from headwater.core.inbox import Ordered
from headwater.wire import calls
from headwater.wire.entries.events import CommandDone
from headwater.wire.entries.nodes import DeviceQuarantined, DevicesFreed, NodeDrained, NodeLeft
from headwater.wire.entries.quota import QuotaChanged
from headwater.wire.entries.steps import StepCheckpointed, StepEnded, StepFailed, StepLeased
from headwater.wire.terms import Demand, Failure


def test_a_step_that_waits_is_proposed_without_a_transaction() -> None:
    scene = Scene()
    (grant,) = scene.follow(waits(1))
    assert (grant.step_id, grant.node, grant.devices, grant.tree_version) == ("run/1", "n", ("n/0",), 1)
    assert scene.written == {}
    assert scene.turn.said == []


def test_steps_that_wait_together_are_proposed_in_one_call() -> None:
    scene = Scene()
    assert len(scene.follow(waits(1), waits(2))) == 2
    assert len([effect for effect in scene.turn.effects if isinstance(effect, Propose)]) == 1


def test_a_step_beyond_the_quota_is_told_why_and_goes_when_a_device_is_free() -> None:
    scene = Scene(eta=1)
    scene.follow(waits(1), waits(2))
    (hold,) = scene.holds()
    assert hold.step_id == "run/2"
    assert "quota" in hold.reason
    scene.follow(leased(1, 7, "n/0"))
    (grant,) = scene.follow(succeeded(1, 7, "n/0"))
    assert (grant.step_id, grant.devices) == ("run/2", ("n/1",))


def test_a_device_is_given_again_only_when_it_was_freed() -> None:
    scene = Scene(a_node(gpus=1))
    scene.follow(waits(1))
    scene.follow(leased(1, 7, "n/0"), waits(2))
    assert scene.follow(succeeded(1, 7, "n/0")) == []
    (grant,) = scene.follow(DevicesFreed(fence=7, devices=("n/0",)))
    assert grant.step_id == "run/2"


def test_a_device_freed_before_the_end_was_heard_is_free() -> None:
    scene = Scene(a_node(gpus=1))
    scene.follow(waits(1))
    scene.follow(leased(1, 7, "n/0"), waits(2))
    (grant,) = scene.follow(DevicesFreed(fence=7, devices=("n/0",)))
    assert grant.step_id == "run/2"


def test_what_can_never_go_is_held_for_good() -> None:
    scene = Scene()
    assert scene.follow(waits(1, gpus=9)) == []
    (hold,) = scene.holds()
    assert (hold.step_id, hold.code, hold.final) == ("run/1", "impossible", True)


def test_a_step_of_a_project_without_quota_is_held_for_good() -> None:
    scene = Scene()
    scene.follow(waits(1), project="nobody")
    (hold,) = scene.holds()
    assert "nobody" in hold.reason
    assert hold.final


def test_a_gang_that_no_node_holds_is_spread_and_its_ranks_are_named() -> None:
    scene = Scene(a_node(gpus=1), eta=2)
    scene.follow(a_node(gpus=1, node="m"))
    (grant,) = scene.follow(waits(1, ranks=2))
    assert sorted(zip(grant.nodes, grant.devices, strict=True)) == [("m", "m/0"), ("n", "n/0")]
    demand = Demand(gpus_milli=1000, cpus_milli=0, ranks=2)
    taken = StepLeased(
        step_id="run/1",
        name="fit",
        attempt=1,
        fence=7,
        node=grant.node,
        devices=grant.devices,
        demand=demand,
        nodes=grant.nodes,
    )
    scene.follow(taken, waits(2))
    assert {seat.node for seat in scene.desk.engine.holdings()[7].seats} == {"m", "n"}


def test_a_refused_grant_is_proposed_again_at_the_next_tick() -> None:
    scene = Scene()
    scene.follow(waits(1))
    assert scene.refuse(1, reason="device_held: n/0") == []
    assert scene.turn.effects == [TickLater()]
    (grant,) = scene.tell(Ticked())
    assert grant.step_id == "run/1"


def test_a_proposal_that_got_no_answer_is_made_again() -> None:
    scene = Scene()
    scene.follow(waits(1))
    scene.tell(Answered(scene.number(), ()))
    assert len(scene.tell(Ticked())) == 1


def test_a_step_that_waits_no_longer_is_forgotten() -> None:
    scene = Scene()
    scene.follow(waits(1))
    scene.refuse(1, reason="step_not_waiting")
    assert scene.tell(Ticked()) == []


def test_steps_refused_together_are_not_forgotten_for_one_of_them() -> None:
    scene = Scene()
    scene.follow(waits(1), waits(2))
    scene.refuse(1, 2, reason="step_not_waiting")
    assert len(scene.tell(Ticked())) == 2


def test_a_lease_heard_of_before_its_verdict_makes_the_verdict_nothing() -> None:
    scene = Scene()
    scene.follow(waits(1))
    number = scene.number()
    scene.follow(leased(1, 7, "n/0"))
    assert scene.tell(Answered(number, ())) == []
    assert scene.turn.effects == []


def test_a_late_refusal_does_not_touch_a_newer_proposal() -> None:
    scene = Scene()
    scene.follow(waits(1))
    first = scene.number()
    failure = Failure(kind="lost", message="gone")
    failed = StepFailed(step_id="run/1", name="fit", attempt=1, fence=7, final=False, failure=failure)
    scene.follow(leased(1, 7, "n/0"), failed, DevicesFreed(fence=7, devices=("n/0",)), waits(1))
    scene.tell(Answered(first, (calls.Verdict(step_id="run/1", reason="step_not_waiting"),)))
    assert scene.turn.effects == []
    assert "run/1" in scene.desk.proposed


def test_a_step_that_ended_is_not_proposed_any_more() -> None:
    scene = Scene(a_node(gpus=1))
    scene.follow(waits(1))
    scene.follow(waits(2))
    scene.follow(StepEnded(step_id="run/2", name="fit", state="CANCELLED", reason="x"))
    scene.follow(leased(1, 7, "n/0"), succeeded(1, 7, "n/0"))
    assert scene.follow(DevicesFreed(fence=7, devices=("n/0",))) == []


def test_a_drained_node_takes_nothing_until_it_is_back() -> None:
    scene = Scene()
    scene.follow(NodeDrained(node="n", drained=True))
    assert scene.follow(waits(1)) == []
    assert len(scene.follow(NodeDrained(node="n", drained=False))) == 1


def test_a_quarantined_device_is_left_out_until_it_is_restored() -> None:
    scene = Scene(a_node(gpus=1))
    scene.follow(DeviceQuarantined(device="n/0", reason="hot"))
    assert scene.follow(waits(1)) == []
    assert len(scene.follow(DevicesFreed(fence=0, devices=("n/0",)))) == 1


# Getting one's own back.


def lent() -> Scene:
    """Both devices are with eta, who owns one of them; `run/9` of owner asks for its own."""
    scene = Scene(eta=1, owner=1)
    scene.follow(waits(1), waits(2))
    scene.follow(leased(1, 7, "n/0"), leased(2, 8, "n/1"))
    assert scene.follow(waits(9), project="owner") == []
    return scene


def test_a_borrower_is_proposed_to_make_way_and_the_owner_gets_its_place() -> None:
    scene = lent()
    (reclaim,) = scene.reclaims()
    assert (reclaim.for_step, reclaim.grace_s, reclaim.tree_version) == ("run/9", 30, 1)
    step, device = reclaim.fence - 6, f"n/{reclaim.fence - 7}"
    scene.follow(told_to_make_way(step, reclaim.fence, "run/9"))
    assert scene.reclaims() == []
    scene.follow(made_way(step, reclaim.fence, device), waits(step, evictions=1))
    (grant,) = scene.follow(DevicesFreed(fence=reclaim.fence, devices=(device,)))
    assert (grant.step_id, grant.devices) == ("run/9", (device,))


def test_a_refused_reclaim_is_decided_again_at_the_next_tick() -> None:
    scene = lent()
    (reclaim,) = scene.reclaims()
    verdict = calls.Verdict(step_id=reclaim.step_id, fence=reclaim.fence, reason="tree_version: 1, not 2")
    scene.tell(ReclaimsAnswered((verdict,)))
    assert scene.reclaims() == []
    assert any(isinstance(effect, TickLater) for effect in scene.turn.effects)
    scene.tell(Ticked())
    assert len(scene.reclaims()) == 1


def test_a_checkpoint_makes_a_gang_the_first_to_end() -> None:
    scene = Scene(eta=1, owner=1)
    scene.follow(waits(1), waits(2))
    scene.follow(leased(1, 7, "n/0"), leased(2, 8, "n/1"))
    saved = StepCheckpointed(step_id="run/2", name="fit", attempt=1, fence=8)
    scene.position += 1_000
    scene.follow(saved)
    scene.follow(waits(9), project="owner")
    assert [reclaim.fence for reclaim in scene.reclaims()] == [8]


def test_min_runtime_keeps_a_borrower_where_it_is() -> None:
    scene = Scene(eta=1, owner=1)
    scene.follow(waits(1, min_runtime_s=60), waits(2, min_runtime_s=60))
    scene.follow(leased(1, 7, "n/0"), leased(2, 8, "n/1"))
    scene.follow(waits(9), project="owner")
    assert scene.reclaims() == []
    scene.position += 60_000_000
    scene.tell(Ticked())
    assert len(scene.reclaims()) == 1


# The tree.


def test_the_seed_becomes_version_one() -> None:
    scene = Scene(eta=2)
    scene.tell(Seeded())
    assert scene.written["quota_trees"][1].principal == "headwater"
    (said,) = scene.turn.said
    assert isinstance(said.body, QuotaChanged)
    assert said.body.version == 1


def test_an_applied_tree_is_the_next_version_and_lets_go_what_now_may() -> None:
    scene = Scene(eta=1)
    scene.follow(waits(1), waits(2))
    (grant,) = scene.tell(apply(a_tree(eta=2)))
    assert (grant.step_id, grant.tree_version) == ("run/2", 2)
    assert list(scene.written["quota_trees"]) == [2]
    changed, done = [word.body for word in scene.turn.said]
    assert isinstance(changed, QuotaChanged)
    assert isinstance(done, CommandDone)
    assert scene.turn.answer["done"]["version"] == 2


def test_our_own_entry_about_the_tree_changes_nothing() -> None:
    scene = Scene()
    scene.tell(apply(a_tree(eta=1)))
    changed = scene.turn.said[0].body
    scene.follow(changed)
    assert scene.desk.engine.tree_version == 2


def test_the_same_tree_again_is_no_new_version() -> None:
    scene = Scene()
    scene.tell(apply(a_tree(eta=1)))
    scene.tell(apply(a_tree(eta=1), command="c2"))
    assert scene.turn.answer["done"]["version"] == 2
    assert not scene.turn.answer["done"]["changed"]


def test_a_dry_run_says_what_it_would_do_and_does_nothing() -> None:
    scene = Scene()
    scene.tell(apply(a_tree(eta=1), dry_run=True))
    assert scene.turn.answer["done"]["changed"]
    assert scene.desk.engine.tree_version == 1
    assert "quota_trees" not in scene.written


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        ({"projects": {}}, "projects"),
        ({"cohort": {"local": {"projects": {"eta": {"gpux": 1}}}}}, "gpux"),
        ({"cohort": {"local": {"projects": {"eta": {"gpu": -1}}}}}, "eta.gpu"),
        ({}, "no project"),
        ([], "tree"),
    ],
)
def test_a_tree_that_does_not_fit_is_refused_by_name_and_whole(tree: Any, names: str) -> None:
    scene = Scene()
    scene.tell(apply(tree))
    assert scene.turn.answer["refused"]["code"] == "invalid_quota"
    assert names in scene.turn.answer["refused"]["reason"]
    assert scene.desk.engine.tree_version == 1


def test_an_unknown_command_is_refused_in_the_log() -> None:
    scene = Scene()
    order = calls.Order(source="cli", id="c", kind="quota.grow", principal="me", project="p")
    scene.tell(Ordered(order=order))
    assert scene.turn.answer["refused"]["code"] == "unknown_command"
    assert scene.turn.said[0].causation == "cli/c"


# Going back.

STEPS = st.sampled_from(
    [
        (waits(1),),
        (waits(2), waits(3)),
        (leased(1, 7, "n/0"),),
        (succeeded(1, 7, "n/0"),),
        (DevicesFreed(fence=7, devices=("n/0",)),),
        (NodeDrained(node="n", drained=True),),
        (NodeDrained(node="n", drained=False),),
        (DeviceQuarantined(device="n/1", reason="hot"),),
        (NodeLeft(node="n", reason="gone"),),
        (a_node(gpus=3),),
        (StepEnded(step_id="run/2", name="fit", state="CANCELLED", reason="x"),),
    ]
)


@given(st.lists(STEPS, max_size=6), st.lists(STEPS, min_size=1, max_size=4), st.integers(0, 2))
def test_a_rollback_leaves_engine_and_inbox_as_they_were(
    before: list[tuple[Any, ...]], undone: list[tuple[Any, ...]], tree: int
) -> None:
    scene, twin = Scene(), Scene()
    for bodies in before:
        scene.follow(*bodies)
        twin.follow(*bodies)
    desk = scene.desk
    mark = desk.book.mark()
    for bodies in undone:
        for body in bodies:
            desk.decide(_followed(scene, body), 1)
    desk.decide(apply(a_tree(eta=tree, other=1)), 1)
    desk.book.rollback(mark)
    assert desk.book.changes() == {}
    assert desk.engine.tree_version == 1
    assert desk.engine.usage() == twin.desk.engine.usage()
    assert [desk.engine.explain(f"run/{n}") for n in (1, 2, 3)] == [
        twin.desk.engine.explain(f"run/{n}") for n in (1, 2, 3)
    ]
    assert scene.follow(waits(9)) == twin.follow(waits(9))


def _followed(scene: Scene, body: Any) -> Any:
    from headwater.actors.sharing.quota_desk import Followed

    return Followed((scene.entry(body),))


def test_a_gang_that_no_rack_could_hold_is_refused_and_where_nodes_stand_is_known() -> None:
    scene = Scene(a_node(gpus=1), eta=2)
    scene.follow(a_node(gpus=1, node="m"))
    demand = Demand(gpus_milli=1000, cpus_milli=0, ranks=2, required_level="rack")
    assert scene.follow(msgspec.structs.replace(waits(1), demand=demand)) == []
    (hold,) = scene.holds()
    assert (hold.final, "one rack" in hold.reason) == (True, True)
    scene.follow(waits(2, ranks=2))
    assert len(scene.desk.engine.holdings()) == 1


def test_a_tree_tells_who_stores_more_than_it_allows_also_when_it_is_only_tried() -> None:
    scene = Scene()
    scene.desk.stored = {"eta": 1001, "flights": 7}
    tree = {"cohort": {"lab": {"projects": {"eta": {"gpu": 1, "storage": 1000}, "flights": {"storage": "1KiB"}}}}}
    scene.tell(apply(tree, dry_run=True))
    assert scene.turn.answer["done"]["over_storage"] == [
        {"project": "eta", "stored_bytes": 1001, "limit_bytes": 1000},
    ]
    assert scene.written == {} or "quota_trees" not in scene.written
