"""Who makes way for whom, as the documents of YuniKorn, Volcano, KAI and Kueue tell it, with the numbers worked out.

Where Headwater decides otherwise, the test says so.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headwater.quota.messages import Ticked

from .scene import Platform, a_node, a_step


def gpus(nominal: int, **more: object) -> dict[str, object]:
    return {"gpu": {"nominal": nominal, **more}}


def ask(platform: Platform, project: str, count: int, *, size: int = 1, at: int = 0) -> list[str]:
    """`count` steps of `size` ranks come one after the other; who is to be ended for them, in that order."""
    victims = []
    for n in range(count):
        platform.start(a_step(f"{project}{n}", project, ranks=size, since=at + n), at=at)
        victims += platform.victims()
    return victims


def make_way(platform: Platform, victims: Iterable[str], *, at: int) -> None:
    """The victims end, and go back to the queue."""
    for name in victims:
        step = platform.scheduler._holdings.all[platform.fences[name]].step
        platform.end(name, at=at)
        platform.start(msgspec.structs.replace(step, evictions=1), at=at)


def test_yunikorn_a_queue_is_preempted_down_to_what_the_other_is_guaranteed() -> None:
    # YuniKorn, user guide "Preemption", general case: a parent of 12; queue-1 and queue-2 are guaranteed 5 and hold at
    # most 10. queue-1 has 10, so 2 are left for queue-2's 10 pods. queue-2 takes 3 more: 7 and 5, and no further.
    projects = {name: gpus(5, borrow_limit=5) for name in ("queue-1-", "queue-2-")}
    platform = Platform({"gpu": 12, "projects": projects}, a_node("n0", gpus=12))
    ask(platform, "queue-1-", 10)
    assert platform.used("queue-1-") == 10_000
    victims = ask(platform, "queue-2-", 10, at=60)
    assert len(victims) == 3
    make_way(platform, victims, at=61)
    assert (platform.used("queue-1-"), platform.used("queue-2-")) == (7000, 5000)


def test_yunikorn_a_guarantee_holds_against_a_higher_priority_too() -> None:
    # YuniKorn, the same, "Priority Queue": a parent of 18; high, normal and low are guaranteed 6 each, jobs take 3;
    # normal has all 18. There high gets its 6 and low, of lower priority, none. Here a guarantee is not a matter of
    # priority: high (tier 1) and low (tier 4) both get their 6 back, and normal keeps its own 6.
    tiers = {"high-": 1, "normal-": 3, "low-": 4}
    projects = {name: {**gpus(6), "tier": tier} for name, tier in tiers.items()}
    platform = Platform({"projects": projects}, a_node("n0", gpus=18))
    ask(platform, "normal-", 6, size=3)
    assert platform.used("normal-") == 18_000
    for claimant in ("high-", "low-"):
        victims = ask(platform, claimant, 2, size=3, at=60)
        assert len(victims) == 2
        make_way(platform, victims, at=61)
    assert {name: platform.used(name) for name in projects} == {"high-": 6000, "normal-": 6000, "low-": 6000}


def test_yunikorn_preemption_stays_inside_its_fence() -> None:
    # YuniKorn, the same, "Preemption Fence": tenant-a has 5, of which queue-1 and queue-2 are guaranteed 2 each;
    # tenant-b has 10. A fence is a team that neither borrows nor lends. queue-1 fills tenant-a and no more; queue-2
    # gets its 2 from queue-1, and tenant-b, which is idle, has its 10 untouched.
    def fenced(nominal: int, **projects: object) -> dict[str, object]:
        return {**gpus(nominal, borrow_limit=0, lend_limit=0), "projects": projects}

    teams = {"tenant-a": fenced(5, q1=gpus(2), q2=gpus(2)), "tenant-b": fenced(10, q3=gpus(10))}
    platform = Platform({"teams": teams}, a_node("n0", gpus=15))
    assert ask(platform, "q1", 15) == []
    assert platform.used("q1") == 5000
    victims = ask(platform, "q2", 15, at=60)
    make_way(platform, victims, at=61)
    assert (platform.used("q1"), platform.used("q2")) == (3000, 2000)
    assert ask(platform, "q3", 15, at=62) == []
    assert platform.used("q3") == 10_000


def test_volcano_deserved_is_lent_and_taken_back_and_guaranteed_is_not_lent() -> None:
    # Volcano, "Capacity scheduling Design", stories 3 and 4: of 100 A100, Queue1 deserves 20 and Queue2 80; 10 of each
    # are guaranteed, so lent to nobody. While Queue2 is idle Queue1 may use 20 + (80 - 10) = 90, nine gangs of 10.
    # Queue2's first gang has its kept 10; the other seven are reclaimed, and Queue1 keeps the 20 that it deserves.
    projects = {"one-": gpus(20, lend_limit=10), "two-": gpus(80, lend_limit=70)}
    platform = Platform({"projects": projects}, *(a_node(f"n{n}", gpus=10) for n in range(10)))
    ask(platform, "one-", 10, size=10)
    assert platform.used("one-") == 90_000
    victims = ask(platform, "two-", 8, size=10, at=60)
    assert len(victims) == 7
    make_way(platform, victims, at=61)
    assert (platform.used("one-"), platform.used("two-")) == (20_000, 80_000)


def test_kai_a_job_is_not_reclaimed_before_its_minimum_runtime() -> None:
    # KAI, "MinRuntime Plugin", example workflow: a minimum of 30 s; at 20 s another job attempts to reclaim, and the
    # victim is protected until 30 s.
    platform = Platform({"projects": {"owner": gpus(1), "guest": gpus(0)}}, a_node("n0", gpus=1))
    platform.start(a_step("borrows", "guest", min_runtime_s=30), at=100)
    platform.start(a_step("mine", "owner"), at=120)
    assert platform.victims() == []
    platform.tell(Ticked(0), at=129)
    assert platform.victims() == []
    platform.tell(Ticked(0), at=130)
    assert platform.victims() == ["borrows"]


def test_kai_an_elastic_job_gives_back_its_additional_workers_and_goes_on() -> None:
    # KAI, "Elastic Workloads": at least 1 worker, up to 2 more where there is room. The owner of 2 comes: the job goes
    # on with the 1 that is left. There some pods are evicted; here the gang begins again, from its checkpoint.
    platform = Platform({"projects": {"owner": gpus(2), "guest": gpus(1)}}, a_node("n0", gpus=3))
    platform.start(a_step("elastic", "guest", ranks=3, ranks_min=1))
    assert platform.used("guest") == 3000
    platform.start(a_step("mine", "owner", ranks=2), at=60)
    assert platform.victims() == ["elastic"]
    make_way(platform, ["elastic"], at=61)
    assert (platform.used("owner"), platform.used("guest")) == (2000, 1000)


def test_kueue_preempts_as_few_as_possible() -> None:
    # Kueue, "Preemption", targets: candidates are added until the workload fits, then those it fits without are
    # spared. Least work lost first: two steps of 1 GPU, then the gang of 4; with the gang gone 4 fit, so the small two
    # stay.
    platform = Platform({"projects": {"owner": gpus(4), "guest": gpus(2)}}, a_node("n0", gpus=6))
    platform.start(*(a_step(f"small{n}", "guest") for n in range(2)), a_step("gang", "guest", gpus=4, since=1))
    platform.start(a_step("mine", "owner", gpus=4), at=60)
    assert platform.victims() == ["gang"]


def test_kueue_the_lowest_priority_of_the_borrowers_goes_first() -> None:
    # Kueue, "Preemption", candidates: from borrowing queues, the lowest priority first. The owner asks for 1 of 3.
    platform = Platform({"projects": {"owner": gpus(3), "guest": gpus(0)}}, a_node("n0", gpus=3))
    platform.start(*(a_step(f"p{priority}", "guest", priority=priority) for priority in (50, 100, 200)))
    platform.start(a_step("mine", "owner"), at=60)
    assert platform.victims() == ["p50"]
