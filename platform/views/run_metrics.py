"""Runs by flow and minute: how many started, succeeded, failed, and how long they took. Pure folds.

An entry adds at most one `Minute` to one window, and windows are sums: order does not matter, only
that nothing is added twice. `headwater.runs` may bring an entry again, so repeats are dropped by (run, seq).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..wire.entries.runs import RunFailed, RunNeedsAttention, RunStarted, RunSucceeded
from ..wire.types import Entry

RUNS_REMEMBERED_MAX: Final = 50_000


class Window(NamedTuple):
    """`flow` is `project/flow`; `start_us` the window's first microsecond."""

    flow: str
    start_us: int


class Minute(NamedTuple):
    """What happened to a flow in one window. Durations are of the runs that ended in it."""

    started: int = 0
    succeeded: int = 0
    failed: int = 0
    duration_us: int = 0
    duration_max_us: int = 0


def contribution(entry: Entry, *, window_us: int) -> tuple[Window, Minute] | None:
    """What one entry adds, and where; None where it says nothing of these."""
    match entry.body:
        case RunStarted(flow=flow):
            part = Minute(started=1)
        case RunSucceeded(flow=flow, duration_us=took):
            part = Minute(succeeded=1, duration_us=took, duration_max_us=took)
        case RunFailed(flow=flow, duration_us=took):
            part = Minute(failed=1, duration_us=took, duration_max_us=took)
        case RunNeedsAttention(flow=flow):
            part = Minute(failed=1)
        case _:
            return None
    return Window(f"{entry.project}/{flow}", entry.time_us - entry.time_us % window_us), part


def add(one: Minute, other: Minute) -> Minute:
    """The sum; associative and commutative, with `Minute()` as its zero."""
    return Minute(
        started=one.started + other.started,
        succeeded=one.succeeded + other.succeeded,
        failed=one.failed + other.failed,
        duration_us=one.duration_us + other.duration_us,
        duration_max_us=max(one.duration_max_us, other.duration_max_us),
    )


@dataclass(slots=True)
class RunMetrics:
    """The windows kept, the newest `keep_us` of them by the entries' own time."""

    window_us: int
    keep_us: int
    windows: dict[Window, Minute] = field(default_factory=dict)
    _seqs: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _newest_us: int = 0

    def hear(self, entry: Entry) -> None:
        """Takes an entry once, however often it comes. A run's entries come in order of `seq`."""
        if not self._is_new(entry):
            return
        found = contribution(entry, window_us=self.window_us)
        if found is None:
            return
        window, part = found
        if window.start_us > self._newest_us:
            self._newest_us = window.start_us
            self._forget()
        if window.start_us > self._newest_us - self.keep_us:
            self.windows[window] = add(self.windows.get(window, Minute()), part)

    def rows(self) -> list[dict[str, int | str]]:
        """The windows by time and flow, as `/v1/metrics/flows` shows them."""
        ordered = sorted(self.windows.items(), key=lambda item: (item[0].start_us, item[0].flow))
        return [{"flow": window.flow, "minute_us": window.start_us, **part._asdict()} for window, part in ordered]

    def _is_new(self, entry: Entry) -> bool:
        if entry.run_id is None or entry.seq is None:
            return False
        if entry.seq <= self._seqs.get(entry.run_id, 0):
            return False
        self._seqs[entry.run_id] = entry.seq
        self._seqs.move_to_end(entry.run_id)
        if len(self._seqs) > RUNS_REMEMBERED_MAX:
            self._seqs.popitem(last=False)
        return True

    def _forget(self) -> None:
        oldest_us = self._newest_us - self.keep_us
        self.windows = {window: part for window, part in self.windows.items() if window.start_us > oldest_us}
