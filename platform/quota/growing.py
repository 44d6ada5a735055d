"""Elastic gangs that run with fewer ranks than they could: when there is idle room for more, they begin again.

Nothing that waits fits by then, for this is looked at after all the others; and what is kept for others is held.
A gang is looked at when it has run for `grow_after_s`, and again a while later. When it comes back, its place is kept
until its own devices are seen empty.
"""

from __future__ import annotations

from .admission import Admission, Placed
from .holdings import Holding, Holdings
from .messages import Reclaim, StepWaiting
from .placement.inventory import Holder
from .places import Places
from .queues import shape_of
from .undo import Undo
from .usage import Usage

LOOKED_AT_MAX = 16
AGAIN_US = 30_000_000


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
        ready = sorted(fence for fence, at_us in self._small.items() if at_us <= now_us)[:LOOKED_AT_MAX]
        return [reclaim for fence in ready if (reclaim := self._grown(fence, now_us)) is not None]

    def place_again(self, step: StepWaiting) -> tuple[int, Placed] | None:
        """Of a gang that comes back to begin again: the attempt that it had, and its place once that is seen empty.

        At once it might go with fewer ranks, and have gained nothing. None where it gets no more by waiting.
        """
        fence = next((fence for fence in self._holdings.going if self._was_to_grow(fence, step)), None)
        if not isinstance(fence, int):
            return None
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

    def _was_to_grow(self, fence: Holder, step: StepWaiting) -> bool:
        holding = self._holdings.all[fence]
        return holding.grows and holding.released and holding.step.step_id == step.step_id

    def wakes_us(self, now_us: int) -> int | None:
        return min((at_us for at_us in self._small.values() if at_us > now_us), default=None)

    def _grown(self, fence: int, now_us: int) -> Reclaim | None:
        self._small[fence] = now_us + AGAIN_US
        holding = self._holdings.all[fence]
        step, shape = holding.step, shape_of(holding.step)
        with self._undo.undone():
            self._holdings.as_if_gone(fence)
            self._places.changed()
            placed = self._admission.judge(step.project, shape, self._admission.options(shape))
        self._places.changed()
        if placed is None or len(placed.seats) <= len(holding.seats):
            return None
        self._holdings.leave(fence, grows=True)
        reason = f"Begins again with {len(placed.seats)} ranks in place of {len(holding.seats)}: there is room."
        return Reclaim(fence, step.step_id, step.project, step.step_id, self._usage.tree.policy.grace_s, reason)

    def _add(self, fence: int, holding: Holding) -> None:
        if has_fewer_ranks_than_it_could(holding) and holding.may_leave():
            safe_s = max(self._usage.tree.policy.grow_after_s, holding.step.min_runtime_s)
            self._small[fence] = holding.leased_us + safe_s * 1_000_000

    def _remove(self, fence: int, holding: Holding) -> None:
        self._small.pop(fence, None)


def has_fewer_ranks_than_it_could(holding: Holding) -> bool:
    return holding.step.ranks_min > 0 and len(holding.seats) < holding.step.demand.ranks
