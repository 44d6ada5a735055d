"""Small factories for quota tests."""

from __future__ import annotations

from collections.abc import Mapping

from headwater.quota.messages import (
    AttemptLeased,
    Demand,
    DeviceSpec,
    Effect,
    Event,
    Grant,
    Impossible,
    NodeJoined,
    NodeSpec,
    StepWaiting,
    Waiting,
)
from headwater.quota.scheduler import Scheduler
from headwater.quota.tree import parse_tree

GIB = 1 << 30


def a_node(name: str = "local", *, gpus: int = 1, cpus: int = 8, memory_gib: int = 32, model: str = "L4") -> NodeSpec:
    devices = tuple(DeviceSpec(f"{name}/{n}") for n in range(gpus))
    return NodeSpec(name, cpus * 1000, memory_gib * GIB, model if gpus else "", devices)


def a_step(
    step_id: str,
    project: str = "flights",
    *,
    gpus: float = 1,
    since: int = 0,
    priority: int = 0,
    cpus_milli: int = 0,
    ranks: int = 1,
) -> StepWaiting:
    demand = Demand(gpus_milli=int(gpus * 1000), cpus_milli=cpus_milli, ranks=ranks)
    return StepWaiting(step_id, f"run-{step_id}", project, "fit", demand, since, priority)


def a_scheduler(projects: Mapping[str, object], *nodes: NodeSpec) -> Scheduler:
    scheduler = Scheduler(parse_tree({"cohort": {"research": {"projects": projects}}}), 1)
    for node in nodes:
        scheduler.decide(NodeJoined(node))
    return scheduler


def lease(grant: Grant, fence: int, demand: Demand, *, now_us: int = 1) -> AttemptLeased:
    return AttemptLeased(grant.step_id, fence, grant.node, grant.devices, demand, grant.nodes, now_us, grant.project)


def granted(effects: list[Effect]) -> list[str]:
    return [effect.step_id for effect in effects if isinstance(effect, Grant)]


def the_grant(scheduler: Scheduler, event: Event) -> Grant:
    (grant,) = [effect for effect in scheduler.decide(event) if isinstance(effect, Grant)]
    return grant


def the_waiting(scheduler: Scheduler, event: Event) -> Waiting:
    (waiting,) = [effect for effect in scheduler.decide(event) if isinstance(effect, Waiting)]
    return waiting


def the_refusal(scheduler: Scheduler, event: Event) -> Impossible:
    (refusal,) = [effect for effect in scheduler.decide(event) if isinstance(effect, Impossible)]
    return refusal
