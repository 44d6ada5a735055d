"""How far running steps are: the newest word of each, for those who ask instead of listening."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from ..wire.api.runs import RunDetail
from ..wire.api.steps import StepView
from ..wire.calls import Progress
from ..wire.entries.steps import StepEnded, StepFailed, StepSucceeded
from ..wire.types import Entry

KEPT_MAX: Final = 20_000


class LatestProgress:
    """Lossy, as progress is: of more steps than are kept the longest silent are forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Progress] = OrderedDict()

    def hear(self, item: Progress) -> None:
        self._known[item.step_id] = item
        self._known.move_to_end(item.step_id)
        if len(self._known) > KEPT_MAX:
            self._known.popitem(last=False)

    def follow(self, entry: Entry) -> None:
        """What has ended is nowhere any more."""
        if isinstance(entry.body, StepSucceeded | StepFailed | StepEnded):
            self._known.pop(entry.body.step_id, None)

    def shown_in(self, run: RunDetail) -> RunDetail:
        """The run, its steps with how far their running attempt is."""
        return msgspec.structs.replace(run, steps=self.shown(run.steps))

    def shown(self, steps: Iterable[StepView]) -> tuple[StepView, ...]:
        return tuple(self._shown(step) for step in steps)

    def _shown(self, step: StepView) -> StepView:
        known = self._known.get(step.id)
        if known is None or step.ended_us or not step.attempts or step.attempts[-1].number != known.attempt:
            return step
        return msgspec.structs.replace(step, progress=known)
