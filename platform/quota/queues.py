"""Waiting steps, queued by project and demand.

Steps of one queue ask for the same in the same project's name, so if its first cannot go none of them can:
what a change may have made possible is found by looking at the first of each queue that waits for it. A
queue that was looked at and could not go is noted under each of its causes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from .admission import Cause, CauseKey, NoPlace, key_of
from .messages import Demand, StepWaiting
from .undo import Undo

QueueKey = tuple[str, Demand]
Turn = tuple[int, int, str]  # minus priority, waiting since, step id: the smaller goes first


@dataclass(slots=True)
class Queue:
    turns: list[Turn] = field(default_factory=list)
    causes: tuple[Cause, ...] = ()


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
        self._places: dict[tuple[Demand, tuple[str, ...]], None] = {}

    def add(self, step: StepWaiting) -> None:
        self._undo.note(self._remove, step)
        self._add(step)

    def remove(self, step: StepWaiting) -> None:
        key = queue_of(step)
        if len(self.queues[key].turns) == 1:
            self.block(key, ())
        self._undo.note(self._add, step)
        self._remove(step)

    def block(self, key: QueueKey, causes: tuple[Cause, ...]) -> None:
        """Notes why the queue's first cannot go; no causes: it is to be looked at again."""
        before = self.queues[key].causes
        if before != causes:
            self._undo.note(self._block, key, before)
            self._block(key, causes)

    def first(self, key: QueueKey) -> StepWaiting:
        return self.steps[self.queues[key].turns[0][2]]

    def ahead_of(self, step: StepWaiting, limit: int) -> tuple[int, list[str]]:
        """How many stand before the step in its queue, and the first of them."""
        turns = self.queues[queue_of(step)].turns
        position = bisect_left(turns, turn_of(step))
        return position, [turn[2] for turn in turns[: min(position, limit)]]

    def caused_by(self, key: CauseKey) -> tuple[QueueKey, ...]:
        return tuple(self.by_cause.get(key, ()))

    def places(self) -> list[tuple[Demand, tuple[str, ...]]]:
        """The demands, with GPU models, that some queue waits for a place for."""
        return list(self._places)

    def _add(self, step: StepWaiting) -> None:
        self.steps[step.step_id] = step
        queue = self.queues.get(queue_of(step))
        if queue is None:
            queue = self.queues[queue_of(step)] = Queue()
        insort(queue.turns, turn_of(step))

    def _remove(self, step: StepWaiting) -> None:
        del self.steps[step.step_id]
        turns = self.queues[queue_of(step)].turns
        del turns[bisect_left(turns, turn_of(step))]
        if not turns:
            del self.queues[queue_of(step)]

    def _block(self, key: QueueKey, causes: tuple[Cause, ...]) -> None:
        queue = self.queues[key]
        for cause in queue.causes:
            waiting = self.by_cause.get(key_of(cause), {})  # two options may share one cause
            waiting.pop(key, None)
            if not waiting:
                self.by_cause.pop(key_of(cause), None)
                if isinstance(cause, NoPlace):
                    self._places.pop((cause.demand, cause.models), None)
        for cause in causes:
            self.by_cause.setdefault(key_of(cause), {})[key] = None
            if isinstance(cause, NoPlace):
                self._places[cause.demand, cause.models] = None
        queue.causes = causes
