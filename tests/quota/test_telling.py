"""Who is told why it waits, where many lines moved at once."""

from __future__ import annotations

import pytest

from headwater.quota import telling
from headwater.quota.messages import Effect, StepWaiting, Ticked, TreeChanged, Waiting
from headwater.quota.scheduler import Scheduler
from headwater.quota.tree import parse_tree

from .scene import a_node, a_step

PROJECTS = {f"p{n}": {"gpu": 2} for n in range(5)}
TREE = parse_tree({"cohort": {"all": {"projects": PROJECTS}}})


@pytest.fixture(autouse=True)
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "TOLD_MAX", 2)


def five_waiting() -> list[StepWaiting]:
    """One in each project; none has a place."""
    return [a_step(f"s{n}", f"p{n}", gpus=2, since=n) for n in range(5)]


def told(effects: list[Effect]) -> list[str]:
    return [effect.step_id for effect in effects if isinstance(effect, Waiting)]


def told_by_ticks(scheduler: Scheduler) -> list[list[str]]:
    """With as many ticks as it asks for at once, and one more."""
    said, due = [], True
    while due:
        due = scheduler.wakes_us() == 1
        scheduler.mark()
        said.append(told(scheduler.decide(Ticked(1), 1)))
        assert len(said) < 10
    return said


def test_a_scheduler_made_anew_is_ready_before_all_are_told() -> None:
    scheduler = Scheduler.load(TREE, 1, nodes=[a_node()], waiting=five_waiting())
    scheduler.mark()
    assert told(scheduler.decide(Ticked(1), 1)) == ["s0", "s1"]
    assert told_by_ticks(scheduler) == [["s2", "s3"], ["s4"], []]


def test_what_was_still_to_be_told_stays_so_when_a_decision_is_taken_back() -> None:
    scheduler = Scheduler.load(TREE, 1, nodes=[a_node()], waiting=five_waiting())
    scheduler.decide(Ticked(1), 1)
    scheduler.mark()
    assert told(scheduler.decide(Ticked(1), 1)) == ["s2", "s3"]
    scheduler.rollback()
    assert told(scheduler.decide(Ticked(1), 1)) == ["s2", "s3"]


def test_another_tree_is_told_in_parts_to_those_for_whom_the_reason_is_another() -> None:
    scheduler = Scheduler.load(TREE, 1, nodes=[a_node(gpus=2)], waiting=five_waiting())
    scheduler.decide(Ticked(1), 1)
    assert told_by_ticks(scheduler) == [["s3", "s4"], []]
    none = parse_tree({"cohort": {"all": {"projects": {name: {"gpu": 0} for name in PROJECTS}}}})
    assert told(scheduler.decide(TreeChanged(none, 2), 1)) == ["s1", "s2"]
    assert told_by_ticks(scheduler) == [["s3", "s4"], []]
