"""What the rows know about a command, whichever door it comes by."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenes.store import Story, a_run, run_id

from headwater.actors.order_rows import looked_up
from headwater.core.conductor.machine import Conductor
from headwater.core.conductor.state import State
from headwater.core.conductor.triggers.following import learn_flow
from headwater.core.inbox import Arrived
from headwater.store.reader import Reader
from headwater.wire.entries.runs import RunAccepted
from headwater.wire.envelope import Event
from headwater.wire.terms import JSON

pytestmark = pytest.mark.asyncio(loop_scope="session")
FLOW = {"name": "train_delay", "project": "eta", "function": "f:f", "parameters": {"type": "object"}}


async def by_topic(folder: Path, kind: str, data: JSON, *, state: str = "FAILED") -> tuple[JSON, list[str]]:
    """The answer to a command that came by its topic, about a run that is only rows."""
    story = Story(folder)
    story.put("runs", a_run(1, state=state))
    record = Arrived(
        topic="headwater.runs.commands", topic_id="t", partition=0, offset=0, previous=None, raw=b"", headers=[],
        parsed=Event(id="c1", source="ops", type=kind, project="eta", data=data), principal="topic:x",
    )  # fmt: skip
    found = await looked_up(Reader(story.reader()), record)
    story.close()
    machine = Conductor(State(secret=b"s"))
    learn_flow(machine.state, {"spec": FLOW, "bundle": "b"}, "c1")
    turn = machine.decide(found, 1)
    return turn.answer, [word.body.flow for word in turn.said if isinstance(word.body, RunAccepted)]


async def test_a_run_that_is_only_rows_is_resumed_by_its_topic_as_by_http(tmp_path: Path) -> None:
    answer, started = await by_topic(tmp_path, "run.resume", {"run_id": run_id(1)})
    assert "done" in answer
    assert started == ["train_delay"]


@pytest.mark.parametrize("kind", ["run.accept", "run.fail", "run.cancel"])
async def test_what_a_run_that_has_ended_cannot_do_is_refused_by_its_state(tmp_path: Path, kind: str) -> None:
    answer, _ = await by_topic(tmp_path, kind, {"run_id": run_id(1)}, state="CANCELLED")
    assert answer["refused"]["code"] == "ended"
    assert "CANCELLED" in answer["refused"]["reason"]


async def test_a_replay_that_chooses_in_no_way_there_is_is_refused(tmp_path: Path) -> None:
    data = {"flow": "eta/train_delay", "replay": "r", "since": "yesterday"}
    answer, _ = await by_topic(tmp_path, "event.replay", data)
    assert answer["refused"]["code"] == "invalid_input"
    assert "chooses no events" in answer["refused"]["reason"]
