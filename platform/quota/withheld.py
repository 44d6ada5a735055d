"""What windows keep from everybody else, at every node of the tree between a window and whoever asks.

What a window adds and its node does not use is lent to nobody while it is open. Before it opens it is lent only to
steps that are over by then, so that nobody need be ended: they have declared it, or declare nothing and come before the
lead. What is kept counts as used at each node from the window's parent up, and only what goes beyond the part that such
a node lends to nobody reaches its parent. So what is asked for is looked at as of now and as of each moment until the
step is over at which some window of the cohort opens or closes.

Nobody is kept from its own guarantee, nor from what its team is guaranteed beyond the windows below the team: who
borrowed makes way for both. But a step that may not be ended then (`once`, or before its `min_runtime`) counts on no
guarantee of a window that is over by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .hours import Hours, Span
from .windows import Window

if TYPE_CHECKING:
    from .queues import Shape
    from .tree import Tree
    from .usage import Ledger

FOR_EVER_US = 1 << 62
NOTHING: Mapping[int, int] = {}

Path = tuple[int, ...]  # the nodes from a project up to its cohort


class Room(NamedTuple):
    """How much of a flavour may be taken now, and the tree node whose bound says so."""

    amount: int
    bound_by: int


class Moment(NamedTuple):
    """`added`: by node what its open windows add to its guarantee. `lead_s`: of those that open then; -1 for none."""

    at_us: int
    added: Mapping[int, int]
    lead_s: int = -1


class Stay(NamedTuple):
    """By when a step is over, None where it did not declare it, and until when nobody may end it."""

    over_us: int | None
    firm_us: int


class Keeper(NamedTuple):
    """The window that keeps the most from whoever asks, open at that time or the next that opens."""

    window: Window
    span: Span


def room_of(ledger: Ledger, path: Path, kept: Mapping[int, int] = NOTHING) -> Room:
    """What the project may take where so much more was used at the nodes of its path."""
    root = path[-1]
    amount, bound_by = ledger.stored[root] - ledger.used[root] - kept.get(root, 0), root
    for node in path[-2::-1]:
        own, used, limit = ledger.kept[node], ledger.used[node] + kept.get(node, 0), ledger.limit[node]
        if limit >= 0:
            most = ledger.stored[node] - own - max(0, used - own) + limit
            if most < amount:
                amount, bound_by = most, node
        amount += max(0, own - used)
    return Room(amount, bound_by)


def stay_of(shape: Shape, at_us: int) -> Stay:
    over_us = None if shape.max_runtime_s is None else at_us + shape.max_runtime_s * 1_000_000
    if shape.once:
        return Stay(over_us, FOR_EVER_US if over_us is None else over_us)
    return Stay(over_us, at_us + shape.min_runtime_s * 1_000_000)


@dataclass(slots=True)
class Calendar:
    """The windows of one cohort and flavour, as of the time at which its use was begun to be counted: until the next
    of them opens or closes.
    """

    windows: list[Window]
    nodes: list[int]  # those with windows and all above them, children first
    parents: Mapping[int, int]
    lends: Mapping[int, int | None]
    now: Moment
    changes: list[Moment]

    def moments(self, stay: Stay, at_us: int) -> Iterator[Moment]:
        """The time itself, and all until the step is over."""
        yield (
            self.now if at_us <= self.now.at_us or not self.changes or at_us < self.changes[0].at_us else self.at(at_us)
        )
        for moment in self.changes:
            lead_us = at_us + max(moment.lead_s, 0) * 1_000_000
            if at_us < moment.at_us < (stay.over_us or max(lead_us, stay.firm_us)):
                yield moment

    def at(self, at_us: int) -> Moment:
        return Moment(at_us, _added(self.windows, at_us))


def calendar_of(tree: Tree, root: int, windows: list[Window], now_us: int) -> Calendar:
    """`windows`: those of the cohort, all of one flavour."""
    nodes, lends = set[int](), dict[int, int | None]()
    for window in windows:
        node = window.node
        while node >= 0 and node not in nodes:
            nodes.add(node)
            quota = tree.nodes[node].quotas.get(window.flavour)
            lends[node] = None if quota is None or node == root else quota.lend_limit
            node = tree.nodes[node].parent
    parents = {node: tree.nodes[node].parent for node in nodes}
    leads: dict[int, int] = {}
    for window in windows:
        span = window.hours.span(now_us)
        if span is not None:
            lead_s = tree.policy.window_lead_s if window.lead_s is None else window.lead_s
            leads[span[0]] = max(leads.get(span[0], 0), lead_s)
            leads.setdefault(span[1], -1)
    changes = [Moment(at, _added(windows, at), lead_s) for at, lead_s in sorted(leads.items()) if at > now_us]
    now = Moment(now_us, _added(windows, now_us))
    return Calendar(windows, sorted(nodes, reverse=True), parents, lends, now, changes)


def lendable(ledger: Ledger, calendar: Calendar, path: Path, stay: Stay, at_us: int) -> Room:
    """What the project may take for such a stay."""
    rooms = (_room_at(ledger, calendar, path, stay, each) for each in calendar.moments(stay, at_us))
    return min(rooms, key=lambda room: room.amount)


def owed(ledger: Ledger, calendar: Calendar, path: Path, stay: Stay, at_us: int) -> dict[int, int]:
    """By node of the path how much more the project may take for such a stay within what that node is guaranteed."""
    found: dict[int, int] = {}
    for moment in calendar.moments(stay, at_us):
        kept = _carried(ledger, calendar, path, moment)
        for node in path:
            there = _guaranteed(ledger, calendar, node, stay, moment) - ledger.total[node] - kept.get(node, 0)
            found[node] = min(found.get(node, there), there)
    return found


def owned(ledger: Ledger, calendar: Calendar, path: Path, stay: Stay, at_us: int) -> int:
    """What steps that may run only once may still take of what is guaranteed to no other for such a stay."""
    return min(_owned_at(ledger, calendar, path, moment) for moment in calendar.moments(stay, at_us))


def largest_added(calendar: Calendar, node: int) -> int:
    """The most that windows ever add to the node's guarantee, as far as is seen."""
    return max(moment.added.get(node, 0) for moment in (calendar.now, *calendar.changes))


def keeper(ledger: Ledger, calendar: Calendar, path: Path, stay: Stay, at_us: int) -> Keeper | None:
    """Whose window keeps the most where there is the least room; None where no window keeps anything."""
    moments = calendar.moments(stay, at_us)
    moment = min(moments, key=lambda each: _room_at(ledger, calendar, path, stay, each).amount)
    there = [
        (_kept(ledger, calendar, window.node, moment), -number)
        for number, window in enumerate(calendar.windows)
        if window.node not in path and window.hours.open_at(moment.at_us)
    ]
    most, number = max(there, default=(0, 0))
    window = calendar.windows[-number]
    span = window.hours.span(moment.at_us)
    return Keeper(window, span) if most > 0 and span is not None else None


def _added(windows: list[Window], at_us: int) -> dict[int, int]:
    is_open: dict[Hours, bool] = {}
    added: dict[int, int] = {}
    for window in windows:
        hours = window.hours
        if hours not in is_open:
            is_open[hours] = hours.open_at(at_us)
        if is_open[hours]:
            added[window.node] = added.get(window.node, 0) + window.amount
    return added


def _room_at(ledger: Ledger, calendar: Calendar, path: Path, stay: Stay, moment: Moment) -> Room:
    """With what is kept then; or what is within a guarantee on the way, where that is more."""
    kept = _carried(ledger, calendar, path, moment)
    room = room_of(ledger, path, kept)
    for height, node in enumerate(path[:-1], start=1):
        more = _guaranteed(ledger, calendar, node, stay, moment) - ledger.total[node] - kept.get(node, 0)
        if more > room.amount:
            there = room_of(ledger, path, {below: kept.get(below, 0) for below in path[:height]})
            room = max(room, Room(min(more, there.amount), there.bound_by), key=lambda each: each.amount)
    return room


def _owned_at(ledger: Ledger, calendar: Calendar, path: Path, moment: Moment) -> int:
    """What is used beyond what a node then has for itself is used of its parent's."""
    own, once = dict[int, int](), dict[int, int]()
    for node in (*calendar.nodes, *path):
        own[node], once[node] = ledger.own[node], ledger.once[node]
    for node in calendar.nodes:
        more, parent = moment.added.get(node, 0) - calendar.now.added.get(node, 0), calendar.parents[node]
        own[node] += more
        if parent >= 0:
            own[parent] -= more
    for node in calendar.nodes:
        if (parent := calendar.parents[node]) >= 0:
            once[parent] += max(0, once[node] - own[node]) - max(0, ledger.once[node] - ledger.own[node])
    return sum(max(0, own[node] - once[node]) for node in path)


def _guaranteed(ledger: Ledger, calendar: Calendar, node: int, stay: Stay, moment: Moment) -> int:
    """What such a stay may count on then."""
    nominal = ledger.nominal[node]
    if stay.firm_us <= moment.at_us:
        return nominal
    return min(nominal, nominal - calendar.now.added.get(node, 0) + moment.added.get(node, 0))


def _carried(ledger: Ledger, calendar: Calendar, path: Path, moment: Moment) -> dict[int, int]:
    """By node what windows below it keep from the project of this path."""
    carried: dict[int, int] = {}
    for node in calendar.nodes:
        held, parent = carried.get(node, 0), calendar.parents[node]
        if node not in path:
            held = max(held, _kept(ledger, calendar, node, moment))
        beyond = held - max(0, ledger.kept[node] - ledger.used[node])
        if parent >= 0 and beyond > 0:
            carried[parent] = carried.get(parent, 0) + beyond
    return carried


def _kept(ledger: Ledger, calendar: Calendar, node: int, moment: Moment) -> int:
    """What the node lends to nobody at that moment, of what it does not use now; nothing where no window is open."""
    added = moment.added.get(node, 0)
    if not added:
        return 0
    unused = ledger.nominal[node] - calendar.now.added.get(node, 0) - ledger.total[node]
    lends = calendar.lends[node]
    lent = max(0, unused) if lends is None else min(lends, max(0, unused))
    return max(0, added + unused - lent)
