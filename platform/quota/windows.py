"""Known peaks: between two times a node of the tree is guaranteed more, out of what its parent shares.

    [[quota.cohort.research.projects.serving.windows]]
    gpu = 8                       # so much beside its nominal
    days = ["mon", "fri"]         # every day where none are named
    from = "08:00"                # UTC; or once, from = "2026-11-27T06:00Z"
    to = "18:30"

While a window is open its node's nominal is that much larger, and what of it the node does not use is lent to nobody.
Before it opens, it is lent only to steps that have declared to be over by then, so that nobody need be ended; to those
that declare nothing until `window_lead_s` before. Everything follows from the tree and the time, so the same events
give the same decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..errors import InvalidInput
from . import units
from .written import MODELS_STAND, refuse_unknown

if TYPE_CHECKING:
    from .tree import Tree

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_US = 86_400_000_000
MINUTE_US = 60_000_000
FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday
KEYS = ("days", "from", "to")


@dataclass(frozen=True, slots=True)
class Window:
    """Daily ones open on `days` (Monday is 0), and their times count from midnight UTC; others have no days."""

    node: int
    flavour: str
    amount: int
    days: tuple[int, ...]
    from_us: int
    to_us: int

    def span(self, now_us: int) -> tuple[int, int] | None:
        """The window that is open, or else the next; None where none comes any more."""
        if not self.days:
            return (self.from_us, self.to_us) if now_us < self.to_us else None
        today = now_us // DAY_US
        for day in range(today - 1, today + 9):  # one that began yesterday may still be open
            if (day + FIRST_WEEKDAY) % 7 in self.days:
                opens, closes = day * DAY_US + self.from_us, day * DAY_US + self.to_us
                if now_us < closes:
                    return opens, closes
        return None

    def written(self) -> dict[str, object]:
        """As `windows_of` reads it back."""
        amount = units.stored(self.flavour, self.amount)
        if not self.days:
            return {self.flavour: amount, "from": _date(self.from_us), "to": _date(self.to_us)}
        days = [DAYS[day] for day in self.days]
        return {self.flavour: amount, "days": days, "from": _time(self.from_us), "to": _time(self.to_us % DAY_US)}


def windows_of(written: object, where: str, node: int, flavours: tuple[str, ...]) -> list[Window]:
    """The windows that a list of tables describes. Raises InvalidInput naming the key."""
    if not isinstance(written, list | tuple) or not all(isinstance(body, Mapping) for body in written):
        raise InvalidInput(f"{where} is {written!r}, which is no list of tables", remedy=f"Write [[{where}]]")
    return [one for number, body in enumerate(written) for one in _window(body, f"{where}[{number}]", node, flavours)]


def tree_at(tree: Tree, now_us: int) -> Tree:
    """The tree as it is then: with the guarantees of the windows that are open."""
    nodes = list(tree.nodes)
    for window in tree.windows:
        span = window.span(now_us)
        if span is not None and span[0] <= now_us:
            node = nodes[window.node]
            quota = node.quotas[window.flavour]
            more = replace(quota, nominal=quota.nominal + window.amount)
            nodes[window.node] = replace(node, quotas={**node.quotas, window.flavour: more})
    return replace(tree, nodes=tuple(nodes))


def next_change_us(windows: Iterable[Window], now_us: int) -> int | None:
    """When the next window opens or closes."""
    spans = [span for window in windows if (span := window.span(now_us)) is not None]
    return min((opens if now_us < opens else closes for opens, closes in spans), default=None)


def _window(body: Mapping[str, object], where: str, node: int, flavours: tuple[str, ...]) -> list[Window]:
    refuse_unknown(body, (*KEYS, *flavours), where, hint=MODELS_STAND)
    named = [flavour for flavour in flavours if flavour in body]
    if not named:
        raise InvalidInput(f"{where} names no amount", remedy="Write for example gpu = 8")
    days, from_us, to_us = _times(body, where)
    amounts = [(flavour, units.amount(flavour, body[flavour], where=f"{where}.{flavour}")) for flavour in named]
    return [Window(node, flavour, amount, days, from_us, to_us) for flavour, amount in amounts]


def _times(body: Mapping[str, object], where: str) -> tuple[tuple[int, ...], int, int]:
    begins, ends = str(body.get("from", "")), str(body.get("to", ""))
    try:
        if "T" in begins:
            found: tuple[tuple[int, ...], int, int] = (), _microseconds(begins), _microseconds(ends)
        else:
            from_us, to_us = _of_day(begins), _of_day(ends)
            found = _days(body.get("days", DAYS), where), from_us, to_us if to_us > from_us else to_us + DAY_US
    except ValueError:
        remedy = 'Write both as "08:00", or both as "2026-11-27T06:00Z"; times are UTC'
        raise InvalidInput(f"{where} is from {begins!r} to {ends!r}", remedy=remedy) from None
    if found[2] <= found[1] or (not found[0] and "days" in body):
        raise InvalidInput(
            f"{where} is from {begins!r} to {ends!r}", remedy="Let it end after it begins; dates stand without days"
        )
    return found


def _days(written: object, where: str) -> tuple[int, ...]:
    if not isinstance(written, list | tuple) or not written or any(day not in DAYS for day in written):
        raise InvalidInput(f"{where}.days is {written!r}", remedy=f"Write a list of: {', '.join(DAYS)}")
    return tuple(sorted({DAYS.index(day) for day in written}))


def _of_day(text: str) -> int:
    hours, minutes = text.split(":")
    found = int(hours) * 60 + int(minutes)
    if not (0 <= found < 24 * 60 and 0 <= int(minutes) < 60):
        raise ValueError(text)
    return found * MINUTE_US


def _microseconds(text: str) -> int:
    then = datetime.fromisoformat(text)
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return round(then.timestamp()) * 1_000_000


def _time(of_day_us: int) -> str:
    return f"{of_day_us // MINUTE_US // 60:02}:{of_day_us // MINUTE_US % 60:02}"


def _date(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).isoformat().replace("+00:00", "Z")
