"""Where Serve's controller is told to put replicas that lease devices."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headwater.local.loopback.lease_placement import free_node, place_by_lease, seats_of


def test_the_seats_of_a_deployment_are_read_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_SEATS", str(tmp_path))
    (tmp_path / "eta").write_text("a 2\nb 1\n")
    (tmp_path / "idle").write_text("")
    assert seats_of("model:eta") == {"a": 2, "b": 1}
    assert seats_of("model:idle") == {}
    assert seats_of("model:other") is None
    assert seats_of("root") is None


def test_a_node_is_free_while_it_has_more_seats_than_replicas() -> None:
    seats = {"a": 2, "b": 1}
    assert free_node(seats, []) == "a"
    assert free_node(seats, ["a", "a"]) == "b"
    assert free_node(seats, ["a", "b", "a"]) is None


class Scheduler:
    """Serve's, as far as placing goes."""

    def __init__(self) -> None:
        self._launching_replicas: dict[Any, dict[str, Any]] = {ETA: {}, OTHER: {}}
        self._running_replicas: dict[Any, dict[str, str]] = {ETA: {}, OTHER: {}}

    def _schedule_replica(self, scheduling_request: Any, default_scheduling_strategy: str) -> bool:
        info = SimpleNamespace(target_node_id=scheduling_request.target_node_id)
        name = scheduling_request.replica_id
        self._launching_replicas[name.deployment_id][name.unique_id] = info
        return True


class Id:
    def __init__(self, app_name: str) -> None:
        self.app_name = app_name


ETA, OTHER = Id(app_name="model:eta"), Id(app_name="model:other")


def a_request(deployment: Id, number: int) -> Any:
    return SimpleNamespace(replica_id=SimpleNamespace(deployment_id=deployment, unique_id=number), target_node_id=None)


def test_each_replica_goes_to_a_seat_and_one_too_many_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_SEATS", str(tmp_path))
    (tmp_path / "eta").write_text("a 1\nb 1\n")
    place_by_lease(Scheduler)
    scheduler, requests = Scheduler(), [a_request(ETA, number) for number in range(3)]
    placed = [scheduler._schedule_replica(request, default_scheduling_strategy="SPREAD") for request in requests]
    assert placed == [True, True, False]
    assert [request.target_node_id for request in requests] == ["a", "b", None]
    other = a_request(OTHER, 0)
    assert scheduler._schedule_replica(other, default_scheduling_strategy="SPREAD")
    assert other.target_node_id is None


def test_serve_has_what_is_patched() -> None:
    """Read and not imported: Serve takes its settings when it is."""
    ray = find_spec("ray")
    assert ray is not None
    assert ray.origin is not None
    source = Path(ray.origin).parent / "serve" / "_private" / "deployment_scheduler.py"
    classes = {node.name: node for node in ast.parse(source.read_text()).body if isinstance(node, ast.ClassDef)}
    fields = [node.target for node in classes["ReplicaSchedulingRequest"].body if isinstance(node, ast.AnnAssign)]
    assert "target_node_id" in [field.id for field in fields if isinstance(field, ast.Name)]
    methods = {node.name: node for node in classes["DeploymentScheduler"].body if isinstance(node, ast.FunctionDef)}
    assert [arg.arg for arg in methods["_schedule_replica"].args.args][:2] == ["self", "scheduling_request"]
