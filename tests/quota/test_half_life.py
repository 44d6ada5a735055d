"""Fair share over time, with the numbers worked out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headwater.quota.half_life import TICKS, HalfLife
from headwater.quota.messages import Ticked

from .scene import Platform, a_node, a_step

HOUR = 3600
LIFE = 64 * 60  # a tick is a minute


def alone(*uses: tuple[int, int]) -> HalfLife:
    """One node that borrowed so many GPUs for so many seconds, one after the other."""
    past, now = HalfLife(LIFE, ["a"], ("gpu",)), 0
    past.tick(now, lambda *_: 0)
    for gpus, seconds in uses:
        now += seconds
        past.tick(now, lambda *_, gpus=gpus: gpus * 1000)
    return past


def test_what_is_one_half_life_old_counts_half() -> None:
    fresh, old = alone((8, LIFE)), alone((8, LIFE), (0, LIFE))
    assert abs(2 * old.sums[0]["gpu"] - fresh.sums[0]["gpu"]) < TICKS * 2
    assert not alone((8, LIFE), (0, 60 * LIFE)).sums[0]


def test_what_goes_on_for_ever_counts_as_much_again() -> None:
    # The integral of 8 GPUs decaying by halves is 8 x half-life / ln 2, which `lately` turns back into 8; minutes
    # instead of moments make it a little less.
    assert 7850 < alone((8, 20 * LIFE)).lately(0, "gpu") <= 8000


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 500)), max_size=20))
def test_how_often_it_is_settled_makes_no_difference(uses: list[tuple[int, int]]) -> None:
    often = [(gpus, 1) for gpus, seconds in uses for _ in range(seconds)]
    assert alone(*uses).kept() == alone(*often).kept()


def busy_then_both() -> Platform:
    """On 4 GPUs `heavy` borrowed all for some hours; then both ask for more than there is."""
    platform = Platform(
        {"gpu": 4, "projects": {"heavy": {"gpu": 0}, "light": {"gpu": 0}}}, a_node("n0", gpus=4),
        policy={"half_life_s": 2 * HOUR},
    )  # fmt: skip
    platform.start(*(a_step(f"old{n}", "heavy", since=n) for n in range(4)), at=HOUR)
    platform.start(*(a_step(f"h{n}", "heavy", since=10 + n) for n in range(4)), at=5 * HOUR)
    platform.start(*(a_step(f"l{n}", "light", since=20 + n) for n in range(4)), at=5 * HOUR)
    return platform


def test_yesterdays_heavy_user_stands_behind() -> None:
    # Without a past the four places go in turn, h, l, h, l. Heavy borrowed 4 of 4 for four hours, two half-lives: that
    # counts as 3 of 4 still, so light takes three before heavy gets its first.
    platform = busy_then_both()
    went = [name for n in range(4) for name in platform.end(f"old{n}", at=5 * HOUR)]
    assert went == ["l0", "l1", "l2", "l3"] or went[:3] == ["l0", "l1", "l2"]


def test_the_past_is_kept_over_a_restart() -> None:
    past = busy_then_both().scheduler.half_life
    assert past is not None
    kept, at_s = past.kept(), past.ticked_s
    assert kept["all/heavy"]["gpu"] > 0
    tree = {"gpu": 4, "projects": {"heavy": {"gpu": 0}, "light": {"gpu": 0}}}
    again = Platform(tree, policy={"half_life_s": 2 * HOUR})
    mine = again.scheduler.half_life
    assert mine is not None
    mine.load(kept, at_s)
    assert (mine.kept(), mine.ticked_s) == (kept, at_s)
    again.tell(Ticked(0), at=at_s + 4 * HOUR)  # two half-lives without any use leave a quarter
    assert mine.kept()["all/heavy"]["gpu"] * 4 // 1000 == kept["all/heavy"]["gpu"] // 1000


def test_without_a_half_life_only_the_present_counts() -> None:
    assert Platform({"gpu": 4, "projects": {"heavy": {"gpu": 0}}}).scheduler.half_life is None
