"""How much is looked at for those who have a right to what others borrow, however many wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from headwater.quota import claims, granting
from headwater.quota.holdings import Holdings
from headwater.quota.messages import Effect, Reclaim, Ticked, TreeChanged
from headwater.quota.reclaim import Reclaiming
from headwater.quota.scheduler import Scheduler
from headwater.quota.tree import Tree, parse_tree

from .scene import a_node, a_step, granted, lease

OWNERS = 40
Counts = Counter[str]


def a_tree(evictions_per_hour: int) -> Tree:
    owners = {f"owner{n:02}": {"gpu": 1} for n in range(OWNERS)}
    cohort = {"projects": {"borrower": {"gpu": 0}, **owners}}
    return parse_tree({"cohort": {"all": cohort}, "policy": {"evictions_per_hour": evictions_per_hour}})


def full_of_borrowers(waiting: int) -> Scheduler:
    """Each GPU is held by a gang of the borrower; so many owners wait for what is theirs. Nobody may be ended yet."""
    nodes = [a_node(f"n{n:02}", gpus=1) for n in range(OWNERS)]
    scheduler = Scheduler.load(a_tree(0), 1, nodes=nodes)
    for fence in range(1, OWNERS + 1):
        (grant,) = scheduler.decide(a_step(f"b{fence}", "borrower"), 1)
        scheduler.decide(lease(grant, fence, a_step("b").demand), 1)  # type: ignore[arg-type]
    for n in range(waiting):
        scheduler.decide(a_step(f"w{n}", f"owner{n:02}", since=n), 1)
    return scheduler


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Searches, and gangs taken off for them, since it was cleared."""
    counts: Counts = Counter()

    def counted(owner: type, name: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            counts[name] += 1
            return real(*arguments, **named)

        monkeypatch.setattr(owner, name, call)

    counted(Reclaiming, "plan")
    counted(Holdings, "as_if_gone")
    return counts


def ended(effects: list[Effect]) -> int:
    return sum(isinstance(effect, Reclaim) for effect in effects)


def test_a_decision_ends_a_few_for_others_and_the_next_ones_the_rest(counts: Counts) -> None:
    scheduler = full_of_borrowers(OWNERS)
    said = [ended(scheduler.decide(TreeChanged(a_tree(120), 2), 1))]
    while scheduler.wakes_us() == 1:
        counts.clear()
        said.append(ended(scheduler.decide(Ticked(1), 1)))
        assert counts["plan"] <= granting.DUE_MAX + claims.PLANS_MAX
    assert said == [16, 16, 8]


def test_what_makes_way_is_taken_off_once_for_all_who_are_looked_at(counts: Counts) -> None:
    scheduler = full_of_borrowers(20)
    scheduler.decide(TreeChanged(a_tree(120), 2), 1)
    scheduler.decide(Ticked(1), 1)
    going = len(scheduler._holdings.going)
    assert going == 20
    counts.clear()
    for n in range(20, 30):
        scheduler._queues.add(a_step(f"w{n}", f"owner{n:02}", since=n))
    assert ended(scheduler.decide(Ticked(1), 1)) == 10
    of_a_plan = 4  # chosen, tried, spared, supposed
    assert counts["as_if_gone"] <= going + 10 * of_a_plan


def test_a_search_that_came_to_nothing_is_not_made_again_by_what_does_not_concern_it(counts: Counts) -> None:
    """Its victims are safe: it is looked at again when they are not, or when its project gives something back."""
    scheduler = full_of_borrowers(OWNERS)
    scheduler.decide(TreeChanged(a_tree(1), 2), 1)  # one eviction an hour of the borrower's gangs
    while scheduler.wakes_us() == 1:
        scheduler.decide(Ticked(1), 1)
    counts.clear()
    for n in range(5):
        assert not granted(scheduler.decide(a_step(f"more{n}", "borrower", since=100 + n), 1))
    assert counts["plan"] == 0
