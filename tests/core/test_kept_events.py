"""Kept events, once more to one flow: each starts one run under one replay id, as the flow is deployed now."""

from __future__ import annotations

from typing import Any

from scenes.triggers import Life, a_triggered

from headwater.core.conductor.triggers.kept_events import replay_key
from headwater.core.inbox import Ordered
from headwater.wire import calls
from headwater.wire.manifest import TriggerSpec

LISTENS = TriggerSpec(name="t", kind="event", subject="a", where="data.n > 1", map={"n": "data.n"})


def replays(life: Life, flow: str = "eta/late", **data: Any) -> Any:
    asked = {"flow": flow, "replay": "r1", "type": "a", **data}
    order = calls.Order(
        source="cli", id=f"c{life.now_us}", kind="event.replay", principal="me", project="", sha256="s", data=asked
    )
    rows = tuple(row for row in life.rows["inbox"].values() if row.type == "a")
    runs = {run.idempotency_key: run.id for run in life.runs()}
    found = {key: runs[key] for row in rows if (key := replay_key(asked, row)) in runs}
    page = {"count": len(rows), "next": None}
    return life.tell(Ordered(order=order, kept=rows, kept_runs=found, kept_page=page)).answer


def a_life_with_events() -> Life:
    life = Life(a_triggered(LISTENS))
    for number in (1, 2, 3):
        life.lands("a", str(number), n=number)
    life.deploys(a_triggered(LISTENS, name="late"))
    return life


def late(life: Life) -> list[Any]:
    return [run.parameters for run in life.runs() if run.flow == "late"]


def test_a_flow_that_came_later_gets_the_events_that_its_trigger_takes() -> None:
    life = a_life_with_events()
    done = replays(life)["done"]
    assert [one["outcome"] for one in done["became"]] == ["no_match", "run", "run"]
    assert late(life) == [{"n": 2}, {"n": 3}]
    assert len(life.runs()) == 4


def test_one_replay_starts_one_run_for_an_event_and_another_replay_another() -> None:
    life = a_life_with_events()
    first, again = replays(life)["done"], replays(life)["done"]
    assert [one.get("run_id") for one in again["became"]] == [one.get("run_id") for one in first["became"]]
    life.restart()
    replays(life)
    assert len(late(life)) == 2
    replays(life, replay="r2")
    assert len(late(life)) == 4


def test_a_dry_run_only_counts() -> None:
    life = a_life_with_events()
    assert replays(life, dry_run=True) == {"done": {"count": 3, "next": None, "became": []}}
    assert late(life) == []


def test_a_flow_without_a_trigger_for_the_type_takes_the_data() -> None:
    life = a_life_with_events()
    life.deploys(a_triggered(name="late"))
    replays(life)
    assert late(life) == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_an_unknown_flow_or_no_replay_id_is_refused() -> None:
    life = a_life_with_events()
    assert replays(life, flow="late")["refused"]["code"] == "not_found"
    assert replays(life, replay="")["refused"]["code"] == "invalid_input"
