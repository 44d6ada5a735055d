"""The quota tree as it is drawn."""

from __future__ import annotations

from typing import Any

from headwater.cli.quotas import losses_in, rows_of, stored_row, window_rows
from headwater.quota.tree import parse_tree
from headwater.wire.api.holdings import Held, QuotaView, Stored, Waiting

TREE: dict[str, Any] = {
    "cohort": {
        "lab": {
            "projects": {"flights": {"gpu": 2, "memory": "8GiB"}, "eta": {"gpu": 0}},
            "teams": {"vision": {"projects": {"eyes": {"gpu": 2}}}},
        }
    }
}


def drawn(*held: tuple[str, int], waiting: tuple[str, ...] = ()) -> dict[str, dict[str, str]]:
    """The rows about GPUs by the name of their node."""
    view = QuotaView(
        version=1, tree=TREE, principal="p", applied_us=0,
        held=tuple(Held(project=project, devices=(), gpus_milli=milli, runs=1, used={"gpu": milli})
                   for project, milli in held),
        waiting=tuple(Waiting(step_id="s", run_id="r", project=project, name="fit", code="c", reason="w", since_us=0)
                      for project in waiting),
    )  # fmt: skip
    rows = list(rows_of(parse_tree(TREE), view))
    return {row["tree"].strip("├└─│ "): row for row in rows if row["flavour"] == "gpu"}


def test_the_tree_is_drawn_with_its_branches() -> None:
    view = QuotaView(version=1, tree=TREE, principal="p", applied_us=0)
    lines = [f"{row['tree']:16}{row['flavour']:8}{row['nominal']}" for row in rows_of(parse_tree(TREE), view)]
    assert lines == [
        "lab (cohort)    gpu     4 GPUs",
        "│               memory  8 GiB",
        "├─ vision (team)gpu     2 GPUs",
        "│  └─ eyes      gpu     2 GPUs",
        "├─ flights      gpu     2 GPUs",
        "│               memory  8 GiB",
        "└─ eta          gpu     0",
    ]


def test_what_one_borrows_others_lend_in_proportion_to_what_they_leave_unused() -> None:
    rows = drawn(("eta", 2000), ("flights", 500))
    assert (rows["eta"]["used"], rows["eta"]["borrowed"], rows["eta"]["lent"]) == ("2 GPUs", "2 GPUs", "0")
    assert (rows["flights"]["lent"], rows["vision (team)"]["lent"]) == ("0.857 GPUs", "1.142 GPUs")
    assert (rows["lab (cohort)"]["used"], rows["lab (cohort)"]["borrowed"]) == ("2.5 GPUs", "")


def test_windows_are_shown_with_when_they_are_open() -> None:
    daily = {"gpu": 1, "from": "08:00", "to": "18:00"}
    past = {"gpu": 1, "from": "1969-01-01T00:00Z", "to": "1969-01-02T00:00Z"}
    tree = parse_tree({"cohort": {"lab": {"gpu": 4, "projects": {"eta": {"gpu": 0, "windows": [daily, past]}}}}})
    at_us = 9 * 3600 * 1_000_000
    ((before,), (during,)) = ([*window_rows(tree, 0)], [*window_rows(tree, at_us)])
    assert (before["window of"], before["more"], before["hours"]) == ("lab/eta", "+1 GPU", "daily 08:00 to 18:00 UTC")
    assert (before["state"][:6], during["state"][:11]) == ("opens ", "open until ")


def test_cpus_and_memory_are_counted_as_gpus_are() -> None:
    held = Held(project="flights", devices=(), gpus_milli=0, runs=1, used={"memory": 9 << 30})
    view = QuotaView(version=1, tree=TREE, principal="p", applied_us=0, held=(held,))
    rows = [row for row in rows_of(parse_tree(TREE), view) if row["flavour"] == "memory"]
    assert [(row["used"], row["borrowed"]) for row in rows] == [("9 GiB", ""), ("9 GiB", "1 GiB")]


def test_who_waits_is_counted_up_the_tree() -> None:
    rows = drawn(waiting=("eyes", "eyes", "eta"))
    assert [rows[name]["waiting"] for name in ("lab (cohort)", "vision (team)", "eyes", "eta", "flights")] == [
        "3 steps", "2 steps", "2 steps", "1 step", "",
    ]  # fmt: skip


def test_what_projects_store_is_told_beside_their_limits() -> None:
    full = Stored(project="eta", artifacts_bytes=600, tables_bytes=300, logs_bytes=100, limit_bytes=1000, level="full")
    assert stored_row(full) == {
        "project": "eta", "stored": "1000 B", "of": "1000 B", "used": "100 %", "artifacts": "600 B",
        "tables": "300 B", "logs": "100 B", "state": "full",
    }  # fmt: skip
    free = stored_row(Stored(project="eta", artifacts_bytes=1 << 30, tables_bytes=0, logs_bytes=0))
    assert (free["stored"], free["of"], free["used"], free["state"]) == ("1 GiB", "no limit", "", "")


def test_a_tree_that_is_only_tried_says_who_would_lose_what() -> None:
    loss = {"project": "eta", "flavour": "gpu", "amount": 1500, "guaranteed_before": 2000, "guaranteed_after": 500}
    over = {"project": "flights", "stored_bytes": 3 << 30, "limit_bytes": 1 << 30}
    assert losses_in({"changed": True, "losses": [loss], "over_storage": [over]}) == [
        "eta would hold 1.5 GPUs beyond its guarantee of 0.5 GPUs",
        "flights stores 3 GiB, and could write nothing beyond 1 GiB",
    ]
    assert losses_in({"changed": True, "losses": [], "over_storage": []}) == ["Nobody would lose anything."]
    assert losses_in({"changed": False, "losses": [], "over_storage": []}) == ["It is the tree in force."]
