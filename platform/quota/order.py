"""Who goes first: a tournament over the quota tree.

At each node of the tree its children compare: the lower weighted share of the cohort that would result goes
first, then the higher priority, then the longer wait. A project stands for its own first step, so the winner
at the top is found as Kueue's fair sharing finds it (pkg/scheduler/fair_sharing_iterator.go).

Every shape has a contest of its own: for each node a heap of its children that could pay, by what they
would come to. An entry holds while it is the one noted in `keys`; others are passed over when they come up.
What changed since a contest was last asked is read from one journal, so a change costs the same however
many wait. Nothing here is truth: all of it follows from the queues and the use, so there is nothing to undo.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from .admission import Admission, Option
from .queues import LineKey, Queues, Shape, Turn, turn_of
from .usage import Usage

TOP = -1
JOURNAL_MAX = 65_536
HEAP_MIN = 64

Entry = tuple[int, Turn, int]  # the share that would result, the turn of its first, the child
Found = TypeVar("Found")


class Winner(NamedTuple):
    project: str
    shape: Shape


@dataclass(slots=True, eq=False)
class Contest:
    shape: Shape
    options: tuple[Option, ...]
    lines: dict[int, Turn] = field(default_factory=dict)  # the first of each line, by the project's node
    keys: dict[int, Entry] = field(default_factory=dict)
    heaps: dict[int, list[Entry]] = field(default_factory=dict)
    full_at: dict[int, int] = field(default_factory=dict)  # the length at which a heap is swept
    changed: set[int] = field(default_factory=set)
    seen: int = 0  # how far the journal was read
    lifted_at: int = -1  # the same for the places that are kept for others
    quiet_at: int = -1  # nothing of this shape could go at this count of `Order.given_back`


class Order:
    def __init__(self, usage: Usage, queues: Queues, admission: Admission) -> None:
        self._usage, self._queues, self._admission = usage, queues, admission
        self._journal: list[int] = []
        self._forgotten = 0  # how many entries of the journal were dropped
        self._nodes = len(usage.tree.nodes)
        self.given_back = 0
        self.contests: dict[Shape, Contest] = {}
        for key in queues.lines:
            self.line_changed(key)

    def used_changed(self, project: str) -> None:
        node = self._usage.tree.projects.get(project)
        if node is None:
            return
        if len(self._journal) >= JOURNAL_MAX:
            half = JOURNAL_MAX // 2
            del self._journal[:half]
            self._forgotten += half
        self._journal.append(node)

    def line_changed(self, key: LineKey) -> None:
        project, shape = key
        node = self._usage.tree.projects.get(project)
        if node is None:
            return
        contest = self.contests.get(shape)
        if contest is None:
            contest = self.contests[shape] = Contest(shape, self._admission.options(shape))
            contest.seen = self._forgotten + len(self._journal)
        contest.changed.add(node)
        contest.quiet_at = contest.lifted_at = -1

    def something_came_back(self) -> None:
        """Quota or room was given back, or may have been: every shape is worth a look."""
        self.given_back += 1

    def stale(self) -> None:
        """The nodes' models changed, so options did."""
        self.contests.clear()
        for key in self._queues.lines:
            self.line_changed(key)
        self.given_back += 1

    def awake(self) -> list[Contest]:
        """The contests of which something may go, as far as is known."""
        found = []
        for shape, contest in list(self.contests.items()):
            if contest.quiet_at == self.given_back:
                continue
            self._refresh(contest)
            if self._top(contest, TOP) is None:
                contest.quiet_at = self.given_back
                if not contest.lines:
                    del self.contests[shape]
            else:
                found.append(contest)
        return found

    def dated(self) -> list[Contest]:
        """The contests of those that declared when they are over, and that may go if their place was free."""
        found = [
            contest
            for shape, contest in self.contests.items()
            if shape.max_runtime_s is not None and contest.lifted_at != self.given_back
        ]
        for contest in found:
            contest.lifted_at = self.given_back
        return found

    def quieten(self, contests: Iterable[Contest]) -> None:
        for contest in contests:
            contest.quiet_at = self.given_back

    def best(
        self, contests: Sequence[Contest], judge: Callable[[str, Contest], Found | None]
    ) -> tuple[Winner, Found] | None:
        """The first, of all whom `judge` lets go, and the verdict."""
        for contest in contests:
            self._refresh(contest)
        found = self._best(TOP, list(contests), judge)
        return None if found is None else (found[2], found[3])

    def ahead(self, project: str, shape: Shape, limit: int) -> list[str]:
        """The first steps of other lines of this shape that come before the project's, the next first."""
        contest, node = self.contests.get(shape), self._usage.tree.projects.get(project)
        if contest is None or node is None:
            return []
        self._refresh(contest)
        path = self._usage.path(project)
        before: list[Entry] = []
        for child in path[:-1]:
            if len(before) >= limit:
                break
            mine, heap = contest.keys.get(child), contest.heaps.get(self._usage.tree.nodes[child].parent, [])
            if mine is not None:
                near = heapq.nsmallest(limit, (e for e in heap if contest.keys.get(e[2]) is e and e < mine))
                before += near
        return [turn[2] for _, turn, _ in before[:limit]]

    # Finding the first.

    def _best(
        self, node: int, field_: list[Contest], judge: Callable[[str, Contest], Found | None]
    ) -> tuple[int, Turn, Winner, Found, Contest] | None:
        taken: list[tuple[Contest, Entry]] = []
        tried: set[int] = set()
        best: tuple[int, Turn, Winner, Found, Contest] | None = None
        while True:
            lowest: tuple[Entry, Contest] | None = None
            for contest in field_:
                top = self._top(contest, node)
                if top is not None and (lowest is None or top < lowest[0]):
                    lowest = (top, contest)
            if lowest is None or (best is not None and lowest[0][:2] >= best[:2]):
                break
            entry, contest = lowest
            taken.append((contest, heapq.heappop(contest.heaps[node])))
            if entry[2] not in tried:
                tried.add(entry[2])
                found = self._stand_in(entry[2], field_, judge)
                if found is not None and (best is None or found[:2] < best[:2]):
                    best = found
        for contest, entry in taken:
            heapq.heappush(contest.heaps[node], entry)
        return best

    def _stand_in(
        self, node: int, field_: list[Contest], judge: Callable[[str, Contest], Found | None]
    ) -> tuple[int, Turn, Winner, Found, Contest] | None:
        """Who stands for the node, with what the node's share would be."""
        tree = self._usage.tree.nodes[node]
        if tree.kind == "project":
            mine = sorted((c.keys[node][1], i) for i, c in enumerate(field_) if node in c.keys)
            for turn, index in mine:
                contest = field_[index]
                verdict = judge(tree.name, contest)
                if verdict is not None:
                    return contest.keys[node][0], turn, Winner(tree.name, contest.shape), verdict, contest
            return None
        found = self._best(node, field_, judge)
        if found is None or tree.parent < 0:
            return found
        return (self._share(node, found[4]), *found[1:])

    # Keeping the heaps.

    def _refresh(self, contest: Contest) -> None:
        now = self._forgotten + len(self._journal)
        if contest.seen < self._forgotten:
            contest.changed.update(contest.lines)
        elif contest.seen < now:
            contest.changed.update(self._journal[contest.seen - self._forgotten :])
        contest.seen = now
        if not contest.changed:
            return
        paths, projects = self._usage.paths_by_node, contest.changed
        nodes = {node for project in projects for node in paths[project]}
        contest.changed = set()
        for node in sorted(nodes, reverse=True):  # children come after their parents
            self._enter(contest, node)

    def _enter(self, contest: Contest, node: int) -> None:
        tree = self._usage.tree.nodes[node]
        entry = self._entry(contest, node)
        old = contest.keys.get(node)
        if entry == old:
            return
        if entry is None:
            del contest.keys[node]
            return
        contest.keys[node] = entry
        heap = contest.heaps.setdefault(tree.parent, [])
        if len(heap) >= contest.full_at.get(tree.parent, HEAP_MIN):
            heap[:] = [each for each in heap if contest.keys.get(each[2]) is each]
            heapq.heapify(heap)
            contest.full_at[tree.parent] = max(HEAP_MIN, 2 * len(heap))
        heapq.heappush(heap, entry)

    def _entry(self, contest: Contest, node: int) -> Entry | None:
        tree = self._usage.tree.nodes[node]
        if tree.kind == "project":
            turn = self._turn(contest, node, (tree.name, contest.shape))
            if turn is None or not self._could_pay(contest, node):
                return None
            return (self._share(node, contest), turn, node)
        top = self._top(contest, node)
        if top is None or not self._could_pay(contest, node):
            return None
        return (top[0] if tree.parent < 0 else self._share(node, contest), top[1], node)

    def _turn(self, contest: Contest, node: int, key: LineKey) -> Turn | None:
        line = self._queues.lines.get(key)
        if line is None:
            contest.lines.pop(node, None)
            return None
        first = self._queues.first_free(key)
        if first is None:
            contest.lines[node] = line.turns[0]
            return None
        minus_priority, since, step_id = turn_of(first)
        contest.lines[node] = (minus_priority - self._usage.priorities[key[0]], since, step_id)
        return contest.lines[node]

    def _could_pay(self, contest: Contest, node: int) -> bool:
        return any(self._usage.open(node, option.amounts) for option in contest.options)

    def _share(self, node: int, contest: Contest) -> int:
        return self._usage.share(node, contest.options[0].amounts)

    def _top(self, contest: Contest, node: int) -> Entry | None:
        heap = contest.heaps.get(node)
        while heap:
            if contest.keys.get(heap[0][2]) is heap[0]:
                return heap[0]
            heapq.heappop(heap)
        return None
