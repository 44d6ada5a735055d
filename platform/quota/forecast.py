"""When a step that waits should start, for whoever asks: the machine is played forward, and taken back.

Those that run end when they declared to, or after what steps of their kind usually take; of others nobody knows. What
follows is decided by the machine itself, so those ahead in all queues take their places first, by the order of shares
as they will be then, windows open and close, and victims make way. Those that start end in the same way. Nothing new
comes, no past is forgotten meanwhile (the half-life stands still), and it is looked ahead only so far: nobody promises
anything by it, and nothing is kept.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

from ..wire.api.quota import Eta
from .holdings import Holding
from .messages import (
    AttemptLeased,
    AttemptReleased,
    Demand,
    DeviceFreed,
    Effect,
    Event,
    Grant,
    Reclaim,
    StepWaiting,
    Ticked,
)
from .runtimes import Measured, Usual, expected_end, kind_of, usual
from .windows import next_change_us

if TYPE_CHECKING:
    from .scheduler import Scheduler

DECISIONS_MAX = 256
DECISIONS_MIN = 32  # of a large platform, where each takes longer
LARGE = 16_000  # steps that run or wait; beyond them it is looked ahead less far
WAKES_MAX = 32  # times at which the clock alone has something to decide, once no end is known any more
CHANGES_MAX = 4  # windows that open or close, each of which counts the whole tree anew
FENCES = 1 << 60  # those of the attempts that start meanwhile


class End(NamedTuple):
    """`by` is empty where it was declared; `makes_way`: it ends for another, and waits again."""

    at_us: int
    fence: int
    name: str = ""
    by: Usual | None = None
    makes_way: bool = False


class Start(NamedTuple):
    """By what a step should start: these ends, or nothing but the time. `ahead`: how many that compete with it started
    before it."""

    at_us: int
    ends: tuple[End, ...]
    ahead: int
    demand: Demand


class Forecast:
    """What was found is remembered until the machine decides again."""

    def __init__(self, machine: Scheduler) -> None:
        self._machine = machine
        self._as_of: tuple[int, Measured] | None = None
        self._starts: dict[str, Start] = {}
        self._is_all = False

    def eta(self, step: StepWaiting, measured: Measured, now_us: int) -> Eta | None:
        """The time at which it should have quota and a place; at the earliest, where those ahead hide the rest; None
        where nobody can say.
        """
        known = self._is_all or step.step_id in self._starts
        if self._as_of != (self._machine.decided, measured) or not known:
            played = _Play(self._machine, measured, now_us)
            self._is_all = not played.until(step.step_id)
            self._starts, self._as_of = played.starts, (self._machine.decided, measured)
        start = self._starts.get(step.step_id)
        if start is not None:
            return Eta(at_us=start.at_us, basis=_basis(self._machine, start))
        ahead = [each for each in self._starts.values() if _compete(each.demand, step.demand)]
        if not ahead:
            return None
        basis = f"at the earliest: {_go_before(len(ahead))}, and nobody can say when it goes after them"
        return Eta(at_us=ahead[-1].at_us, basis=basis)


class _Play:
    def __init__(self, machine: Scheduler, measured: Measured, now_us: int) -> None:
        self.machine, self.measured, self.now_us = machine, measured, now_us
        self.starts: dict[str, Start] = {}
        self.ends: list[End] = []
        self.ended: dict[str, End] = {}  # by device
        self.wakes = WAKES_MAX
        self.changes = CHANGES_MAX
        self.fence = FENCES

    def until(self, step_id: str) -> bool:
        """Plays until the step starts, or as far as it is looked. Whether it does."""
        self._begin()
        with self.machine.tried():
            for _ in range(self._decisions()):
                due = self._due()
                if due is None or step_id in self.starts:
                    break
                self.now_us = max(self.now_us, due[0])
                self._take(self._decided(due[1]), due[1])
        return step_id in self.starts

    def _decisions(self) -> int:
        size = len(self.machine.holdings()) + self.machine.count_waiting()
        return max(DECISIONS_MIN, min(DECISIONS_MAX, DECISIONS_MAX * LARGE // max(1, size)))

    def _begin(self) -> None:
        grace_us = self.machine.tree.policy.grace_s * 1_000_000
        for holder, holding in self.machine.holdings().items():
            if not isinstance(holder, int):
                continue
            if holding.released or holding.leaving:
                at_us = self.now_us if holding.released else self.now_us + grace_us
                self.ends.append(End(at_us, holder, holding.step.name, makes_way=holding.leaving))
                continue
            expected = expected_end(holding, self.measured, self.now_us)
            if expected is not None:
                self.ends.append(End(max(self.now_us, expected[0]), holder, holding.step.name, expected[1]))
        heapq.heapify(self.ends)

    def _due(self) -> tuple[int, list[End]] | None:
        """What comes next, and those that end then; None where nothing does that is known."""
        soonest = self.ends[0].at_us if self.ends else None
        change_us = next_change_us(self.machine.tree.windows, self.now_us) if self.changes else None
        wakes_us = self.machine.wakes_us() if self.wakes and not self.ends else None
        times = [at_us for at_us in (soonest, change_us, wakes_us) if at_us is not None]
        if not times:
            return None
        at_us, ends = min(times), list[End]()
        while self.ends and self.ends[0].at_us <= at_us:
            ends.append(heapq.heappop(self.ends))
        if at_us == change_us:
            self.changes -= 1
        elif not ends:
            self.wakes -= 1
        return at_us, ends

    def _decided(self, ends: list[End]) -> list[Effect]:
        """What follows from these ends, all at once."""
        events: list[Event] = []
        for end in ends:
            holding = self.machine.holdings().get(end.fence)
            if holding is not None:
                devices = tuple(device for seat in holding.seats for device in seat.devices)
                self.ended.update(dict.fromkeys(devices, end))
                events += [AttemptReleased(end.fence), *([DeviceFreed(devices, end.fence)] if devices else [])]
                events += [holding.step] if end.makes_way and not holding.released else []
        return self.machine.decide_all(events or [Ticked(self.now_us)], self.now_us)

    def _take(self, effects: list[Effect], ends: list[End]) -> None:
        """Those that go are leased, and those that are to make way do."""
        leases: list[Event] = []
        for effect in effects:
            if isinstance(effect, Grant):
                leases.append(self._started(effect, ends))
            elif isinstance(effect, Reclaim):
                at_us = self.now_us + effect.grace_s * 1_000_000
                name = self.machine.holdings()[effect.fence].step.name
                self.ends = [end for end in self.ends if end.fence != effect.fence]
                self.ends.append(End(at_us, effect.fence, name, makes_way=True))
                heapq.heapify(self.ends)
        if leases:
            self._take(self.machine.decide_all(leases, self.now_us), ends)

    def _started(self, grant: Grant, ends: list[End]) -> Event:
        holding = self.machine.holdings()[grant.step_id]
        mine = {end.fence: end for rank in grant.devices for d in rank if (end := self.ended.get(d)) is not None}
        by = tuple(sorted(mine.values(), key=lambda end: end[:2]))
        if not any(end in ends for end in by):  # its place was free before: what came now is quota, or the time
            by = tuple(ends)
        ahead = sum(_compete(start.demand, holding.step.demand) for start in self.starts.values())
        self.starts.setdefault(grant.step_id, Start(self.now_us, by, ahead, holding.step.demand))
        self.fence += 1
        self._ends_later(holding, self.fence)
        step = holding.step
        return AttemptLeased(
            grant.step_id, self.fence, grant.node, grant.devices, step.demand, grant.nodes, self.now_us, step.project
        )

    def _ends_later(self, holding: Holding, fence: int) -> None:
        step, lasted = holding.step, usual(self.measured(kind_of(holding)))
        if step.max_runtime_s is not None:
            heapq.heappush(self.ends, End(self.now_us + step.max_runtime_s * 1_000_000, fence, step.name))
        elif lasted is not None:
            heapq.heappush(self.ends, End(self.now_us + lasted.runtime_us, fence, step.name, lasted))


def _basis(machine: Scheduler, start: Start) -> str:
    ahead = f"; {_go_before(start.ahead)}, by the order of shares" if start.ahead else ""
    return f"{_by(machine, start)}{ahead}"


def _by(machine: Scheduler, start: Start) -> str:
    if not start.ends:
        return _windows(machine, start.at_us) or "by then it may be decided anew"
    last, count = start.ends[-1], len(start.ends)
    if last.makes_way:
        return f"{'1 gang ends' if count == 1 else f'{count} gangs end'} for it by then"
    who = f"step {last.name}" if count == 1 else f"{count} of the steps that run, {last.name} the last,"
    if last.by is not None:
        return f"{who} should have ended by then, by the median of {last.by.attempts} earlier attempts"
    others = "" if all(end.by is None for end in start.ends) else "; others by the median of earlier attempts"
    return f"{who} declared to have ended by then{others}"


def _windows(machine: Scheduler, at_us: int) -> str:
    """Whose window opens or closes then; empty where none does."""
    tree = machine.tree
    for window in tree.windows:
        span = window.hours.span(at_us - 1)
        if span is not None and at_us in span:
            verb = "opens" if at_us == span[0] else "closes"
            return f"the window of {tree.nodes[window.node].path} ({window.shown()}) {verb} then"
    return ""


def _go_before(count: int) -> str:
    return "1 step that waits goes before it" if count == 1 else f"{count} steps that wait go before it"


def _compete(one: Demand, two: Demand) -> bool:
    """Whether what one takes the other might have had: GPUs that both may be given, or no GPUs at all."""
    if bool(one.gpus_milli) is not bool(two.gpus_milli):
        return False
    return not one.gpus_milli or one.gpu_model is None or two.gpu_model in (None, one.gpu_model)
