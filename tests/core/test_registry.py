"""The Registry's decisions, without a store."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headwater.core.inbox import Ordered
from headwater.core.inventory import DeploymentState
from headwater.core.registry import messages as m
from headwater.core.registry.machine import Registry
from headwater.core.registry.state import LOG, Rows, State
from headwater.core.turn import Turn
from headwater.wire.calls import Order
from headwater.wire.entries.events import CommandDone, CommandRefused
from headwater.wire.entries.models import (
    DeploymentFailed,
    DeploymentReady,
    DeploymentRequested,
    FlowDeployed,
    ModelAliased,
    ModelRefused,
    ModelRegistered,
    ModelRequested,
)
from headwater.wire.entries.quota import QuotaChanged
from headwater.wire.manifest import FlowSpec, Manifest, TriggerSpec
from headwater.wire.types import AnyBody, Entry

TREE = {"cohort": {"local": {"projects": {"flights": {}}, "teams": {"vision": {"projects": {"eta": {}}}}}}}


class Desk:
    """A Registry and the words it has said, with ids and positions that count up."""

    def __init__(self) -> None:
        state = State()
        state.load(Rows(tree=TREE))
        self.machine, self.state = Registry(state), state
        self.said: list[Any] = []
        self.number = self.position = 0

    def hear(self, event: m.Event) -> Turn:
        turn = self.machine.decide(event, now_us=1_000 + self.number)
        self.machine.settle()
        self.said += turn.said
        return turn

    def order(self, kind: str, **data: Any) -> dict[str, Any]:
        self.number += 1
        order = Order(source="cli", id=f"c{self.number}", kind=kind, principal="ann", project="flights", data=data)
        answer: dict[str, Any] = self.hear(Ordered(order=order)).answer
        return answer

    def deploy(self, version: str, *flows: FlowSpec) -> dict[str, Any]:
        manifest = msgspec.to_builtins(Manifest(flows=flows))
        return self.order("code.deploy", version=version, bundle=f"bundle-{version}", manifest=manifest)

    def request(
        self, name: str, run_id: str = "r1", *, ordinal: int = 1, project: str = "flights", **more: Any
    ) -> None:
        asked = ModelRequested(
            name=name, ordinal=ordinal, digest="d", runtime="onnx", signature=None, metrics=None, **more
        )
        self.follow(asked, run_id=run_id, project=project)

    def follow(self, body: AnyBody, *, run_id: str | None = None, project: str = "flights") -> Turn:
        after, self.position = self.position, self.position + 1
        entry = Entry(
            position=self.position,
            body=body,
            subject="s",
            project=project,
            principal="ann",
            time_us=1,
            run_id=run_id,
        )
        return self.hear(m.Followed(after, self.position, entry))

    def last(self, kind: type) -> Any:
        return next(word for word in reversed(self.said) if isinstance(word.body, kind))

    def count(self, kind: type) -> int:
        return sum(isinstance(word.body, kind) for word in self.said)


def a_flow(name: str, *triggers: TriggerSpec, project: str = "flights") -> FlowSpec:
    return FlowSpec(
        name=name,
        project=project,
        function=f"flows:{name}",
        parameters={"type": "object"},
        triggers=triggers,
        file="flows.py",
        line=12,
    )


def finished(subject: str, name: str = "after") -> TriggerSpec:
    return TriggerSpec(name=name, kind="finished", subject=subject, line=11)


def test_a_deploy_keeps_the_version_and_announces_each_flow_as_the_conductor_reads_it() -> None:
    desk = Desk()
    answer = desk.deploy("v1", a_flow("train"), a_flow("score", project="eta"))
    assert answer == {"done": {"code_version": "v1", "flows": ["flights/train", "eta/score"], "unchanged": False}}
    word = desk.last(FlowDeployed)
    assert (word.subject, word.project, word.body.code_version) == ("eta/score", "eta", "v1")
    assert word.body.manifest["bundle"] == "bundle-v1"
    assert msgspec.convert(word.body.manifest["spec"], FlowSpec) == a_flow("score", project="eta")
    assert desk.state.flows["flights", "train"].code_version == "v1"


def test_the_same_version_again_is_unchanged_and_announces_nothing() -> None:
    desk = Desk()
    desk.deploy("v1", a_flow("train"))
    assert desk.deploy("v1", a_flow("train"))["done"]["unchanged"] is True
    assert desk.count(FlowDeployed) == 1


def test_going_back_to_an_older_version_announces_its_flows_again() -> None:
    desk = Desk()
    for version in ("v1", "v2", "v1"):
        assert desk.deploy(version, a_flow("train"))["done"]["unchanged"] is False
    assert desk.state.flows["flights", "train"].code_version == "v1"


def test_an_unknown_project_is_refused_with_file_line_and_the_nearest_name() -> None:
    answer = Desk().deploy("v1", a_flow("train", project="flight"))
    assert answer["refused"]["code"] == "unknown_project"
    assert answer["refused"]["reason"].startswith("flows.py:12: flow 'train' belongs to project 'flight'")
    assert "Did you mean 'flights'?" in answer["refused"]["reason"]


def test_a_deploy_is_refused_whole() -> None:
    desk = Desk()
    desk.deploy("v1", a_flow("good"), a_flow("bad", project="nobody"))
    assert not desk.state.flows
    assert desk.count(FlowDeployed) == 0
    assert desk.count(CommandRefused) == 1


def test_two_triggers_of_one_name_are_refused_with_their_line() -> None:
    twice = TriggerSpec(name="event:landed", kind="event", subject="landed", line=9)
    answer = Desk().deploy("v1", a_flow("train", twice, twice))
    assert answer["refused"]["code"] == "duplicate_trigger"
    assert answer["refused"]["reason"].startswith("flows.py:9: ")


def test_flows_that_start_one_another_for_ever_are_refused() -> None:
    desk = Desk()
    assert "done" in desk.deploy("v1", a_flow("clean"), a_flow("train", finished("clean")))
    for flow in (a_flow("clean", finished("train")), a_flow("alone", finished("alone"))):
        refused = desk.deploy("v2", flow)["refused"]
        assert refused["code"] == "cyclic_trigger"
        assert "flows.py:" in refused["reason"]
    assert "done" in desk.deploy("v3", a_flow("train"), a_flow("clean", finished("train")))


def test_a_trigger_may_wait_for_a_flow_of_the_same_deploy_or_of_an_earlier_one() -> None:
    desk = Desk()
    assert "done" in desk.deploy("v1", a_flow("clean"), a_flow("train", finished("clean")))
    assert "done" in desk.deploy("v2", a_flow("score", finished("flights/train"), project="eta"))
    refused = desk.deploy("v3", a_flow("report", finished("trian")))["refused"]
    assert refused["code"] == "unknown_flow"
    assert refused["reason"].startswith("flows.py:11: ")
    assert "Did you mean 'flights/train'?" in refused["reason"]


def test_a_deploy_without_a_flow_or_without_a_manifest_is_refused() -> None:
    desk = Desk()
    assert desk.deploy("v1")["refused"]["code"] == "no_flows"
    assert desk.order("code.deploy", version="v1")["refused"]["code"] == "bad_manifest"
    assert desk.order("code.deplyo")["refused"]["code"] == "unknown_command"


def test_a_project_that_the_tree_gains_can_be_deployed_to() -> None:
    desk = Desk()
    desk.follow(QuotaChanged(version=2, tree={"cohort": {"local": {"projects": {"maps": {}}}}}))
    assert "done" in desk.deploy("v1", a_flow("draw", project="maps"))


def test_a_requested_model_gets_the_next_version_with_the_request_as_its_cause() -> None:
    desk = Desk()
    desk.request("eta", "r1", ordinal=3)
    desk.request("eta", "r2", ordinal=3)
    word = desk.last(ModelRegistered)
    assert (word.body.version, word.causation, word.subject) == (2, "r2/3", "eta")
    assert desk.count(DeploymentRequested) == 0


def test_one_request_makes_one_version_however_often_it_is_heard() -> None:
    desk = Desk()
    desk.request("eta", "r1")
    desk.request("eta", "r1")
    assert desk.count(ModelRegistered) == 1


def test_a_model_of_another_project_is_refused_by_name() -> None:
    desk = Desk()
    desk.request("eta", "r1")
    desk.request("eta", "r2", project="maps")
    word = desk.last(ModelRefused)
    assert word.causation == "r2/1"
    assert "belongs to project 'flights', not to 'maps'" in word.body.reason


def test_a_name_that_cannot_be_a_path_is_refused() -> None:
    desk = Desk()
    desk.request("a/b")
    assert "'a/b' cannot be a model's name" in desk.last(ModelRefused).body.reason


def test_a_model_to_be_served_asks_for_its_deployment_in_the_same_turn() -> None:
    desk = Desk()
    desk.request("eta", serving={"replicas_min": 1, "replicas_max": 3})
    asked = desk.last(DeploymentRequested).body
    assert (asked.version, asked.replicas_min, asked.replicas_max) == (1, 1, 3)
    assert desk.state.deployments["eta"].state is DeploymentState.REQUESTED


def test_the_cursor_is_written_with_the_answer_and_not_with_what_concerns_nobody() -> None:
    desk = Desk()
    desk.hear(m.Followed(0, 5))
    assert desk.state.mail.next_of(LOG) is None
    desk.position = 5
    desk.request("eta")
    assert desk.state.mail.next_of(LOG) == 7


def test_a_missing_stretch_of_the_log_is_asked_for_and_nothing_is_decided() -> None:
    desk = Desk()
    desk.position = 4
    asked = ModelRequested(name="eta", ordinal=1, digest="d", runtime="onnx", signature=None, metrics=None)
    assert desk.follow(asked, run_id="r1").effects == [m.Reread()]
    assert desk.state.cursor == 0
    assert not desk.said


def test_a_decision_that_is_rolled_back_leaves_no_version_and_no_cursor() -> None:
    desk = Desk()
    asked = ModelRequested(name="eta", ordinal=1, digest="d", runtime="onnx", signature=None, metrics=None)
    entry = Entry(position=1, body=asked, subject="r1", project="flights", principal="ann", time_us=1, run_id="r1")
    desk.machine.decide(m.Followed(0, 1, entry), now_us=1)
    desk.machine.book.rollback()
    assert (desk.state.cursor, len(desk.state.versions), len(desk.state.made)) == (0, 0, 0)


def test_a_request_that_cannot_be_decided_is_refused_and_passed() -> None:
    desk = Desk()
    asked = ModelRequested(name="eta", ordinal=1, digest="d", runtime="onnx", signature=None, metrics=None)
    entry = Entry(position=1, body=asked, subject="r1", project="flights", principal="ann", time_us=1, run_id="r1")
    turn = desk.machine.set_aside(m.Followed(0, 1, entry), 1, RuntimeError("boom"))
    assert isinstance(turn.said[0].body, ModelRefused)
    assert desk.state.cursor == 1


def test_a_deployment_becomes_ready_once() -> None:
    desk = Desk()
    desk.request("eta", serving={})
    ready = m.BecameReady("eta", 1, "http://127.0.0.1:8001/v2/models/eta", 9)
    assert desk.hear(ready).answer is True
    assert desk.hear(ready).answer is True
    assert desk.count(DeploymentReady) == 1
    assert desk.state.deployments["eta"].url == ready.url


def test_word_on_a_version_that_is_no_longer_wanted_changes_nothing() -> None:
    desk = Desk()
    desk.request("eta", "r1", serving={})
    desk.request("eta", "r2", serving={})
    assert desk.hear(m.BecameReady("eta", 1, "u", 9)).answer is False
    assert desk.hear(m.BecameFailed("eta", 1, "no")).answer is False
    assert desk.state.deployments["eta"].state is DeploymentState.REQUESTED


def test_a_failed_deployment_says_why_and_can_be_asked_for_again() -> None:
    desk = Desk()
    desk.request("eta", serving={"replicas_min": 1, "replicas_max": 1})
    desk.hear(m.BecameFailed("eta", 1, "the model does not load"))
    desk.hear(m.BecameFailed("eta", 1, "the model does not load"))
    assert desk.count(DeploymentFailed) == 1
    assert desk.order("deployment.apply", name="eta")["done"]["unchanged"] is False
    assert desk.state.deployments["eta"].state is DeploymentState.REQUESTED


def test_applying_what_stands_changes_nothing_and_new_bounds_do() -> None:
    desk = Desk()
    desk.request("eta", serving={"replicas_min": 1, "replicas_max": 1})
    assert desk.order("deployment.apply", name="eta", version=1)["done"]["unchanged"] is True
    assert desk.order("deployment.apply", name="eta", replicas_max=4)["done"]["unchanged"] is False
    assert desk.last(DeploymentRequested).body.replicas_max == 4


def test_an_older_version_can_be_put_back() -> None:
    desk = Desk()
    desk.request("eta", "r1", serving={})
    desk.request("eta", "r2", serving={})
    assert desk.order("deployment.apply", name="eta", version=1)["done"]["version"] == 1
    assert desk.state.deployments["eta"].version == 1


def test_where_serve_begins_anew_what_answered_is_asked_for_again() -> None:
    desk = Desk()
    desk.request("eta", serving={"replicas_min": 1, "replicas_max": 3})
    desk.request("trip", "r2", serving={})
    desk.request("gone", "r3", serving={})
    desk.hear(m.BecameReady("eta", 1, "http://127.0.0.1:8001/v2/models/eta", 9))
    desk.hear(m.BecameFailed("trip", 1, "the model does not load"))
    desk.order("deployment.remove", name="gone")
    told = desk.count(DeploymentRequested)
    desk.hear(m.ServingBegan())
    desk.hear(m.ServingBegan())
    assert desk.count(DeploymentRequested) == told + 1
    asked = desk.last(DeploymentRequested).body
    assert (asked.name, asked.version, asked.replicas_min, asked.replicas_max) == ("eta", 1, 1, 3)
    row = desk.state.deployments["eta"]
    assert (row.state, row.url, row.ready_us) == (DeploymentState.REQUESTED, "", None)
    states = {name: desk.state.deployments[name].state for name in ("trip", "gone")}
    assert states == {"trip": DeploymentState.FAILED, "gone": DeploymentState.STOPPED}
    desk.hear(m.BecameReady("eta", 1, "http://127.0.0.1:8001/v2/models/eta", 9))
    assert desk.count(DeploymentReady) == 2


def test_what_cannot_be_applied_is_refused_with_what_there_is() -> None:
    desk = Desk()
    desk.request("eta")
    assert "Did you mean 'eta'?" in desk.order("deployment.apply", name="etta")["refused"]["reason"]
    assert desk.order("deployment.apply", name="eta", version=7)["refused"]["code"] == "not_found"
    bounds = desk.order("deployment.apply", name="eta", replicas_min=3, replicas_max=2)
    assert bounds["refused"]["code"] == "bad_replicas"


def test_a_deployment_says_what_each_of_its_replicas_leases() -> None:
    desk = Desk()
    desk.request("eta", serving={"replicas_min": 1, "replicas_max": 2, "gpus_milli": 500, "tier": 1})
    asked = desk.last(DeploymentRequested).body
    assert (asked.gpus_milli, asked.gpu_model, asked.tier) == (500, "", 1)
    assert desk.order("deployment.apply", name="eta", gpus_milli=1000, gpu_model="H100")["done"]["unchanged"] is False
    asked = desk.last(DeploymentRequested).body
    assert (asked.gpus_milli, asked.gpu_model, asked.tier, asked.replicas_max) == (1000, "H100", 1, 2)
    assert desk.order("deployment.apply", name="eta", gpus_milli=1000)["done"]["unchanged"] is True


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"gpus_milli": -1}, "gpus_milli is -1"),
        ({"gpus_milli": 1500}, "gpus_milli is 1500"),
        ({"gpus_milli": 1000, "tier": 5}, "tier is 5"),
        ({"tier": 1}, "Give gpus_milli too"),
    ],
)
def test_a_lease_that_cannot_be_is_refused(asked: dict[str, int], named: str) -> None:
    desk = Desk()
    desk.request("eta")
    assert named in desk.order("deployment.apply", name="eta", **asked)["refused"]["reason"]


def test_a_removed_deployment_stops_and_is_told_as_a_request_for_no_replicas() -> None:
    desk = Desk()
    desk.request("eta", serving={})
    assert desk.order("deployment.remove", name="eta")["done"] == {"name": "eta", "unchanged": False}
    asked = desk.last(DeploymentRequested).body
    assert (asked.replicas_min, asked.replicas_max) == (0, 0)
    assert desk.hear(m.BecameReady("eta", 1, "u", 1)).answer is False
    assert desk.order("deployment.remove", name="eta")["done"]["unchanged"] is True


def test_every_command_ends_in_one_entry_with_the_command_as_its_cause() -> None:
    desk = Desk()
    desk.deploy("v1", a_flow("train"))
    desk.order("deployment.remove", name="nothing")
    causes = [word.causation for word in desk.said if isinstance(word.body, CommandDone | CommandRefused)]
    assert causes == ["cli/c1", "cli/c2"]


def test_an_alias_is_moved_from_version_to_version_and_each_move_is_told_once() -> None:
    desk = Desk()
    desk.request("delay", "r1")
    desk.request("delay", "r2")
    for version in (1, 2, 2):
        answer = desk.order("model.alias", name="delay", alias="champion", version=version)
        assert answer["done"] == {"name": "delay", "alias": "champion", "version": version}
    moves = [word.body for word in desk.said if isinstance(word.body, ModelAliased)]
    assert [(move.previous_version, move.version) for move in moves] == [(None, 1), (1, 2)]
    assert desk.state.aliases["delay", "champion"].version == 2


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        ({"name": "delays", "alias": "champion", "version": 1}, "not_found", "Did you mean 'delay'"),
        ({"name": "delay", "alias": "champion", "version": 2}, "not_found", "its newest is 1"),
        ({"name": "delay", "alias": "champion"}, "not_found", "no version None"),
        ({"name": "delay", "alias": "3rd", "version": 1}, "invalid_input", "'3rd'"),
    ],
)
def test_an_alias_that_cannot_be_is_refused_by_name(data: dict[str, Any], code: str, words: str) -> None:
    desk = Desk()
    desk.request("delay", "r1")
    refused = desk.order("model.alias", **data)["refused"]
    assert refused["code"] == code
    assert words in refused["reason"]
