"""When a step should start: by what those that run declared, or by what attempts like them took before."""

from __future__ import annotations

import pytest

from headwater.quota.messages import DeviceQuarantined
from headwater.quota.runtimes import FEWEST, KEPT, Lasted, gathered, usual, with_one_more
from headwater.wire.api.quota import Eta

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


def test_one_that_stands_behind_others_is_told_that_they_go_first() -> None:
    platform = Platform(TWO, a_node("n0", gpus=1))
    platform.start(a_step("runs", "x"), a_step("first", "y"), a_step("second", "y", since=1), at=100)
    told = eta(platform, "second", took_s=(60, 60, 60))
    assert told is not None
    assert told.basis.endswith("; those ahead of it go first")


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
