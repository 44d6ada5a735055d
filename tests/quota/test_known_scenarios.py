"""What the documents of Kueue, KAI, Volcano and YuniKorn promise, with the numbers worked out."""

from __future__ import annotations

import msgspec

from headwater.quota.messages import Demand, Impossible, NodeJoined, NodeSpec, StepWaiting

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


def test_kueue_a_cohorts_own_quota_is_shared_by_queues_that_have_none() -> None:
    # Kueue, "Cohort", configuring quotas: the cohort has 12 CPUs beside its queues', the queue 0; it may use all 12.
    # In Kueue the cohort's quota comes on top; here a cohort's number is the whole: 12 with no child guaranteed any.
    platform = cpu_platform({"cpu": 12, "projects": {"mine": {"cpu": 0}}}, 40)
    assert went(platform, "m", "mine", 20) == 12


def test_kueue_organisations_share_by_weight_whatever_their_number_of_teams() -> None:
    # Kueue, "Cohort", hierarchical: important-org has weight 0.75, regular-org 0.25. Of 12 GPUs guaranteed to nobody
    # important-org's one project gets 9, and the three of regular-org get 3 between them, one each.
    def org(weight: float, *names: str) -> dict[str, object]:
        quota = {"nominal": 0, "weight": weight}
        return {"gpu": quota, "projects": {name: {"gpu": 0} for name in names}}

    teams = {"important": org(0.75, "i"), "regular": org(0.25, "r1", "r2", "r3")}
    platform = Platform({"gpu": 12, "teams": teams, "projects": {"busy": {"gpu": 0}}}, a_node("n0", gpus=12))
    platform.start(a_step("all", "busy", gpus=12))
    platform.start(*(a_step(f"{name}-{n}", name, since=n) for n in range(12) for name in ("i", "r1", "r2", "r3")))
    took = [name.split("-")[0] for name in platform.end("all", at=1)]
    assert {name: took.count(name) for name in ("i", "r1", "r2", "r3")} == {"i": 9, "r1": 1, "r2": 1, "r3": 1}


def test_kueue_an_older_one_that_does_not_fit_does_not_block_a_newer_one() -> None:
    # Kueue, "ClusterQueue", BestEffortFIFO: 3 of 4 CPUs are in use; the older asks for 2, the newer for 1.
    platform = cpu_platform({"projects": {"p": {"cpu": 4}}}, 8)
    went(platform, "runs", "p", 1, cpus=3)
    assert went(platform, "older", "p", 1, cpus=2) == 0
    assert went(platform, "newer", "p", 1, cpus=1, since=9) == 1


def test_volcano_a_large_job_does_not_starve_behind_a_stream_of_small_ones() -> None:
    # Volcano, "Job Resource Reservation": 4 devices, each taken for 100 s by a small job, and others like them come all
    # the time. A job of 4 that came at 1 s has its place kept for 100 s: what ends earlier waits for the rest.
    platform = Platform({"projects": {"p": {"gpu": 4}, "q": {"gpu": 4}}}, a_node("n0", gpus=4))
    platform.start(*(a_step(f"s{n}", "p", since=n, max_runtime_s=100) for n in range(4)))
    platform.start(a_step("large", "q", gpus=4, since=9), at=1)
    platform.start(*(a_step(f"t{n}", "p", since=10 + n, max_runtime_s=100) for n in range(8)), at=2)
    assert [name for n in range(3) for name in platform.end(f"s{n}", at=50)] == []
    assert platform.end("s3", at=90) == ["large"]


def labelled(name: str, gpus: int, **labels: str) -> NodeSpec:
    return msgspec.structs.replace(a_node(name, gpus=gpus), labels=tuple(sorted(labels.items())))


def within(step: StepWaiting, **levels: str) -> StepWaiting:
    return msgspec.structs.replace(step, demand=msgspec.structs.replace(step.demand, **levels))


def test_kueue_racks_of_one_name_in_two_blocks_are_two_racks() -> None:
    # Kueue, "Topology Aware Scheduling", its table: node-1 (block-1, rack-1), node-2 (block-1, rack-2), node-3
    # (block-2, rack-1), node-4 (block-2, rack-3). Two ranks of 8 GPUs need two nodes: no rack has
    # them, a block does; where a rack is only preferred the next level up is taken.
    places = {"1": ("1", "1"), "2": ("1", "2"), "3": ("2", "1"), "4": ("2", "3")}
    nodes = [labelled(f"node-{n}", 8, block=block, rack=rack) for n, (block, rack) in places.items()]
    platform = Platform({"projects": {"p": {"gpu": 64}}}, *nodes)
    assert platform.start(within(a_step("rack", "p", gpus=8, ranks=2), required_level="rack")) == []
    (refused,) = [effect for effect in platform.said if isinstance(effect, Impossible)]
    assert "asks for 2 ranks; one rack, empty, would hold 1 of them" in refused.sentence
    platform.start(within(a_step("block", "p", gpus=8, ranks=2), required_level="block"))
    assert set(platform.grants["block"].nodes) in ({"node-1", "node-2"}, {"node-3", "node-4"})
    platform.start(within(a_step("preferred", "p", gpus=8, ranks=2), preferred_level="rack"))
    both = {*platform.grants["block"].nodes, *platform.grants["preferred"].nodes}
    assert len(both) == 4


def test_volcano_a_job_stays_within_the_lowest_tier_that_holds_it() -> None:
    # Volcano, "Network Topology Aware Scheduling", example 1: eight nodes, in pairs under s0 to s3 (tier 1), these in
    # pairs under s4 and s5 (tier 2). node0 and node3 are taken, so s0 and s1 have one node each. Two nodes that must be
    # of tier 1 are a pair of s2 or s3, although node1 and node2 are free; four that prefer it are then nowhere together
    # below the top, and take what is free.
    nodes = [labelled(f"node{n}", 8, island=f"s{n // 2}", rack=f"s{4 + n // 4}") for n in range(8)]
    platform = Platform({"projects": {"p": {"gpu": 64}}}, nodes[0], nodes[3])
    platform.start(a_step("a", "p", gpus=8), a_step("b", "p", gpus=8))
    for node in nodes:
        if node.id not in ("node0", "node3"):
            platform.tell(NodeJoined(node))
    platform.start(within(a_step("hard", "p", gpus=8, ranks=2), required_level="island"))
    assert platform.grants["hard"].nodes in (("node4", "node5"), ("node6", "node7"))
    platform.start(within(a_step("soft", "p", gpus=8, ranks=4), preferred_level="island"))
    assert {"node1", "node2"} < set(platform.grants["soft"].nodes)
