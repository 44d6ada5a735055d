"""The guide's flows on a running platform: deployed from docs/triggers.md as they stand there."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from scenes.hearing import Ear
from scenes.life import headwater

from headwater.cli.demo import Place
from headwater.errors import NotFound
from headwater.sdk import Client
from headwater.wire.entries.events import EventRejected
from headwater.wire.entries.runs import RunAccepted

GUIDE = Path(__file__).parents[2] / "docs" / "triggers.md"
TICKING = """
from headwater.sdk import flow, on

@flow(project="eta", on=on.cron("* * * * * *", name="tick"))
def tick(nominal: str) -> str:
    return nominal
"""


def the_guide() -> str:
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def an_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture(scope="module")
def shop(hw: Client, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The platform with the guide's flows."""
    file = tmp_path_factory.mktemp("shop") / "flow.py"
    file.write_text(the_guide())
    hw.deploy(file)
    return hw


def test_an_event_is_mapped_filtered_and_explained(shop: Client, platform: Place) -> None:
    ear, large, small = Ear(shop), an_id(), an_id()
    shop.publish("shop.ordered", {"id": "o1", "total": 99.5}, id=small)
    shop.publish("shop.ordered", {"id": "o2", "total": 120.5}, id=large)
    run_id = ear.run_of(large)
    assert shop.runs[run_id].result(60) == "o2: 120.50"
    (told,) = shop.explain(large)
    assert [(one.outcome, one.run_id) for one in told.became] == [("run", run_id)]
    said = headwater("explain", small, home=platform.home)
    assert said.code == 0, said.err
    assert "no_match" in said.out
    assert "data.total > 100.0" in said.out
    with pytest.raises(NotFound, match="nobody"):
        shop.explain("nobody")


def test_two_events_of_one_order_are_one_run(shop: Client) -> None:
    ear, packed, paid, order = Ear(shop), an_id(), an_id(), an_id()
    shop.publish("shop.packed", {"id": order, "box": 7}, id=packed)
    shop.publish("shop.paid", {"id": order}, id=paid)
    _, accepted = ear.next(RunAccepted, lambda body: body.flow == "ship")
    assert accepted.parameters == {"order": order, "box": 7}
    assert {one.became[0].run_id for event_id in (packed, paid) for one in shop.explain(event_id)} != {""}


def test_batches_and_bursts_are_one_run_each(shop: Client) -> None:
    ear = Ear(shop)
    for number in range(3):
        shop.publish("shop.scanned", {"item": f"i{number}"}, subject="scans")
        shop.publish("shop.changed", {"shop": "north", "version": number}, subject="changes")
    found: dict[str, Any] = {}
    while found.keys() != {"count", "reindex"}:
        _, accepted = ear.next(RunAccepted, lambda body: body.flow in ("count", "reindex"))
        found[accepted.flow] = accepted.parameters
    assert sorted(found["count"]["items"]) == ["i0", "i1", "i2"]
    assert found["reindex"] == {"shop": "north", "version": 2}


def test_a_dead_letter_is_replayed_after_the_fix(shop: Client, platform: Place, tmp_path: Path) -> None:
    ear, event_id = Ear(shop), an_id()
    shop.publish("shop.ordered", {"id": "o3", "amount": 500.0}, id=event_id)
    _, rejected = ear.next(EventRejected)
    assert rejected.code == "filter_failed"
    mended = tmp_path / "flow.py"
    mended.write_text(the_guide().replace("data.total", "(has(data.total) ? data.total : data.amount)"))
    shop.deploy(mended)
    counted = headwater("dlq", "replay", "--all", "--code", "filter_failed", "--dry-run", home=platform.home)
    assert "1 dead letters" in counted.out
    replayed = headwater("dlq", "replay", rejected.dead_letter_id, home=platform.home)
    assert "1 of 1" in replayed.out, replayed.out + replayed.err
    assert shop.runs[ear.run_of(event_id)].result(60) == "o3: 500.00"
    (told,) = shop.explain(event_id)
    assert told.became[0].outcome == "run"
    assert shop.replay(rejected.dead_letter_id).left[0].reason.startswith("it was replayed")


def test_kept_events_are_given_to_a_flow_again(shop: Client, platform: Place) -> None:
    ear, event_id = Ear(shop), an_id()
    shop.publish("shop.emptied", {"shop": "south"}, id=event_id)
    first = ear.run_of(event_id)
    counted = headwater("events", "replay", "eta/restock", "--id", event_id, "--dry-run", home=platform.home)
    assert "1 events" in counted.out, counted.out + counted.err
    for _ in range(2):
        words = ("events", "replay", "eta/restock", "--id", event_id, "--replay", "again")
        done = headwater(*words, home=platform.home)
        assert "1 runs of 1 events" in done.out, done.out + done.err
    second = ear.run_of(event_id)
    assert second != first
    assert shop.runs[second].result(60) == "south"
    assert len([run for run in shop.runs(flow="restock") if run.id not in (first, second)]) == 0


def test_the_clock_starts_runs_until_it_is_paused(shop: Client, platform: Place, tmp_path: Path) -> None:
    ear, file = Ear(shop), tmp_path / "flow.py"
    file.write_text(TICKING)
    shop.deploy(file)
    _, first = ear.next(RunAccepted, lambda body: body.flow == "tick")
    paused = headwater("triggers", "pause", "eta/tick/tick", home=platform.home)
    assert paused.code == 0, paused.err
    assert re.fullmatch(r"eta/tick/tick@\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.event_id)
    listed = {one.id: one for one in shop.triggers()}
    assert (listed["eta/tick/tick"].state, listed["eta/open_shop/cron:0 6 * * *"].state) == ("paused", "active")
    started = [run.id for run in shop.runs(flow="tick", limit=100)]
    details = [shop.runs[run_id].detail() for run_id in started]
    assert len({detail.event_id for detail in details}) == len(details)
