"""A place that stays with its run between one short step and the next.

    a short step has ended ──kept──► the next is asked for ──► goes on there (see `going_on`)
                                └── nothing comes in time, the run waits, or leaves its host ──► step.place_left

Where one short step follows another, asking for a place is a good part of the time of each. So the place of a step
that was asked for after the step before it had ended is kept for a moment. The Scheduler hears from the log that it is
taken still, and when it is not. Nothing is kept while another step waits, and no place longer than a step of a second
would hold it. Memory alone knows of it, so whoever takes up running runs after a restart says that all is free.
"""

from __future__ import annotations

from typing import Final

from ....wire.calls import StepCall
from ....wire.entries.steps import StepPlaceLeft
from ....wire.types import Said
from ...records.attempts import Attempt
from ...records.runs import Run, RunState
from ...records.steps import Step
from ...turn import Turn
from ..state import OWNER, Kept, State
from ..storing import PRINCIPAL
from .together import kind_of

MOMENT_US: Final = 20_000
STREAK_US: Final = 1_000_000
ALL: Final = 0


def keep(state: State, turn: Turn, attempt: Attempt, step: Step) -> bool:
    """Whether the place of an attempt that has just ended well stays with its run."""
    place, run = state.places.get(attempt.fence), state.runs[attempt.run_id]
    if place is None or attempt.worker is None or turn.now_us >= place.leased_us + STREAK_US:
        return False
    worker = state.workers.get(attempt.worker)
    if worker is None or worker.fences or run.state is not RunState.RUNNING or run.host is None:
        return False
    if kind_of(step) is None or state.waiting_of.groups() or not _follows_another(state, step):
        return False
    until_us = turn.now_us + MOMENT_US
    state.kept.put(run.id, Kept(place, step.id, worker.id, until_us))
    state.wake(turn, until_us)
    return True


def _follows_another(state: State, step: Step) -> bool:
    """Whether it was asked for after the step before it had ended; and nothing waits for it that is known already."""
    place = (step.run_id, step.ordinal)
    before, row = state.commands.get((step.run_id, step.ordinal - 1)), state.commands.get(place)
    if before is None or row is None or not isinstance(before.command.call, StepCall) or state.fed_by.count(place):
        return False
    return before.ended_us is not None and before.ended_us <= row.issued_us


def leave(state: State, turn: Turn, run: Run) -> None:
    """What is kept for the run is free for others."""
    kept = state.kept.get(run.id)
    if kept is None:
        return
    state.kept.remove(run.id)
    step = state.steps.get(kept.step_id)
    body = StepPlaceLeft(step_id=kept.step_id, name="" if step is None else step.name, fence=kept.place.fence)
    turn.said.append(Said(body=body, subject=run.id, project=run.project, principal=run.principal, time_us=turn.now_us))


def leave_forgotten(state: State, turn: Turn) -> None:
    """At a start: what an earlier life of the Conductor may have kept is free."""
    if any(run.state is RunState.RUNNING for run in state.runs.values()):
        body, project = StepPlaceLeft(step_id="", name="", fence=ALL), state.mail.default_project
        said = Said(body=body, subject=OWNER, project=project, principal=PRINCIPAL, time_us=turn.now_us)
        turn.said.append(said)


def leave_node(state: State, turn: Turn, node: str) -> None:
    """Nothing goes on where the node is out of reach."""
    for run_id in sorted(state.kept):
        run = state.runs.known(run_id)
        if run is not None and state.kept[run_id].place.node == node:
            leave(state, turn, run)


def leave_in_time(state: State, turn: Turn) -> None:
    """Leaves what nothing has come for; the others' time comes."""
    for run_id in sorted(state.kept):
        kept, run = state.kept[run_id], state.runs.known(run_id)
        if kept.until_us > turn.now_us:
            state.wake(turn, kept.until_us)
        elif run is None:
            state.kept.remove(run_id)
        else:
            leave(state, turn, run)
