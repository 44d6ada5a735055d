"""Known peaks: between two times a node of the tree is guaranteed more.

    [[quota.cohort.research.projects.serving.windows]]
    gpu = 8                       # so much beside its nominal
    days = ["mon", "fri"]         # every day where none are named
    from = "08:00"                # or once, from = "2026-11-27T06:00Z"
    to = "18:30"
    zone = "Europe/Berlin"        # UTC where none is named
    lead_s = 7200                 # the policy's window_lead_s where none is named

While a window is open its node's nominal is that much larger: a project's and a team's out of what their parent shares
(`peaks` checks that it suffices), a cohort's beside what the others have. What others may have of it before and
meanwhile is in `withheld`. Everything follows from the tree and the time, so the same events give the same decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import InvalidInput
from . import units
from .hours import KEYS, Hours, hours_of
from .policy import seconds_in
from .written import MODELS_STAND, refuse_unknown

if TYPE_CHECKING:
    from .tree import Tree

LEAD = "lead_s"
HOURS_MAX = 64  # different ones in a tree


@dataclass(frozen=True, slots=True)
class Window:
    """`lead_s` is None where the policy's holds."""

    node: int
    flavour: str
    amount: int
    hours: Hours
    lead_s: int | None = None

    def written(self) -> dict[str, object]:
        """As `windows_of` reads it back."""
        amount = {self.flavour: units.stored(self.flavour, self.amount)}
        return {**amount, **self.hours.written(), **({} if self.lead_s is None else {LEAD: self.lead_s})}

    def shown(self) -> str:
        return f"{units.shown(self.flavour, self.amount)}, {self.hours.shown()}"


def windows_of(written: object, where: str, node: int, flavours: tuple[str, ...]) -> list[Window]:
    """The windows that a list of tables describes. Raises InvalidInput naming the key."""
    if not isinstance(written, list | tuple) or not all(isinstance(body, Mapping) for body in written):
        raise InvalidInput(f"{where} is {written!r}, which is no list of tables", remedy=f"Write [[{where}]]")
    return [one for number, body in enumerate(written) for one in _window(body, f"{where}[{number}]", node, flavours)]


def refuse_too_many(windows: Iterable[Window]) -> None:
    count = len({window.hours for window in windows})
    if count > HOURS_MAX:
        what = f"The quota tree has windows at {count} different hours"
        raise InvalidInput(what, remedy=f"Let them share hours; there may be {HOURS_MAX}")


def tree_at(tree: Tree, now_us: int) -> Tree:
    """The tree as it is then: with the guarantees of the windows that are open."""
    nodes = list(tree.nodes)
    is_open = {hours: hours.open_at(now_us) for hours in dict.fromkeys(window.hours for window in tree.windows)}
    for window in tree.windows:
        if is_open[window.hours]:
            node = nodes[window.node]
            quota = node.quotas[window.flavour]
            more = replace(quota, nominal=quota.nominal + window.amount)
            nodes[window.node] = replace(node, quotas={**node.quotas, window.flavour: more})
    return replace(tree, nodes=tuple(nodes))


def next_change_us(windows: Iterable[Window], now_us: int) -> int | None:
    """When the next window opens or closes."""
    spans = [hours.span(now_us) for hours in dict.fromkeys(window.hours for window in windows)]
    return min((opens if now_us < opens else closes for opens, closes in filter(None, spans)), default=None)


def _window(body: Mapping[str, object], where: str, node: int, flavours: tuple[str, ...]) -> list[Window]:
    refuse_unknown(body, (*KEYS, LEAD, *flavours), where, hint=MODELS_STAND)
    named = [flavour for flavour in flavours if flavour in body]
    if not named:
        raise InvalidInput(f"{where} names no amount", remedy="Write for example gpu = 8")
    hours = hours_of(body, where)
    lead_s = seconds_in(body[LEAD], f"{where}.{LEAD}") if LEAD in body else None
    amounts = [(flavour, units.amount(flavour, body[flavour], where=f"{where}.{flavour}")) for flavour in named]
    return [Window(node, flavour, amount, hours, lead_s) for flavour, amount in amounts]
