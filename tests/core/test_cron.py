from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.cron import local_text, newest, next_after, problem_of_cron, utc_text

EXPRESSIONS = st.sampled_from(
    ["* * * * *", "*/7 * * * *", "30 2 * * *", "0 6 * * MON-FRI", "0 0 1 * *", "*/10 * * * * *"]
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
MOMENTS = st.integers(1_700_000_000, 1_900_000_000).map(lambda second: second * 1_000_000)


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def times(expression: str, zone: str, after: str, count: int) -> list[str]:
    found, at = [], us(after)
    for _ in range(count):
        at = next_after(expression, zone, at)
        found.append(utc_text(at))
    return found


def test_a_time_that_the_clock_jumps_over_comes_right_after_the_jump() -> None:
    assert times("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00", 2) == [
        "2026-03-29T01:00:00Z",
        "2026-03-30T00:30:00Z",
    ]


def test_a_time_that_comes_twice_on_the_wall_is_one_nominal_time() -> None:
    assert times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00", 2) == [
        "2026-10-25T00:30:00Z",
        "2026-10-26T01:30:00Z",
    ]


def test_every_half_hour_comes_every_half_hour_when_the_clock_goes_back() -> None:
    assert times("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:59:00", 4) == [
        "2026-10-25T00:00:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:00:00Z",
        "2026-10-25T01:30:00Z",
    ]


def test_a_time_is_told_as_its_zone_writes_it() -> None:
    assert local_text(us("2026-07-01T04:00:00"), "Europe/Berlin") == "2026-07-01T06:00:00+02:00"


@pytest.mark.parametrize(
    ("expression", "zone", "word"),
    [
        ("0 0 30 2 *", "UTC", "day-of-month"),
        ("0 0 31 4 *", "UTC", "day-of-month|never fires"),
        ("61 * * * *", "UTC", "minute"),
        ("every day", "UTC", "no cron"),
        ("0 6 * * *", "Mars/Olympus", "time zone"),
        ("0 6 * * *", "../etc/passwd", "time zone"),
    ],
)
def test_what_never_fires_says_why(expression: str, zone: str, word: str) -> None:
    problem = problem_of_cron(expression, zone)
    assert any(each in problem for each in word.split("|")), problem


@given(EXPRESSIONS, ZONES, MOMENTS, st.integers(1, 20), st.integers(0, 25))
def test_backwards_finds_the_times_that_forwards_finds(
    expression: str, zone: str, start_us: int, count: int, most: int
) -> None:
    forward = [start_us]
    for _ in range(count):
        forward.append(next_after(expression, zone, forward[-1]))
    found = newest(expression, zone, first_us=forward[1], last_us=forward[-1] + 999_999, most=most)
    assert found == (forward[1:][-most:] if most else [])
    assert forward == sorted(set(forward))
