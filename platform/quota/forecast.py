"""When a step that waits should start, for whoever asks: by what those that run declared, or usually take.

Their ends are gone through as for a dated place (`backfill`), but nothing is kept by it and nobody promises it: those
ahead in other queues, and whoever comes meanwhile, are not counted.
"""

from __future__ import annotations

from ..wire.api.quota import Eta
from .admission import Admission, Option
from .backfill import ENDS_MAX, Backfill, End
from .holdings import Holdings
from .messages import StepWaiting
from .queues import shape_of
from .runtimes import Measured, Usual, expected_end


class Forecast:
    def __init__(self, backfill: Backfill, holdings: Holdings, admission: Admission) -> None:
        self._backfill, self._holdings, self._admission = backfill, holdings, admission

    def eta(self, step: StepWaiting, measured: Measured, now_us: int) -> Eta | None:
        """The earliest time by which there should be quota and a place; None where nobody can say."""
        options = self._admission.options(shape_of(step))
        etas = [self._eta(step, option, measured, now_us) for option in options]
        return min((eta for eta in etas if eta is not None), key=lambda eta: eta.at_us, default=None)

    def _eta(self, step: StepWaiting, option: Option, measured: Measured, now_us: int) -> Eta | None:
        expected = self._expected(option, measured, now_us)
        ends = sorted(expected)[:ENDS_MAX]
        found = self._backfill.soonest(step, option, ends)
        if found is None:
            return None
        count, at_us = found[0], ends[found[0] - 1][0]
        last = self._holdings.all[ends[count - 1][1]].step.name
        return Eta(at_us=at_us, basis=_basis(last, [expected[end] for end in ends[:count]]))

    def _expected(self, option: Option, measured: Measured, now_us: int) -> dict[End, Usual | None]:
        """The ends of what runs in this flavour, with what they are told by where nothing was declared."""
        found: dict[End, Usual | None] = {}
        for fence, holding in self._holdings.all.items():
            if not isinstance(fence, int) or holding.flavour != option.flavour or holding.released or holding.leaving:
                continue
            expected = expected_end(holding, measured, now_us)
            if expected is not None:
                found[expected[0], fence] = expected[1]
        return found


def _basis(last: str, by: list[Usual | None]) -> str:
    who = f"step {last}" if len(by) == 1 else f"{len(by)} of the steps that run, {last} the last,"
    usual = by[-1]
    if usual is not None:
        return f"{who} should have ended by then, by the median of {usual.attempts} earlier attempts"
    others = "" if all(each is None for each in by) else "; others by the median of earlier attempts"
    return f"{who} declared to have ended by then{others}"
