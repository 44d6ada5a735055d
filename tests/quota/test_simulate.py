from __future__ import annotations

from headwater.quota.messages import NodeJoined, TreeChanged
from headwater.quota.simulate import simulate
from headwater.quota.tree import parse_tree

from .promises import picture
from .scene import Platform, a_node, a_step

HALVES = {"projects": {"owner": {"gpu": 4}, "guest": {"gpu": 4}}}


def full() -> Platform:
    platform = Platform(HALVES, a_node("n0", gpus=8))
    platform.start(*(a_step(f"g{n}", "guest", since=n) for n in range(8)))
    return platform


def test_what_a_step_would_lead_to_is_told_and_nothing_is_done() -> None:
    platform = full()
    before = picture(platform.scheduler)
    outcome = simulate(platform.scheduler, [a_step("mine", "owner")], 60_000_000)
    assert (len(outcome.ends), outcome.starts, outcome.losses) == (1, (), ())
    assert picture(platform.scheduler) == before
    assert platform.scheduler.explain("mine") is None


def test_another_node_would_let_those_that_wait_go() -> None:
    platform = full()
    platform.start(a_step("more", "guest", since=9), at=1)
    wider = parse_tree({"cohort": {"all": {"projects": {"owner": {"gpu": 4}, "guest": {"gpu": 6}}}}})
    outcome = simulate(platform.scheduler, [NodeJoined(a_node("n1", gpus=8)), TreeChanged(wider, 2)], 2_000_000)
    assert outcome.starts == ("more",)
    assert platform.scheduler.tree_version == 1


def test_a_smaller_guarantee_lists_who_could_lose_what() -> None:
    # The guest holds 8 and is guaranteed 4; with 2 it holds 6 beyond, of which the newest work goes first.
    platform = full()
    smaller = parse_tree({"cohort": {"all": {"projects": {"owner": {"gpu": 6}, "guest": {"gpu": 2}}}}})
    outcome = simulate(platform.scheduler, [TreeChanged(smaller, 2)], 60_000_000)
    (loss,) = outcome.losses
    assert (loss.project, loss.flavour, loss.amount) == ("guest", "gpu", 6000)
    assert (loss.guaranteed_before, loss.guaranteed_after, len(loss.gangs)) == (4000, 2000, 6)


def test_simulating_works_before_the_first_mark_and_inside_one() -> None:
    platform = full()
    first = simulate(platform.scheduler, [a_step("mine", "owner")], 60_000_000)
    platform.scheduler.mark()
    platform.scheduler.decide(a_step("late", "guest", since=99), 60_000_000)
    before = picture(platform.scheduler)
    assert simulate(platform.scheduler, [a_step("mine", "owner")], 60_000_000).ends == first.ends
    assert picture(platform.scheduler) == before
