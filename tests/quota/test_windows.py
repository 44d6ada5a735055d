"""Reservations in time windows, with the numbers worked out. Day 0 is Thursday, 1970-01-01; times are in seconds."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.errors import InvalidInput
from headwater.quota.hours import DAY_US, Hours
from headwater.quota.messages import Ticked
from headwater.quota.tree import parse_tree

from .scene import Platform, a_node, a_step

HOUR, DAY = 3600, 86_400
PEAK = {"gpu": 4, "from": "08:00", "to": "18:00"}


def eight(window: dict[str, Any], **policy: int) -> Platform:
    """8 GPUs of a cohort; serving is guaranteed 2 and 4 more in its window, training 0."""
    serving = {"gpu": 2, "windows": [window]}
    cohort = {"gpu": 8, "projects": {"serving": serving, "training": {"gpu": 0}}}
    return Platform(cohort, a_node("n0", gpus=8), policy=policy)


def nominal(platform: Platform) -> int:
    (node,) = [node for node in platform.scheduler.usage() if node.name == "serving"]
    return node.flavours["gpu"].nominal


def test_the_guarantee_is_larger_while_the_window_is_open() -> None:
    platform = eight(PEAK)
    found = []
    for hour in (7, 8, 17, 18, 32):
        platform.tell(Ticked(0), hour * HOUR)
        found.append(nominal(platform))
    assert found == [2000, 6000, 6000, 2000, 6000]
    platform.tell(Ticked(0), 43 * HOUR)
    assert platform.scheduler.wakes_us() == (24 * 2 + 8) * HOUR * 1_000_000
    assert platform.scheduler.tree.to_mapping()["cohort"]["all"]["projects"]["serving"]["gpu"]["nominal"] == "2000m"  # type: ignore[index]


def test_before_it_opens_its_part_goes_only_to_those_that_are_over_by_then() -> None:
    # At 06:00 training may borrow 8. Steps of one hour are over at 08:00 and take all; steps of three hours are not,
    # so 4 stay for the window.
    platform = eight(PEAK)
    long = platform.start(
        *(a_step(f"l{n}", "training", since=n, max_runtime_s=3 * HOUR) for n in range(8)), at=6 * HOUR
    )
    assert len(long) == 4
    short = platform.start(*(a_step(f"s{n}", "training", since=n, max_runtime_s=HOUR) for n in range(8)), at=6 * HOUR)
    assert len(short) == 4


def test_what_declares_no_end_is_kept_out_from_the_lead_on() -> None:
    platform = eight(PEAK, window_lead_s=HOUR)
    assert len(platform.start(*(a_step(f"a{n}", "training", since=n) for n in range(2)), at=6 * HOUR)) == 2
    assert len(platform.start(*(a_step(f"b{n}", "training", since=n) for n in range(6)), at=7 * HOUR + 1800)) == 2


def test_when_it_opens_nobody_need_be_ended() -> None:
    platform = eight(PEAK)
    platform.start(*(a_step(f"l{n}", "training", since=n, max_runtime_s=3 * HOUR) for n in range(8)), at=6 * HOUR)
    went = platform.start(*(a_step(f"p{n}", "serving", since=n) for n in range(4)), at=8 * HOUR)
    assert (len(went), platform.victims()) == (4, [])


def test_while_it_is_open_it_is_lent_to_nobody() -> None:
    # Of 8, serving's window keeps 4; its own 2 and the shared 2 are lent as ever.
    platform = eight(PEAK)
    assert len(platform.start(*(a_step(f"n{n}", "training", since=n) for n in range(8)), at=9 * HOUR)) == 4


def test_who_waits_because_of_a_window_is_told_whose_it_is() -> None:
    # At 06:00 four steps of three hours take what is not kept for serving's 4; a step of an hour would still go.
    platform = eight(PEAK)
    platform.start(*(a_step(f"l{n}", "training", since=n, max_runtime_s=3 * HOUR) for n in range(5)), at=6 * HOUR)
    said = platform.scheduler.explained("l4")
    assert said is not None
    assert said.sentence.endswith(
        "The rest is kept for a window of all/serving (4 GPUs, daily 08:00 to 18:00 UTC), which opens at "
        "1970-01-01T08:00:00Z."
    )
    platform.start(*(a_step(f"s{n}", "training", since=n, max_runtime_s=HOUR) for n in range(4)), at=6 * HOUR)
    said = platform.scheduler.explained("l4")
    assert said is not None
    assert "window" not in said.sentence


def test_its_own_and_what_is_over_before_the_next_window_is_not_touched() -> None:
    platform = eight(PEAK)
    assert len(platform.start(*(a_step(f"o{n}", "serving", since=n) for n in range(2)), at=6 * HOUR)) == 2
    assert (
        len(platform.start(*(a_step(f"n{n}", "training", since=n, max_runtime_s=HOUR) for n in range(6)), at=19 * HOUR))
        == 6
    )


@pytest.mark.parametrize(
    ("days", "at", "span"),
    [
        ((0, 4), 0, (DAY + 8 * HOUR, DAY + 18 * HOUR)),  # Thursday: the next is Friday's
        ((3,), 9 * HOUR, (8 * HOUR, 18 * HOUR)),
        ((3,), 18 * HOUR, (7 * DAY + 8 * HOUR, 7 * DAY + 18 * HOUR)),
    ],
)
def test_the_open_or_the_next_window_is_found(days: tuple[int, ...], at: int, span: tuple[int, int]) -> None:
    hours = Hours(days, 8 * HOUR * 1_000_000, 18 * HOUR * 1_000_000)
    assert hours.span(at * 1_000_000) == (span[0] * 1_000_000, span[1] * 1_000_000)


def test_a_window_over_midnight_is_open_in_the_night() -> None:
    tree = parse_tree(written({"gpu": 4, "from": "22:00", "to": "04:00"}))
    assert tree.windows[0].hours.span(DAY_US + 1) == (22 * HOUR * 1_000_000, 28 * HOUR * 1_000_000)


def written(window: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"cohort": {"all": {"gpu": 8, "projects": {"serving": {"gpu": 2, "windows": [window]}, **more}}}}


NIGHT = {"gpu": 1, "days": ["mon"], "from": "22:00", "to": "04:00"}
ONCE = {"gpu": 1, "from": "2026-11-27T06:00:00Z", "to": "2026-11-28T06:00:00Z"}


@pytest.mark.parametrize("window", [PEAK, NIGHT, ONCE])
def test_windows_come_back_from_json_the_same(window: dict[str, Any]) -> None:
    tree = parse_tree(written(window))
    assert parse_tree(tree.to_mapping()) == tree


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ({**PEAK, "gpu": 7}, "takes 7 GPUs, and all shares 6 GPUs then"),
        ({**PEAK, "zone": "Mars/Olympus"}, "zone is 'Mars/Olympus'"),
        ({**PEAK, "lead_s": -1}, "lead_s is -1"),
        ({"from": "08:00", "to": "09:00"}, "no amount"),
        ({**PEAK, "gpus": 1}, "unknown key 'gpus'"),
        ({**PEAK, "from": "25:00"}, "from '25:00'"),
        ({**PEAK, "days": ["monday"]}, "days is"),
        ({"gpu": 1, "from": "2026-11-28T06:00Z", "to": "2026-11-27T06:00Z"}, "from '2026"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_by_its_path(window: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse_tree(written(window))
