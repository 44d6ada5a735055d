"""Runs that only wait for a time or an event leave memory, and are taken back when it comes.

parked ──all that is open sleeps or waits──► away ──due, an event that it waits for, a command──► taken back
"""

from __future__ import annotations

from collections.abc import Iterable

from ....wire import calls
from ...ledger import Away
from ...records.runs import Run, RunState
from ...records.triggers import Timer
from ...trigger import Happening, passes
from ..away import Rest
from ..state import State


def rest(state: State, run_ids: Iterable[str]) -> None:
    """Those of the runs that only wait go away. Only for what was settled."""
    for run_id in run_ids:
        run = state.runs.known(run_id)
        if run is not None and _only_waits(state, run):
            _lay_down(state, run)


def call_back_sleepers(state: State, timers: Iterable[Timer]) -> None:
    """Raises Away with all the runs that these timers are for and that are away."""
    away = {timer.run_id for timer in timers if timer.run_id in state.away}
    if away:
        raise Away(away)


def call_back_listeners(state: State, happening: Happening) -> None:
    """Raises Away with all the runs away for which the event is one that they wait for."""
    waiting = state.waits.of(happening.subject) if state.away else []
    away = {run_id for run_id, ordinal in waiting if _wants(state, run_id, ordinal, happening)}
    if away:
        raise Away(away)


def _wants(state: State, run_id: str, ordinal: int, happening: Happening) -> bool:
    kept = state.away.get(run_id)
    if kept is None or happening.project not in (None, kept.project):
        return False
    if state.taken_of.has(run_id, (happening.source, happening.id)):
        return False
    where = dict(kept.waits).get(ordinal)
    return where is None or passes(where, happening) is not False


def _only_waits(state: State, run: Run) -> bool:
    if run.state is not RunState.RUNNING or not run.parked or run.host is not None:
        return False
    if state.homeless.has(run.code_version, run.id) or state.live_of.count(run.id) or state.children_of.count(run.id):
        return False
    rows = [state.commands[run.id, ordinal] for ordinal in state.commands_of.of(run.id)]
    waits_for = [row.command.call for row in rows if row.outcome is None]
    return all(isinstance(call, calls.SleepCall | calls.WaitCall) for call in waits_for)


def _lay_down(state: State, run: Run) -> None:
    waits = []
    for ordinal in state.commands_of.of(run.id):
        row = state.commands[run.id, ordinal]
        if row.outcome is None and isinstance(row.command.call, calls.WaitCall):
            waits.append((ordinal, row.command.call.where))
    state.forget_rows(run.id)
    state.away[run.id] = Rest(run.project, tuple(waits))
