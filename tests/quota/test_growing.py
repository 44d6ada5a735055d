"""Elastic gangs grow into idle room, and give it back first."""

from __future__ import annotations

from headwater.quota.messages import (
    AttemptLeaving,
    AttemptReleased,
    DeviceFreed,
    DeviceQuarantined,
    NodeJoined,
    Reclaim,
    Ticked,
    TreeChanged,
    Waiting,
)
from headwater.quota.tree import Tree, parse_tree

from .scene import Platform, a_node, a_step

HALVES = {"projects": {"owner": {"gpu": 4}, "guest": {"gpu": 4}}}


def squeezed() -> Platform:
    """An elastic gang of two to four ranks beside two others that leave it only two of four GPUs."""
    platform = Platform(HALVES, a_node("n0", gpus=4))
    platform.start(a_step("a", "guest"), a_step("b", "guest"))
    platform.start(a_step("gang", "owner", ranks=4, ranks_min=2))
    assert len(platform.grants["gang"].devices) == 2
    return platform


def test_it_begins_again_with_more_ranks_when_there_is_idle_room() -> None:
    platform = squeezed()
    platform.end("a", at=10)
    assert platform.victims() == []  # it has only just begun
    platform.tell(Ticked(0), at=301)
    (said,) = [effect for effect in platform.said if isinstance(effect, Reclaim)]
    assert (said.step_id, said.for_step) == ("gang", "gang")
    assert said.reason == "Begins again with 3 ranks in place of 2: there is room."
    platform.end("gang", at=310)
    platform.start(a_step("gang", "owner", ranks=4, ranks_min=2), at=310)
    assert len(platform.grants["gang"].devices) == 3


def test_it_comes_back_with_all_its_ranks_though_what_it_had_is_emptied_later() -> None:
    # It had both GPUs of one node and may have those of the other, which are free: it does not go with these alone.
    platform = Platform(HALVES, a_node("n0", gpus=2), a_node("n1", gpus=2))
    platform.start(a_step("a", "guest", gpus=2), a_step("gang", "owner", ranks=4, ranks_min=2))
    platform.end("a", at=10)
    platform.tell(Ticked(0), at=301)
    assert platform.victims() == ["gang"]
    fence, had = platform.fences["gang"], platform.grants["gang"].devices
    platform.tell(AttemptReleased(fence), at=310)
    assert platform.start(a_step("gang", "owner", ranks=4, ranks_min=2), at=310) == []
    said = platform.scheduler.explain("gang")
    assert isinstance(said, Waiting)
    assert said.sentence.endswith("waits for it to come free: what it had before is seen empty first.")
    assert platform.tell(DeviceFreed(had[0], fence), at=311) == []
    assert platform.tell(DeviceFreed(had[1], fence), at=312) == ["gang"]
    assert len(platform.grants["gang"].devices) == 4


def test_it_goes_with_what_there_is_where_what_it_had_is_out_of_service() -> None:
    platform = Platform(HALVES, a_node("n0", gpus=2), a_node("n1", gpus=2))
    platform.start(a_step("a", "guest", gpus=2), a_step("gang", "owner", ranks=4, ranks_min=2))
    platform.end("a", at=10)
    platform.tell(Ticked(0), at=301)
    fence, had = platform.fences["gang"], platform.grants["gang"].devices
    platform.tell(AttemptReleased(fence), at=310)
    assert platform.start(a_step("gang", "owner", ranks=4, ranks_min=2), at=310) == []
    assert platform.tell(DeviceQuarantined(had[0]), at=320) == ["gang"]
    assert len(platform.grants["gang"].devices) in (2, 3)


def test_it_stays_where_there_is_no_more_room_and_nobody_asks_again() -> None:
    platform = squeezed()
    platform.tell(Ticked(0), at=301)
    assert platform.victims() == []
    assert platform.scheduler.wakes_us() is None


def test_it_begins_again_as_soon_as_room_comes_free() -> None:
    platform = squeezed()
    platform.tell(Ticked(0), at=301)
    platform.end("a", at=302)
    assert platform.victims() == ["gang"]


def test_it_begins_again_as_soon_as_there_is_a_new_node() -> None:
    platform = squeezed()
    platform.tell(Ticked(0), at=301)
    platform.tell(NodeJoined(a_node("n1", gpus=1)), at=302)
    assert platform.victims() == ["gang"]


def test_it_begins_again_as_soon_as_there_is_quota() -> None:
    # The gang may have two GPUs, and of four two lie idle: until its project may have all four.
    def tree(nominal: int) -> Tree:
        return parse_tree(
            {"cohort": {"all": {"projects": {"owner": {"gpu": {"nominal": nominal, "borrow_limit": 0}}}}}}
        )

    platform = Platform({"projects": {"owner": {"gpu": 2}}}, a_node("n0", gpus=4))
    platform.start(a_step("gang", "owner", ranks=4, ranks_min=2))
    platform.tell(Ticked(0), at=301)
    assert platform.victims() == []
    platform.tell(TreeChanged(tree(4), 2), at=302)
    assert platform.victims() == ["gang"]


def test_of_many_that_may_grow_all_are_looked_at() -> None:
    # 20 gangs with two ranks of four: 16 are looked at after one event, the others at once after it.
    platform = Platform({"projects": {"owner": {"gpu": 80}}})
    for n in range(20):
        platform.tell(NodeJoined(a_node(f"n{n}", gpus=2)))
        platform.start(a_step(f"g{n}", "owner", ranks=4, ranks_min=2))
    platform.tell(Ticked(0), at=301)
    assert platform.scheduler.wakes_us() == 301_000_000
    platform.tell(Ticked(0), at=301)
    assert platform.scheduler.wakes_us() is None


def test_what_waits_goes_before_it_grows() -> None:
    platform = squeezed()
    platform.start(a_step("c", "guest"), at=20)
    assert platform.end("a", at=301) == ["c"]
    assert platform.victims() == []


def test_growing_is_no_eviction() -> None:
    platform = squeezed()
    platform.end("a", at=10)
    platform.tell(Ticked(0), at=301)
    fence = platform.fences["gang"]
    platform.tell(AttemptLeaving(fence, "gang", "owner", 300_000_000, 330_000_000), at=301)
    assert platform.scheduler._evicted == {}


def test_what_has_grown_is_given_back_before_others_are_ended() -> None:
    platform = Platform(HALVES, a_node("n0", gpus=8))
    platform.start(a_step("single", "guest"), a_step("more", "guest"))
    platform.start(a_step("gang", "guest", ranks=6, ranks_min=2, priority=1))
    platform.start(a_step("mine", "owner", gpus=2), at=60)
    assert platform.victims() == ["gang"]
    platform.end("gang", at=61)
    platform.start(a_step("gang", "guest", ranks=6, ranks_min=2, priority=1), at=61)
    assert len(platform.grants["gang"].devices) == 4
