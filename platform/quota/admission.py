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
from .placement import fit, topology
from .placement.inventory import WHOLE, Inventory, Seat
from .places import Places
from .queues import Shape, shape_of
from .usage import Usage

RANKS_MAX = 100_000
OPTIONS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Option:
    """`amounts`: what the fewest ranks that go are charged; `each`: what one rank is."""

    flavour: str | None
    models: tuple[str, ...]
    amounts: dict[str, int]
    each: dict[str, int]


@dataclass(frozen=True, slots=True)
class Placed:
    option: Option
    seats: tuple[Seat, ...]

    def amounts(self) -> dict[str, int]:
        return {flavour: amount * len(self.seats) for flavour, amount in self.option.each.items()}


@dataclass(frozen=True, slots=True)
class OverQuota:
    """`node` is the tree node whose bound leaves only `room` of the flavour; `once`: to a step that never borrows."""

    flavour: str
    node: int
    room: int
    needed: int
    once: bool = False


@dataclass(frozen=True, slots=True)
class NoPlace:
    demand: Demand
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoProject:
    project: str


Cause = OverQuota | NoPlace | NoProject


def key_of(cause: Cause) -> object:
    """What makes it another cause to whoever is told."""
    match cause:
        case OverQuota(flavour, node):
            return (flavour, node)
        case NoPlace(demand, models):
            return (demand, models)
        case NoProject(project):
            return project


def amounts_of(demand: Demand, flavour: str | None, ranks: int | None = None) -> dict[str, int]:
    """What a gang of so many ranks (left out: all of them) is charged, by flavour."""
    each = {flavour or "gpu": demand.gpus_milli, "cpu": demand.cpus_milli, "memory": demand.memory_bytes}
    count = demand.ranks if ranks is None else ranks
    return {name: amount * count for name, amount in each.items() if amount}


class Admission:
    def __init__(self, usage: Usage, inventory: Inventory, places: Places) -> None:
        self._usage, self._inventory, self._places = usage, inventory, places
        self._options: dict[Shape, tuple[Option, ...]] = {}
        self._revision = -1  # of the nodes that the options were found with

    def options(self, shape: Shape) -> tuple[Option, ...]:
        """The flavours that a gang may be charged to, in the order in which they are tried."""
        if self._revision != self._inventory.revision or len(self._options) >= OPTIONS_MAX:
            self._options.clear()
            self._revision = self._inventory.revision
        found = self._options.get(shape)
        if found is None:
            found = self._options[shape] = self._options_of(shape)
        return found

    def _options_of(self, shape: Shape) -> tuple[Option, ...]:
        demand, ranks = shape.demand, shape.ranks_min
        return tuple(
            Option(flavour, models, amounts_of(demand, flavour, ranks), amounts_of(demand, flavour, 1))
            for flavour, models in self._flavours(demand)
        )

    def fits(self, shape: Shape, options: tuple[Option, ...]) -> bool:
        return any(self._places.seats(shape.demand, shape.ranks_min, option.models) for option in options)

    def judge(self, project: str, shape: Shape, options: tuple[Option, ...]) -> Placed | None:
        """Seats for as many ranks as there is room and quota for; None where the fewest do not go."""
        if not self._usage.path(project):
            return None
        for option in options:
            seats = self._places.seats(shape.demand, shape.ranks_min, option.models)
            if seats is not None:
                ranks = min(len(seats), self._payable(project, shape, option))
                if ranks >= shape.ranks_min:
                    return Placed(option, seats[:ranks])
        return None

    def causes(self, project: str, shape: Shape, options: tuple[Option, ...]) -> tuple[Cause, ...]:
        """Everything against it, one cause for each option; none where it may go now."""
        if not self._usage.path(project):
            return (NoProject(project),)
        found: list[Cause] = []
        for option in options:
            over = self._over_quota(project, shape, option)
            if over is None and self._places.seats(shape.demand, shape.ranks_min, option.models):
                return ()
            found.append(over or NoPlace(shape.demand, option.models))
        return tuple(found)

    def refusal(self, step: StepWaiting) -> str | None:
        """Why the step can never go, with the largest that would fit; None where it may go some day."""
        problem = malformed(step)
        if problem is not None:
            return f"Step {step.name} {problem}."
        if not self._usage.path(step.project):
            known = did_you_mean(step.project, self._usage.tree.projects)
            return f"Project '{step.project}' has no quota. {known}".rstrip()
        awaited = self._inventory.may_return(step.demand)
        reasons = []
        for option in self.options(shape_of(step)):
            reason = self._beyond_quota(step, option) or (None if awaited else self._beyond_nodes(step, option))
            if reason is None:
                return None
            reasons.append(reason)
        return reasons[0]

    def homeless(self, step: StepWaiting) -> str | None:
        """Why no node that is there could ever hold the step; None where one could, or nodes are still to come."""
        reasons = [self._beyond_nodes(step, option) for option in self.options(shape_of(step))]
        return reasons[0] if reasons and None not in reasons else None

    def _flavours(self, demand: Demand) -> list[tuple[str | None, tuple[str, ...]]]:
        if not demand.gpus_milli:
            return [(None, ())]
        models = [demand.gpu_model] if demand.gpu_model is not None else self._inventory.gpu_models()
        by_flavour: dict[str, list[str]] = {} if models else {"gpu": []}
        for model in models:
            by_flavour.setdefault(self._usage.flavour_of(model), []).append(model)
        return [(flavour, tuple(by_flavour[flavour])) for flavour in sorted(by_flavour)]

    def _payable(self, project: str, shape: Shape, option: Option) -> int:
        """How many ranks there is quota for, at most those that are asked for."""
        ranks = shape.demand.ranks
        for flavour, amount in option.each.items():
            if self._usage.governs(flavour):
                ranks = min(ranks, self._usage.lendable(project, flavour, shape).amount // amount)
                if shape.once:
                    ranks = min(ranks, self._usage.owned_room(project, flavour, shape) // amount)
        return ranks

    def _over_quota(self, project: str, shape: Shape, option: Option) -> OverQuota | None:
        for flavour, needed in option.amounts.items():
            if self._usage.governs(flavour):
                room = self._usage.lendable(project, flavour, shape)
                if room.amount < needed:
                    return OverQuota(flavour, room.bound_by, max(0, room.amount), needed)
                owned = self._usage.owned_room(project, flavour, shape) if shape.once else needed
                if owned < needed:
                    node = self._usage.path(project)[0]
                    return OverQuota(flavour, node, max(0, owned), needed, once=True)
        return None

    def _beyond_quota(self, step: StepWaiting, option: Option) -> str | None:
        for flavour, needed in option.amounts.items():
            if self._usage.governs(flavour):
                most, node = self._usage.largest(step.project, flavour)
                owned = self._usage.largest_owned(step.project, flavour)
                if step.once and owned < min(needed, most):
                    return (
                        f"Step {step.name} may run only once, so it never borrows: it asks for "
                        f"{units.shown(flavour, needed)}, but project {step.project} is guaranteed no more than "
                        f"{units.shown(flavour, owned)}."
                    )
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
        if ranks >= (step.ranks_min or demand.ranks):
            return None
        if demand.ranks > 1 and ranks:
            where = f"one {demand.required_level}" if demand.required_level else "all nodes"
            return f"Step {step.name} asks for {demand.ranks} ranks; {where}, empty, would hold {ranks} of them."
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
        node = min(nodes, key=lambda n: (-len(n.devices), -n.spec.cpus_milli, -n.spec.memory_bytes, n.spec.id))
        most = Demand(len(node.devices) * WHOLE, node.spec.gpu_model, node.spec.cpus_milli, node.spec.memory_bytes)
        return f"The largest that would fit is {each_shown(most)}, on node {node.spec.id}."


def malformed(step: StepWaiting) -> str | None:
    """What is wrong with a request whatever the platform, as the end of a sentence; None for a good one."""
    demand = step.demand
    if not 0 <= step.ranks_min <= demand.ranks:
        return f"asks for {step.ranks_min} to {demand.ranks} ranks; the fewest come first, and are at least 1"
    if step.max_runtime_s is not None and not 0 <= step.min_runtime_s <= step.max_runtime_s:
        return f"declares a min_runtime of {step.min_runtime_s} s over its max_runtime of {step.max_runtime_s} s"
    if step.min_runtime_s < 0:
        return f"declares a min_runtime of {step.min_runtime_s} s; declare 0 or more"
    if not 1 <= demand.ranks <= RANKS_MAX:
        return f"asks for a gang of {demand.ranks} ranks; a gang has 1 to {RANKS_MAX}"
    if min(demand.gpus_milli, demand.cpus_milli, demand.memory_bytes) < 0:
        return f"asks for a negative amount ({each_shown(demand)}); ask for 0 or more"
    if max(demand.gpus_milli, demand.cpus_milli, demand.memory_bytes) > units.AMOUNT_MAX:
        return "asks for more than can be counted"
    if demand.gpus_milli > WHOLE and demand.gpus_milli % WHOLE:
        return f"asks for {units.shown('gpu', demand.gpus_milli)}; ask for whole GPUs, or for a share below 1"
    return topology.unknown_level(demand)


def each_shown(demand: Demand) -> str:
    """What one rank asks for, as people say it."""
    gpu = demand.gpu_model or "gpu"
    wanted = {gpu: demand.gpus_milli, "cpu": demand.cpus_milli, "memory": demand.memory_bytes}
    return ", ".join(units.shown(flavour, amount) for flavour, amount in wanted.items() if amount) or "nothing"
