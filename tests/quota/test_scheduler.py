from __future__ import annotations

import msgspec
import pytest

from headwater.errors import InvalidInput
from headwater.quota.messages import (
    STEP_NOT_WAITING,
    AttemptLeased,
    AttemptReleased,
    Demand,
    DeviceFreed,
    DeviceQuarantined,
    DeviceRestored,
    Event,
    Grant,
    GrantRefused,
    Impossible,
    NodeDrained,
    NodeJoined,
    NodeLeft,
    PlaceLeft,
    StepGone,
    StepWaiting,
    Ticked,
    TreeChanged,
    Waiting,
)
from headwater.quota.scheduler import Scheduler
from headwater.quota.tree import parse_tree

from .scene import a_node, a_scheduler, a_step, granted, lease, the_grant, the_refusal, the_waiting

TWO = {"flights": {"gpu": 1}, "eta": {"gpu": 0}}


def run(scheduler: Scheduler, step: StepWaiting, fence: int) -> Grant:
    grant = the_grant(scheduler, step)
    assert scheduler.decide(lease(grant, fence, step.demand)) == []
    return grant


def test_a_step_goes_at_once_on_an_idle_platform() -> None:
    grant = the_grant(a_scheduler(TWO, a_node()), a_step("a"))
    assert (grant.node, grant.devices, grant.nodes, grant.tree_version) == ("local", (("local/0",),), ("local",), 1)


def test_a_second_project_waits_for_the_one_gpu_says_why_and_gets_it_when_free() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 1}, "eta": {"gpu": 1}}, a_node())
    run(scheduler, a_step("a", "flights"), 1)
    waiting = the_waiting(scheduler, a_step("b", "eta", since=2))
    assert waiting.code == "no_place"
    assert "1 GPU" in waiting.sentence
    assert "local/0 is held by step fit of run run-a (project flights)" in waiting.sentence
    assert granted(scheduler.decide(AttemptReleased(1))) == []  # the quota is free, the device not yet
    assert granted(scheduler.decide(DeviceFreed(("local/0",)))) == ["b"]


def test_a_place_that_is_kept_is_taken_until_it_is_left() -> None:
    scheduler = one_kept()
    assert granted(scheduler.decide(a_step("b", gpus=0, cpus_milli=1000))) == []
    assert granted(scheduler.decide(PlaceLeft(1))) == ["b"]


def test_all_that_is_kept_is_free_when_the_conductor_has_started_again() -> None:
    scheduler = a_scheduler(TWO, a_node(gpus=0, cpus=3))
    for fence, name in enumerate("abc", 1):
        run(scheduler, a_step(name, gpus=0, cpus_milli=1000), fence)
    scheduler.decide(AttemptReleased(1, kept=True))
    scheduler.decide(AttemptReleased(2, kept=True))
    assert granted(scheduler.decide(a_step("d", gpus=0, cpus_milli=2000))) == []
    assert granted(scheduler.decide(PlaceLeft(0))) == ["d"]
    assert list(scheduler.holdings()) == [3, "d"]
    assert scheduler.wakes_us() is None


def test_the_next_attempt_has_what_was_kept() -> None:
    scheduler = one_kept()
    step = a_step("b", gpus=0, cpus_milli=1000)
    scheduler.decide_all([step, AttemptLeased("b", 2, "local", (), step.demand, place=1)])
    assert list(scheduler.holdings()) == [1]
    scheduler.decide(PlaceLeft(1))
    assert list(scheduler.holdings()) == [1]
    scheduler.decide(AttemptReleased(2))
    assert list(scheduler.holdings()) == []


def test_a_place_of_which_nothing_is_heard_is_free_after_a_while() -> None:
    scheduler = one_kept()
    scheduler.decide(a_step("b", gpus=0, cpus_milli=1000))
    due_us = scheduler.wakes_us()
    assert due_us is not None
    assert granted(scheduler.decide(Ticked(due_us), due_us)) == ["b"]


def one_kept() -> Scheduler:
    """On a node of one CPU, whose one attempt is over."""
    scheduler = a_scheduler(TWO, a_node(gpus=0, cpus=1))
    run(scheduler, a_step("a", gpus=0, cpus_milli=1000), 1)
    scheduler.decide(AttemptReleased(1, kept=True))
    return scheduler


def test_a_borrower_waits_for_the_quota_that_its_owner_uses() -> None:
    scheduler = a_scheduler(TWO, a_node(gpus=2))
    run(scheduler, a_step("a", "flights"), 1)
    waiting = the_waiting(scheduler, a_step("b", "eta"))
    assert waiting.code == "quota"
    assert "project eta may take 0 GPUs more now (bounded by cohort research); it uses 0 GPUs of 0" in waiting.sentence
    assert granted(scheduler.decide(AttemptReleased(1))) == ["b"]  # on the other device: quota was all it lacked


def test_a_project_borrows_what_its_sibling_leaves() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 1}, "eta": {"gpu": 1}}, a_node(gpus=2))
    assert granted(scheduler.decide(a_step("a"))) == ["a"]
    assert granted(scheduler.decide(a_step("b"))) == ["b"]
    by_name = {node.name: node.flavours["gpu"] for node in scheduler.usage()}
    assert (by_name["flights"].used, by_name["flights"].borrowed, by_name["eta"].lent) == (2000, 1000, 1000)


def test_a_lending_limit_holds() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 1}, "eta": {"gpu": {"nominal": 2, "lend_limit": 1}}}, a_node(gpus=3))
    steps = [scheduler.decide(a_step(name, since=n)) for n, name in enumerate("abc")]
    assert [granted(effects) for effects in steps] == [["a"], ["b"], []]
    assert granted(scheduler.decide(a_step("d", "eta"))) == ["d"]


def test_a_gang_goes_whole_or_not_at_all() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 4}}, a_node("n0", gpus=2), a_node("n1", gpus=2))
    run(scheduler, a_step("one"), 1)
    assert the_waiting(scheduler, a_step("gang", ranks=4)).code == "quota"
    assert granted(scheduler.decide(a_step("three", since=1, ranks=3))) == ["three"]


def test_a_gang_that_no_node_holds_alone_is_spread() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 4}}, a_node("n0", gpus=2), a_node("n1", gpus=2))
    grant = the_grant(scheduler, a_step("gang", ranks=4))
    assert grant.nodes == ("n0", "n0", "n1", "n1")
    assert grant.devices == (("n0/0",), ("n0/1",), ("n1/0",), ("n1/1",))


def test_a_gang_that_cannot_go_moves_aside() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 2}, "eta": {"gpu": 2}}, a_node("n0", gpus=2), a_node("n1", gpus=2))
    run(scheduler, a_step("one"), 1)
    scheduler.decide(a_step("wide", "eta", gpus=4, priority=9))
    assert granted(scheduler.decide(a_step("small", "eta", since=5))) == ["small"]


def test_shares_of_one_gpu_are_packed_on_one_device() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 2}}, a_node(gpus=2))
    places = [the_grant(scheduler, a_step(name, gpus=0.5)).devices for name in "ab"]
    assert places == [(("local/0",),), (("local/0",),)]
    assert the_grant(scheduler, a_step("whole")).devices == (("local/1",),)


def test_steps_without_gpus_share_a_node_that_has_none() -> None:
    scheduler = a_scheduler({"flights": {"cpu": 8}}, a_node("g", cpus=4), a_node("c", gpus=0, cpus=4))
    nodes = [the_grant(scheduler, a_step(name, gpus=0, cpus_milli=1000)).node for name in "abcde"]
    assert nodes == ["c", "c", "c", "c", "g"]


def test_cpus_come_back_when_the_attempt_is_released() -> None:
    scheduler = a_scheduler({"flights": {"cpu": 8}}, a_node("c", gpus=0, cpus=1))
    run(scheduler, a_step("a", gpus=0, cpus_milli=1000), 1)
    assert the_waiting(scheduler, a_step("b", gpus=0, cpus_milli=1000)).code == "no_place"
    assert granted(scheduler.decide(AttemptReleased(1))) == ["b"]


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (a_step("a", gpus=5), "never allows more than 4 GPUs"),
        (a_step("a", gpus=3), "asks for 3 GPUs on one node. The largest that would fit is 2 L4 GPUs"),
        (a_step("a", gpus=1, ranks=3), "asks for 3 ranks; all nodes, empty, would hold 2 of them"),
        (a_step("a", ranks=0), "a gang of 0 ranks"),
        (a_step("a", gpus=1.5), "ask for whole GPUs, or for a share below 1"),
        (a_step("a", gpus=-1), "negative"),
        (a_step("a", "flihgts"), "Project 'flihgts' has no quota. Did you mean 'flights'?"),
        (StepWaiting("a", "r", "flights", "fit", Demand(1000, "H200"), 0), "No node has H200; GPU models here: L4"),
    ],
)
def test_what_can_never_go_is_refused_with_the_largest_that_would(step: StepWaiting, says: str) -> None:
    scheduler = a_scheduler({"flights": {"gpu": 4}}, a_node(gpus=2))
    assert says in the_refusal(scheduler, step).sentence
    assert scheduler.explain("a") is None


def test_a_step_that_comes_before_the_first_node_waits_for_it() -> None:
    scheduler = a_scheduler(TWO)
    assert "no node of that GPU model is in service" in the_waiting(scheduler, a_step("a")).sentence
    assert granted(scheduler.decide(NodeJoined(a_node()))) == ["a"]


def test_the_project_with_the_lower_share_goes_first_then_priority_then_time() -> None:
    scheduler = a_scheduler({"idle": {"gpu": 4}, "one": {"gpu": 0}, "two": {"gpu": 0}}, a_node(gpus=4))
    for fence, name in enumerate("abcd"):
        run(scheduler, a_step(name, "one", min_runtime_s=3600), fence)
    scheduler.decide(a_step("again", "one", since=1, priority=9))
    scheduler.decide(a_step("late", "two", since=3))
    scheduler.decide(a_step("urgent", "two", since=4, priority=1))
    order = []
    for fence in range(3):
        scheduler.decide(AttemptReleased(fence))
        order += granted(scheduler.decide(DeviceFreed((f"local/{fence}",))))
    assert order == ["urgent", "late", "again"]


def test_a_refused_grant_is_decided_again_with_the_next_event() -> None:
    scheduler = a_scheduler(TWO, a_node())
    the_grant(scheduler, a_step("a"))
    assert scheduler.decide(GrantRefused("a", "device not free")) == []
    assert granted(scheduler.decide(Ticked(5))) == ["a"]
    assert scheduler.decide(GrantRefused("a", STEP_NOT_WAITING)) == []
    assert scheduler.decide(Ticked(6)) == []


def test_a_reason_is_said_once() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 4}}, a_node())
    run(scheduler, a_step("a"), 1)
    the_waiting(scheduler, a_step("b", since=1))
    behind = the_waiting(scheduler, a_step("c", since=2))
    assert (behind.code, behind.ahead) == ("queue", ("b",))
    assert scheduler.decide(Ticked(1)) == []
    assert scheduler.decide(a_step("b", since=1)) == []
    assert the_waiting(scheduler, StepGone("b")).step_id == "c"  # the first now, and told the real reason


def test_an_eta_names_its_basis() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 4}}, a_node())
    step = StepWaiting("a", "r", "flights", "fit", Demand(1000), 0, max_runtime_s=60)
    grant = the_grant(scheduler, step)
    scheduler.decide(lease(grant, 1, step.demand, now_us=5))
    eta = the_waiting(scheduler, a_step("b", since=1)).eta
    assert eta is not None
    assert eta.at_us == 60_000_005
    assert "step fit on local/0 has declared to end" in eta.basis


def test_a_cancelled_grant_gives_back_what_it_held() -> None:
    scheduler = a_scheduler(TWO, a_node())
    the_grant(scheduler, a_step("a"))
    scheduler.decide(a_step("b", since=1))
    assert granted(scheduler.decide(StepGone("a"))) == ["b"]


def test_a_quarantined_device_is_not_granted_until_it_is_restored() -> None:
    scheduler = a_scheduler(TWO, a_node())
    scheduler.decide(DeviceQuarantined(("local/0",)))
    assert the_waiting(scheduler, a_step("a")).code == "no_place"
    assert granted(scheduler.decide(DeviceRestored(("local/0",)))) == ["a"]


def test_nothing_new_goes_to_a_node_that_is_drained_or_gone() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 4}}, a_node("n0"), a_node("n1"))
    scheduler.decide(NodeDrained("n0"))
    assert the_grant(scheduler, a_step("a")).node == "n1"
    scheduler.decide(NodeLeft("n1"))
    assert the_waiting(scheduler, a_step("b")).code == "no_place"
    assert granted(scheduler.decide(NodeJoined(a_node("n0")))) == ["b"]


def test_a_lease_unknown_until_now_is_counted_and_freed() -> None:
    scheduler = a_scheduler(TWO)
    grant = Grant("old", "flights", "local", (("local/0",),), 1, ("local",))
    scheduler.decide(lease(grant, 7, Demand(1000)))
    scheduler.decide(NodeJoined(a_node()))
    scheduler.decide(a_step("a"))
    scheduler.decide(AttemptReleased(7))
    assert granted(scheduler.decide(DeviceFreed(("local/0",), 7))) == ["a"]


def test_a_larger_tree_lets_go_what_waited_for_quota() -> None:
    scheduler = a_scheduler(TWO, a_node(gpus=2))
    run(scheduler, a_step("a"), 1)
    scheduler.decide(a_step("b", since=1))
    tree = parse_tree({"cohort": {"research": {"projects": {"flights": {"gpu": 2}}}}})
    (grant,) = scheduler.decide(TreeChanged(tree, 2))
    assert isinstance(grant, Grant)
    assert grant.tree_version == 2


def test_a_project_taken_out_of_the_tree_is_told() -> None:
    scheduler = a_scheduler(TWO, a_node())
    run(scheduler, a_step("a"), 1)
    scheduler.decide(a_step("b", since=1))
    (said,) = scheduler.decide(TreeChanged(parse_tree({}), 2))
    assert isinstance(said, Waiting)
    assert said.code == "no_project"
    scheduler.decide(AttemptReleased(1))
    assert scheduler.decide(DeviceFreed(("local/0",))) == []


def test_a_step_that_comes_twice_at_once_waits_as_it_came_last() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 1}}, a_node())
    scheduler.decide(a_step("runs"))
    (said,) = scheduler.decide_all((a_step("late", gpus=0.5, since=1), a_step("late", since=1)))
    assert isinstance(said, Waiting)
    assert "needs 1 GPU" in said.sentence


def test_a_restart_goes_on_where_it_was() -> None:
    before = a_scheduler({"flights": {"gpu": 1}}, a_node())
    step = a_step("a")
    taken = lease(the_grant(before, step), 1, step.demand)
    tree = parse_tree({"cohort": {"research": {"projects": {"flights": {"gpu": 1}}}}})
    history: list[Event] = [taken, AttemptReleased(1)]
    after = Scheduler.load(tree, 3, nodes=[a_node()], history=history, waiting=[a_step("b"), a_step("c", since=1)])
    assert the_waiting(after, Ticked(1)).step_id == "b"
    assert granted(after.decide(DeviceFreed(("local/0",)))) == ["b"]
    assert isinstance(after.explain("b"), Grant)


def test_an_event_that_raises_changes_nothing() -> None:
    scheduler = a_scheduler(TWO, a_node("n0"))
    scheduler.mark()
    thief = NodeJoined(a_node("n1"))
    stolen = NodeJoined(type(thief.node)("n1", 1, 1, "L4", a_node("n0").devices))
    with pytest.raises(InvalidInput, match="device n0/0, which is on node n0"):
        scheduler.decide(stolen)
    assert the_grant(scheduler, a_step("a")).node == "n0"


def test_the_next_of_a_queue_is_told_the_real_reason_once_it_is_first() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 4}}, a_node())
    run(scheduler, a_step("a"), 1)
    scheduler.decide(a_step("b", since=1))
    scheduler.decide(a_step("c", since=2))
    scheduler.decide(AttemptReleased(1))
    effects = scheduler.decide(DeviceFreed(("local/0",)))
    assert granted(effects) == ["b"]
    assert [(said.step_id, said.code) for said in effects if isinstance(said, Waiting)] == [("c", "no_place")]


def test_a_step_that_asks_why_is_told_what_every_node_lacks() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 8}}, a_node("a", gpus=2), a_node("b", gpus=1, cpus=1))
    the_grant(scheduler, a_step("one"))
    the_grant(scheduler, a_step("other"))
    scheduler.decide(a_step("two", gpus=2))
    waiting = scheduler.explain("two")
    assert isinstance(waiting, Waiting)
    assert "of 2 nodes" in waiting.sentence
    assert "without enough free GPU" in waiting.sentence


def test_a_gang_that_no_rack_could_hold_is_refused_with_what_one_would() -> None:
    racks = [msgspec.structs.replace(a_node(name, gpus=2), labels=(("rack", name),)) for name in ("a", "b")]
    scheduler = a_scheduler({"flights": {"gpu": 8}}, *racks)
    step = a_step("wide", ranks=4)
    demand = msgspec.structs.replace(step.demand, required_level="rack")
    refusal = the_refusal(scheduler, msgspec.structs.replace(step, demand=demand))
    assert "one rack, empty, would hold 2 of them" in refusal.sentence


def test_a_step_waits_for_the_like_of_a_node_that_left_until_it_is_given_up() -> None:
    # It left at 5 s, and is awaited for 600 s.
    scheduler = a_scheduler({"flights": {"gpu": 8}}, a_node("a"), a_node("old", model="T4"))
    scheduler.decide(NodeLeft("old"), 5_000_000)
    soon, small = (msgspec.structs.replace(a_step(f"s{gpus}"), demand=Demand(gpus, "T4")) for gpus in (1000, 500))
    assert the_waiting(scheduler, soon).code == "no_place"
    assert the_waiting(scheduler, small).code == "no_place"
    assert scheduler.wakes_us() == 605_000_000
    assert scheduler.decide(Ticked(0), 604_999_999) == []
    refused = scheduler.decide(Ticked(0), 605_000_000)
    assert [effect.step_id for effect in refused if isinstance(effect, Impossible)] == ["s1000", "s500"]
    assert "No node has T4; GPU models here: L4. Those that could have held it have been away" in str(refused[0])
    assert scheduler.wakes_us() is None
    assert scheduler.explain("s500") is None
    assert "No node has T4" in the_refusal(scheduler, soon).sentence


def test_a_node_that_comes_back_in_time_takes_what_waited_for_it() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 8}}, a_node("a"), a_node("old", model="T4"))
    scheduler.decide(NodeLeft("old"), 5_000_000)
    scheduler.decide(msgspec.structs.replace(a_step("soon"), demand=Demand(1000, "T4")))
    assert granted(scheduler.decide(NodeJoined(a_node("old", model="T4")), 604_000_000)) == ["soon"]


def test_giving_a_node_up_refuses_nobody_whom_another_holds() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 8}}, a_node("a"), a_node("b"))
    scheduler.decide(a_step("runs"))
    scheduler.decide(NodeLeft("b"), 5_000_000)
    waits = the_waiting(scheduler, a_step("waits", since=1))
    assert scheduler.decide(Ticked(0), 605_000_000) == []
    assert waits.step_id in scheduler._queues.steps


def test_steps_are_refused_in_their_turn_whatever_was_taken_back_before() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 8}}, a_node("stays", gpus=0), a_node("goes", gpus=2))
    scheduler.decide(a_step("holds", gpus=2))
    scheduler.decide(a_step("late", since=2))
    scheduler.decide(a_step("soon", gpus=2, since=1))
    scheduler.decide(NodeLeft("goes"), 5_000_000)
    scheduler.mark()
    tried = scheduler.decide(Ticked(0), 605_000_000)
    scheduler.rollback()
    assert scheduler.decide(Ticked(0), 605_000_000) == tried
    assert [effect.step_id for effect in tried if isinstance(effect, Impossible)] == ["soon", "late"]


def test_while_every_node_is_away_nothing_is_refused() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 8}}, a_node("a"))
    scheduler.decide(NodeLeft("a"), 5_000_000)
    the_waiting(scheduler, a_step("waits"))
    assert scheduler.decide(Ticked(0), 605_000_000) == []


def test_a_node_that_is_back_after_a_rollback_is_used_again() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 1}}, a_node())
    scheduler.mark()
    for event in (a_step("a"), a_step("b", since=1), NodeLeft("local")):
        scheduler.decide(event)
    scheduler.rollback()
    assert granted(scheduler.decide(a_step("c"))) == ["c"]


def test_steps_of_a_project_that_the_tree_has_no_more_wait_and_hinder_nobody() -> None:
    # A small one, a gang and an elastic gang that runs: none is claimed for, dated, moved for or grown.
    scheduler = a_scheduler({"flights": {"gpu": 4}, "eta": {"gpu": 4}}, a_node("n0", gpus=3), a_node("n1", gpus=1))
    run(scheduler, a_step("busy", "flights", gpus=2), 1)
    elastic = a_step("elastic", "eta", ranks=4, ranks_min=1)
    grant = the_grant(scheduler, elastic)
    scheduler.decide(lease(grant, 2, elastic.demand))
    scheduler.decide(a_step("small", "eta", since=1))
    scheduler.decide(a_step("gang", "eta", gpus=2, since=2))
    scheduler.decide(TreeChanged(parse_tree({"cohort": {"research": {"projects": {"flights": {"gpu": 4}}}}}), 2))
    assert scheduler.decide(Ticked(0), 3_600_000_000) == []
    for step_id in ("small", "gang"):
        said = scheduler.explained(step_id)
        assert said is not None
        assert (said.code, said.eta) == ("no_project", None)
    scheduler.decide(AttemptReleased(1))
    assert granted(scheduler.decide(DeviceFreed(grant.devices[0], 1))) == []
    assert granted(scheduler.decide(a_step("mine", "flights", gpus=0, cpus_milli=100))) == ["mine"]
