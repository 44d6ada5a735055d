"""Windows at every level of the tree, with the numbers worked out. Day 0 is Thursday, 1970-01-01."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from headwater.errors import InvalidInput
from headwater.quota.hours import Hours
from headwater.quota.messages import StepWaiting, Ticked
from headwater.quota.tree import Tree, parse_tree

from .scene import Platform, a_node, a_step

HOUR = 3600
MORNING = {"gpu": 4, "from": "08:00", "to": "12:00"}
AFTERNOON = {"gpu": 4, "from": "12:00", "to": "18:00"}
DAY = {"gpu": 4, "from": "08:00", "to": "18:00"}


def many(count: int, name: str, project: str, **more: Any) -> list[StepWaiting]:
    return [a_step(f"{name}{n}", project, since=n, **more) for n in range(count)]


def went(platform: Platform, steps: list[StepWaiting], hour: float) -> int:
    return len(platform.start(*steps, at=int(hour * HOUR)))


def the_tree(cohort: Mapping[str, object]) -> Tree:
    return parse_tree({"cohort": {"all": dict(cohort)}})


# A project below a team.


def in_a_team(window: Mapping[str, object] = DAY) -> Platform:
    """12 GPUs: team `vision` is guaranteed 8, of which serving has 2 and its window, training none; `speech` has 4."""
    vision = {"gpu": 8, "projects": {"serving": {"gpu": 2, "windows": [dict(window)]}, "training": {"gpu": 0}}}
    cohort = {"gpu": 12, "teams": {"vision": vision, "talk": {"gpu": 4, "projects": {"speech": {"gpu": 4}}}}}
    return Platform(cohort, a_node("n0", gpus=12, cpus=64))


def test_what_a_window_below_a_team_keeps_is_kept_from_the_projects_of_the_team_too() -> None:
    # At 09:00 nobody uses anything. Of 12, serving's window keeps 4: its team's other project gets 8, as any other.
    platform = in_a_team()
    assert went(platform, many(12, "t", "training"), 9) == 8


def test_what_a_window_below_a_team_keeps_is_kept_from_other_teams() -> None:
    platform = in_a_team()
    assert went(platform, many(12, "s", "speech"), 9) == 8


def test_no_window_keeps_another_team_from_its_own_guarantee() -> None:
    # Before the window opens, at 06:00, training takes 4 of three hours, beyond which all is kept but 12 - 4 = 8.
    # At 09:00 speech asks for its 4: training has 8, so 4 are idle, all of them kept for serving; speech gets them.
    # Serving then gets its own back from training, which is beyond what it is guaranteed.
    platform = in_a_team()
    assert went(platform, many(8, "t", "training", max_runtime_s=8 * HOUR), 6) == 8
    assert went(platform, many(4, "s", "speech"), 9) == 4
    platform.tell(a_step("peak", "serving"), 9 * HOUR)
    assert platform.victims() == ["t0"]


def test_the_windows_project_has_its_amount_without_anybody_being_ended() -> None:
    # 2 + 4 = 6 are serving's from 08:00 on. Of training's eight hours-long steps 12 - 4 = 8 went at 06:00, so 4 are
    # idle; the two that serving is guaranteed always were lent, and two of training make way for them.
    platform = in_a_team()
    assert went(platform, many(12, "t", "training", max_runtime_s=8 * HOUR), 6) == 8
    platform.tell(Ticked(0), 8 * HOUR)
    assert went(platform, many(4, "p", "serving"), 8) == 4
    assert platform.victims() == []
    platform.tell(a_step("p4", "serving", since=4), 8 * HOUR)
    assert platform.victims() == ["t0"]


# A team, and a cohort.


def test_a_window_of_a_team_is_for_each_of_its_projects() -> None:
    # Team `vision` is guaranteed 2, and 4 more by day, out of the 8 of the cohort. At 09:00 `speech`, guaranteed
    # nothing, gets 8 - 4 = 4; then two projects of vision get 2 + 4 = 6 together: 4 at once, 2 from speech.
    vision = {"gpu": 2, "windows": [DAY], "projects": {"one": {"gpu": 1}, "two": {"gpu": 0}}}
    cohort = {"gpu": 8, "teams": {"vision": vision}, "projects": {"speech": {"gpu": 0}}}
    platform = Platform(cohort, a_node("n0", gpus=8, cpus=64))
    assert went(platform, many(8, "s", "speech"), 9) == 4
    assert went(platform, many(2, "a", "one"), 9) == 2
    assert went(platform, many(2, "b", "two"), 9) == 2
    platform.tell(a_step("b2", "two", since=2), 9 * HOUR)
    assert platform.victims() == ["s0"]


def test_a_window_of_a_cohort_is_beside_what_others_have() -> None:
    # A cohort lends nothing to others and takes nothing from them: by day it simply has 4 more of the 8 GPUs.
    cohort = {"gpu": 4, "windows": [DAY], "projects": {"p": {"gpu": 4}}}
    platform = Platform(cohort, a_node("n0", gpus=8, cpus=64))
    assert went(platform, many(8, "p", "p"), 7) == 4
    assert len(platform.tell(Ticked(0), 8 * HOUR)) == 4
    platform.tell(Ticked(0), 18 * HOUR)
    assert platform.victims() == []  # nobody else is guaranteed what they have
    assert (platform.end("p0", 18 * HOUR), platform.used("p")) == ([], 7000)


def test_a_window_of_a_cohort_may_be_what_its_projects_windows_are_taken_from() -> None:
    cohort = {"gpu": 4, "windows": [DAY], "projects": {"p": {"gpu": 4, "windows": [MORNING]}}}
    assert the_tree(cohort).windows[0].amount == 4000
    with pytest.raises(InvalidInput, match="takes 4 GPUs, and all shares 0 GPUs then"):
        the_tree({**cohort, "windows": [AFTERNOON]})


# Windows of siblings.


def siblings(one: Mapping[str, object], two: Mapping[str, object], gpus: int = 8) -> dict[str, Any]:
    """Beside what `one` and `two` are guaranteed, 2 each, the cohort shares the rest."""
    projects = {"one": {"gpu": 2, "windows": [dict(one)]}, "two": {"gpu": 2, "windows": [dict(two)]}}
    return {"gpu": gpus, "projects": {**projects, "other": {"gpu": 0}}}


def test_two_that_cannot_hold_together_are_refused_and_both_are_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        the_tree(siblings(DAY, AFTERNOON))
    assert str(refused.value).startswith(
        "The windows of all/one (4 GPUs, daily 08:00 to 18:00 UTC) and all/two (4 GPUs, daily 12:00 to 18:00 UTC) are "
        "open together, 8 GPUs in all, and all shares 4 GPUs then"
    )


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (MORNING, AFTERNOON),
        ({**DAY, "days": ["mon", "tue"]}, {**DAY, "days": ["wed"]}),
        # 09:00 to 12:00 in London ends as 13:00 to 15:00 in Berlin begins, in summer and in winter.
        (
            {"gpu": 4, "from": "09:00", "to": "12:00", "zone": "Europe/London"},
            {"gpu": 4, "from": "13:00", "to": "15:00", "zone": "Europe/Berlin"},
        ),
        ({**DAY, "days": ["mon"]}, {"gpu": 4, "from": "2026-11-24T00:00Z", "to": "2026-11-30T08:00Z"}),  # from Tuesday
    ],
    ids=["hours", "days", "zones", "dates"],
)
def test_two_that_are_never_open_together_may_have_the_same(
    one: Mapping[str, object], two: Mapping[str, object]
) -> None:
    tree = the_tree(siblings(one, two))
    assert parse_tree(tree.to_mapping()) == tree


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({**DAY, "days": ["mon"]}, {"gpu": 4, "from": "2026-11-24T00:00Z", "to": "2026-11-30T08:01Z"}),
        # 09:00 in New York is 15:00 in Berlin, but 14:00 in the weeks between their changes to summer time.
        (
            {"gpu": 4, "from": "09:00", "to": "10:00", "zone": "America/New_York"},
            {"gpu": 4, "from": "11:00", "to": "15:00", "zone": "Europe/Berlin"},
        ),
        (
            {"gpu": 4, "from": "22:00", "to": "06:00", "days": ["sun"]},
            {"gpu": 4, "from": "05:00", "to": "07:00", "days": ["mon"]},
        ),
    ],
    ids=["dates", "zones", "night"],
)
def test_two_that_are_open_together_at_any_time_are_refused(
    one: Mapping[str, object], two: Mapping[str, object]
) -> None:
    with pytest.raises(InvalidInput, match=r"all/one .* and all/two .* are open together"):
        the_tree(siblings(one, two))


def test_two_that_follow_one_another_keep_the_same_only_once() -> None:
    # 8 GPUs; 2 + 2 guaranteed, 4 for one of them until 12:00 and for the other afterwards. At 09:00 a step of five
    # hours runs into both: 4 are kept all the time, never 8, so 4 of these steps go.
    platform = Platform(siblings(MORNING, AFTERNOON), a_node("n0", gpus=8, cpus=64))
    assert went(platform, many(8, "o", "other", max_runtime_s=5 * HOUR), 9) == 4


def test_two_at_once_keep_what_they_are_together() -> None:
    # 12 GPUs; both windows keep 4 each by day: 12 - 8 = 4 are left for the third.
    platform = Platform(siblings(DAY, DAY, gpus=12), a_node("n0", gpus=12, cpus=64))
    assert went(platform, many(12, "o", "other"), 9) == 4


# What may not be ended.


def test_a_step_that_may_run_only_once_never_takes_what_a_window_will() -> None:
    # Of the 8, 4 are shared, and by day they are one's. At 00:00 a step that may never be ended, and may be there for
    # ever, gets none of them; one of eight hours is over by then; a step that may be ended goes until the lead.
    cohort = {"gpu": 8, "projects": {"one": {"gpu": 4, "windows": [DAY]}, "other": {"gpu": 0}}}
    platform = Platform(cohort, a_node("n0", gpus=8, cpus=64))
    assert went(platform, many(1, "never", "other", once=True), 0) == 0
    assert went(platform, many(2, "short", "other", once=True, max_runtime_s=8 * HOUR), 0) == 2
    assert went(platform, many(2, "any", "other"), 0) == 2


def test_what_may_not_be_ended_until_the_window_is_open_counts_as_there() -> None:
    # An hour of lead, at 06:00: what declares no end goes; what may not be ended for three hours does not.
    cohort = {"gpu": 4, "projects": {"one": {"gpu": 0, "windows": [DAY]}, "other": {"gpu": 0}}}
    platform = Platform(cohort, a_node("n0", gpus=4, cpus=64))
    assert went(platform, many(1, "firm", "other", min_runtime_s=3 * HOUR), 6) == 0
    assert went(platform, many(1, "short", "other", min_runtime_s=2 * HOUR), 6) == 1


def test_a_window_is_its_projects_until_it_ends_but_for_what_nobody_could_end_for_the_next() -> None:
    # The 4 are one's until 12:00, then two's. At 11:30 one still gets them for what can be ended at 12:00, and none
    # for a step that may run only once.
    platform = Platform(siblings(MORNING, AFTERNOON, gpus=8), a_node("n0", gpus=8, cpus=64))
    assert went(platform, many(6, "once", "one", once=True), 11.5) == 2
    assert went(platform, many(4, "any", "one"), 11.5) == 4
    platform.tell(Ticked(0), 12 * HOUR)
    assert went(platform, many(2, "p", "two"), 12) == 2
    platform.tell(a_step("p2", "two", since=2), 12 * HOUR)
    assert platform.victims() == ["any0"]


# Bounds, zones, leads.


def test_a_lending_limit_holds_beside_the_window() -> None:
    # one: 4 of its own, of which it lends 1, and 4 by day. At 09:00 the other gets 12 - 8 + 1 = 5; at 07:00, for an
    # hour, the window's 4 too.
    one = {"gpu": {"nominal": 4, "lend_limit": 1}, "windows": [DAY]}
    cohort = {"gpu": 12, "projects": {"one": one, "other": {"gpu": 0}}}
    assert went(Platform(cohort, a_node("n0", gpus=12, cpus=64)), many(12, "o", "other"), 9) == 5
    early = many(12, "o", "other", max_runtime_s=HOUR)
    assert went(Platform(cohort, a_node("n0", gpus=12, cpus=64)), early, 7) == 9


def test_what_only_a_window_could_hold_waits_for_it() -> None:
    # A project that may not borrow has 2, and 6 by day: a step of 4 waits from 07:00 until 08:00.
    one = {"gpu": {"nominal": 2, "borrow_limit": 0}, "windows": [DAY]}
    platform = Platform({"gpu": 8, "projects": {"one": one}}, a_node("n0", gpus=8, cpus=64))
    assert platform.start(a_step("big", "one", gpus=4), at=7 * HOUR) == []
    assert platform.tell(Ticked(0), 8 * HOUR) == ["big"]


def test_a_window_of_a_zone_follows_its_clock_through_the_year() -> None:
    hours = Hours((0, 1, 2, 3, 4, 5, 6), 8 * HOUR * 1_000_000, 18 * HOUR * 1_000_000, "Europe/Berlin")
    winter, summer = 1_768_435_200_000_000, 1_784_073_600_000_000  # midnight UTC of 2026-01-15 and 2026-07-15
    assert hours.span(winter) == (winter + 7 * HOUR * 1_000_000, winter + 17 * HOUR * 1_000_000)
    assert hours.span(summer) == (summer + 6 * HOUR * 1_000_000, summer + 16 * HOUR * 1_000_000)


def test_a_window_may_have_a_lead_of_its_own() -> None:
    # The policy's hour would keep nothing yet at 06:00; three hours do.
    cohort = {"gpu": 4, "projects": {"one": {"gpu": 0, "windows": [{**DAY, "lead_s": 3 * HOUR}]}, "other": {"gpu": 0}}}
    tree = the_tree(cohort)
    assert parse_tree(tree.to_mapping()) == tree
    assert went(Platform(cohort, a_node("n0", gpus=4, cpus=64)), many(4, "o", "other"), 6) == 0
    assert went(Platform(cohort, a_node("n0", gpus=4, cpus=64)), many(4, "o", "other"), 4) == 4


def test_a_gang_gets_no_date_in_the_time_of_a_window() -> None:
    # 4 GPUs run until 07:00. A gang of 4 that takes three hours would be there at 08:00, so it has no date, and
    # a small one of half an hour is not held back for it.
    cohort = {"gpu": 4, "projects": {"one": {"gpu": 0, "windows": [DAY]}, "other": {"gpu": 0}}}
    platform = Platform(cohort, a_node("n0", gpus=4, cpus=64))
    assert went(platform, many(3, "r", "other", max_runtime_s=HOUR), 6) == 3
    platform.start(a_step("gang", "other", gpus=4, max_runtime_s=3 * HOUR), at=6 * HOUR)
    said = platform.scheduler.explained("gang")
    assert said is not None
    assert said.kept is None
    assert platform.start(a_step("small", "other", since=9, max_runtime_s=2 * HOUR), at=6 * HOUR) == ["small"]
