"""What becomes of a happening, trigger by trigger: chains that do not end, triggers that are paused, outcomes kept."""

from __future__ import annotations

from typing import Any

import msgspec
from scenes.conductor import a_flow
from scenes.triggers import Life, a_triggered

from headwater.core.conductor import messages as m
from headwater.core.inbox import Arrived
from headwater.wire import calls
from headwater.wire.envelope import Event
from headwater.wire.manifest import Batch, FlowSpec, TriggerSpec
from headwater.wire.types import CommandRefused, EventRejected, RunAccepted

LIST = {"type": "object", "properties": {"n": {"type": "array"}}, "additionalProperties": False}


def listens(event_type: str, **fields: Any) -> TriggerSpec:
    return TriggerSpec(**{"name": f"event:{event_type}", "kind": "event", "subject": event_type, **fields})


def a_circle() -> FlowSpec:
    """A flow that publishes the event that starts it."""
    return a_triggered(listens("again", map={"n": "data.n"}))


def publishes(life: Life, run_id: str, event_type: str = "again") -> None:
    call = calls.PublishCall(event_type=event_type, data={"n": 1})
    command = calls.Command(ordinal=0, name="publish", key="publish#0", call=call)
    life.tell(m.Issued(run_id, life.state.runs[run_id].host_fence, (command,)))


def letters(life: Life) -> list[EventRejected]:
    return [word.body for word in life.said if isinstance(word.body, EventRejected)]


def test_a_flow_that_triggers_itself_stops_at_a_depth() -> None:
    life = Life(a_circle())
    life.lands("again", "first", n=1)
    for _ in range(life.state.limits.depth_max + 3):
        for run in life.runs():
            if run.id in life.state.runs:
                publishes(life, run.id)
                life.ends(run.id)
    assert [run.depth for run in life.runs()] == list(range(life.state.limits.depth_max))
    assert {run.root_id for run in life.runs()} == {life.runs()[0].id}
    (letter,) = letters(life)
    assert letter.code == "loop_detected"
    assert life.runs()[0].id in letter.reason


def test_a_run_carries_the_labels_of_its_flow_and_those_its_trigger_reads_off_the_event() -> None:
    expressions = {"shop": "data.n", "kind": "'daily'", "team": "event.subject == '' ? 'trigger' : 'x'"}
    flow = msgspec.structs.replace(a_triggered(listens("a", labels=expressions)), labels={"team": "eta", "tier": "1"})
    life = Life(flow)
    life.lands("a", "1", n=7)
    (run,) = life.runs()
    assert run.labels == {"team": "trigger", "tier": "1", "shop": "7", "kind": "daily"}
    assert {word.labels["shop"] for word in life.said if word.run_id == run.id and word.labels} == {"7"}


def test_what_gives_no_label_is_left_out_and_what_can_be_none_is_a_dead_letter() -> None:
    life = Life(a_triggered(listens("a", labels={"shop": "has(data.m) ? data.m : null"})))
    life.lands("a", "1", n=1)
    life.lands("a", "2", m="x" * 121)
    (run,) = life.runs()
    assert run.labels == {}
    (letter,) = letters(life)
    assert (letter.code, "'shop'" in letter.reason) == ("label_failed", True)


def test_gathered_events_label_their_run_together() -> None:
    life = Life(
        a_triggered(listens("a", labels={"last": "data.n"}, batch=Batch(count=2, within_s=60)), parameters=LIST)
    )
    life.lands("a", "1", n=1)
    life.restart()
    life.lands("a", "2", n=2)
    assert [run.labels for run in life.runs()] == [{"last": "2"}]


def test_a_finished_run_hands_its_labels_to_who_listens() -> None:
    after = TriggerSpec(name="after", kind="finished", subject="train", where="data.labels.tier == '1'")
    life = Life(msgspec.structs.replace(a_triggered(listens("a")), labels={"tier": "1"}), a_triggered(after, name="b"))
    life.lands("a", "1", n=1)
    life.ends(life.runs()[0].id)
    assert [run.flow for run in life.runs()] == ["train", "b"]


def test_a_run_by_command_carries_its_labels_and_bad_ones_are_refused() -> None:
    life = Life(a_triggered(listens("a")))
    assert "done" in life.orders("run.start", flow="train", labels={"team": "a"})
    refused = life.orders("run.start", flow="train", labels={"te am": "a"})
    assert "'te am'" in str(refused)
    assert isinstance(life.said[-1].body, CommandRefused)
    assert life.said[-1].body.code == "bad_labels"
    assert [run.labels for run in life.runs()] == [{"team": "a"}]


def test_a_chain_of_finished_flows_counts_its_depth_too() -> None:
    after = TriggerSpec(name="after", kind="finished", subject="train")
    life = Life(a_triggered(listens("a")), a_triggered(after, name="next"))
    life.lands("a", "1", n=1)
    first = life.runs()[0]
    life.ends(first.id)
    second = life.runs()[1]
    assert (second.flow, second.depth, second.root_id) == ("next", 1, first.id)


def test_what_comes_back_from_outside_carries_its_chain() -> None:
    life = Life(a_circle())
    for event_id, depth in (("1", "3"), ("2", "deep"), ("3", "16"), ("4", "9" * 30)):
        event = Event(
            id=event_id, source="s", type="again", data={"n": 1}, extensions={"hwdepth": depth, "hwroot": "r"}
        )
        record = Arrived(
            topic="headwater.events", topic_id="t", partition=0, offset=life.offset, previous=life.offset or None,
            parsed=event, raw=b"", headers=[], principal="p",
        )  # fmt: skip
        life.offset += 1
        life.tell(record)
    assert sorted(run.depth for run in life.runs()) == [0, 0, 3]
    assert {run.root_id for run in life.runs()} == {"r"}
    assert [letter.code for letter in letters(life)] == ["loop_detected"]


def test_a_run_says_which_chain_it_belongs_to() -> None:
    life = Life(a_circle())
    life.lands("again", "first", n=1)
    publishes(life, life.runs()[0].id)
    accepted = [word.body for word in life.said if isinstance(word.body, RunAccepted)]
    assert [(body.depth, body.root_id) for body in accepted] == [(0, life.runs()[0].id), (1, life.runs()[0].id)]


def test_a_paused_trigger_starts_nothing_and_says_so() -> None:
    life = Life(a_triggered(listens("a")))
    trigger = "eta/train/event:a"
    assert life.orders("trigger.pause", trigger=trigger) == {"done": {"trigger": trigger, "state": "paused"}}
    life.restart()
    life.lands("a", "1", n=1)
    assert life.runs() == []
    assert life.outcome("1") == {"trigger": trigger, "no_match": "the trigger was paused by me"}
    assert life.orders("trigger.resume", trigger=trigger)["done"]["state"] == "active"
    life.lands("a", "2", n=2)
    assert len(life.runs()) == 1


def test_an_unknown_trigger_cannot_be_paused() -> None:
    life = Life(a_triggered(listens("a")))
    refused = life.orders("trigger.pause", trigger="eta/train/event:b")["refused"]
    assert refused["code"] == "not_found"
    assert "eta/train/event:a" in refused["reason"]


def test_what_a_flow_published_keeps_its_outcome_though_nobody_listens() -> None:
    life = Life(a_flow())
    life.lands("landed", "1", day="monday")
    run_id = life.runs()[0].id
    publishes(life, run_id, "unheard")
    row = life.rows["inbox"]["conductor", "headwater", f"{run_id}/0"]
    assert (row.type, row.outcome, row.data) == ("unheard", [], {"n": 1})
