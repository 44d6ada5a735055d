"""Cron triggers: one run for each nominal time, whatever happens to the clock and to the Conductor."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes.triggers import DAY, HOUR, NOON, Life, a_triggered

from headwater.core.cron import next_after
from headwater.wire.manifest import TriggerSpec

NOMINAL = {"type": "object", "properties": {"nominal": {"type": "string"}}, "additionalProperties": False}


def a_cron(expression: str = "0 6 * * *", **fields: Any) -> TriggerSpec:
    return TriggerSpec(name="daily", kind="cron", subject=expression, **fields)


def a_life(**fields: Any) -> Life:
    return Life(a_triggered(a_cron(**fields), parameters=NOMINAL))


def nominal_ids(life: Life) -> list[str]:
    return sorted(run.event_id.partition("@")[2] for run in life.runs())


def test_each_nominal_time_is_one_event_and_one_run() -> None:
    life = a_life(timezone="Europe/Berlin")
    life.passes(3 * DAY)
    assert nominal_ids(life) == ["2026-11-03T05:00:00Z", "2026-11-04T05:00:00Z", "2026-11-05T05:00:00Z"]
    first = life.runs()[0]
    assert first.event_id == "eta/train/daily@2026-11-03T05:00:00Z"
    assert first.parameters == {"nominal": "2026-11-03T06:00:00+01:00"}
    assert life.outcome(first.event_id) == {"trigger": "eta/train/daily", "run_id": first.id}


@pytest.mark.parametrize(("catch_up", "caught"), [(0, []), (1, [4]), (2, [3, 4]), (1_000, [1, 2, 3, 4])])
def test_after_a_downtime_the_newest_of_the_missed_count(catch_up: int, caught: list[int]) -> None:
    life = a_life(expression="0 13 * * *", catch_up=catch_up)
    life.now_us += 4 * DAY  # nobody is there
    life.restart()
    life.passes(0)
    assert nominal_ids(life) == [f"2026-11-0{day + 1}T13:00:00Z" for day in caught]
    life.passes(DAY)
    assert len(life.runs()) == len(caught) + 1


def test_what_is_a_little_late_was_not_missed() -> None:
    life = a_life(expression="0 13 * * *", catch_up=0)
    life.jumps(HOUR + 30_000_000)
    assert nominal_ids(life) == ["2026-11-02T13:00:00Z"]


def test_a_clock_that_is_set_back_runs_no_time_twice() -> None:
    life = a_life(expression="0 * * * *")
    life.passes(2 * HOUR)
    life.now_us = NOON
    life.deploys(a_triggered(a_cron("*/30 * * * *"), parameters=NOMINAL))
    life.passes(3 * HOUR)
    assert len(set(nominal_ids(life))) == len(nominal_ids(life)) == 4


def test_a_deploy_of_the_same_times_changes_nothing() -> None:
    life = a_life()
    before = dict(life.rows["timers"])
    life.deploys(a_triggered(a_cron(), parameters=NOMINAL))
    assert life.rows["timers"] == before


def test_a_trigger_that_is_gone_rings_no_more() -> None:
    life = a_life()
    life.deploys(a_triggered(parameters=NOMINAL))
    assert life.rows["timers"] == {}
    life.passes(3 * DAY)
    assert life.runs() == []


@given(st.lists(st.integers(-6 * HOUR, 30 * HOUR), max_size=12), st.sampled_from(["0 */5 * * *", "30 2 * * *"]))
def test_whatever_the_clock_does_no_nominal_time_runs_twice_and_all_of_them_is_all(
    jumps: list[int], expression: str
) -> None:
    life = a_life(expression=expression, catch_up=1_000, timezone="Europe/Berlin")
    latest = life.now_us
    for index, jump in enumerate(jumps):
        if index % 3 == 2:
            life.now_us += jump
            life.restart()
        life.jumps(jump)
        latest = max(latest, life.now_us)
    expected, at = 0, next_after(expression, "Europe/Berlin", NOON)
    while at <= latest:
        expected, at = expected + 1, next_after(expression, "Europe/Berlin", at)
    assert len(set(nominal_ids(life))) == len(nominal_ids(life)) == expected
