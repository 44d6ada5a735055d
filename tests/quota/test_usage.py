from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headwater.quota.tree import parse_tree
from headwater.quota.usage import Usage


def usage_of(**projects: Any) -> Usage:
    return Usage(parse_tree({"cohort": {"research": {"projects": projects}}}))


def test_what_one_project_does_not_use_is_lent_to_its_sibling() -> None:
    usage = usage_of(flights={"gpu": 2}, eta={"gpu": 3})
    assert usage.room("flights", "gpu").amount == 5000
    usage.add("eta", {"gpu": 2000})
    assert usage.room("flights", "gpu").amount == 3000


def test_a_borrow_limit_bounds_what_is_taken_beyond_nominal() -> None:
    usage = usage_of(flights={"gpu": {"nominal": 2, "borrow_limit": 1}}, eta={"gpu": 3})
    assert usage.room("flights", "gpu").amount == 3000


def test_a_lend_limit_keeps_the_rest_for_its_owner() -> None:
    # eta keeps 3 - 1 = 2 for itself, so flights can have 2 of its own and 1 lent.
    usage = usage_of(flights={"gpu": 2}, eta={"gpu": {"nominal": 3, "lend_limit": 1}})
    assert usage.room("flights", "gpu").amount == 3000
    usage.add("flights", {"gpu": 3000})
    assert usage.room("eta", "gpu").amount == 2000


def test_a_team_lends_upward() -> None:
    tree = {"teams": {"a": {"gpu": 4, "projects": {"x": {"gpu": 1}}}, "b": {"projects": {"y": {"gpu": 2}}}}}
    usage = Usage(parse_tree({"cohort": {"all": tree}}))
    assert usage.room("y", "gpu").amount == 6000
    usage.add("y", {"gpu": 5000})
    assert usage.room("x", "gpu").amount == 1000


def test_cohorts_lend_nothing_to_one_another() -> None:
    usage = Usage(parse_tree({"cohort": {c: {"projects": {f"in-{c}": {"gpu": 2}}} for c in "ab"}}))
    usage.add("in-a", {"gpu": 2000})
    assert usage.room("in-a", "gpu").amount == 0
    assert usage.room("in-b", "gpu").amount == 2000


def test_a_share_counts_what_is_borrowed_by_weight() -> None:
    usage = usage_of(flights={"gpu": {"nominal": 2, "weight": 2}}, eta={"gpu": 2})
    # One GPU borrowed of the four in the cohort: a quarter, halved by the weight of 2.
    flights, eta = usage.path("flights")[0], usage.path("eta")[0]
    assert usage.share(flights, {"gpu": 3000}) == 125_000_000
    assert usage.share(eta, {"gpu": 3000}) == 250_000_000
    assert usage.share(eta, {"gpu": 2000}) == 0


@given(
    st.lists(st.tuples(st.sampled_from("xyz"), st.integers(1, 5000)), max_size=20), st.randoms(use_true_random=False)
)
def test_what_was_added_is_removed_without_a_trace_in_any_order(taken: list[tuple[str, int]], order: Any) -> None:
    team = {"gpu": 6, "projects": {"x": {"gpu": {"nominal": 2, "lend_limit": 1}}, "y": {"gpu": 3}}}
    tree = {"teams": {"t": team}, "projects": {"z": {"gpu": {"nominal": 4, "lend_limit": 2}}}}
    usage = Usage(parse_tree({"cohort": {"all": tree}}))
    empty = usage.snapshot()
    for project, amount in taken:
        usage.add(project, {"gpu": amount})
    order.shuffle(taken)
    for project, amount in taken:
        usage.remove(project, {"gpu": amount})
    assert usage.snapshot() == empty
