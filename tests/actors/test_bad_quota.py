"""A quota command that does not fit is refused with the value and the remedy, and nothing of it applies."""

from __future__ import annotations

from typing import Any

import pytest
from scenes.scheduler import Scene, a_tree, apply, waits

from headwater.actors.sharing.quota_desk import Ticked, TickLater
from headwater.wire.entries.events import CommandRefused
from headwater.wire.entries.nodes import NodeJoined, NodeLeft


def nested(depth: int) -> dict[str, Any]:
    team: dict[str, Any] = {}
    for _ in range(depth):
        team = {"teams": {"again": team}}
    return {"cohort": {"all": team}}


def projects(**quotas: Any) -> dict[str, Any]:
    return {"cohort": {"all": {"gpu": 4, "projects": quotas}}}


TWICE = {"cohort": {"all": {"projects": {"eta": {}}}, "other": {"projects": {"eta": {"gpu": 1}}}}}
BAD = [
    (nested(40), "contains itself or lies deeper than 32. Cut the cycle"),
    (TWICE, "other.projects.eta is there twice: project 'eta' is also all/eta. Keep one of them"),
    (projects(eta={"gpu": 3}, flights={"gpu": 2}), "all guarantees 4 GPUs, but its children 5 GPUs. Raise"),
    (projects(eta={"gpu": -1}), "projects.eta.gpu is -1, which is negative. Write 0 or more"),
    (projects(eta={"gpu": "0.5m"}), "finer than a thousandth"),
    (projects(eta={"memory": "0.5B"}), "finer than one byte"),
    (projects(eta={"H100": 1}), "projects.eta has an unknown key 'H100'"),
    (projects(eta={"gpu": {"nominal": 1, "lend_limit": -1}}), "eta.gpu.lend_limit is -1, which is negative"),
    (projects(eta={"gpu": {"nominal": 1, "weight": 0}}), "eta.gpu.weight is 0"),
    (projects(eta={"tier": 5}), "eta.tier is 5"),
    ({**a_tree(eta=1), "policy": {"grace_s": 0.5}}, "policy.grace_s is 0.5. Write a whole number"),
]


def a_scene() -> Scene:
    """`run/2` of eta waits, because version 1 gives it one GPU."""
    scene = Scene(eta=1)
    scene.follow(waits(1), waits(2))
    return scene


@pytest.mark.parametrize(("tree", "says"), BAD)
def test_a_tree_that_does_not_fit_is_refused_whole_and_changes_nothing(tree: Any, says: str) -> None:
    scene = a_scene()
    assert scene.tell(apply(tree)) == []
    refused = scene.turn.answer["refused"]
    assert refused["code"] == "invalid_quota"
    assert says in refused["reason"]
    assert (scene.desk.engine.tree_version, scene.written.get("quota_trees")) == (1, None)


def test_the_refusal_is_one_entry_of_the_log_and_the_next_tree_is_taken() -> None:
    scene = a_scene()
    scene.tell(apply(BAD[0][0]))
    (said,) = scene.turn.said
    assert isinstance(said.body, CommandRefused)
    (grant,) = scene.tell(apply(a_tree(eta=2), command="c2"))
    assert (grant.step_id, grant.tree_version) == ("run/2", 2)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ranks": 0}, "a gang of 0 ranks; a gang has 1 to"),
        ({"ranks": 2, "ranks_min": 3}, "3 to 2 ranks; the fewest come first"),
        ({"gpus": -1}, "a negative amount (-1 GPUs); ask for 0 or more"),
        ({"min_runtime_s": 60.0, "max_runtime_s": 30.0}, "a min_runtime of 60 s over its max_runtime of 30 s"),
        ({"min_runtime_s": -5.0}, "a min_runtime of -5 s; declare 0 or more"),
        ({"gpus": 3}, "never allows more than 2 GPUs"),
        (
            {"cpus_milli": 9000},
            "asks for 1 GPU, 9 CPUs on one node. The largest that would fit is 2 logical GPUs, 8 CPUs",
        ),
    ],
)
def test_a_step_that_can_never_go_is_held_for_good_and_takes_nothing(changes: dict[str, Any], says: str) -> None:
    scene = Scene(eta=2)
    assert scene.follow(waits(1, **changes)) == []
    (hold,) = scene.holds()
    assert (hold.code, hold.final) == ("impossible", True)
    assert says in hold.reason
    assert scene.desk.engine.holdings() == {}
    assert len(scene.follow(waits(2), waits(3))) == 2


def test_what_waited_for_a_node_is_held_for_good_once_the_node_is_given_up() -> None:
    scene = Scene(eta=2)
    scene.follow(NodeJoined(node="m", cpus_milli=32_000, memory_bytes=1 << 33, devices=(), ray_node="r2"))
    scene.follow(NodeLeft(node="m", reason="gone"))
    assert scene.follow(waits(1, gpus=0, cpus_milli=16_000)) == []
    assert [hold.final for hold in scene.holds()] == [False]
    assert TickLater(scene.position - 1 + 600_000_000) in scene.turn.effects
    scene.position += 600_000_000
    scene.tell(Ticked())
    (hold,) = scene.holds()
    assert (hold.step_id, hold.final) == ("run/1", True)
    assert "away for more than 600 s" in hold.reason
