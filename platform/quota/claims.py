"""Whom to end for several lines at once.

What is about to come free is not to be made free twice, so a search is made on the picture as it will be when all who
make way are gone. There may be a thousand of them: they are taken off once for all lines of a decision, and each plan
is supposed to be carried out before the next line is looked at. All of it is taken back at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .admission import Option
from .holdings import Holdings
from .messages import StepWaiting
from .queues import LineKey, Queues
from .reclaim import Plan, Reclaiming
from .reservations import RESERVATIONS_MAX, Reservations
from .undo import Undo

LOOKED_AT_MAX = 4000  # victims, for all lines of a decision; the line at which it is reached is looked at to its end
PLANS_MAX = 16  # each is tried on the nodes, again and again


class Claim(NamedTuple):
    """What the line's first steps have a right to. `sooner`: when it is worth another look; `rest`: now already."""

    key: LineKey
    plans: Sequence[tuple[StepWaiting, Plan]] = ()
    sooner: int | None = None
    rest: bool = False


class Claims:
    def __init__(
        self, undo: Undo, queues: Queues, holdings: Holdings, reservations: Reservations, reclaiming: Reclaiming
    ) -> None:
        self._undo, self._queues, self._holdings = undo, queues, holdings
        self._reservations, self._reclaiming = reservations, reclaiming

    def of(self, keys: Sequence[LineKey], now_us: int) -> list[Claim]:
        """One for each of the lines, in order, or for the first of them where that was enough to look at."""
        hopeful = self._hopeful(keys, now_us)
        if not any(hopeful):
            return [Claim(key) for key in keys]
        claims: list[Claim] = []
        looked_at, plans = self._reclaiming.looked_at, 0
        with self._undo.undone():
            for holder in list(self._holdings.going):
                self._holdings.as_if_gone(holder)
            for key, options in zip(keys, hopeful, strict=True):
                if self._reclaiming.looked_at - looked_at >= LOOKED_AT_MAX or plans >= PLANS_MAX:
                    break
                claims.append(self._claim(key, options, PLANS_MAX - plans, now_us) if options else Claim(key))
                plans += len(claims[-1].plans)
        return claims

    def _hopeful(self, keys: Sequence[LineKey], now_us: int) -> list[tuple[Option, ...]]:
        if len(self._reservations.kept) >= RESERVATIONS_MAX:
            return [()] * len(keys)
        firsts = [self._queues.first_free(key) for key in keys]
        return [() if step is None else self._reclaiming.hopeful(step, now_us) for step in firsts]

    def _claim(self, key: LineKey, options: tuple[Option, ...], most: int, now_us: int) -> Claim:
        plans: list[tuple[StepWaiting, Plan]] = []
        sooner: int | None = None
        while len(self._reservations.kept) < RESERVATIONS_MAX and len(plans) < most:
            step = self._queues.first_free(key)
            plan = None if step is None else self._reclaiming.plan(step, options, now_us)
            sooner = self._reclaiming.sooner
            if step is None or plan is None:
                return Claim(key, plans, sooner)
            plans.append((step, plan))
            self._suppose(step, plan, now_us)
        return Claim(key, plans, sooner, rest=len(plans) == most)

    def _suppose(self, step: StepWaiting, plan: Plan, now_us: int) -> None:
        for fence in plan.victims:
            self._reclaiming.note(self._holdings.leave(fence).step.project, now_us)
            self._holdings.as_if_gone(fence)
        self._queues.reserve(step, reserved=True)
        self._reservations.keep(step, plan.placed, None, "", plan.victims)
