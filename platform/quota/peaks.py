"""Whether what windows guarantee can hold together: at no time more than the parent guarantees besides its children.

Windows that are never open at the same time do not add up. Which are is found by looking at the moments at which there
may be more to hold than before, where a child's window opens or the parent's closes: in one week for each way in which
the clocks of the zones that are named stand to one another, and where there are dates, in weeks of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ..errors import InvalidInput
from . import units
from .hours import DAY_US, Hours
from .windows import Window

if TYPE_CHECKING:
    from .tree import Tree

MONDAY_US = 1_767_571_200_000_000  # 2026-01-05
WEEK_US = 7 * DAY_US
WEEKS = 53
DATED_WEEKS = 14  # of one that is open between two dates, four weeks from one to the next
NAMED_MAX = 4


def refuse_what_cannot_hold(tree: Tree) -> None:
    """Raises InvalidInput naming the windows that are open together and are more than their parent shares."""
    by_parent: dict[tuple[int, str], list[Window]] = {}
    own: dict[tuple[int, str], list[Window]] = {}
    for window in tree.windows:
        parent = tree.nodes[window.node].parent
        own.setdefault((window.node, window.flavour), []).append(window)
        if parent >= 0:
            by_parent.setdefault((parent, window.flavour), []).append(window)
    shared = _shared(tree)
    for (parent, flavour), children in by_parent.items():
        mine = own.get((parent, flavour), [])
        _refuse(tree, parent, shared.get((parent, flavour), 0), children, mine)


def _shared(tree: Tree) -> dict[tuple[int, str], int]:
    """By node and flavour what it guarantees besides its children, without any window."""
    shared: dict[tuple[int, str], int] = {}
    for index, node in enumerate(tree.nodes):
        for flavour, quota in node.quotas.items():
            shared[index, flavour] = shared.get((index, flavour), 0) + quota.nominal
            if node.parent >= 0:
                above = (node.parent, flavour)
                shared[above] = shared.get(above, 0) - quota.nominal
    return shared


def _refuse(tree: Tree, parent: int, shared: int, children: list[Window], mine: list[Window]) -> None:
    everybody = list(dict.fromkeys(window.hours for window in (*children, *mine)))
    for at_us in _moments(everybody):
        is_open = {hours: hours.open_at(at_us) for hours in everybody}
        there = [window for window in children if is_open[window.hours]]
        needed = sum(window.amount for window in there)
        room = shared + sum(window.amount for window in mine if is_open[window.hours])
        if needed > room:
            flavour = there[0].flavour
            named = [f"{tree.nodes[window.node].path} ({window.shown()})" for window in there[:NAMED_MAX]]
            more = f" and {len(there) - NAMED_MAX} more" if len(there) > NAMED_MAX else ""
            what = (
                f"The windows of {' and '.join(named)}{more} are open together"
                if len(there) > 1
                else f"The window of {named[0]} takes {units.shown(flavour, needed)}"
            )
            total = f", {units.shown(flavour, needed)} in all" if len(there) > 1 else ""
            raise InvalidInput(
                f"{what}{total}, and {tree.nodes[parent].path} shares {units.shown(flavour, room)} then",
                remedy="Raise the parent's nominal, give it a window too, or let them not be open together: a window "
                "is taken from what the parent guarantees besides its children",
            )


def _moments(everybody: list[Hours]) -> list[int]:
    """When there may be more to hold than before."""
    daily = [hours for hours in everybody if hours.days]
    dated = [hours for hours in everybody if not hours.days]
    weeks = [*_weeks(sorted({hours.zone for hours in daily}))] if daily else []
    for hours in dated:
        steps = range(hours.from_us, hours.to_us, 4 * WEEK_US)
        weeks += steps[:DATED_WEEKS]
    found = {at_us for hours in daily for week in weeks for at_us in _changes(hours, week)}
    return sorted(found | {at_us for hours in dated for at_us in (hours.from_us, hours.to_us)})


def _weeks(zones: Iterable[str]) -> Iterator[int]:
    """A week for each way in which the clocks of the zones stand to one another in the year."""
    seen = set()
    for week in range(WEEKS):
        monday_us = MONDAY_US + week * WEEK_US
        at = [datetime.fromtimestamp(monday_us // 1_000_000, ZoneInfo(zone)).utcoffset() for zone in zones]
        ahead = tuple(None if each is None or at[0] is None else each - at[0] for each in at)
        if ahead not in seen:
            seen.add(ahead)
            yield monday_us


def _changes(hours: Hours, week_us: int) -> Iterator[int]:
    """When they open and close within eight days, and the beginning of those."""
    at_us = week_us
    yield at_us
    while (span := hours.span(at_us)) is not None and span[0] < week_us + WEEK_US + DAY_US:
        yield from span
        at_us = span[1]
