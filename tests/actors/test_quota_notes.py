"""What the Scheduler keeps beside the tree: priorities given by command, what is asked for, how long attempts took."""

from __future__ import annotations

from typing import Any

import pytest
from scenes.scheduler import Scene, a_node, leased, succeeded, waits

from headwater.core.inbox import Ordered
from headwater.wire import calls
from headwater.wire.entries.nodes import DevicesFreed
from headwater.wire.entries.steps import StepEnded


def order(kind: str, data: Any) -> Ordered:
    facts = {"source": "cli", "id": f"{kind}{data}", "principal": "me", "project": "p", "sha256": "s"}
    return Ordered(order=calls.Order(kind=kind, data=data, **facts))


def test_a_priority_given_by_command_moves_a_step_ahead_and_is_kept() -> None:
    scene = Scene(a_node(gpus=1), eta=1)
    scene.follow(waits(1), waits(2), waits(3))
    scene.tell(order("quota.priority", {"step": "run/3", "priority": 50}))
    note = scene.written["quota_notes"]["priority/run/3"]
    assert (note.note, note.principal) == (50, "me")
    assert scene.turn.said[0].body.result == {"step": "run/3", "before": 0, "after": 50}  # type: ignore[union-attr]
    scene.follow(leased(1, 7, "n/0"))
    (grant,) = scene.follow(succeeded(1, 7, "n/0"), DevicesFreed(fence=7, devices=("n/0",)))
    assert grant.step_id == "run/3"
    scene.follow(StepEnded(step_id="run/3", name="fit", state="CANCELLED", reason="enough"))
    assert scene.written["quota_notes"] == {"priority/run/3": None}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"step": "run/9", "priority": 1}, "No step 'run/9' waits"),
        ({"step": "run/1", "priority": 1.5}, "priority is 1.5"),
        ({"priority": 1}, "quota.priority came with"),
    ],
)
def test_a_priority_that_makes_no_sense_is_refused(data: Any, says: str) -> None:
    scene = Scene()
    scene.follow(waits(1))
    scene.tell(order("quota.priority", data))
    assert says in scene.turn.said[0].body.reason  # type: ignore[union-attr]


def test_what_is_typically_asked_for_and_was_borrowed_is_kept_for_the_next_life() -> None:
    scene = Scene(eta=2)
    for step in range(64):
        scene.follow(waits(step))
    notes = scene.desk.notes
    assert "workload" in notes.rows
    again = Scene(eta=2)
    again.desk.remember(notes.rows.values())
    assert again.desk.engine.workload.kinds == scene.desk.engine.workload.kinds != ()


def test_what_attempts_took_tells_when_the_next_should_start() -> None:
    # Three attempts of 10 s each; the fourth was leased just now, and the fifth waits for it.
    scene = Scene(a_node(gpus=1))
    for step in (1, 2, 3):
        scene.follow(waits(step, flow="train"), leased(step, step, "n/0"))
        scene.position += 10_000_000
        scene.follow(succeeded(step, step, "n/0"), DevicesFreed(fence=step, devices=("n/0",)))
    scene.follow(waits(4, flow="train"))
    scene.follow(leased(4, 4, "n/0"))
    leased_us = scene.position
    scene.follow(waits(5, flow="train"))
    said = scene.desk.explained("run/5")
    assert said is not None
    assert said.eta is not None
    assert said.eta.at_us == pytest.approx(leased_us + 10_000_000, abs=10)
    assert said.eta.basis == "step fit should have ended by then, by the median of 3 earlier attempts"
    scene.follow(StepEnded(step_id="run/5", name="fit", state="CANCELLED", reason="x"))
    assert scene.desk.explained("run/5") is None
