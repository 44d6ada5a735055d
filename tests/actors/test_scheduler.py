from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headwater.local.ray_head import RayHead


@pytest.fixture(scope="module")
def story(ray_head: RayHead, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Scheduler, GpuPool and a NodeAgent did about a store that a crash left behind."""
    driver = Path(__file__).parent / "quota_driver.py"
    told = subprocess.run(
        [sys.executable, "-W", "ignore", str(driver), ray_head.address, str(tmp_path_factory.mktemp("home"))],
        env={**os.environ, **ray_head.environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    answer: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return answer


def test_an_empty_store_gets_the_configured_tree_as_version_one(story: dict[str, Any]) -> None:
    assert story["trees"][0] == [1, "headwater"]
    first = next(body for kind, body in story["log"] if kind == "quota.changed")
    assert set(first["tree"]["cohort"]["local"]["projects"]) == {"flights", "eta"}


def test_the_node_joins_with_its_logical_devices(story: dict[str, Any]) -> None:
    (joined,) = [body for kind, body in story["log"] if kind == "node.joined"]
    assert joined["node"] == "local"
    assert [device["id"] for device in joined["devices"]] == ["local/0"]
    assert joined["cpus_milli"] >= 1000
    assert joined["ray_node"] != "old"


def test_what_an_earlier_life_held_is_freed_and_then_given_on(story: dict[str, Any]) -> None:
    of = [(kind, body.get("fence")) for kind, body in story["log"]]
    assert of.index(("device.freed", 1)) < of.index(("step.leased", 2)) < of.index(("device.freed", 2))


def test_commands_are_answered_and_told_in_the_log(story: dict[str, Any]) -> None:
    applied, refused, drained = story["answers"]
    assert applied["done"]["version"] == 2
    assert "gpux" in refused["refused"]["reason"]
    assert drained["done"] == {"node": "local", "drained": True}
    kinds = [kind for kind, _ in story["log"]]
    assert (kinds.count("command.done"), kinds.count("command.refused")) == (2, 1)
    assert story["nodes"] == [["local", "DRAINED"]]


def test_an_agent_that_died_is_made_again_and_its_node_does_not_leave(story: dict[str, Any]) -> None:
    assert "node.left" not in [kind for kind, _ in story["log"]]
    assert [kind for kind, _ in story["log"]].count("node.joined") == 1


def test_what_is_known_against_a_device_keeps_it_out_of_service(story: dict[str, Any]) -> None:
    (ill,) = [body for kind, body in story["log"] if kind == "device.quarantined"]
    said = {"device": "local/0", "node": "local", "illness": "xid", "reason": "XID error 79"}
    assert ill == {"type": "device.quarantined", **said}


def test_a_scheduler_that_died_takes_the_tree_from_the_store(story: dict[str, Any]) -> None:
    assert [version for version, _ in story["trees"]] == [1, 2]
    assert story["described"][1]["restarts"] == 1


def test_the_owners_say_how_they_stand(story: dict[str, Any]) -> None:
    assert [said["name"] for said in story["described"]] == ["gpu_pool", "scheduler"]
    assert story["agent"]["name"] == "node_agent:local"
    assert {node["name"] for node in story["usage"]} == {"local", "eta"}
    assert story["explained"] == {}
