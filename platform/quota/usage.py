"""What the nodes of a tree use, and what a project may still take.

Kueue's arithmetic (pkg/cache/scheduler/resource_node.go), with a group's nominal read as the guarantee of
all below it. Per node and flavour: `stored` is what can be had in its subtree through it, `kept` the part
of it that it lends to nobody. Use fills `kept` first; only what goes beyond it is seen by the parent.
`add` and `remove` are exact inverses of each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import withheld
from .half_life import HalfLife
from .messages import StepWaiting
from .policy import PRIORITY_OF_TIER, TIER_DEFAULT
from .tree import Quota, Tree
from .windows import next_change_us, tree_at
from .withheld import Calendar, Keeper, Room, calendar_of, room_of, stay_of

if TYPE_CHECKING:
    from .queues import Shape
    from .windows import Window

PARTS = 1_000_000_000
NONE = Quota(0)


@dataclass(slots=True)
class Ledger:
    """One flavour over all nodes of the tree, by node index. `limit` is -1 without a borrow limit."""

    nominal: list[int]
    stored: list[int]
    kept: list[int]
    limit: list[int]
    weight: list[int]
    used: list[int]
    total: list[int]  # used by all below, kept parts included
    keeps_below: list[bool]  # whether some node below keeps a part of its own to itself
    own: list[int]  # the part of the guarantee that no child is guaranteed
    over: dict[int, int]  # by cohort: how many of its projects use more than their guarantee
    once: list[int]  # what of `own` is used by steps that may run only once


class Usage:
    def __init__(self, tree: Tree, now_us: int = 0) -> None:
        """The use of the tree as its windows make it at that time; `declared` is as it was written."""
        self.declared, self.tree = tree, tree_at(tree, now_us) if tree.windows else tree
        tree = self.tree
        self.now_us, self.changes_us = now_us, next_change_us(tree.windows, now_us)
        named = tree.named()
        flavours = [f for f in tree.flavours() if f in named or (f == "gpu" and tree.governs_gpus())]
        self._ledgers = {flavour: _ledger(tree, flavour) for flavour in flavours}
        self._paths = {project: _path(tree, index) for project, index in tree.projects.items()}
        self._calendars = _calendars(tree, self._ledgers, now_us) if tree.windows else {}
        self.priorities = {p: PRIORITY_OF_TIER[tree.tier(index)] for p, index in tree.projects.items()}
        self.paths_by_node = {path[0]: path for path in self._paths.values()}
        half_life_s = tree.policy.half_life_s
        self.past = HalfLife(half_life_s, [n.path for n in tree.nodes], tuple(flavours)) if half_life_s else None
        self._flavour_of_model = {model: model for model in tree.gpu_models if model in named}

    def flavour_of(self, gpu_model: str) -> str:
        """The flavour that a GPU of this model is charged to."""
        return self._flavour_of_model.get(gpu_model, "gpu")

    def flavours(self) -> tuple[str, ...]:
        """The flavours that quota limits."""
        return tuple(self._ledgers)

    def governs(self, flavour: str) -> bool:
        return flavour in self._ledgers

    def path(self, project: str) -> tuple[int, ...]:
        """The tree nodes from the project up to its cohort; empty for an unknown project."""
        return self._paths.get(project, ())

    def tier(self, step: StepWaiting) -> int:
        """Its own, or that of its project."""
        path = self.path(step.project)
        return step.tier or (self.tree.tier(path[0]) if path else TIER_DEFAULT)

    def used(self, project: str, flavour: str) -> int:
        return self._ledgers[flavour].used[self._paths[project][0]]

    def nominal(self, project: str, flavour: str) -> int:
        return self._ledgers[flavour].nominal[self._paths[project][0]]

    def room(self, project: str, flavour: str) -> Room:
        return room_of(self._ledgers[flavour], self._paths[project])

    def largest(self, project: str, flavour: str) -> Room:
        """What the project could take if nobody used anything, and each window on its way was open."""
        ledger, path = self._ledgers[flavour], self._paths[project]
        bound_by = path[-1]
        room = ledger.stored[bound_by] + self._more(bound_by, path, flavour)
        for node in path[-2::-1]:
            most = ledger.stored[node] - ledger.kept[node] + ledger.limit[node] + self._more(node, path, flavour)
            if ledger.limit[node] >= 0 and most < room:
                room, bound_by = most, node
            room += ledger.kept[node]
        return Room(room, bound_by)

    def owned_room(self, project: str, flavour: str, shape: Shape) -> int:
        """What steps that may run only once may still take of what is guaranteed to no other: they never borrow."""
        ledger, path = self._ledgers[flavour], self._paths[project]
        calendar = self._calendars.get((path[-1], flavour))
        if calendar is not None:
            return withheld.owned(ledger, calendar, path, stay_of(shape, self.now_us), self.now_us)
        return sum(max(0, ledger.own[node] - ledger.once[node]) for node in path)

    def largest_owned(self, project: str, flavour: str) -> int:
        """What such steps could take if nobody used anything, and each window on the way was open."""
        path = self._paths[project]
        return sum(self._ledgers[flavour].own[node] + self._more(node, path, flavour) for node in path)

    def _more(self, node: int, path: tuple[int, ...], flavour: str) -> int:
        """What windows may add to the node beyond what they do now."""
        calendar = self._calendars.get((path[-1], flavour))
        return 0 if calendar is None else withheld.largest_added(calendar, node) - calendar.now.added.get(node, 0)

    def open(self, node: int, amounts: Mapping[str, int]) -> bool:
        """Whether the node's own bound would let something below it take `amounts`; its parents' are not asked."""
        for flavour, amount in amounts.items():
            ledger = self._ledgers.get(flavour)
            if ledger is None:
                continue
            if ledger.keeps_below[node]:
                continue
            used, kept = ledger.used[node], ledger.kept[node]
            if self.tree.nodes[node].parent < 0:
                if ledger.stored[node] - used < amount:
                    return False
            elif ledger.limit[node] >= 0:
                most = ledger.stored[node] - kept - max(0, used - kept) + ledger.limit[node]
                if most + max(0, kept - used) < amount:
                    return False
        return True

    def add_once(self, project: str, amounts: Mapping[str, int]) -> None:
        """Counts, beside `add`, what is used by steps that may run only once."""
        for flavour, amount in amounts.items():
            ledger, rest = self._ledgers.get(flavour), amount
            if ledger is None:
                continue
            for node in self._paths.get(project, ()):
                unused = max(0, ledger.own[node] - ledger.once[node])
                ledger.once[node] += rest
                rest -= min(unused, rest)

    def remove_once(self, project: str, amounts: Mapping[str, int]) -> None:
        for flavour, amount in amounts.items():
            ledger, rest = self._ledgers.get(flavour), amount
            if ledger is None:
                continue
            for node in self._paths.get(project, ()):
                beyond = ledger.once[node] - ledger.own[node]
                ledger.once[node] -= rest
                rest = min(rest, max(0, beyond))

    def add(self, project: str, amounts: Mapping[str, int]) -> None:
        self._settle(project)
        for flavour, amount in amounts.items():
            ledger, rest = self._ledgers.get(flavour), amount
            if ledger is None:
                continue
            _total(ledger, self._paths.get(project, ()), amount)
            for node in self._paths.get(project, ()):
                unused = max(0, ledger.kept[node] - ledger.used[node])
                ledger.used[node] += rest
                rest -= min(unused, rest)
                if not rest:
                    break

    def remove(self, project: str, amounts: Mapping[str, int]) -> None:
        self._settle(project)
        for flavour, amount in amounts.items():
            ledger, rest = self._ledgers.get(flavour), amount
            if ledger is None:
                continue
            _total(ledger, self._paths.get(project, ()), -amount)
            for node in self._paths.get(project, ()):
                beyond = ledger.used[node] - ledger.kept[node]
                ledger.used[node] -= rest
                rest = min(rest, max(0, beyond))
                if not rest:
                    break

    def beyond(self, node: int, flavour: str) -> int:
        """How much more than its guarantee is used below the node; negative where less is."""
        ledger = self._ledgers[flavour]
        return ledger.total[node] - ledger.nominal[node]

    def someone_borrows(self, cohort: int, flavours: Iterable[str]) -> bool:
        return any(self._ledgers[flavour].over.get(cohort) for flavour in flavours if self.governs(flavour))

    def entitled_at(self, project: str, amounts: Mapping[str, int], shape: Shape) -> int | None:
        """The lowest node from the project up whose guarantee `amounts` would still be within for such a stay, beside
        what windows below it keep; None without one.
        """
        path = self._paths.get(project, ())
        owed = {flavour: self._owed(path, flavour, shape) for flavour in amounts if self.governs(flavour)}
        for node in path:
            if all(each[node] >= amounts[flavour] for flavour, each in owed.items()):
                return node
        return None

    def _owed(self, path: tuple[int, ...], flavour: str, shape: Shape) -> Mapping[int, int]:
        ledger, calendar = self._ledgers[flavour], self._calendars.get((path[-1], flavour)) if path else None
        if calendar is None:
            return {node: ledger.nominal[node] - ledger.total[node] for node in path}
        return withheld.owed(ledger, calendar, path, stay_of(shape, self.now_us), self.now_us)

    def share(self, node: int, more: Mapping[str, int]) -> int:
        """The node's weighted dominant share of its cohort, with `more` taken, in billionths of weight 1.

        Only what is borrowed counts: the largest, over flavours, of borrowed / stored in the parent. Where there is a
        half-life, a borrower's share is larger by that of what it borrowed lately.
        """
        largest = before = 0
        for flavour, ledger in self._ledgers.items():
            borrowed = ledger.used[node] + more.get(flavour, 0) - ledger.nominal[node]
            if borrowed > 0:
                largest = max(largest, self._part(ledger, node, borrowed))
            if self.past is not None:
                before = max(before, self._part(ledger, node, self.past.lately(node, flavour)))
        return largest + before if largest else 0

    def _part(self, ledger: Ledger, node: int, borrowed: int) -> int:
        parent = self.tree.nodes[node].parent
        lendable = max(1, ledger.stored[parent] if parent >= 0 else ledger.stored[node])
        return borrowed * PARTS * 1000 // (lendable * ledger.weight[node])

    def pass_to(self, now_us: int) -> bool:
        """Lets the past of all nodes decay until now; whether any share may be another."""
        self.now_us, now_s = now_us, now_us // 1_000_000
        if self.past is None:
            return False
        due = self.past.due(now_s)
        self.past.tick(now_s, self._borrowed)
        return due

    def inherit(self, before: Usage) -> None:
        """The past goes on under another tree."""
        if self.past is not None and before.past is not None:
            self.past.load(before.past.kept(), before.past.ticked_s)

    def lendable(self, project: str, flavour: str, shape: Shape, at_us: int | None = None) -> Room:
        """As `room`, for who stays as long as steps of this shape do: without what windows keep from them."""
        path, at_us = self._paths[project], self.now_us if at_us is None else at_us
        calendar = self._calendars.get((path[-1], flavour))
        if calendar is None:
            return self.room(project, flavour)
        return withheld.lendable(self._ledgers[flavour], calendar, path, stay_of(shape, at_us), at_us)

    def window_before(self, project: str, flavour: str, shape: Shape) -> Keeper | None:
        """The window that keeps the most from such steps; None where none keeps anything."""
        path = self._paths[project]
        calendar = self._calendars.get((path[-1], flavour))
        if calendar is None:
            return None
        return withheld.keeper(self._ledgers[flavour], calendar, path, stay_of(shape, self.now_us), self.now_us)

    def _borrowed(self, node: int, flavour: str) -> int:
        ledger = self._ledgers[flavour]
        return ledger.used[node] - ledger.nominal[node]

    def _settle(self, project: str) -> None:
        if self.past is not None:
            for node in self._paths.get(project, ()):
                self.past.settle(node, self._borrowed)

    def snapshot(self) -> dict[str, list[int]]:
        """All use by flavour and node, for comparing one picture with another."""
        return {flavour: ledger.used + ledger.once + ledger.total for flavour, ledger in self._ledgers.items()}


def _calendars(tree: Tree, flavours: Iterable[str], now_us: int) -> dict[tuple[int, str], Calendar]:
    """By cohort and flavour."""
    windows: dict[tuple[int, str], list[Window]] = {}
    for window in tree.windows:
        if window.flavour in flavours:
            windows.setdefault((_path(tree, window.node)[-1], window.flavour), []).append(window)
    return {key: calendar_of(tree, key[0], mine, now_us) for key, mine in windows.items()}


def _total(ledger: Ledger, path: tuple[int, ...], amount: int) -> None:
    if not path:
        return
    project, cohort = path[0], path[-1]
    was_over = ledger.total[project] > ledger.nominal[project]
    for node in path:
        ledger.total[node] += amount
    is_over = ledger.total[project] > ledger.nominal[project]
    if is_over is not was_over:
        ledger.over[cohort] = ledger.over.get(cohort, 0) + (1 if is_over else -1)


def _ledger(tree: Tree, flavour: str) -> Ledger:
    quotas = [node.quotas.get(flavour, NONE) for node in tree.nodes]
    nominal = [quota.nominal for quota in quotas]
    stored, kept = list(nominal), [0] * len(nominal)
    for index in range(len(nominal) - 1, -1, -1):  # children come after their parents
        lend = quotas[index].lend_limit
        kept[index] = 0 if lend is None or tree.nodes[index].parent < 0 else max(0, stored[index] - lend)
        parent = tree.nodes[index].parent
        if parent >= 0:  # a parent's nominal counts all of its children's: what they keep cannot be had through it
            stored[parent] -= kept[index] + (nominal[index] - stored[index])
    limit = [-1 if quota.borrow_limit is None else quota.borrow_limit for quota in quotas]
    weights = [quota.weight_milli for quota in quotas]
    zeros = [0] * len(nominal)
    keeps_below, own = _keeps_below(tree, kept), _own(tree, nominal)
    return Ledger(nominal, stored, kept, limit, weights, zeros, zeros[:], keeps_below, own, {}, zeros[:])


def _own(tree: Tree, nominal: list[int]) -> list[int]:
    own = list(nominal)
    for node, amount in zip(tree.nodes, nominal, strict=True):
        if node.parent >= 0:
            own[node.parent] -= amount
    return own


def _keeps_below(tree: Tree, kept: list[int]) -> list[bool]:
    found = [False] * len(kept)
    for index in range(len(kept) - 1, -1, -1):
        parent = tree.nodes[index].parent
        if parent >= 0 and (kept[index] or found[index]):
            found[parent] = True
    return found


def _path(tree: Tree, index: int) -> tuple[int, ...]:
    path: list[int] = []
    while index >= 0:
        path.append(index)
        index = tree.nodes[index].parent
    return tuple(path)
