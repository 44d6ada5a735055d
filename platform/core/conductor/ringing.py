"""Timers that are due. One whose decision raises is set aside with its own subject, and the others ring."""

from __future__ import annotations

from collections.abc import Iterable

from ...wire.terms import Failure
from ..records.runs import RunState
from ..records.triggers import Timer
from ..turn import Turn
from .alone import decide_alone
from .runs.commanding import due as command_due
from .runs.failing import need_attention
from .state import State
from .steps.reclaiming import RECLAIM, overdue
from .steps.stepping import back_from_backoff
from .triggers.gathering import GATHER, give_up
from .triggers.gathering import due as gathering_due
from .triggers.timetable import CRON, go_on, struck


def ring(state: State, turn: Turn, timers: Iterable[Timer]) -> None:
    for timer in timers:
        if timer.id in state.timers:  # otherwise another of them has ended what it was for
            _ring(state, turn, timer)


def ring_one_by_one(state: State, turn: Turn, timers: Iterable[Timer]) -> None:
    """The same where that raised."""
    for timer in timers:
        if timer.id in state.timers:
            decide_alone(state, turn, timer, _ring, _set_aside)


def _ring(state: State, turn: Turn, timer: Timer) -> None:
    state.drop_timer(timer.run_id, timer.id)
    if timer.kind == CRON:
        struck(state, turn, timer)
    elif timer.kind == GATHER:
        gathering_due(state, turn, timer.id.removeprefix(f"{GATHER}/"))
    elif timer.kind == "backoff":
        back_from_backoff(state, turn, f"{timer.run_id}/{timer.ordinal}")
    elif timer.kind == RECLAIM:
        overdue(state, turn, f"{timer.run_id}/{timer.ordinal}")
    else:
        command_due(state, turn, timer)


def _set_aside(state: State, turn: Turn, timer: Timer, error: Exception) -> None:
    """A run needs attention, what was gathered is a dead letter, a clock goes on with its next time."""
    reason = f"The engine could not decide this: {type(error).__name__}: {error}"
    state.drop_timer(timer.run_id, timer.id)
    run = state.runs.get(timer.run_id) if timer.run_id else None
    if run is not None and run.state is RunState.RUNNING:
        need_attention(state, turn, run, Failure(kind="engine_error", message=reason))
    elif timer.kind == GATHER:
        give_up(state, turn, timer.id.removeprefix(f"{GATHER}/"), reason)
    elif timer.kind == CRON:
        go_on(state, turn, timer)
