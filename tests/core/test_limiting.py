"""So many runs of a key at once: the others wait, give way, or are cancelled for them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from scenes.triggers import Life, a_triggered

from headwater.core.records.runs import RunState
from headwater.wire.manifest import Concurrency, OverLimit, TriggerSpec

OVER: tuple[OverLimit, ...] = ("queue", "drop-oldest", "cancel-previous")


def a_limited_life(over: OverLimit = "queue", limit: int = 1, **fields: Any) -> Life:
    concurrency = Concurrency(limit=limit, over=over)
    trigger = TriggerSpec(
        name="t", kind="event", subject="a", concurrency=concurrency, key="data.m", map={"n": "data.n"}, **fields
    )
    return Life(a_triggered(trigger))


def by_number(life: Life) -> dict[int, str]:
    return {run.parameters["n"]: str(run.state) for run in life.runs()}


def run_of(life: Life, number: int) -> str:
    return next(run.id for run in life.runs() if run.parameters["n"] == number)


def test_what_is_over_the_limit_waits_its_turn() -> None:
    life = a_limited_life()
    for number in range(3):
        life.lands("a", str(number), n=number, m="x")
    assert by_number(life) == {0: "RUNNING", 1: "PENDING", 2: "PENDING"}
    life.ends(run_of(life, 0))
    assert by_number(life) == {0: "SUCCEEDED", 1: "RUNNING", 2: "PENDING"}
    life.orders("run.cancel", run_id=run_of(life, 2))
    life.ends(run_of(life, 1))
    assert by_number(life) == {0: "SUCCEEDED", 1: "SUCCEEDED", 2: "CANCELLED"}


def test_keys_are_limited_apart() -> None:
    life = a_limited_life()
    life.lands("a", "0", n=0, m="x")
    life.lands("a", "1", n=1, m="y")
    assert by_number(life) == {0: "RUNNING", 1: "RUNNING"}


def test_the_older_that_waits_gives_way() -> None:
    life = a_limited_life("drop-oldest")
    for number in range(4):
        life.lands("a", str(number), n=number, m="x")
    assert by_number(life) == {0: "RUNNING", 1: "CANCELLED", 2: "CANCELLED", 3: "PENDING"}
    assert "a newer run" in next(run.cancel_reason for run in life.runs() if run.parameters["n"] == 1)


def test_what_runs_is_cancelled_for_the_newer() -> None:
    life = a_limited_life("cancel-previous")
    life.lands("a", "0", n=0, m="x")
    life.lands("a", "1", n=1, m="x")
    assert by_number(life) == {0: "CANCELLED", 1: "RUNNING"}


def test_who_waits_waits_over_a_restart_too() -> None:
    life = a_limited_life()
    for number in range(3):
        life.lands("a", str(number), n=number, m="x")
    life.restart()
    assert by_number(life) == {0: "RUNNING", 1: "PENDING", 2: "PENDING"}
    life.ends(run_of(life, 0))
    assert by_number(life)[1] == "RUNNING"


def test_a_deploy_without_the_limit_lets_all_go_with_the_next_end() -> None:
    life = a_limited_life()
    for number in range(3):
        life.lands("a", str(number), n=number, m="x")
    life.deploys(a_triggered(TriggerSpec(name="t", kind="event", subject="a")))
    life.ends(run_of(life, 0))
    assert by_number(life) == {0: "SUCCEEDED", 1: "RUNNING", 2: "RUNNING"}


def test_a_run_has_the_priority_of_its_trigger() -> None:
    life = a_limited_life(priority=7)
    life.lands("a", "0", n=0, m="x")
    assert life.runs()[0].priority == 7


@given(
    st.sampled_from(OVER),
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from("xy"), st.integers(0, 5)), max_size=20),
)
def test_never_more_than_the_limit_run_and_in_the_end_nobody_waits(
    over: OverLimit, limit: int, events: list[tuple[str, int]]
) -> None:
    life = a_limited_life(over, limit)
    for number, (key, chance) in enumerate(events):
        life.lands("a", str(number), n=number, m=key)
        running = [run for run in life.runs() if run.state is RunState.RUNNING]
        if chance == 0:
            life.restart()
        if chance == 1 and running:
            life.ends(running[0].id)
        for slot in {run.slot for run in running}:
            assert sum(run.slot == slot for run in running) <= limit
    for _ in events:
        for run in life.runs():
            if run.state is RunState.RUNNING:
                life.ends(run.id)
    assert len(life.runs()) == len(events)
    assert all(run.state.ended for run in life.runs())
