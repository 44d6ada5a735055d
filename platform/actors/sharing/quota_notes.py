"""What the Scheduler keeps beside the tree: priorities that were given by command, what was borrowed lately, and how
often what was asked for. A row each; the last two change a few times in a half-life, or when as many came again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ...core.inventory import QuotaNote
from ...core.ledger import Book, Ledger
from ...errors import InvalidInput
from ...quota import messages as q
from ...quota.scheduler import Scheduler

PAST: Final = "past"
WORKLOAD: Final = "workload"
PRIORITY: Final = "priority/"
PRIORITY_MAX: Final = 1_000_000


class QuotaNotes:
    def __init__(self, book: Book) -> None:
        self.rows: Ledger[str, QuotaNote] = Ledger(book, "quota_notes")
        self._common: list[tuple[q.Demand, int]] = []  # as it was noted

    def load(self, rows: Iterable[QuotaNote], engine: Scheduler) -> None:
        """The rows, and into the engine what it remembers of them."""
        for row in rows:
            self.rows.load(row.name, row)
        if PAST in self.rows and engine.half_life is not None:
            engine.half_life.load(self.rows[PAST].note, self.rows[PAST].noted_us // 1_000_000)
        if WORKLOAD in self.rows:
            counts = [(msgspec.convert(demand, q.Demand), count) for demand, count in self.rows[WORKLOAD].note]
            engine.workload.give(dict(counts))
        self._common = engine.workload.common()

    def keep(self, engine: Scheduler, now_us: int) -> None:
        """Takes down what of the engine's memory is another than was noted."""
        past = engine.half_life
        if past is not None and past.ticked_s >= 0 and self._since(PAST) != past.ticked_s * 1_000_000:
            self._put(PAST, past.kept(), past.ticked_s * 1_000_000)
        common = engine.workload.common()
        if common is not self._common:
            self._common = common
            self._put(WORKLOAD, [msgspec.to_builtins(kind) for kind in common], now_us)

    def _since(self, name: str) -> int | None:
        row = self.rows.get(name)
        return None if row is None else row.noted_us

    def prioritised(self, event: q.Event) -> q.Event:
        """A step that waits, with the priority that somebody gave it."""
        return prioritised(event, self.rows)

    def prioritise(self, step: q.StepWaiting, priority: int, principal: str, now_us: int) -> None:
        self._put(PRIORITY + step.step_id, priority, now_us, principal)

    def forget(self, step_id: str) -> None:
        self.rows.remove(PRIORITY + step_id)

    def _put(self, name: str, note: Any, noted_us: int, principal: str = "") -> None:
        self.rows.put(name, QuotaNote(name=name, note=note, principal=principal, noted_us=noted_us))


def prioritised(event: q.Event, notes: Ledger[str, QuotaNote] | dict[str, QuotaNote]) -> q.Event:
    """The event; of a step, with the priority that was given by command."""
    if isinstance(event, q.StepWaiting | q.AttemptLeased):
        note = notes.get(PRIORITY + event.step_id)
        return event if note is None else msgspec.structs.replace(event, priority=note.note)
    return event


def priority_in(data: Any) -> tuple[str, int]:
    """The step and the priority of a `quota.priority`. Raises InvalidInput naming what does not fit."""
    step = data.get("step") if isinstance(data, dict) else None
    priority = data.get("priority") if isinstance(data, dict) else None
    if not isinstance(step, str) or set(data) != {"step", "priority"}:
        raise InvalidInput(f"quota.priority came with {data!r:.80}", remedy='Send {"step": "RUN/0", "priority": 50}')
    if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > PRIORITY_MAX:
        raise InvalidInput(f"The priority is {priority!r:.80}", remedy=f"Give a whole number up to {PRIORITY_MAX:,}")
    return step, priority
