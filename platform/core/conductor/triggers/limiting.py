"""Runs of one slot, so many at once: the others wait for their turn, or give way.

A slot is a trigger and a key. It is free again when the log says that the run has ended, so that a
restart needs no other word. Who waits is PENDING and on no host; the next is that of the highest
priority, the oldest first.
"""

from __future__ import annotations

from collections.abc import Iterable

from ....wire.manifest import Concurrency
from ...records.runs import Run, RunState
from ...turn import Turn
from ..runs.executing import cancel
from ..state import State
from ..steps.placing import place


def admit(state: State, turn: Turn, run: Run) -> None:
    """The run goes to a host, or waits for its slot."""
    limit = _limit_of(state, run)
    if limit is None:
        place(state, turn, run)
        return
    state.slot_of.put(run.id, run.slot)
    state.waiting_for.add(run.slot, run.id)
    if limit.over != "queue":
        _make_way(state, turn, run, limit)
    _fill(state, turn, run.slot)


def freed(state: State, turn: Turn, run_id: str) -> None:
    """The run has ended: the next of its slot may go."""
    slot = state.slot_of.get(run_id)
    if slot is None:
        return
    state.slot_of.remove(run_id)
    state.busy_in.discard(slot, run_id)
    state.waiting_for.discard(slot, run_id)
    _fill(state, turn, slot)


def restart(state: State, turn: Turn, runs: list[Run]) -> None:
    """After a restart: what had begun goes on, and what waited waits again, in the order in which it came."""
    for run in sorted(runs, key=lambda run: (run.started_us is None, run.created_us, run.event_id)):
        if run.started_us is not None and _limit_of(state, run) is not None:
            state.slot_of.put(run.id, run.slot)
            state.busy_in.add(run.slot, run.id)
        if run.parked or run.state is RunState.NEEDS_ATTENTION:
            continue  # what it waits for brings it back
        if run.started_us is not None:
            place(state, turn, run)
        else:
            admit(state, turn, run)


def hold_slots(state: State, runs: Iterable[Run]) -> None:
    """The picture of the store, once its triggers are known: runs that have begun hold their slots, those that are away
    too, in the order in which they came."""
    for run in sorted(runs, key=lambda run: (run.created_us, run.event_id)):
        if run.started_us is not None and not run.state.ended and _limit_of(state, run) is not None:
            state.slot_of.load(run.id, run.slot)
            state.busy_in.load(run.slot, run.id)


def _limit_of(state: State, run: Run) -> Concurrency | None:
    """The limit as the newest version of the trigger has it; None where there is none any more."""
    trigger = state.trigger_of.get(run.trigger)
    return trigger.spec.concurrency if run.slot and trigger is not None else None


def _make_way(state: State, turn: Turn, run: Run, limit: Concurrency) -> None:
    reason = f"a newer run of {run.trigger} took its place ({limit.over})"
    free = limit.limit - state.busy_in.count(run.slot)
    giving_way = state.waiting_for.of(run.slot)[:-1] if free <= 0 else []
    if limit.over == "cancel-previous" and free <= 0:
        giving_way += state.busy_in.of(run.slot)[: 1 - free]
    for run_id in giving_way:
        state.waiting_for.discard(run.slot, run_id)
        older = state.runs.get(run_id)
        if older is not None and older.state in (RunState.PENDING, RunState.RUNNING):
            cancel(state, turn, older, reason)


def _fill(state: State, turn: Turn, slot: str) -> None:
    waiting = [state.runs[run_id] for run_id in state.waiting_for.of(slot) if run_id in state.runs]
    for run in sorted(waiting, key=lambda run: -run.priority):
        limit = _limit_of(state, run)
        if limit is not None and state.busy_in.count(slot) >= limit.limit:
            return
        state.waiting_for.discard(slot, run.id)
        if run.state is RunState.PENDING:
            state.busy_in.add(slot, run.id)
            place(state, turn, run)
