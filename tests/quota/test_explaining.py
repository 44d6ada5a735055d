from __future__ import annotations

from headwater.quota.messages import Ticked
from headwater.wire.api.quota import Eta

from .scene import Platform, a_node, a_step


def test_a_step_short_of_quota_is_told_the_flavour_the_bound_and_by_how_much() -> None:
    platform = Platform({"projects": {"eta": {"gpu": {"nominal": 2, "borrow_limit": 0}}}}, a_node(gpus=4))
    platform.start(a_step("a", "eta"), a_step("b", "eta", gpus=2, since=1))
    found = platform.scheduler.explained("b")
    assert found is not None
    (lack,) = found.lacks
    assert (lack.flavour, lack.needed, lack.room, lack.bound_by) == ("gpu", 2000, 1000, "all")
    assert (lack.used, lack.nominal, found.code) == (1000, 2000, "quota")


def test_a_step_without_a_place_is_told_what_the_nodes_lack() -> None:
    # Two nodes of 2: one GPU of each is taken, so 2 are free, but no node has both.
    platform = Platform({"projects": {"eta": {"gpu": 4}}}, a_node("n0", gpus=2), a_node("n1", gpus=2, cpus=1))
    platform.start(a_step("a", "eta", cpus_milli=1000), a_step("b", "eta", cpus_milli=1000, since=1))
    platform.start(a_step("c", "eta", gpus=2, cpus_milli=1000, since=2))
    found = platform.scheduler.explained("c")
    assert found is not None
    assert found.code == "no_place"
    (lack,) = found.lacks
    assert (lack.nodes, lack.short, lack.largest_milli) == (2, {"cpus": 1, "devices": 1}, 1000)


def test_those_ahead_and_what_is_kept_are_named() -> None:
    platform = Platform({"projects": {"owner": {"gpu": 4}, "guest": {"gpu": 0}}}, a_node("n0", gpus=4))
    platform.start(*(a_step(f"g{n}", "guest", since=n) for n in range(4)))
    platform.start(a_step("mine", "owner", gpus=2, since=9), a_step("late", "guest", since=10), at=60)
    kept = platform.scheduler.explained("mine")
    assert kept is not None
    assert kept.kept is not None
    assert kept.eta is not None
    assert (kept.kept.nodes, len(kept.kept.devices), kept.code) == (("n0",), 2, "reserved")
    assert platform.scheduler.explained("g0") is None


def test_a_place_that_is_not_free_in_time_may_be_so_at_any_time() -> None:
    platform = Platform({"projects": {"owner": {"gpu": 1}, "guest": {"gpu": 0}}}, a_node("n0"))
    platform.start(a_step("g", "guest"))
    platform.start(a_step("mine", "owner", since=9), at=60)
    platform.tell(Ticked(0), at=1000)
    kept = platform.scheduler.explained("mine")
    assert kept is not None
    assert kept.eta == Eta(at_us=1_000_000_000, basis="overdue: 1 gangs end for it within 30 s")
