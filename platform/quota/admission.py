"""May a gang go now, and where: quota and placement in one answer, whole or not at all.

A demand for any GPU has one option per flavour that the nodes' models are charged to; they are tried in
the order of their names, and a gang stays within one. A refusal names every cause, because the end of
any of them may let the gang go.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ..errors import did_you_mean
from . import units
from .messages import Demand, StepWaiting
from .placement import fit
from .placement.inventory import WHOLE, Inventory, Seat
from .usage import Usage

RANKS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Option:
    flavour: str | None
    models: tuple[str, ...]
    amounts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Placed:
    option: Option
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True)
class OverQuota:
    """`node` is the tree node whose bound leaves only `room` of the flavour."""

    flavour: str
    node: int
    room: int
    needed: int


@dataclass(frozen=True, slots=True)
class NoPlace:
    demand: Demand
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoProject:
    project: str


Cause = OverQuota | NoPlace | NoProject
CauseKey = tuple[str, int] | tuple[Demand, tuple[str, ...]] | str


def key_of(cause: Cause) -> CauseKey:
    """What must change before the cause can end."""
    match cause:
        case OverQuota(flavour, node):
            return (flavour, node)
        case NoPlace(demand, models):
            return (demand, models)
        case NoProject(project):
            return project


def amounts_of(demand: Demand, flavour: str | None) -> dict[str, int]:
    """What the whole gang is charged, by flavour."""
    each = {flavour or "gpu": demand.gpus_milli, "cpu": demand.cpus_milli, "memory": demand.memory_bytes}
    return {name: amount * demand.ranks for name, amount in each.items() if amount}


class Admission:
    def __init__(self, usage: Usage, inventory: Inventory) -> None:
        self._usage, self._inventory = usage, inventory
        self._options: dict[Demand, tuple[Option, ...]] = {}
        self._revision = -1

    def options(self, demand: Demand) -> tuple[Option, ...]:
        if self._revision != self._inventory.revision:
            self._options.clear()
            self._revision = self._inventory.revision
        found = self._options.get(demand)
        if found is None:
            found = self._options[demand] = self._find_options(demand)
        return found

    def check(self, project: str, demand: Demand, full: set[CauseKey]) -> Placed | tuple[Cause, ...]:
        """Seats, or every cause against. `full` collects places that are known not to fit, for one round."""
        if not self._usage.path(project):
            return (NoProject(project),)
        causes: list[Cause] = []
        for option in self.options(demand):
            over = self._over_quota(project, option)
            seats = self._place(demand, option, full) if over is None else None
            if seats is not None:
                return Placed(option, seats)
            causes.append(over or NoPlace(demand, option.models))
        return tuple(causes)

    def refusal(self, step: StepWaiting) -> str | None:
        """Why the step can never go, with the largest that would fit; None where it may go some day."""
        problem = malformed(step.demand)
        if problem is not None:
            return f"Step {step.name} {problem}."
        if not self._usage.path(step.project):
            known = did_you_mean(step.project, self._usage.tree.projects)
            return f"Project '{step.project}' has no quota. {known}".rstrip()
        reasons = []
        for option in self.options(step.demand):
            reason = self._beyond_quota(step, option) or self._beyond_nodes(step, option)
            if reason is None:
                return None
            reasons.append(reason)
        return reasons[0]

    def _find_options(self, demand: Demand) -> tuple[Option, ...]:
        if not demand.gpus_milli:
            return (Option(None, (), amounts_of(demand, None)),)
        models = [demand.gpu_model] if demand.gpu_model is not None else self._inventory.gpu_models()
        by_flavour: dict[str, list[str]] = {} if models else {"gpu": []}
        for model in models:
            by_flavour.setdefault(self._usage.flavour_of(model), []).append(model)
        return tuple(
            Option(flavour, tuple(by_flavour[flavour]), amounts_of(demand, flavour)) for flavour in sorted(by_flavour)
        )

    def _over_quota(self, project: str, option: Option) -> OverQuota | None:
        for flavour, needed in option.amounts.items():
            if self._usage.governs(flavour):
                room = self._usage.room(project, flavour)
                if room.amount < needed:
                    return OverQuota(flavour, room.bound_by, max(0, room.amount), needed)
        return None

    def _place(self, demand: Demand, option: Option, full: set[CauseKey]) -> tuple[Seat, ...] | None:
        key = (demand, option.models)
        if key in full:
            return None
        seats = fit.place(self._inventory, demand, option.models)
        if seats is None:
            full.add(key)
        return seats

    def _beyond_quota(self, step: StepWaiting, option: Option) -> str | None:
        for flavour, needed in option.amounts.items():
            if self._usage.governs(flavour):
                most, node = self._usage.largest(step.project, flavour)
                if most < needed:
                    return (
                        f"Step {step.name} asks for {units.shown(flavour, needed)}, but the quota of project "
                        f"{step.project} (bounded by {self._usage.tree.nodes[node].path}) never allows more than "
                        f"{units.shown(flavour, most)}."
                    )
        return None

    def _beyond_nodes(self, step: StepWaiting, option: Option) -> str | None:
        if not any(not node.left for node in self._inventory.nodes.values()):
            return None  # nodes are still to come
        demand = step.demand
        wanted = [msgspec.structs.replace(demand, gpu_model=model) for model in option.models] or [demand]
        ranks = sum(fit.largest(self._inventory, one) for one in wanted)
        if ranks >= demand.ranks:
            return None
        if demand.ranks > 1 and ranks:
            return f"Step {step.name} asks for {demand.ranks} ranks; all nodes, empty, would hold {ranks} of them."
        return f"Step {step.name} asks for {each_shown(demand)} on one node. {self._largest_node(demand)}"

    def _largest_node(self, demand: Demand) -> str:
        nodes = [node for node in self._inventory.nodes.values() if not node.left]
        if demand.gpus_milli:
            model = demand.gpu_model
            nodes = [node for node in nodes if node.devices and model in (None, node.spec.gpu_model)]
        if not nodes:
            models = ", ".join(self._inventory.gpu_models()) or "none"
            return (
                f"No node has {'a GPU' if demand.gpu_model is None else demand.gpu_model}; GPU models here: {models}."
            )
        node = max(nodes, key=lambda node: (len(node.devices), node.spec.cpus_milli, node.spec.memory_bytes))
        most = Demand(len(node.devices) * WHOLE, node.spec.gpu_model, node.spec.cpus_milli, node.spec.memory_bytes)
        return f"The largest that would fit is {each_shown(most)}, on node {node.spec.id}."


def malformed(demand: Demand) -> str | None:
    """What is wrong with a demand whatever the platform, as the end of a sentence; None for a good one."""
    if not 1 <= demand.ranks <= RANKS_MAX:
        return f"asks for a gang of {demand.ranks} ranks; a gang has 1 to {RANKS_MAX}"
    if min(demand.gpus_milli, demand.cpus_milli, demand.memory_bytes) < 0:
        return f"asks for a negative amount ({each_shown(demand)}); ask for 0 or more"
    if max(demand.gpus_milli, demand.cpus_milli, demand.memory_bytes) > units.AMOUNT_MAX:
        return "asks for more than can be counted"
    if demand.gpus_milli > WHOLE and demand.gpus_milli % WHOLE:
        return f"asks for {units.shown('gpu', demand.gpus_milli)}; ask for whole GPUs, or for a share below 1"
    return None


def each_shown(demand: Demand) -> str:
    """What one rank asks for, as people say it."""
    gpu = demand.gpu_model or "gpu"
    wanted = {gpu: demand.gpus_milli, "cpu": demand.cpus_milli, "memory": demand.memory_bytes}
    return ", ".join(units.shown(flavour, amount) for flavour, amount in wanted.items() if amount) or "nothing"
