"""Owners get their own back."""

from __future__ import annotations

from headwater.quota.messages import (
    AttemptCheckpointed,
    AttemptLeaving,
    Reclaim,
    ReclaimRefused,
    StepGone,
    Ticked,
    Waiting,
)
from headwater.quota.scheduler import Scheduler

from .scene import Platform, a_node, a_step, lease

HALVES = {"projects": {"owner": {"gpu": 4}, "guest": {"gpu": 4}, "other": {"gpu": 0}}}


def full(*, min_runtime_s: int = 0) -> Platform:
    """Eight GPUs on two nodes, all with the guest, who is guaranteed four of them."""
    platform = Platform(HALVES, a_node("n0", gpus=4), a_node("n1", gpus=4))
    platform.start(*(a_step(f"g{n}", "guest", since=n, min_runtime_s=min_runtime_s) for n in range(8)))
    return platform


def test_a_borrower_is_ended_for_the_owner_who_then_gets_the_place() -> None:
    platform = full()
    assert platform.start(a_step("mine", "owner", since=9), at=60) == []
    (victim,) = platform.victims()
    (said,) = [effect for effect in platform.said if isinstance(effect, Reclaim)]
    assert (said.for_step, said.grace_s, said.project) == ("mine", 30, "guest")
    assert "beyond what project guest is guaranteed" in said.reason
    assert platform.end(victim, at=70) == ["mine"]


def test_the_place_is_kept_for_the_owner_while_the_victim_ends() -> None:
    platform = full()
    platform.start(a_step("mine", "owner", since=9), a_step("before", "guest", since=1), at=60)
    (victim,) = [step for step in platform.fences if platform.scheduler._holdings.all[platform.fences[step]].leaving]
    assert platform.end(victim, at=61) == ["mine"]


def test_no_more_are_ended_than_are_beyond_the_guarantee() -> None:
    # The guest uses 8 and is guaranteed 4, so of six claims of one GPU each four find a victim.
    platform = full()
    victims = []
    for n in range(6):
        platform.start(a_step(f"mine{n}", "owner", since=9 + n), at=60)
        victims += platform.victims()
    assert len(set(victims)) == 4
    for victim in victims:
        platform.end(victim, at=61)
    assert (platform.used("owner"), platform.used("guest")) == (4000, 4000)


def test_the_lower_priority_is_ended_first_then_the_least_work_lost() -> None:
    platform = Platform(HALVES, a_node("n0", gpus=8))
    platform.start(*(a_step(f"g{n}", "guest", since=n, priority=1 if n < 6 else 0) for n in range(8)))
    platform.tell(AttemptCheckpointed(platform.fences["g7"], 50_000_000), at=50)
    platform.start(a_step("a", "owner"), at=60)
    assert platform.victims() == ["g7"]  # 10 s of one GPU since its checkpoint, against 60 s of g6
    platform.start(a_step("b", "owner"), at=60)
    assert platform.victims() == ["g6"]
    platform.tell(AttemptCheckpointed(platform.fences["g3"], 59_000_000), at=60)
    platform.start(a_step("c", "owner"), at=60)
    assert platform.victims() == ["g3"]


def test_the_place_that_comes_free_fits_the_claimant() -> None:
    # Four GPUs of one node are wanted; those that lose least are spread over both nodes.
    platform = full()
    for n in (0, 1, 4, 5):
        platform.tell(AttemptCheckpointed(platform.fences[f"g{n}"], 59_000_000), at=59)
    platform.start(a_step("wide", "owner", gpus=4), at=60)
    victims = platform.victims()
    assert len(victims) == 4
    assert len({platform.grants[victim].node for victim in victims}) == 1
    assert [name for victim in victims for name in platform.end(victim, at=61)] == ["wide"]


def test_fewest_gangs_are_ended() -> None:
    platform = Platform(HALVES, a_node("n0", gpus=4), a_node("n1", gpus=4))
    platform.start(a_step("whole", "guest", gpus=4, since=0), *(a_step(f"g{n}", "guest", since=n) for n in range(4)))
    for n in range(4):
        platform.tell(AttemptCheckpointed(platform.fences[f"g{n}"], 50_000_000), at=50)
    platform.start(a_step("one", "owner"), at=60)
    assert len(platform.victims()) == 1


def test_nobody_is_ended_before_its_min_runtime() -> None:
    platform = full(min_runtime_s=100)
    platform.start(a_step("mine", "owner", since=9), at=60)
    assert platform.victims() == []
    assert platform.scheduler.wakes_us() == 100_000_001
    platform.tell(Ticked(0), at=100)
    assert platform.victims() == []
    platform.tell(Ticked(0), at=101)
    assert len(platform.victims()) == 1


def test_a_step_that_may_run_only_once_neither_borrows_nor_is_ended() -> None:
    platform = Platform(HALVES, a_node("n0", gpus=8))
    went = platform.start(*(a_step(f"o{n}", "guest", since=n, once=True) for n in range(6)))
    assert went == ["o0", "o1", "o2", "o3"]
    assert "never borrows" in str(platform.scheduler.explain("o4"))
    platform.start(*(a_step(f"g{n}", "guest", since=n) for n in range(4)))
    victims = []
    for n in range(4):
        platform.start(a_step(f"mine{n}", "owner"), at=60)
        victims += platform.victims()
    assert sorted(victims) == ["g0", "g1", "g2", "g3"]


def test_a_project_that_borrows_takes_nothing_from_another_that_does() -> None:
    platform = full()
    platform.start(a_step("greedy", "other", priority=9), at=60)
    assert platform.victims() == []


def test_inside_a_project_the_higher_priority_takes_the_place_of_the_lower() -> None:
    platform = Platform(HALVES, a_node("n0", gpus=8))
    platform.start(*(a_step(f"g{n}", "guest", since=n, priority=n % 2) for n in range(8)))
    platform.start(a_step("same", "guest", priority=0), at=60)
    assert platform.victims() == []
    platform.start(a_step("urgent", "guest", priority=1), at=60)
    (victim,) = platform.victims()
    assert victim in {"g0", "g2", "g4", "g6"}


def test_a_team_within_its_guarantee_is_left_alone() -> None:
    # right's two use 4 of the 4 that right is guaranteed, though neither project is guaranteed any.
    right = {"gpu": 4, "projects": {"r0": {"gpu": 0}, "r1": {"gpu": 0}}}
    tree = {
        "teams": {"left": {"projects": {"l": {"gpu": 4}}}, "right": right, "guest": {"projects": {"g": {"gpu": 0}}}}
    }
    platform = Platform(tree, a_node("n0", gpus=8))
    platform.start(*(a_step(f"r{n}", "r0", since=n) for n in range(4)), *(a_step(f"g{n}", "g") for n in range(4)))
    for n in range(4):
        platform.start(a_step(f"l{n}", "l"), at=60)
        assert platform.victims()[0].startswith("g")


def test_tier_1_takes_what_lower_tiers_have_borrowed_within_seconds() -> None:
    tree = {
        "projects": {
            "serving": {"tier": 1, "gpu": 0},
            "training": {"tier": 3, "gpu": 1},
            "research": {"tier": 2, "gpu": 1},
            "idle": {"gpu": 2},
        }
    }
    platform = Platform(tree, a_node("n0", gpus=4))
    platform.start(
        a_step("r0", "research"), a_step("r1", "research"), a_step("t0", "training"), a_step("t1", "training")
    )
    platform.start(a_step("answer", "serving"), at=60)
    assert platform.victims() in (["t0"], ["t1"])
    assert [effect.grace_s for effect in platform.said if isinstance(effect, Reclaim)] == [5]
    platform.start(a_step("more", "serving"), at=60)
    assert platform.victims() == []  # training is within its guarantee now, and research is of tier 2


def test_a_step_of_tier_1_takes_like_a_project_of_tier_1() -> None:
    tree = {"projects": {"eta": {"gpu": 0}, "maps": {"gpu": 0}, "spare": {"gpu": 2}}}
    platform = Platform(tree, a_node("n0", gpus=2))
    platform.start(a_step("e0", "eta"), a_step("m0", "maps"))
    platform.start(a_step("more", "eta"), at=60)
    assert platform.victims() == []  # of tier 3 as what runs
    platform.start(a_step("answer", "eta", tier=1), at=60)
    assert platform.victims() == ["m0"]
    assert [effect.grace_s for effect in platform.said if isinstance(effect, Reclaim)] == [5]
    platform.start(a_step("answers", "eta", tier=1, priority=200), at=60)
    assert platform.victims() == ["e0"]  # of its own project, by the priority that the tier gives


def test_a_limit_on_evictions_per_hour_holds() -> None:
    platform = Platform(HALVES, a_node("n0", gpus=8), policy={"evictions_per_hour": 2})
    platform.start(*(a_step(f"g{n}", "guest", since=n) for n in range(8)))
    victims = []
    for n in range(4):
        platform.start(a_step(f"mine{n}", "owner"), at=60)
        victims += platform.victims()
    assert len(victims) == 2
    platform.tell(Ticked(0), at=3659)
    assert platform.victims() == []
    platform.tell(Ticked(0), at=3660)
    assert len(platform.victims()) == 2


def test_a_step_that_was_ended_is_left_alone_for_longer_when_it_runs_again() -> None:
    platform = Platform(HALVES, a_node("n0", gpus=8))
    platform.start(*(a_step(f"g{n}", "guest", since=n, evictions=1 if n else 0) for n in range(8)), at=0)
    platform.start(a_step("a", "owner"), a_step("b", "owner"), at=60)
    assert platform.victims() == []  # only g0 was never ended, and it makes way for a
    platform.tell(Ticked(0), at=301)
    assert len(platform.victims()) == 1


def test_a_refused_reclaim_looks_for_another() -> None:
    platform = full()
    platform.start(a_step("mine", "owner"), at=60)
    (victim,) = platform.victims()
    platform.end(victim, at=61)
    platform.start(a_step("again", "owner"), at=62)
    (victim,) = platform.victims()
    platform.tell(ReclaimRefused(platform.fences[victim], "over already"), at=63)
    assert len(platform.victims()) == 1


def test_a_claimant_that_goes_leaves_the_place_to_others() -> None:
    platform = full()
    platform.start(a_step("mine", "owner"), at=60)
    (victim,) = platform.victims()
    platform.tell(StepGone("mine"), at=61)
    platform.start(a_step("late", "guest", since=99), at=62)
    assert platform.end(victim, at=63) == ["late"]


def test_a_step_that_waits_for_a_reclaim_says_so() -> None:
    platform = full()
    platform.start(a_step("mine", "owner"), at=60)
    said = platform.scheduler.explain("mine")
    assert isinstance(said, Waiting)
    assert said.code == "reserved"
    assert said.eta is not None
    assert said.eta.at_us == 90_000_000


def restarted(platform: Platform, claim: str, *victims: str, now: int) -> Platform:
    """The same platform with a Scheduler that was loaded from what the database has: leases, waiting steps, victims."""
    held = platform.scheduler._holdings.all
    leases = [lease(platform.grants[name], platform.fences[name], held[platform.fences[name]].step.demand,
                    now_us=held[platform.fences[name]].leased_us) for name in platform.grants]  # fmt: skip
    told = [
        AttemptLeaving(platform.fences[name], claim, held[platform.fences[name]].step.project, now * 1_000_000, 0)
        for name in victims
    ]
    nodes = [node.spec for node in platform.scheduler._inventory.nodes.values()]
    waiting = list(platform.scheduler._queues.steps.values())
    tree = platform.scheduler.tree
    platform.scheduler = Scheduler.load(tree, 1, nodes=nodes, history=leases, waiting=waiting, leaving=told)
    return platform


def test_with_no_evictions_allowed_nobody_is_ended_or_moved() -> None:
    platform = Platform(HALVES, a_node("n0", gpus=4), a_node("n1", gpus=4), policy={"evictions_per_hour": 0})
    platform.start(*(a_step(f"g{n}", "guest", since=n) for n in range(7)))
    platform.start(a_step("mine", "owner", gpus=4), a_step("more", "guest", priority=5, gpus=2), at=60)
    platform.tell(Ticked(0), at=4000)
    assert platform.victims() == []


def test_after_a_restart_nobody_else_is_ended_and_the_place_is_kept() -> None:
    platform = full()
    platform.start(a_step("mine", "owner", since=9), at=60)
    (victim,) = platform.victims()
    restarted(platform, "mine", victim, now=60)
    platform.tell(Ticked(0), at=61)
    assert platform.victims() == []
    platform.start(a_step("before", "guest", since=1), at=62)
    assert platform.end(victim, at=70) == ["mine"]


def test_after_a_restart_evictions_of_the_last_hour_count() -> None:
    platform = Platform(HALVES, a_node("n0", gpus=8), policy={"evictions_per_hour": 1})
    platform.start(*(a_step(f"g{n}", "guest", since=n) for n in range(8)))
    platform.start(a_step("mine", "owner"), at=60)
    (victim,) = platform.victims()
    restarted(platform, "mine", victim, now=60)
    platform.start(a_step("more", "owner"), at=61)
    assert platform.victims() == []


def test_an_eviction_that_the_log_tells_of_again_counts_once() -> None:
    platform = Platform(HALVES, a_node("n0", gpus=8), policy={"evictions_per_hour": 2})
    platform.start(*(a_step(f"g{n}", "guest", since=n) for n in range(8)))
    platform.start(a_step("a", "owner"), at=60)
    (victim,) = platform.victims()
    platform.tell(AttemptLeaving(platform.fences[victim], "a", "guest", 60_000_000, 90_000_000), at=61)
    platform.start(a_step("b", "owner"), at=61)
    assert len(platform.victims()) == 1
