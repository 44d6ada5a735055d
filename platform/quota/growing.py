"""Elastic gangs that run with fewer ranks than they could: when there is idle room for more, they begin again.

Nothing that waits fits by then, for this is looked at after all the others; and what is kept for others is held.
A gang is looked at when it has run for `grow_after_s`, and from then on whenever room or quota has come free. When it
comes back, its place is kept until its own devices are seen empty.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from .admission import Admission, Placed
from .holdings import Holding, Holdings
from .messages import Reclaim, StepWaiting
from .places import Places
from .queues import shape_of
from .undo import Undo
from .usage import Usage

LOOKED_AT_MAX = 16  # after one event; the others after the next, which comes at once


class Growing:
    def __init__(self, undo: Undo, usage: Usage, places: Places, holdings: Holdings, admission: Admission) -> None:
        self._undo, self._usage, self._holdings = undo, usage, holdings
        self._admission, self._places = admission, places
        self._small: dict[int, int] = {}  # fence → from when on it may begin again
        for holder, holding in holdings.all.items():
            if isinstance(holder, int):
                self._add(holder, holding)
        holdings.watch(self._add, self._remove)

    def grow(self, now_us: int) -> list[Reclaim]:
        """Whom to begin again, each with a place for more ranks than it has."""
        ready = self._ready(now_us)[:LOOKED_AT_MAX]
        return [reclaim for fence in ready if (reclaim := self._grown(fence)) is not None]

    def place_again(self, step: StepWaiting) -> tuple[int, Placed] | None:
        """Of a gang that comes back to begin again: the attempt that it had, and its place once that is seen empty.

        At once it might go with fewer ranks, and have gained nothing. None where it gets no more by waiting.
        """
        had = [fence for fence in self._holdings.going if isinstance(fence, int) and self._was_to_grow(fence, step)]
        if not had:
            return None
        fence = max(had)
        shape = shape_of(step)
        options = self._admission.options(shape)
        at_once = self._admission.judge(step.project, shape, options)
        with self._undo.undone():
            self._holdings.as_if_gone(fence)
            self._places.changed()
            placed = self._admission.judge(step.project, shape, options)
        self._places.changed()
        gains = placed is not None and (at_once is None or len(placed.seats) > len(at_once.seats))
        return (fence, placed) if placed is not None and gains else None

    def _was_to_grow(self, fence: int, step: StepWaiting) -> bool:
        holding = self._holdings.all[fence]
        return holding.grows and holding.released and holding.step.step_id == step.step_id

    def wakes_us(self, now_us: int) -> int | None:
        if self._ready(now_us):
            return now_us
        return min((at_us for at_us in self._small.values() if at_us > now_us), default=None)

    def _ready(self, now_us: int) -> list[int]:
        """Those that may find room which they have not looked at, the one that looked last comes last."""
        came_back, held = self._holdings.came_back, self._holdings.all
        ready = ((held[fence].looked, fence) for fence, at_us in self._small.items() if at_us <= now_us)
        return [fence for looked, fence in sorted(ready) if looked < came_back]

    def _grown(self, fence: int) -> Reclaim | None:
        holding = self._holdings.all[fence]
        step, placed = holding.step, self._wider(holding, fence)
        if placed is None:
            self._holdings.put(fence, replace(holding, looked=self._holdings.came_back))
            return None
        self._holdings.leave(fence, grows=True)
        reason = f"Begins again with {len(placed.seats)} ranks in place of {len(holding.seats)}: there is room."
        return Reclaim(fence, step.step_id, step.project, step.step_id, self._usage.tree.policy.grace_s, reason)

    def _wider(self, holding: Holding, fence: int) -> Placed | None:
        """A place for more ranks than it has; None where there is not even room, or quota, for one more."""
        step, shape = holding.step, shape_of(holding.step)
        one = shape._replace(demand=msgspec.structs.replace(shape.demand, ranks=1), ranks_min=1)
        if self._admission.judge(step.project, one, self._admission.options(one)) is None:
            return None
        with self._undo.undone():
            self._holdings.as_if_gone(fence)
            self._places.changed()
            placed = self._admission.judge(step.project, shape, self._admission.options(shape))
        self._places.changed()
        return placed if placed is not None and len(placed.seats) > len(holding.seats) else None

    def _add(self, fence: int, holding: Holding) -> None:
        if has_fewer_ranks_than_it_could(holding) and holding.may_leave():
            safe_s = max(self._usage.tree.policy.grow_after_s, holding.step.min_runtime_s)
            self._small[fence] = holding.leased_us + safe_s * 1_000_000

    def _remove(self, fence: int, holding: Holding) -> None:
        self._small.pop(fence, None)


def has_fewer_ranks_than_it_could(holding: Holding) -> bool:
    return holding.step.ranks_min > 0 and len(holding.seats) < holding.step.demand.ranks
