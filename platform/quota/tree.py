"""The quota tree: cohorts, in them teams to any depth, in them projects.

    [quota]
    gpu_models = ["H100"]                      # flavours beside gpu, cpu and memory; may be left out

    [quota.cohort.research]                    # cohorts lend nothing to one another
    cpu = 64                                   # short for { nominal = 64 }
    [quota.cohort.research.projects.flights]
    gpu = { nominal = 2, borrow_limit = 2, lend_limit = 1, weight = 1 }
    cpu = 0.5
    memory = "8GiB"
    storage = "2TiB"
    [quota.cohort.research.teams.vision]
    [quota.cohort.research.teams.vision.projects.eta]
    H100 = 8

A cohort's or team's `nominal` is the guarantee of all that is below it: it may be more than its children's
together (the rest is shared by them), never less; left out, it is their sum. `borrow_limit` bounds what a
node takes beyond its nominal, `lend_limit` what others may take of it; left out, both are without bound.
A GPU is charged to the flavour of its model where the tree names that model, otherwise to `gpu`. CPU or
memory that no node of the tree names is not limited by quota. A node's `tier` (1 matters most, 4 least; 3 where
none says otherwise) holds for all below it that give none. A project's `storage` is how many bytes it may keep
in artifacts, tables and logs; without one there is no bound. `[quota.policy]` sets the bounds of `policy.Policy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ..errors import InvalidInput
from . import units
from .peaks import refuse_what_cannot_hold
from .policy import TIER_DEFAULT, Policy, policy_of, tier_of, written_policy
from .windows import Window, refuse_too_many, windows_of
from .written import MODELS_STAND, refuse_unknown, table

FLAVOURS = ("gpu", "cpu", "memory")
FORMAT = 1
DEPTH_MAX = 32
NODES_MAX = 100_000
WEIGHT_MAX_MILLI = 1_000_000
NAME_MAX = 128

Kind = Literal["cohort", "team", "project"]


@dataclass(frozen=True, slots=True)
class Quota:
    nominal: int
    borrow_limit: int | None = None
    lend_limit: int | None = None
    weight_milli: int = 1000


@dataclass(frozen=True, slots=True)
class TreeNode:
    """`parent` is an index into `Tree.nodes`, -1 for a cohort. Parents come before their children."""

    path: str
    name: str
    kind: Kind
    parent: int
    quotas: Mapping[str, Quota]
    tier: int = 0
    storage_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    nodes: tuple[TreeNode, ...] = ()
    gpu_models: tuple[str, ...] = ()
    projects: Mapping[str, int] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    windows: tuple[Window, ...] = ()

    def tier(self, node: int) -> int:
        """The tier of the node, its own or the nearest above it."""
        while node >= 0:
            if self.nodes[node].tier:
                return self.nodes[node].tier
            node = self.nodes[node].parent
        return TIER_DEFAULT

    def flavours(self) -> tuple[str, ...]:
        return (*FLAVOURS, *self.gpu_models)

    def governs_gpus(self) -> bool:
        return any(flavour not in ("cpu", "memory") for flavour in self.named())

    def named(self) -> set[str]:
        """The flavours that some node gives a quota of."""
        return {flavour for node in self.nodes for flavour in node.quotas}

    def to_mapping(self) -> dict[str, object]:
        """The tree in the exact form that `parse_tree` reads back, ready for JSON."""
        written = {"version": FORMAT, "gpu_models": list(self.gpu_models), "cohort": _written(self, -1, "cohort")}
        return written | ({"policy": policy} if (policy := written_policy(self.policy)) else {})


def parse_tree(written: Mapping[str, object]) -> Tree:
    """The tree that `[quota]` describes, validated whole. Raises InvalidInput naming the path."""
    refuse_unknown(written, ("version", "gpu_models", "cohort", "policy"), "quota", hint=MODELS_STAND)
    if written.get("version", FORMAT) != FORMAT:
        raise InvalidInput(
            f"quota.version is {written['version']!r}, which this release does not read", remedy=f"Write {FORMAT}"
        )
    parser = _Parser(_models(written.get("gpu_models", ())))
    parser.group(written.get("cohort", {}), "quota.cohort", "cohort", -1)
    refuse_too_many(parser.windows)
    policy = policy_of(written.get("policy", {}), "quota.policy")
    return _settled(Tree(tuple(parser.nodes), parser.models, parser.projects, policy, tuple(parser.windows)))


class _Parser:
    def __init__(self, models: tuple[str, ...]) -> None:
        self.models = models
        self.flavours = (*FLAVOURS, *models)
        self.nodes: list[TreeNode] = []
        self.projects: dict[str, int] = {}
        self.windows: list[Window] = []
        self._open: list[int] = []

    def group(self, written: object, where: str, kind: Kind, parent: int) -> None:
        for name, body in table(written, where).items():
            if not name or len(name) > NAME_MAX or "/" in name:
                raise InvalidInput(f"{where} has the name {name!r}", remedy=f"Use 1 to {NAME_MAX} letters, no '/'")
            self._node(table(body, f"{where}.{name}"), where, name, kind, parent)

    def _node(self, body: Mapping[str, object], group: str, name: str, kind: Kind, parent: int) -> None:
        where = f"{group}.{name}"
        if id(body) in self._open or len(self._open) >= DEPTH_MAX:
            raise InvalidInput(f"{where} contains itself or lies deeper than {DEPTH_MAX}", remedy="Cut the cycle")
        if len(self.nodes) >= NODES_MAX:
            raise InvalidInput(f"{where} is one node too many", remedy=f"A tree holds at most {NODES_MAX}")
        own = ("storage",) if kind == "project" else ("teams", "projects")
        if kind != "project" and "storage" in body:
            raise InvalidInput(f"{where} has `storage`, and is a {kind}", remedy="Give each of its projects its own")
        refuse_unknown(body, (*own, "tier", "windows", *self.flavours), where, hint=MODELS_STAND)
        index = self._add(where, name, kind, parent, body)
        self.windows += windows_of(body.get("windows", ()), f"{where}.windows", index, self.flavours)
        self._open.append(id(body))
        self.group(body.get("teams", {}), f"{where}.teams", "team", index)
        self.group(body.get("projects", {}), f"{where}.projects", "project", index)
        self._open.pop()

    def _add(self, where: str, name: str, kind: Kind, parent: int, body: Mapping[str, object]) -> int:
        above = self.nodes[parent].path if parent >= 0 else ""
        if kind == "project" and name in self.projects:
            first = self.nodes[self.projects[name]].path
            raise InvalidInput(f"{where} is there twice: project '{name}' is also {first}", remedy="Keep one of them")
        quotas = {
            flavour: _quota(flavour, body[flavour], f"{where}.{flavour}")
            for flavour in self.flavours
            if flavour in body
        }
        tier = tier_of(body.get("tier"), where)
        storage = units.amount("memory", body["storage"], where=f"{where}.storage") if "storage" in body else None
        self.nodes.append(TreeNode(f"{above}/{name}" if above else name, name, kind, parent, quotas, tier, storage))
        if kind == "project":
            self.projects[name] = len(self.nodes) - 1
        return len(self.nodes) - 1


def _quota(flavour: str, written: object, where: str) -> Quota:
    if not isinstance(written, Mapping):
        return Quota(units.amount(flavour, written, where=where))
    refuse_unknown(written, ("nominal", "borrow_limit", "lend_limit", "weight"), where, hint=MODELS_STAND)

    def read(key: str) -> int | None:
        return units.amount(flavour, written[key], where=f"{where}.{key}") if key in written else None

    weight = units.amount("weight", written.get("weight", 1), where=f"{where}.weight")
    if not 0 < weight <= WEIGHT_MAX_MILLI:
        raise InvalidInput(f"{where}.weight is {written['weight']!r}", remedy="Write more than 0 and at most 1000")
    # No nominal is not 0: a group without one guarantees what its children do.
    nominal = read("nominal")
    return Quota(-1 if nominal is None else nominal, read("borrow_limit"), read("lend_limit"), weight)


def _settled(tree: Tree) -> Tree:
    """The tree with every nominal known. Raises InvalidInput where children are guaranteed more than their parent."""
    below: list[dict[str, int]] = [{} for _ in tree.nodes]
    nodes = list(tree.nodes)
    for window in tree.windows:
        node = nodes[window.node]
        nodes[window.node] = replace(node, quotas={window.flavour: Quota(-1), **node.quotas})
    for index in range(len(nodes) - 1, -1, -1):
        node = nodes[index]
        quotas = dict(node.quotas)
        for flavour in {**below[index], **quotas}:
            children = below[index].get(flavour, 0)
            quota = quotas.get(flavour, Quota(-1))
            if 0 <= quota.nominal < children:
                _refuse_beyond(node, flavour, quota.nominal, children)
            quotas[flavour] = replace(quota, nominal=max(quota.nominal, children))
            if node.parent >= 0:
                above = below[node.parent]
                above[flavour] = above.get(flavour, 0) + quotas[flavour].nominal
        nodes[index] = replace(node, quotas=quotas)
    found = replace(tree, nodes=tuple(nodes))
    refuse_what_cannot_hold(found)
    return found


def _refuse_beyond(node: TreeNode, flavour: str, nominal: int, children: int) -> None:
    raise InvalidInput(
        f"{node.path} guarantees {units.shown(flavour, nominal)}, but its children {units.shown(flavour, children)}",
        remedy="Raise the parent's nominal, lower the children's, or leave the parent's out",
    )


def _written(tree: Tree, parent: int, kind: Kind) -> dict[str, object]:
    children: dict[int, list[int]] = {}
    for index, node in enumerate(tree.nodes):
        children.setdefault(node.parent, []).append(index)

    def group(parent: int, kind: Kind) -> dict[str, object]:
        mine = (index for index in children.get(parent, ()) if tree.nodes[index].kind == kind)
        return {tree.nodes[index].name: body(index) for index in mine}

    def body(index: int) -> dict[str, object]:
        written: dict[str, object] = {name: _written_quota(name, q) for name, q in tree.nodes[index].quotas.items()}
        written |= {"tier": tree.nodes[index].tier} if tree.nodes[index].tier else {}
        storage_bytes = tree.nodes[index].storage_bytes
        written |= {} if storage_bytes is None else {"storage": storage_bytes}
        if windows := [window.written() for window in tree.windows if window.node == index]:
            written["windows"] = windows
        return written | {f"{kind}s": found for kind in ("team", "project") if (found := group(index, kind))}

    return group(parent, kind)


def _written_quota(flavour: str, quota: Quota) -> dict[str, object]:
    written: dict[str, object] = {"nominal": units.stored(flavour, quota.nominal)}
    if quota.borrow_limit is not None:
        written["borrow_limit"] = units.stored(flavour, quota.borrow_limit)
    if quota.lend_limit is not None:
        written["lend_limit"] = units.stored(flavour, quota.lend_limit)
    return written | {"weight": units.stored("weight", quota.weight_milli)}


def _models(written: object) -> tuple[str, ...]:
    if not isinstance(written, list | tuple) or not all(isinstance(model, str) and model for model in written):
        raise InvalidInput(f"quota.gpu_models is {written!r}", remedy='Write a list of names, for example ["H100"]')
    for model in written:
        if (
            model
            in (*FLAVOURS, "teams", "projects", "tier", "windows", "storage", "days", "from", "to", "zone", "lead_s")
            or written.count(model) > 1
        ):
            raise InvalidInput(f"quota.gpu_models names {model!r}, which is taken", remedy="Name each model once")
    return tuple(written)
