"""Waiting steps, queued by project and demand.

Steps of one queue ask for the same in the same project's name, so if its first cannot go none of them can:
what a change may have made possible is found by looking at the first of each queue that waits for it. A
queue that was looked at and could not go is noted under each of its causes; those that lack a place are
kept in the order in which they would get it, so that a place that comes free finds its taker at once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from itertools import islice

from .admission import Cause, CauseKey, NoPlace, key_of
from .messages import Demand, StepWaiting
from .undo import Undo

QueueKey = tuple[str, Demand]
Turn = tuple[int, int, str]  # minus priority, waiting since, step id: the smaller goes first


Place = tuple[Demand, tuple[str, ...]]
Entry = tuple[tuple[int, ...], Turn, QueueKey]  # the shares that would result, the turn of the first, the queue


@dataclass(slots=True)
class Queue:
    turns: list[Turn] = field(default_factory=list)
    causes: tuple[Cause, ...] = ()
    entry: Entry | None = None


def turn_of(step: StepWaiting) -> Turn:
    return (-step.priority, step.since_us, step.step_id)


def queue_of(step: StepWaiting) -> QueueKey:
    return (step.project, step.demand)


class Queues:
    def __init__(self, undo: Undo) -> None:
        self._undo = undo
        self.steps: dict[str, StepWaiting] = {}
        self.queues: dict[QueueKey, Queue] = {}
        self.by_cause: dict[CauseKey, dict[QueueKey, None]] = {}
        self._by_place: dict[Place, list[Entry]] = {}
        self._demands: dict[str, dict[Demand, None]] = {}

    def add(self, step: StepWaiting) -> None:
        self._undo.note(self._remove, step)
        self._add(step)

    def remove(self, step: StepWaiting) -> None:
        key = queue_of(step)
        if len(self.queues[key].turns) == 1:
            self.block(key, ())
        self._undo.note(self._add, step)
        self._remove(step)

    def block(self, key: QueueKey, causes: tuple[Cause, ...], shares: tuple[int, ...] = ()) -> None:
        """Notes why the queue's first cannot go; no causes: it is to be looked at again."""
        queue = self.queues[key]
        entry = (shares, queue.turns[0], key) if causes else None
        if queue.causes != causes or queue.entry != entry:
            self._undo.note(self._block, key, queue.causes, queue.entry)
            self._block(key, causes, entry)

    def first(self, key: QueueKey) -> StepWaiting:
        return self.steps[self.queues[key].turns[0][2]]

    def ahead_of(self, step: StepWaiting, limit: int) -> tuple[int, list[str]]:
        """How many stand before the step in its queue, and the first of them."""
        turns = self.queues[queue_of(step)].turns
        position = bisect_left(turns, turn_of(step))
        return position, [turn[2] for turn in turns[: min(position, limit)]]

    def caused_by(self, key: CauseKey, limit: int | None = None) -> tuple[QueueKey, ...]:
        return tuple(islice(self.by_cause.get(key, ()), limit))

    def places(self) -> list[Place]:
        """The demands, with GPU models, that some queue waits for a place for."""
        return list(self._by_place)

    def next_for(self, place: Place, after: Entry | None) -> Entry | None:
        """The first entry that lacks the place, or the one after `after`."""
        entries = self._by_place.get(place, [])
        position = 0 if after is None else bisect_right(entries, _order(after), key=_order)
        return entries[position] if position < len(entries) else None

    def projects(self) -> list[str]:
        return list(self._demands)

    def of_project(self, project: str) -> list[QueueKey]:
        return [(project, demand) for demand in self._demands.get(project, ())]

    def _add(self, step: StepWaiting) -> None:
        self.steps[step.step_id] = step
        queue = self.queues.get(queue_of(step))
        if queue is None:
            queue = self.queues[queue_of(step)] = Queue()
            self._demands.setdefault(step.project, {})[step.demand] = None
        insort(queue.turns, turn_of(step))

    def _remove(self, step: StepWaiting) -> None:
        del self.steps[step.step_id]
        turns = self.queues[queue_of(step)].turns
        del turns[bisect_left(turns, turn_of(step))]
        if not turns:
            del self.queues[queue_of(step)]
            del self._demands[step.project][step.demand]
            if not self._demands[step.project]:
                del self._demands[step.project]

    def _block(self, key: QueueKey, causes: tuple[Cause, ...], entry: Entry | None) -> None:
        queue = self.queues[key]
        for cause in queue.causes:
            self._strike(key_of(cause), key)
            if isinstance(cause, NoPlace) and queue.entry is not None:
                self._strike_entry((cause.demand, cause.models), queue.entry)
        for cause in causes:
            self.by_cause.setdefault(key_of(cause), {})[key] = None
            if isinstance(cause, NoPlace) and entry is not None:
                insort(self._by_place.setdefault((cause.demand, cause.models), []), entry, key=_order)
        queue.causes, queue.entry = causes, entry

    def _strike(self, cause: CauseKey, key: QueueKey) -> None:
        waiting = self.by_cause.get(cause, {})  # two options may share one cause
        waiting.pop(key, None)
        if not waiting:
            self.by_cause.pop(cause, None)

    def _strike_entry(self, place: Place, entry: Entry) -> None:
        entries = self._by_place[place]
        del entries[bisect_left(entries, _order(entry), key=_order)]
        if not entries:
            del self._by_place[place]


def _order(entry: Entry) -> tuple[tuple[int, ...], Turn]:
    return entry[:2]
