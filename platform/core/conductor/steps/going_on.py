"""The next short step of a run, leased in the transaction that takes its call down: under the place that was kept.

The Scheduler has no say in it, because nothing changes for it: as much is taken, by the same project, on the same
node. The guard asks the rows for the Scheduler and the tree of the grant that the place was leased by, and the clock;
where one has changed the place is left, and the step waits like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from ....wire import calls
from ...records.runs import CommandRow, Run
from ...records.steps import Step, StepState
from ...turn import GrantGuard, Turn
from ..state import Kept, State, Worker
from .crewing import send
from .granting import lease
from .keeping import leave
from .together import is_short, kind_of

replace = msgspec.structs.replace

COMMITTED_WITHIN_US: Final = 1_000_000  # the Scheduler gives the place back after much longer


def go_on(state: State, turn: Turn, run: Run, commands: Iterable[calls.Command]) -> None:
    """Leases what was kept for the run to the first of these that fits; left where the run has come to wait."""
    kept = state.kept.get(run.id)
    if kept is None:
        return
    rows = [state.commands[run.id, command.ordinal] for command in commands]
    worker = _idle(state, kept)
    for row in rows:
        step = _waiting(state, row)
        if step is not None and worker is not None and _fits(state, kept, step):
            _go_on(state, turn, kept, step, worker)
            return
    if any(row.outcome is None for row in rows):
        leave(state, turn, run)


def _idle(state: State, kept: Kept) -> Worker | None:
    worker = state.workers.get(kept.worker)
    return None if worker is None or worker.fences else worker


def _waiting(state: State, row: CommandRow) -> Step | None:
    step = state.steps.get(f"{row.run_id}/{row.ordinal}") if isinstance(row.command.call, calls.StepCall) else None
    return step if step is not None and step.state is StepState.WAITING else None


def _fits(state: State, kept: Kept, step: Step) -> bool:
    before = state.steps[kept.step_id]
    alike = (step.demand, step.priority, step.env) == (before.demand, before.priority, before.env)
    return alike and kind_of(step) is not None and is_short(state, step)


def _go_on(state: State, turn: Turn, kept: Kept, step: Step, worker: Worker) -> None:
    place = kept.place
    state.kept.remove(step.run_id)
    grant = calls.Grant(
        step_id=step.id,
        node=place.node,
        devices=(),
        tree_version=place.tree_version,
        scheduler_epoch=place.scheduler_epoch,
    )
    guard = GrantGuard(
        scheduler_epoch=place.scheduler_epoch,
        tree_version=place.tree_version,
        step_id=step.id,
        devices=(),
        milli=0,
        until_us=kept.until_us + COMMITTED_WITHIN_US,
    )
    turn.guards.append(guard)
    attempt = lease(state, turn, step, grant, worker, place=place.fence)
    state.places.put(attempt.fence, place)
    send(state, turn, [attempt], worker, step.code_version)
