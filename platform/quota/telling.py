"""Who is told why it waits, and when: on its arrival, when it comes first in its line, when the tree changes.

A reason is said again only where it is another. What changes meanwhile is found by `explain`, which asks anew.
Where very many lines moved at once, after a start or a change of the tree, the first are told now and the rest with
the next events, so that no decision waits for it.
"""

from __future__ import annotations

from . import admission
from .admission import Admission
from .messages import Effect, StepWaiting, Waiting
from .queues import LineKey, Queues, line_of, turn_of
from .reasons import Reasons
from .undo import Undo

BEHIND, RESERVED = "queue", "reserved"
BEHIND_MAX = 100  # who stands further back in its line is told when it comes first, or asks
TOLD_MAX = 1000  # lines after one event
REFUSED = "its grant was refused"


class Telling:
    def __init__(self, undo: Undo, queues: Queues) -> None:
        self._undo, self._queues = undo, queues
        self.told: dict[str, object] = {}  # step → the reason that was said last
        self._moved: dict[LineKey, None] = {}
        self._unsaid: dict[LineKey, None] = {}  # lines that moved earlier, and have still to be told
        self._came: dict[str, None] = {}  # steps; one that came twice is told of as it came last

    def moved(self, key: LineKey) -> None:
        """Another may be first in the line, or what it waits for."""
        self._moved[key] = None

    def loaded(self) -> None:
        """What moved until now came with the rows: a decision that is taken back leaves it to be said."""
        self._unsaid, self._moved = self._moved, {}

    @property
    def behindhand(self) -> bool:
        """Whether there is more to tell, without any event."""
        return bool(self._unsaid)

    def came(self, step: StepWaiting) -> None:
        self._came[step.step_id] = None

    def forget(self, step: StepWaiting) -> None:
        if step.step_id in self.told:
            self._undo.pop(self.told, step.step_id)

    def clear(self) -> None:
        self._moved, self._came = {}, {}

    def say(self, reasons: Reasons, asked: Admission) -> list[Effect]:
        effects: list[Effect] = []
        for step in filter(None, map(self._queues.steps.get, self._came)):
            if step.step_id in self._queues.reserved:
                effects += self._tell(step, RESERVED, reasons.reserved(step))
            elif self._is_told_of_those_ahead(step):
                effects += self._tell(step, BEHIND, reasons.behind(step))
        for first, key in self._next_moved():
            causes = asked.causes(*key, asked.options(key[1]))
            reason = tuple(map(admission.key_of, causes))
            if self.told.get(first.step_id) != reason and causes:
                effects += self._tell(first, reason, reasons.first(first, causes))
        self.clear()
        return effects

    def _next_moved(self) -> list[tuple[StepWaiting, LineKey]]:
        """The firsts of the lines that moved, in their turn, as many as are told now; the others are left for later."""
        lines = {**self._unsaid, **self._moved}
        moved = [(first, key) for key in lines if (first := self._queues.first_free(key)) is not None]
        moved.sort(key=lambda each: turn_of(each[0]))
        if self._unsaid or len(moved) > TOLD_MAX:
            self._undo.note(setattr, self, "_unsaid", self._unsaid)
            self._unsaid = {key: None for _, key in moved[TOLD_MAX:]}
        return moved[:TOLD_MAX]

    def why(self, step: StepWaiting, reasons: Reasons, asked: Admission) -> Waiting:
        key = line_of(step)
        if step.step_id in self._queues.reserved:
            return reasons.reserved(step)
        if self._queues.first_free(key) not in (None, step):
            return reasons.behind(step)
        causes = asked.causes(*key, asked.options(key[1]))
        if key in self._queues.put_off or not causes:
            return reasons.undecided(step, REFUSED)
        return reasons.in_full(step, causes)

    def _is_told_of_those_ahead(self, step: StepWaiting) -> bool:
        queues = self._queues
        return queues.first_free(line_of(step)) is not step and queues.ahead_of(step, 0)[0] < BEHIND_MAX

    def _tell(self, step: StepWaiting, reason: object, said: Waiting) -> list[Effect]:
        if self.told.get(step.step_id) == reason:
            return []
        self._undo.put(self.told, step.step_id, reason)
        return [said]
