"""Ranks of a gang find one another, share a table, and end together."""

from __future__ import annotations

from headwater.sdk import Client

WITHIN_S = 120.0


def test_the_ranks_of_a_gang_share_a_table_and_one_that_dies_ends_them_all(hw: Client) -> None:
    hw.run("eta/points", {"rows": 2_000}).result(WITHIN_S)
    (points,) = [table for table in hw.tables() if table.name == "lake.points"]
    run = hw.run("eta/count_together")
    counted = run.result(WITHIN_S)
    assert (counted["all"], counted["ranks"], counted["rank"]) == (points.rows_total, 3, 0)
    assert 0 < counted["mine"] < counted["all"]
    first, second = run.steps["count_part"][0].attempts
    assert second.state == "SUCCEEDED"
    assert first.failure is not None
    assert "Rank 1" in first.failure.message
