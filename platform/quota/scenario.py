"""What somebody would try, as it is written down: another tree, nodes that come or go, steps that would be submitted.

lost = ["node-7"]                          # nodes that are gone, with what ran on them
drained = ["node-8"]
[[nodes]]
count = 2
gpus = 8
model = "H100"
cpu = 128
memory = "1TiB"
labels = { rack = "r1" }
[[steps]]
project = "eta"
count = 10
gpu = 4
ranks = 2
max_runtime_s = 3600
[quota.cohort.research.projects.eta]       # the whole tree that would be in force, as in a quota file
gpu = 8
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from ..errors import InvalidInput
from . import units
from .messages import Demand, DeviceSpec, NodeSpec, StepWaiting
from .policy import tier_of
from .tree import Tree, parse_tree
from .written import refuse_unknown, table

KEYS = ("quota", "lost", "drained", "nodes", "steps")
NODE_KEYS = ("id", "count", "gpus", "model", "cpu", "memory", "labels")
STEP_KEYS = (
    "project", "name", "count", "gpu", "gpu_model", "cpu", "memory", "ranks", "ranks_min", "priority",
    "max_runtime_s", "min_runtime_s", "once", "topology", "topology_preferred", "tier",
)  # fmt: skip
COUNT_MAX = 10_000
GPUS_MAX = 64
PREFIX = "if"


@dataclass(frozen=True, slots=True)
class Scenario:
    """The steps are named `if/1`, `if/2` and so on, the nodes `if-1` where they have no name."""

    tree: Tree | None
    lost: tuple[str, ...]
    drained: tuple[str, ...]
    nodes: tuple[NodeSpec, ...]
    steps: tuple[StepWaiting, ...]


def parse_scenario(written: Mapping[str, object], now_us: int) -> Scenario:
    """The scenario, validated whole. Raises InvalidInput naming what does not fit."""
    refuse_unknown(written, KEYS, "The scenario")
    if not any(written.get(key) for key in KEYS):
        raise InvalidInput("The scenario says nothing", remedy=f"Write one or more of: {', '.join(KEYS)}")
    tree = parse_tree(table(written["quota"], "quota")) if "quota" in written else None
    nodes = [spec for body, where in _tables(written, "nodes") for spec in _nodes(body, where)]
    steps = [step for body, where in _tables(written, "steps") for step in _steps(body, where, now_us)]
    if len(nodes) > COUNT_MAX or len(steps) > COUNT_MAX:
        raise InvalidInput("The scenario is too large", remedy=f"Write at most {COUNT_MAX:,} nodes and steps")
    return Scenario(
        tree,
        _names(written, "lost"),
        _names(written, "drained"),
        tuple(spec if spec.id else _named(spec, f"{PREFIX}-{number}") for number, spec in enumerate(nodes, start=1)),
        tuple(_numbered(step, number) for number, step in enumerate(steps, start=1)),
    )


def _nodes(body: Mapping[str, object], where: str) -> Iterator[NodeSpec]:
    refuse_unknown(body, NODE_KEYS, where)
    labels = table(body.get("labels", {}), f"{where}.labels")
    name, count = str(body.get("id", "")), _whole(body, "count", where, default=1)
    if name and count > 1:
        raise InvalidInput(f"{where} gives {count} nodes the id '{name}'", remedy="Leave id or count out")
    spec = NodeSpec(
        name,
        units.amount("cpu", body.get("cpu", 0), where=f"{where}.cpu"),
        units.amount("memory", body.get("memory", 0), where=f"{where}.memory"),
        str(body.get("model", "")),
        tuple(DeviceSpec(f"{name}/{n}") for n in range(_whole(body, "gpus", where, most=GPUS_MAX))),
        tuple(sorted((key, str(value)) for key, value in labels.items())),
    )
    yield from [spec] * count


def _steps(body: Mapping[str, object], where: str, now_us: int) -> Iterator[StepWaiting]:
    refuse_unknown(body, STEP_KEYS, where)
    if not isinstance(body.get("project"), str):
        raise InvalidInput(f"{where} names no project", remedy='Write for example project = "eta"')
    demand = Demand(
        units.amount("gpu", body.get("gpu", 0), where=f"{where}.gpu"),
        _text(body, "gpu_model"),
        units.amount("cpu", body.get("cpu", 0), where=f"{where}.cpu"),
        units.amount("memory", body.get("memory", 0), where=f"{where}.memory"),
        _whole(body, "ranks", where, default=1),
        _text(body, "topology"),
        _text(body, "topology_preferred"),
    )
    step = StepWaiting(
        "", PREFIX, str(body["project"]), str(body.get("name", "step")), demand, now_us,
        _whole(body, "priority", where, least=-1000),
        _whole(body, "max_runtime_s", where, most=None) if "max_runtime_s" in body else None,
        _whole(body, "min_runtime_s", where, most=None), _whole(body, "ranks_min", where), body.get("once") is True,
        tier=tier_of(body.get("tier"), where),
    )  # fmt: skip
    yield from [step] * _whole(body, "count", where, default=1)


def _named(spec: NodeSpec, name: str) -> NodeSpec:
    devices = tuple(DeviceSpec(f"{name}/{n}") for n in range(len(spec.devices)))
    return msgspec.structs.replace(spec, id=name, devices=devices)


def _numbered(step: StepWaiting, number: int) -> StepWaiting:
    return msgspec.structs.replace(step, step_id=f"{PREFIX}/{number}", since_us=step.since_us + number)


def _whole(
    body: Mapping[str, object], key: str, where: str, *, default: int = 0, least: int = 0, most: int | None = COUNT_MAX
) -> int:
    value = body.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"{least} to {most:,}"
        raise InvalidInput(f"{where}.{key} is {value!r}", remedy=f"Write a whole number, {bounds}")
    return value


def _text(body: Mapping[str, object], key: str) -> str | None:
    return str(body[key]) if body.get(key) else None


def _names(written: Mapping[str, object], key: str) -> tuple[str, ...]:
    found = written.get(key, ())
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found):
        raise InvalidInput(f"{key} is {found!r}, which is no list of nodes", remedy=f'Write for example {key} = ["n1"]')
    return tuple(found)


def _tables(written: Mapping[str, object], key: str) -> list[tuple[Mapping[str, object], str]]:
    found = written.get(key, ())
    if not isinstance(found, list | tuple):
        raise InvalidInput(f"{key} is {found!r}, which is no list", remedy=f"Write [[{key}]] before each")
    return [(table(body, f"{key}[{number}]"), f"{key}[{number}]") for number, body in enumerate(found)]
