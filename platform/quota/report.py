"""What each node of the tree uses, borrows, lends and waits for."""

from __future__ import annotations

from msgspec import Struct

from .admission import amounts_of
from .queues import Queues
from .tree import Kind
from .usage import Usage


class FlavourUsage(Struct, frozen=True):
    """Base units. `lent` is what others use of this node's guarantee, taken from those with most idle first."""

    nominal: int
    used: int
    borrowed: int
    lent: int
    waiting: int


class NodeUsage(Struct, frozen=True):
    path: str
    name: str
    kind: Kind
    parent: int
    waiting_steps: int
    flavours: dict[str, FlavourUsage]


def report(usage: Usage, queues: Queues) -> list[NodeUsage]:
    nodes = usage.tree.nodes
    steps, waiting = _waiting(usage, queues)
    columns = {flavour: _column(usage, flavour, waiting.get(flavour, {})) for flavour in usage.flavours()}
    return [
        NodeUsage(
            node.path,
            node.name,
            node.kind,
            node.parent,
            steps[index],
            {f: column[index] for f, column in columns.items()},
        )
        for index, node in enumerate(nodes)
    ]


def _waiting(usage: Usage, queues: Queues) -> tuple[list[int], dict[str, dict[int, int]]]:
    """Steps by node, and amounts by flavour and node; what may go on any GPU model counts as its first flavour."""
    steps = [0] * len(usage.tree.nodes)
    amounts: dict[str, dict[int, int]] = {}
    for (project, shape), line in queues.lines.items():
        count, demand = len(line.turns), shape.demand
        flavour = usage.flavour_of(demand.gpu_model or "")
        for node in usage.path(project):
            steps[node] += count
            for name, amount in amounts_of(demand, flavour).items():
                by_node = amounts.setdefault(name, {})
                by_node[node] = by_node.get(node, 0) + amount * count
    return steps, amounts


def _column(usage: Usage, flavour: str, waiting: dict[int, int]) -> list[FlavourUsage]:
    nodes = usage.tree.nodes
    used = _used(usage, flavour)
    quotas = [node.quotas.get(flavour) for node in nodes]
    nominal = [quota.nominal if quota else 0 for quota in quotas]
    borrowed = [max(0, u - n) for u, n in zip(used, nominal, strict=True)]
    children: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        children.setdefault(node.parent, []).append(index)
    lent = [0] * len(nodes)
    for index in range(len(nodes)):
        mine = children.get(index, [])
        shared = nominal[index] - sum(nominal[child] for child in mine)
        sought = sum(borrowed[child] for child in mine) + lent[index] - shared - borrowed[index]
        idle = sorted(mine, key=lambda child: (-(nominal[child] - used[child]), child))
        for child in idle:
            quota = quotas[child]
            most = max(0, nominal[child] - used[child])
            most = most if quota is None or quota.lend_limit is None else min(most, quota.lend_limit)
            lent[child] = max(0, min(sought, most))
            sought -= lent[child]
    rows = zip(nominal, used, borrowed, lent, strict=True)
    return [FlavourUsage(*row, waiting.get(index, 0)) for index, row in enumerate(rows)]


def _used(usage: Usage, flavour: str) -> list[int]:
    """Use below each node, kept parts included."""
    used = [0] * len(usage.tree.nodes)
    for project, index in usage.tree.projects.items():
        used[index] = usage.used(project, flavour)
    for index in range(len(used) - 1, -1, -1):
        parent = usage.tree.nodes[index].parent
        if parent >= 0:
            used[parent] += used[index]
    return used
