"""The Registry on a real store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater.actors.registry import RegistryActor, stretches
from headwater.actors.wiring import Wiring
from headwater.core.inventory import DeploymentState, QuotaTree
from headwater.store.reader import Reader
from headwater.wire.entries.models import DeploymentReady, FlowDeployed, ModelRegistered, ModelRequested
from headwater.wire.entries.quota import QuotaChanged
from headwater.wire.manifest import FlowSpec, Manifest
from headwater.wire.types import Said

from .alone import a_wiring, alone, an_order, entries, living, say

pytestmark = pytest.mark.asyncio(loop_scope="session")
Registry = alone(RegistryActor)
TREE: dict[str, Any] = {"cohort": {"local": {"projects": {"flights": {}}}}}


@pytest.fixture
def wiring(tmp_path: Path) -> Wiring:
    """A store with a quota tree."""
    wiring = a_wiring(tmp_path)
    tree = QuotaTree(version=1, tree=TREE, principal="up", applied_us=1)
    word = Said(body=QuotaChanged(version=1, tree=TREE), subject="tree", project="", principal="up", time_us=1)
    say(wiring, "scheduler", [word], {"quota_trees": {1: tree}})
    return wiring


def asks_for_a_model(wiring: Wiring, run_id: str, *, serving: object = None) -> None:
    body = ModelRequested(
        name="eta", ordinal=1, digest="d", runtime="onnx", signature=None, metrics={"mae": 3.0}, serving=serving
    )
    word = Said(body=body, subject=run_id, project="flights", principal="ann", time_us=1, run_id=run_id, seq=1)
    say(wiring, "conductor", [word], {})


def a_manifest() -> object:
    flow = FlowSpec(name="train", project="flights", function="flows:train", parameters={"type": "object"})
    return msgspec.to_builtins(Manifest(flows=(flow,)))


async def test_a_deploy_is_durable_and_a_repeated_command_gets_the_first_answer(wiring: Wiring) -> None:
    order = an_order("code.deploy", version="v1", bundle="b", manifest=a_manifest())
    async with living(Registry(wiring)) as registry:
        first = await registry.order(order)
    async with living(Registry(wiring)) as registry:
        assert await registry.order(order) == first
        again = await registry.order(msgspec.structs.replace(order, id="c2"))
    assert first["done"]["flows"] == ["flights/train"]
    assert again["done"]["unchanged"] is True
    assert len(entries(wiring, FlowDeployed)) == 1


async def test_a_model_asked_for_while_nobody_listened_is_registered_after_the_start_and_once(wiring: Wiring) -> None:
    asks_for_a_model(wiring, "r1")
    for _ in range(2):
        async with living(Registry(wiring)) as registry:
            await registry.order(an_order("deployment.remove", name="eta"))  # a command is decided behind the log
    [word] = entries(wiring, ModelRegistered)
    assert word.causation == "r1/1"


async def test_a_push_is_answered_as_it_comes(wiring: Wiring) -> None:
    async with living(Registry(wiring)) as registry:
        asks_for_a_model(wiring, "r1", serving={"replicas_min": 1, "replicas_max": 1})
        pushed = [entry for entry in entries(wiring) if isinstance(entry.body, ModelRequested)]
        registry.follow(pushed[0].position - 1, pushed[0].position, pushed)
        await registry.order(an_order("deployment.remove", name="other"))
        assert await registry.deployment_ready("eta", 1, "http://127.0.0.1:8001/v2/models/eta", 5) is True
        assert await registry.deployment_ready("eta", 1, "http://127.0.0.1:8001/v2/models/eta", 5) is True
        assert await registry.deployment_failed("eta", 9, "of another version") is False
    [word] = entries(wiring, ModelRegistered)
    assert word.project == "flights"
    assert len(entries(wiring, DeploymentReady)) == 1
    with Reader(wiring.engine(read_only=True)).picture() as picture:
        assert [row.state for row in picture.rows("deployments")] == [DeploymentState.READY]


async def test_the_log_is_cut_behind_each_entry_that_concerns_the_registry(wiring: Wiring) -> None:
    asks_for_a_model(wiring, "r1")
    cut = stretches(0, entries(wiring), 7)
    assert [(each.after, each.upto, each.entry is None) for each in cut] == [(0, 1, False), (1, 2, False), (2, 7, True)]


async def test_a_stretch_that_was_not_pushed_is_read_from_the_log(wiring: Wiring) -> None:
    async with living(Registry(wiring)) as registry:
        for number in range(3):
            asks_for_a_model(wiring, f"r{number}")
        last = entries(wiring)[-1]
        registry.follow(last.position - 1, last.position, [last])
        await registry.follower.catch_up()
        await registry._reread()
    assert [word.causation for word in entries(wiring, ModelRegistered)] == ["r0/1", "r1/1", "r2/1"]
