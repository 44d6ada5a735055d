"""When a step should start: by what those that run declared, or by what attempts like them took before."""

from __future__ import annotations

import pytest

from headwater.quota.forecast import DECISIONS_MAX
from headwater.quota.messages import DeviceQuarantined
from headwater.quota.runtimes import FEWEST, KEPT, Lasted, gathered, usual, with_one_more
from headwater.wire.api.quota import Eta

from .promises import picture
from .scene import Platform, a_node, a_step

S = 1_000_000
TWO = {"projects": {"x": {"gpu": 4}, "y": {"gpu": 4}}}


def eta(platform: Platform, step_id: str, *, took_s: tuple[int, ...] = ()) -> Eta | None:
    """With so many seconds taken by earlier attempts of each step `fit` of project x; y's are not known."""
    lasted: Lasted = tuple(seconds * S for seconds in took_s)
    measured = {("x", "", "fit"): lasted} if lasted else {}
    said = platform.scheduler.explained(step_id, measured.get)
    assert said is not None
    return said.eta


def test_the_median_of_earlier_attempts_says_when_one_that_declared_nothing_should_end() -> None:
    # It was leased at 100 s; of 20, 30, 40, 300 and 30 s the one in the middle is 30.
    platform = Platform(TWO, a_node("n0", gpus=1))
    platform.start(a_step("runs", "x"), a_step("waits", "y", since=1), at=100)
    assert eta(platform, "waits") is None
    told = eta(platform, "waits", took_s=(20, 30, 40, 300, 30))
    assert told == Eta(at_us=130 * S, basis="step fit should have ended by then, by the median of 5 earlier attempts")


def test_what_was_declared_comes_before_what_was_measured() -> None:
    platform = Platform(TWO, a_node("n0", gpus=1))
    platform.start(a_step("runs", "x", max_runtime_s=50), a_step("waits", "y", since=1), at=100)
    told = eta(platform, "waits", took_s=(7, 7, 7))
    assert told == Eta(at_us=150 * S, basis="step fit declared to have ended by then")


def test_one_that_runs_longer_than_usual_says_nothing() -> None:
    platform = Platform(TWO, a_node("n0", gpus=1))
    platform.start(a_step("runs", "x"), at=100)
    platform.start(a_step("waits", "y", since=1), at=130)
    assert eta(platform, "waits", took_s=(30, 30, 30)) is None


def test_a_gang_should_go_when_as_many_as_it_takes_have_ended() -> None:
    # Of 3 GPUs one is free from 150 s on (declared) and two are from 300 s on (measured, 200 s from 100 s on).
    platform = Platform(TWO, a_node("n0", gpus=3))
    platform.start(a_step("a", "x"), a_step("b", "x"), a_step("c", "y", max_runtime_s=50), at=100)
    platform.start(a_step("gang", "y", gpus=2, since=1), at=110)
    told = eta(platform, "gang", took_s=(200, 200, 200))
    assert told is not None
    assert told.at_us == 300 * S
    assert told.basis.startswith("2 of the steps that run, fit the last, should have ended by then, by the median of 3")


def test_one_short_of_quota_should_go_when_its_project_has_given_back() -> None:
    platform = Platform({"projects": {"x": {"gpu": {"nominal": 1, "borrow_limit": 0}}}}, a_node("n0", gpus=2))
    platform.start(a_step("runs", "x"), a_step("waits", "x", since=1), at=100)
    told = eta(platform, "waits", took_s=(60, 60, 60))
    assert told is not None
    assert told.at_us == 160 * S


def test_one_that_stands_behind_another_goes_when_that_has_ended_too() -> None:
    # One GPU, free at 160 s; the first is there for 50 s, until 210 s.
    platform = Platform(TWO, a_node("n0", gpus=1))
    platform.start(a_step("runs", "x"), a_step("first", "y", max_runtime_s=50), a_step("second", "y", since=1), at=100)
    told = eta(platform, "second", took_s=(60, 60, 60))
    basis = "step fit declared to have ended by then; 1 step that waits goes before it, by the order of shares"
    assert told == Eta(at_us=210 * S, basis=basis)


def test_one_behind_what_nobody_knows_the_end_of_is_told_the_earliest() -> None:
    platform = Platform(TWO, a_node("n0", gpus=1))
    platform.start(a_step("runs", "x"), a_step("first", "y"), a_step("second", "y", since=1), at=100)
    told = eta(platform, "second", took_s=(60, 60, 60))
    basis = "at the earliest: 1 step that waits goes before it, and nobody can say when it goes after them"
    assert told == Eta(at_us=160 * S, basis=basis)


def test_those_ahead_in_other_queues_are_counted_by_the_order_of_shares() -> None:
    # 2 GPUs that nobody is guaranteed, taken at 100 s until 200 s and 300 s; each that waits takes 1,000 s. At 200 s x
    # uses one and y none: y's share is the smaller, though it came last. At 300 s y uses one and x none: x's goes.
    # When y's has ended, at 1,200 s, y uses none again, so its second goes; x's goes at 1,300 s.
    free = {"gpu": 2, "projects": {"w": {"gpu": 0}, "x": {"gpu": 0}, "y": {"gpu": 0}}}
    platform = Platform(free, a_node("n0", gpus=2))
    platform.start(a_step("a", "w", max_runtime_s=100), a_step("b", "x", max_runtime_s=200), at=100)
    xs = [a_step(f"x{n}", "x", since=n, max_runtime_s=1000) for n in range(2)]
    platform.start(*xs, *[a_step(f"y{n}", "y", since=9, max_runtime_s=1000) for n in range(2)])
    found = {name: eta(platform, name) for name in ("x0", "x1", "y0", "y1")}
    assert {name: told.at_us // S for name, told in found.items() if told} == {
        "y0": 200,
        "x0": 300,
        "y1": 1200,
        "x1": 1300,
    }
    assert found["x1"] is not None
    assert found["x1"].basis.endswith("; 3 steps that wait go before it, by the order of shares")


def test_what_asks_for_other_devices_is_not_counted() -> None:
    platform = Platform(TWO, a_node("n0", gpus=1, cpus=1))
    platform.start(
        a_step("runs", "x", max_runtime_s=50), a_step("cpu", "y", gpus=0, cpus_milli=1000, max_runtime_s=10), at=100
    )
    platform.start(a_step("c", "y", gpus=0, cpus_milli=1000, since=1), a_step("waits", "y", since=2), at=100)
    told = eta(platform, "waits")
    assert told == Eta(at_us=150 * S, basis="step fit declared to have ended by then")


def test_a_window_that_closes_is_why_a_step_goes_then() -> None:
    # 4 GPUs, all of them kept for `peak` from 08:00 to 18:00. At 09:00 `x` is told 18:00.
    peak = {"gpu": 0, "windows": [{"gpu": 4, "from": "08:00", "to": "18:00"}]}
    platform = Platform({"gpu": 4, "projects": {"peak": peak, "x": {"gpu": 0}}}, a_node("n0", gpus=4))
    platform.start(a_step("waits", "x"), at=9 * 3600)
    told = eta(platform, "waits")
    basis = "the window of all/peak (4 GPUs, daily 08:00 to 18:00 UTC) closes then"
    assert told == Eta(at_us=18 * 3600 * S, basis=basis)


def test_who_has_a_window_goes_when_it_opens_and_others_have_made_way() -> None:
    # x borrows all 4 since 05:00, declared nothing, and is not ended before: a window of `peak` opens at 08:00, and
    # 30 s of grace later its place is free.
    peak = {"gpu": {"nominal": 0, "borrow_limit": 0}, "windows": [{"gpu": 4, "from": "08:00", "to": "18:00"}]}
    platform = Platform({"gpu": 4, "projects": {"peak": peak, "x": {"gpu": 0}}}, a_node("n0", gpus=4))
    platform.start(a_step("runs", "x", gpus=4), at=5 * 3600)
    platform.start(a_step("waits", "peak", gpus=4), at=6 * 3600)
    assert eta(platform, "waits") == Eta(at_us=(8 * 3600 + 30) * S, basis="1 gang ends for it by then")


def test_it_is_looked_ahead_only_so_far() -> None:
    # One GPU; 300 steps of 10 s before the last. After as many decisions as it is looked ahead the rest is not told.
    platform = Platform(TWO, a_node("n0", gpus=1))
    platform.start(*(a_step(f"s{n}", "x", since=n, max_runtime_s=10) for n in range(300)), at=100)
    told = eta(platform, "s299")
    assert told == Eta(
        at_us=(100 + DECISIONS_MAX * 10) * S,
        basis=f"at the earliest: {DECISIONS_MAX} steps that wait go before "
        "it, and nobody can say when it goes after them",
    )


def test_asking_changes_nothing() -> None:
    tree = {"gpu": 2, "projects": {"x": {"gpu": 0}, "y": {"gpu": 2}}}
    platform = Platform(tree, a_node("n0", gpus=2), policy={"half_life_s": 3600})
    platform.start(*(a_step(f"x{n}", "x", since=n, max_runtime_s=500) for n in range(5)), at=100)
    platform.start(a_step("y0", "y", gpus=2, since=9, min_runtime_s=10), at=130)
    before = picture(platform.scheduler)
    assert eta(platform, "x4") is not None
    assert picture(platform.scheduler) == before
    assert platform.scheduler.half_life is not None
    assert platform.scheduler.half_life.now_s == 130


def test_no_place_is_kept_and_no_smaller_one_held_back_by_what_was_only_measured() -> None:
    # With a declared runtime the gang of 2 would get a date, and the endless small one would wait behind it.
    platform = Platform(TWO, a_node("n0", gpus=3))
    platform.start(a_step("a", "x"), a_step("b", "x"), at=100)
    platform.start(a_step("gang", "y", gpus=2, since=1), at=110)
    assert eta(platform, "gang", took_s=(200, 200, 200)) is not None
    assert platform.start(a_step("small", "y", since=2), at=120) == ["small"]


def test_a_device_that_is_out_of_service_gives_no_date() -> None:
    platform = Platform(TWO, a_node("n0", gpus=1))
    platform.start(a_step("runs", "x"), a_step("waits", "y", since=1), at=100)
    platform.tell(DeviceQuarantined(("n0/0",)), at=101)
    assert eta(platform, "waits", took_s=(60, 60, 60)) is None


@pytest.mark.parametrize("count", [0, FEWEST - 1])
def test_too_few_attempts_say_nothing(count: int) -> None:
    assert usual((5,) * count) is None


def test_the_last_attempts_of_each_kind_are_kept() -> None:
    fit, score = ("p", "train", "fit"), ("p", "train", "score")
    found = gathered([*((fit, n) for n in range(KEPT + 5)), (score, 7)])
    assert found == {fit: tuple(range(5, KEPT + 5)), score: (7,)}
    assert usual(with_one_more(found[score], 9)) is None
    assert usual(found[fit]) == (15, KEPT)
