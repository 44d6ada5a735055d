"""Waiting steps, in lines by project and shape.

Steps of one line ask for the same in the same project's name, so where its first cannot go none of them
can, and only the first of each line is ever looked at. A line that is put off is not looked at until the
next event.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from .messages import Demand, StepWaiting
from .undo import Undo

Turn = tuple[int, int, str]  # minus priority, waiting since, step id: the smaller goes first


class Shape(NamedTuple):
    """All that decides whether and where a step of a project may go. `ranks_min` is the fewest that it goes with,
    `min_runtime_s` how long it is not ended for another."""

    demand: Demand
    ranks_min: int
    max_runtime_s: int | None
    once: bool
    tier: int = 0
    min_runtime_s: int = 0


LineKey = tuple[str, Shape]


@dataclass(slots=True)
class Line:
    turns: list[Turn] = field(default_factory=list)


def turn_of(step: StepWaiting) -> Turn:
    return (-step.priority, step.since_us, step.step_id)


def shape_of(step: StepWaiting) -> Shape:
    ranks_min = step.ranks_min or step.demand.ranks
    return Shape(step.demand, ranks_min, step.max_runtime_s, step.once, step.tier, step.min_runtime_s)


def line_of(step: StepWaiting) -> LineKey:
    return (step.project, shape_of(step))


class SortedLines:
    """Lines, each once, by the turn that each was put with. Two have the same where a step asked for something else
    meanwhile; they have an order too, so that what is taken back leaves no trace.
    """

    def __init__(self, undo: Undo) -> None:
        self._undo = undo
        self._turns: dict[LineKey, Turn] = {}
        self._sorted: list[tuple[Turn, LineKey]] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def put(self, key: LineKey, turn: Turn) -> None:
        if key not in self._turns:
            self._undo.note(self._strike, key)
            self._enter(key, turn)

    def remove(self, key: LineKey) -> None:
        self._undo.note(self._enter, key, self._turns[key])
        self._strike(key)

    def first(self, limit: int) -> list[LineKey]:
        return [key for _, key in self._sorted[:limit]]

    def pop_first(self) -> LineKey | None:
        if not self._sorted:
            return None
        key = self._sorted[0][1]
        self.remove(key)
        return key

    def _enter(self, key: LineKey, turn: Turn) -> None:
        self._turns[key] = turn
        entry, position = (turn, key), bisect_right(self._sorted, turn, key=_turn)
        while position and self._sorted[position - 1][0] == turn and repr(entry) < repr(self._sorted[position - 1]):
            position -= 1
        self._sorted.insert(position, entry)

    def _strike(self, key: LineKey) -> None:
        position = bisect_left(self._sorted, self._turns.pop(key), key=_turn)
        while self._sorted[position][1] != key:
            position += 1
        del self._sorted[position]


class Queues:
    """`changed` is called with the line whenever its first may be another."""

    def __init__(self, undo: Undo, changed: Callable[[LineKey], None]) -> None:
        self._undo, self._changed = undo, changed
        self.steps: dict[str, StepWaiting] = {}
        self.lines: dict[LineKey, Line] = {}
        self.put_off: dict[LineKey, None] = {}
        self.reserved: dict[str, None] = {}  # the steps for which a place is kept
        self._shapes: dict[str, dict[Shape, None]] = {}

    def add(self, step: StepWaiting) -> None:
        self._undo.note(self._remove, step)
        self._add(step)

    def load(self, steps: Iterable[StepWaiting]) -> None:
        """Adds many that nobody takes back: each line is sorted once."""
        lines: dict[LineKey, list[Turn]] = {}
        for step in steps:
            self.steps[step.step_id] = step
            lines.setdefault(line_of(step), []).append(turn_of(step))
        for key, turns in lines.items():
            line = self.lines.setdefault(key, Line())
            line.turns = sorted([*line.turns, *turns])
            self._shapes.setdefault(key[0], {})[key[1]] = None
            self._changed(key)

    def remove(self, step: StepWaiting) -> None:
        self._undo.note(self._add, step)
        self._remove(step)

    def pause(self, key: LineKey) -> None:
        if key not in self.put_off:
            self._undo.note(self._resume, key)
            self.put_off[key] = None
            self._changed(key)

    def resume_all(self) -> None:
        """Every line is looked at again."""
        for key in list(self.put_off):
            self._undo.note(self._pause, key)
            self._resume(key)

    def first(self, key: LineKey) -> StepWaiting | None:
        line = self.lines.get(key)
        return self.steps[line.turns[0][2]] if line is not None else None

    def first_free(self, key: LineKey) -> StepWaiting | None:
        """The first for which no place is kept; None where there is none, or the line is put off."""
        line = self.lines.get(key)
        if line is None or key in self.put_off:
            return None
        for turn in line.turns:
            if turn[2] not in self.reserved:
                return self.steps[turn[2]]
        return None

    def reserve(self, step: StepWaiting, *, reserved: bool) -> None:
        """Notes whether a place is kept for the step."""
        if reserved:
            self._undo.put(self.reserved, step.step_id, None)
        else:
            self._undo.pop(self.reserved, step.step_id)
        self._undo.note(self._changed, line_of(step))
        self._changed(line_of(step))

    def ahead_of(self, step: StepWaiting, limit: int) -> tuple[int, list[str]]:
        """How many stand before the step in its line, and the first of them."""
        turns = self.lines[line_of(step)].turns
        position = bisect_left(turns, turn_of(step))
        return position, [turn[2] for turn in turns[: min(position, limit)]]

    def projects(self) -> list[str]:
        return list(self._shapes)

    def of_project(self, project: str) -> list[LineKey]:
        return [(project, shape) for shape in self._shapes.get(project, ())]

    def _add(self, step: StepWaiting) -> None:
        self.steps[step.step_id] = step
        key = line_of(step)
        line = self.lines.get(key)
        if line is None:
            line = self.lines[key] = Line()
            self._shapes.setdefault(step.project, {})[key[1]] = None
        insort(line.turns, turn_of(step))
        if self.first_free(key) is step or step.step_id in self.reserved:
            self._changed(key)

    def _remove(self, step: StepWaiting) -> None:
        key = line_of(step)
        was_first = self.first_free(key) is step
        del self.steps[step.step_id]
        turns = self.lines[key].turns
        position = bisect_left(turns, turn_of(step))
        del turns[position]
        if not turns:
            del self.lines[key]
            del self._shapes[step.project][key[1]]
            if not self._shapes[step.project]:
                del self._shapes[step.project]
        if was_first or position == 0:
            self._changed(key)

    def _pause(self, key: LineKey) -> None:
        self.put_off[key] = None
        self._changed(key)

    def _resume(self, key: LineKey) -> None:
        self.put_off.pop(key, None)
        self._changed(key)


def _turn(entry: tuple[Turn, LineKey]) -> Turn:
    return entry[0]
