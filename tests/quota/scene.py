"""Small factories for quota tests."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from headwater.quota.messages import (
    AttemptLeased,
    AttemptReleased,
    Demand,
    DeviceFreed,
    DeviceSpec,
    Effect,
    Event,
    Grant,
    Impossible,
    NodeJoined,
    NodeSpec,
    Reclaim,
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
    ranks_min: int = 0,
    max_runtime_s: int | None = None,
    min_runtime_s: int = 0,
    once: bool = False,
    evictions: int = 0,
    tier: int = 0,
) -> StepWaiting:
    demand = Demand(gpus_milli=int(gpus * 1000), cpus_milli=cpus_milli, ranks=ranks)
    return StepWaiting(
        step_id,
        f"run-{step_id}",
        project,
        "fit",
        demand,
        since,
        priority,
        max_runtime_s,
        min_runtime_s,
        ranks_min,
        once,
        evictions,
        tier=tier,
    )


def a_scheduler(projects: Mapping[str, object], *nodes: NodeSpec) -> Scheduler:
    scheduler = Scheduler(parse_tree({"cohort": {"research": {"projects": projects}}}), 1)
    for node in nodes:
        scheduler.decide(NodeJoined(node))
    return scheduler


def lease(grant: Grant, fence: int, demand: Demand, *, now_us: int = 1) -> AttemptLeased:
    return AttemptLeased(grant.step_id, fence, grant.node, grant.devices, demand, grant.nodes, now_us, grant.project)


class Platform:
    """A Scheduler whose grants are all leased at once; time is in seconds. A gang's fence counts from 1."""

    def __init__(self, cohort: Mapping[str, object], *nodes: NodeSpec, policy: Mapping[str, int] | None = None) -> None:
        tree = parse_tree({"cohort": {"all": cohort}, "policy": dict(policy or {})})
        self.scheduler = Scheduler(tree, 1)
        self.fences: dict[str, int] = {}
        self.grants: dict[str, Grant] = {}
        self.said: list[Effect] = []
        self._fence = 0
        for node in nodes:
            self.tell(NodeJoined(node))

    def tell(self, event: Event, at: int = 0) -> list[str]:
        """The steps that were granted, in order."""
        waiting, went = deque([event]), []
        self.said = []
        while waiting:
            effects = self.scheduler.decide(waiting.popleft(), at * 1_000_000)
            self.said += effects
            for grant in [effect for effect in effects if isinstance(effect, Grant)]:
                self._fence += 1
                went.append(grant.step_id)
                self.fences[grant.step_id], self.grants[grant.step_id] = self._fence, grant
                demand = self.scheduler._holdings.all[grant.step_id].step.demand
                waiting.append(lease(grant, self._fence, demand, now_us=max(1, at * 1_000_000)))
        return went

    def start(self, *steps: StepWaiting, at: int = 0) -> list[str]:
        return [name for step in steps for name in self.tell(step, at)]

    def end(self, step_id: str, at: int = 0) -> list[str]:
        """The attempt ends, and its devices are seen empty."""
        fence, grant = self.fences[step_id], self.grants[step_id]
        devices = tuple(dict.fromkeys(device for rank in grant.devices for device in rank))
        went = self.tell(AttemptReleased(fence), at)
        said = self.said
        went += self.tell(DeviceFreed(devices, fence), at) if devices else []
        self.said = said + self.said
        return went

    def victims(self) -> list[str]:
        """Of the last event, the steps that are to be ended for others."""
        return [effect.step_id for effect in self.said if isinstance(effect, Reclaim)]

    def used(self, name: str, flavour: str = "gpu") -> int:
        (node,) = [node for node in self.scheduler.usage() if node.name == name]
        return node.flavours[flavour].used


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
