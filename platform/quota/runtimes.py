"""How long steps of a kind have taken, from lease to end: of those that succeeded the last, by project, flow and name.

For whoever asks when a step may start, where nothing was declared. No decision hears of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .holdings import Holding

KEPT = 20  # of each kind
FEWEST = 3  # that say anything
KINDS_MAX = 10_000

Kind = tuple[str, str, str]  # project, flow, name of the step
Lasted = tuple[int, ...]  # µs, the latest last

Measured = Callable[[Kind], Lasted | None]


class Usual(NamedTuple):
    """The median of so many earlier attempts."""

    runtime_us: int
    attempts: int


def unmeasured(kind: Kind) -> Lasted | None:
    """Of no kind anything is known."""
    return None


def with_one_more(lasted: Lasted | None, runtime_us: int) -> Lasted:
    return (*(lasted or ()), runtime_us)[-KEPT:]


def gathered(attempts: Iterable[tuple[Kind, int]]) -> dict[Kind, Lasted]:
    """By kind, from what attempts took, in the order in which they ended."""
    found: dict[Kind, Lasted] = {}
    for kind, runtime_us in attempts:
        if kind in found or len(found) < KINDS_MAX:
            found[kind] = with_one_more(found.get(kind), runtime_us)
    return found


def usual(lasted: Lasted | None) -> Usual | None:
    """None where too few have ended; of an even number the longer of the two in the middle."""
    if lasted is None or len(lasted) < FEWEST:
        return None
    return Usual(sorted(lasted)[len(lasted) // 2], len(lasted))


def kind_of(holding: Holding) -> Kind:
    return holding.step.project, holding.step.flow, holding.step.name


def expected_end(holding: Holding, measured: Measured, now_us: int) -> tuple[int, Usual | None] | None:
    """When it should have ended, and by what where it declared nothing; None where nobody can say, or it is overdue."""
    declared = holding.ends_us()
    if declared is not None:
        return declared, None
    found = usual(measured(kind_of(holding)))
    if found is None or not holding.leased_us or holding.leased_us + found.runtime_us <= now_us:
        return None
    return holding.leased_us + found.runtime_us, found
