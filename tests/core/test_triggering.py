"""What becomes of a happening, trigger by trigger: chains that do not end, triggers that are paused, outcomes kept."""

from __future__ import annotations

from typing import Any

import msgspec
from scenes.conductor import Scene, a_flow
from scenes.triggers import ANY, Life, a_triggered

from headwater.actors.hub import CONDUCTOR_TYPES
from headwater.core.conductor import messages as m
from headwater.core.decisions import DECISION_TYPES, NAMES
from headwater.core.inbox import Arrived
from headwater.core.trigger_fault import fault_of
from headwater.core.trigger_kind import Heard
from headwater.sdk import on
from headwater.wire import calls
from headwater.wire.entries.events import CommandRefused, EventRejected
from headwater.wire.entries.models import ModelAliased, ModelRegistered
from headwater.wire.entries.nodes import DevicesFreed, NodeLeft
from headwater.wire.entries.runs import RunAccepted
from headwater.wire.envelope import Event
from headwater.wire.manifest import Batch, FlowSpec, TriggerSpec
from headwater.wire.types import Entry, Said

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


WHATEVER = {
    "type": "object",
    "properties": {"version": {}, "previous_version": {}, "node": {}, "devices": {}},
    "additionalProperties": False,
}


def says(life: Life, body: Any) -> None:
    life.said.append(Said(body=body, subject="s", project="", principal="p", time_us=life.now_us))
    life.tell(m.Due())


def test_an_alias_that_is_moved_starts_who_listens_to_it_and_a_new_version_does_not() -> None:
    moved = on.model("delay", alias="champion")
    life = Life(a_triggered(moved, parameters=WHATEVER))
    says(life, ModelRegistered(name="delay", version=3, digest="d", run_id="r", ordinal=0))
    says(life, ModelAliased(name="delay", alias="challenger", version=3))
    says(life, ModelAliased(name="delay", alias="champion", version=3, previous_version=2))
    (run,) = life.runs()
    assert moved.name == "model:delay@champion"
    assert run.parameters == {"version": 3, "previous_version": 2}


def test_a_decision_about_devices_starts_who_listens_to_it_from_the_log_alone() -> None:
    life = Life(a_triggered(on.event("headwater.node.left", where="data.reason == 'gone'"), parameters=WHATEVER))
    says(life, NodeLeft(node="n1", reason="drained"))
    says(life, NodeLeft(node="n2", reason="gone"))
    life.lands("headwater.node.left", "forged", node="n3", reason="gone")
    (run,) = life.runs()
    assert run.parameters == {"node": "n2"}
    assert next(row for row in life.rows["inbox"].values() if row.id == "forged").outcome == []


def test_every_decision_about_quota_and_devices_can_be_listened_to_and_no_other() -> None:
    for name in sorted(NAMES):
        assert fault_of(on.event(name), ANY) is None, name
    assert {"headwater.quota.changed", "headwater.device.freed", "headwater.quota.reclaimed"} <= NAMES
    fault = fault_of(on.event("headwater.quota.chnged"), ANY)
    assert fault is not None
    assert "Did you mean 'headwater.quota.changed'" in fault.remedy
    assert DECISION_TYPES <= CONDUCTOR_TYPES


def test_a_flow_that_its_own_devices_start_again_stands_one_deeper_in_its_chain() -> None:
    again = a_flow(name="again", triggers=(on.event("headwater.device.freed"),), parameters=WHATEVER)
    scene = Scene(a_flow(), msgspec.structs.replace(again, function="flow:again"))
    first = scene.a_running_run()
    fence = scene.a_step_at_work(first, "n1/0", gpus_milli=1_000)
    scene.report(fence)
    host_fence = scene.state.runs[first].host_fence
    scene.tell(m.RunFunctionEnded(calls.RunEnd(run_id=first, fence=host_fence, outcome=calls.Outcome())))
    assert first not in scene.state.runs
    freed = DevicesFreed(fence=fence, devices=("n1/0",))
    word = Entry(position=1, body=freed, subject="n1", project="", principal="p", time_us=1)
    scene.tell(m.Followed((word,), 1))
    (second,) = scene.state.runs.values()
    assert (second.flow, second.depth, second.root_id) == ("again", 1, first)
    assert second.parameters == {"devices": ["n1/0"]}


def test_a_deploy_over_a_running_version_leaves_the_run_its_code_and_gives_new_runs_the_newest() -> None:
    flow = a_triggered(listens("a"))
    life = Life(flow)
    life.lands("a", "1", n=1)
    life.deploys(flow)
    life.lands("a", "2", n=2)
    first, second = life.runs()
    assert (first.code_version, second.code_version) == ("v1", "v2")
    assert life.state.functions["v1", "eta", "train"] == life.state.functions["v2", "eta", "train"]
    assert life.state.bundles["v1"]
    life.ends(first.id)
    assert life.states()[0] == "SUCCEEDED"


class Ended:
    """A kind of trigger that a package might bring: it hears each run that succeeded as its flow, twice."""

    name = "ended"
    types = frozenset({"run.succeeded"})
    fails = False

    def fault(self, spec: TriggerSpec) -> str:
        return ""

    def hears(self, entry: Entry) -> list[Heard]:
        if self.fails:
            raise KeyError("gone")
        return [Heard(str(getattr(entry.body, "flow", "")), {"n": number}) for number in range(2)]


def test_a_kind_of_trigger_that_a_package_brings_starts_runs_in_the_chain_of_what_it_heard() -> None:
    heard = a_triggered(on.other("ended", "train", where="data.n > 0"), name="after")
    life = Life(a_triggered(listens("a")), heard, kinds=(Ended(),))
    life.lands("a", "1", n=7)
    first = life.runs()[0]
    life.ends(first.id)
    _, after = life.runs()
    assert (after.flow, after.parameters, after.depth, after.root_id) == ("after", {"n": 1}, 1, first.id)


def test_a_kind_of_trigger_that_fails_is_a_dead_letter_and_all_else_goes_on() -> None:
    broken = Ended()
    broken.fails = True
    after = TriggerSpec(name="after", kind="finished", subject="train")
    life = Life(a_triggered(listens("a")), a_triggered(after, name="next"), kinds=(broken,))
    life.lands("a", "1", n=7)
    life.ends(life.runs()[0].id)
    assert [run.flow for run in life.runs()] == ["train", "next"]
    (letter,) = letters(life)
    assert (letter.code, "'ended' failed" in letter.reason) == ("kind_failed", True)
