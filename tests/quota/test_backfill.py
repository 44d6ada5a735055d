"""A large gang that waits gets a date, and smaller ones go ahead only where they do not move it."""

from __future__ import annotations

from headwater.quota.messages import NodeJoined, NodeLeft, StepGone, Waiting

from .scene import Platform, a_node, a_step

ALL = {"projects": {"x": {"gpu": 8}, "y": {"gpu": 8}}}


def busy() -> Platform:
    """Eight GPUs on one node; six of them are taken, three until 100 s and three until 200 s."""
    platform = Platform(ALL, a_node("n0", gpus=8))
    platform.start(
        *(a_step(f"short{n}", "x", max_runtime_s=100) for n in range(3)),
        *(a_step(f"long{n}", "x", max_runtime_s=200) for n in range(3)),
    )
    return platform


def eta(platform: Platform, step_id: str) -> int | None:
    said = platform.scheduler.explain(step_id)
    assert isinstance(said, Waiting)
    return None if said.eta is None else said.eta.at_us // 1_000_000


def test_a_large_gang_gets_the_earliest_date_that_what_runs_has_declared() -> None:
    # Two are free; five are by 100 s, eight by 200 s.
    platform = busy()
    platform.start(a_step("five", "y", gpus=5), at=10)
    assert eta(platform, "five") == 100
    platform = busy()
    platform.start(a_step("six", "y", gpus=6), at=10)
    assert eta(platform, "six") == 200


def test_a_smaller_one_goes_ahead_only_if_it_is_over_by_then() -> None:
    platform = busy()
    platform.start(a_step("wide", "y", gpus=5), at=10)
    # 2 + 3 GPUs are kept for 100 s: a step of 90 s may use one, one of 91 s or of any length may not.
    assert platform.start(a_step("too long", "y", max_runtime_s=91, since=1), at=10) == []
    assert platform.start(a_step("endless", "y", since=1), at=10) == []
    assert platform.start(a_step("fits", "y", max_runtime_s=90, since=2), at=10) == ["fits"]
    assert eta(platform, "wide") == 100


def test_the_gang_goes_at_its_date_and_earlier_where_it_can() -> None:
    platform = busy()
    platform.start(a_step("wide", "y", gpus=5), at=10)
    assert platform.end("short0", at=20) == []
    assert platform.end("long0", at=20) == []
    assert platform.end("short1", at=30) == ["wide"]


def test_a_gang_does_not_starve_behind_a_stream_of_small_ones() -> None:
    # Without the kept place each end would let a small one in, for ever.
    platform = Platform(ALL, a_node("n0", gpus=4))
    platform.start(*(a_step(f"s{n}", "x", since=n, max_runtime_s=100) for n in range(4)))
    platform.start(a_step("gang", "y", gpus=4, since=9), at=1)
    for n in range(4, 8):
        platform.start(a_step(f"s{n}", "x", since=n + 6, max_runtime_s=100), at=50)
    went = [name for n in range(4) for name in platform.end(f"s{n}", at=100)]
    assert went == ["gang"]


def test_nobody_can_say_when_where_nothing_was_declared() -> None:
    platform = Platform(ALL, a_node("n0", gpus=4))
    platform.start(*(a_step(f"s{n}", "x", since=n) for n in range(4)))
    platform.start(a_step("gang", "y", gpus=4, since=9), at=1)
    assert eta(platform, "gang") is None


def test_a_kept_place_is_sought_anew_when_its_node_leaves() -> None:

    platform = busy()
    platform.start(a_step("wide", "y", gpus=5), at=10)
    platform.tell(NodeLeft("n0"), at=11)
    said = platform.scheduler.explain("wide")
    assert isinstance(said, Waiting)
    assert said.code == "no_place"
    assert platform.tell(NodeJoined(a_node("n1", gpus=8)), at=12) == ["wide"]


def test_a_large_line_whose_last_step_goes_is_forgotten() -> None:
    platform = Platform(ALL, a_node("n0", gpus=8))
    platform.start(*(a_step(f"s{n}", "x", max_runtime_s=100) for n in range(8)))
    platform.start(a_step("first", "y", gpus=4), a_step("second", "x", gpus=2, since=9), at=1)
    assert platform.end("s0", at=2) == []
    assert platform.tell(StepGone("second"), at=3) == []
    platform.tell(StepGone("first"), at=4)
    assert platform.start(a_step("small", "y"), at=5) == ["small"]
