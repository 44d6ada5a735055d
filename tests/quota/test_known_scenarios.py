"""What the documents of Kueue, KAI, Volcano and YuniKorn promise, with the numbers worked out."""

from __future__ import annotations

from headwater.quota.messages import Demand, NodeJoined, StepWaiting

from .scene import Platform, a_node, a_step


def cpu_platform(cohort: dict[str, object], cpus: int) -> Platform:
    return Platform(cohort, a_node("n0", gpus=0, cpus=cpus))


def went(platform: Platform, prefix: str, project: str, count: int, *, cpus: int = 1, since: int = 0) -> int:
    steps = [a_step(f"{prefix}{n}", project, gpus=0, cpus_milli=cpus * 1000, since=since + n) for n in range(count)]
    return len(platform.start(*steps))


def test_kueue_team_a_borrows_what_team_b_leaves() -> None:
    # Kueue, "ClusterQueue / cohort": team-a has nominal 9 and team-b 12 CPUs. With nothing running in team-b,
    # team-a may admit up to 12 + 9 = 21 CPUs.
    platform = cpu_platform({"projects": {"team-a": {"cpu": 9}, "team-b": {"cpu": 12}}}, 40)
    assert went(platform, "a", "team-a", 30) == 21


def test_kueue_a_borrowing_limit_of_one() -> None:
    # Kueue, "borrowingLimit": the same with a borrowing limit of 1 for team-a: 9 + 1 = 10.
    team_a = {"cpu": {"nominal": 9, "borrow_limit": 1}}
    platform = cpu_platform({"projects": {"team-a": team_a, "team-b": {"cpu": 12}}}, 40)
    assert went(platform, "a", "team-a", 30) == 10


def test_kueue_a_lending_limit_of_one() -> None:
    # Kueue, "lendingLimit": team-b lends 1 of its 12, so team-a may take 9 + 1 = 10, and 11 stay for team-b.
    team_b = {"cpu": {"nominal": 12, "lend_limit": 1}}
    platform = cpu_platform({"projects": {"team-a": {"cpu": 9}, "team-b": team_b}}, 40)
    assert went(platform, "a", "team-a", 30) == 10
    assert went(platform, "b", "team-b", 30) == 11


def test_kueue_reclaims_across_teams_of_a_cohort() -> None:
    # Kueue, "reclaimWithinCohort": b1 of team right runs on what team left guarantees; left asks for its 4 back.
    # right keeps the 2 that it is guaranteed itself.
    tree = {
        "teams": {"left": {"projects": {"a": {"gpu": 4}}}, "right": {"gpu": 2, "projects": {"b": {"gpu": 0}}}},
    }
    platform = Platform(tree, a_node("n0", gpus=6))
    platform.start(*(a_step(f"b{n}", "b", since=n) for n in range(6)))
    victims: list[str] = []
    for n in range(5):
        platform.start(a_step(f"a{n}", "a"), at=60)
        victims += platform.victims()
    assert len(victims) == 4


def test_fair_share_between_three_teams_by_weight() -> None:
    # Kueue, "fair sharing", and KAI, "over-quota weight": 12 GPUs guaranteed to nobody, weights 1, 1 and 2. Each
    # takes the next where its weighted share would be lowest, so 12 go as 3, 3 and 6.
    weights = {"one": 1, "two": 1, "three": 2}
    projects = {name: {"gpu": {"nominal": 0, "weight": weight}} for name, weight in weights.items()}
    platform = Platform({"gpu": 12, "projects": {**projects, "busy": {"gpu": 0}}}, a_node("n0", gpus=12))
    platform.start(a_step("all", "busy", gpus=12))
    platform.start(*(a_step(f"{name}-{n}", name, since=n) for n in range(12) for name in weights))
    took = [name.split("-")[0] for name in platform.end("all", at=1)]
    assert {name: took.count(name) for name in weights} == {"one": 3, "two": 3, "three": 6}


def test_kai_the_dominant_resource_decides() -> None:
    # DRF (Ghodsi et al., section 4.1), as KAI and YuniKorn order queues: 9 CPUs and 18 GiB; A's tasks need 1 CPU
    # and 4 GiB, B's 3 CPUs and 1 GiB. Shares are equal, 2/3 each, with 3 tasks of A and 2 of B.
    platform = Platform({"cpu": 9, "memory": "18GiB", "projects": {"a": {"cpu": 0}, "b": {"cpu": 0}}})
    for n in range(6):
        platform.start(StepWaiting(f"a{n}", "r", "a", "fit", Demand(0, None, 1000, 4 << 30), n))
        platform.start(StepWaiting(f"b{n}", "r", "b", "fit", Demand(0, None, 3000, 1 << 30), n))
    took = platform.tell(NodeJoined(a_node("n0", gpus=0, cpus=9, memory_gib=18)))
    assert (len([name for name in took if name[0] == "a"]), len([name for name in took if name[0] == "b"])) == (3, 2)


def test_volcano_two_gangs_never_hold_half_of_the_platform_each() -> None:
    # Volcano, "gang scheduling": two jobs of 4 tasks on 6 devices. Task by task each may get 3 and both wait for
    # ever; whole, the first runs and the second holds nothing.
    platform = Platform({"projects": {"p": {"gpu": 6}}}, a_node("n0", gpus=3), a_node("n1", gpus=3))
    assert platform.start(a_step("first", "p", ranks=4), a_step("second", "p", ranks=4, since=1)) == ["first"]
    assert platform.used("p") == 4000
    assert platform.end("first", at=5) == ["second"]


def test_yunikorn_a_higher_priority_in_the_same_queue_preempts() -> None:
    # YuniKorn, "priority scheduling": within a queue at its maximum, the higher priority takes the lower's place.
    platform = Platform({"projects": {"p": {"gpu": {"nominal": 2, "borrow_limit": 0}}}}, a_node("n0", gpus=4))
    platform.start(a_step("low", "p"), a_step("middle", "p", priority=5), a_step("high", "p", priority=10), at=1)
    assert platform.victims() == ["low"]
    assert platform.end("low", at=2) == ["high"]


def test_an_elastic_gang_goes_with_what_is_there() -> None:
    # KAI and Volcano, "elastic": 2 to 8 workers; 5 of 8 devices are free.
    platform = Platform({"projects": {"p": {"gpu": 8}}}, a_node("n0", gpus=8))
    platform.start(a_step("other", "p", gpus=3))
    assert platform.start(a_step("elastic", "p", ranks=8, ranks_min=2)) == ["elastic"]
    assert len(platform.grants["elastic"].nodes) == 5
    assert platform.used("p") == 8000
