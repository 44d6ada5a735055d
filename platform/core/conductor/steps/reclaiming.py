"""Reclaims: the Scheduler names an attempt that is to make way; the Conductor tells it so, or says why not.

    live ──Reclaim──► told to save its work ──saved, or the grace is over──► PREEMPTED ──► its step waits again
                                └──done within the grace──► SUCCEEDED

A proposal that is made again is answered again. An attempt that no worker has begins no more.
"""

from __future__ import annotations

import msgspec

from ....wire import calls
from ....wire.entries.quota import QuotaReclaimed
from ....wire.entries.steps import StepPreempting
from ....wire.types import Said
from ...records.attempts import Attempt, Preemption
from ...records.steps import Step
from ...records.triggers import Timer
from ...turn import ReclaimGuard, Turn
from .. import messages as m
from ..runs.failing import make_way, reclaim_timer_of
from ..state import State
from .members import workers_of

RECLAIM = "reclaim"

replace = msgspec.structs.replace


def reclaims_proposed(state: State, turn: Turn, event: m.ReclaimsProposed) -> None:
    turn.answer = [
        calls.Verdict(
            step_id=reclaim.step_id, fence=reclaim.fence, reason=event.refused or _reclaim(state, turn, reclaim)
        )
        for reclaim in event.reclaims
    ]


def _reclaim(state: State, turn: Turn, reclaim: calls.Reclaim) -> str:
    """Empty where the attempt makes way; otherwise why it does not."""
    attempt = state.attempts.get(reclaim.fence)
    if attempt is None or not attempt.state.live:
        return "over: the attempt has ended"
    if attempt.preemption is not None:
        return ""
    step = state.steps[attempt.step_id]
    if step.effect == "once":
        return "once: what may start only once is never ended for another"
    turn.guards.append(
        ReclaimGuard(scheduler_epoch=reclaim.scheduler_epoch, tree_version=reclaim.tree_version, fence=attempt.fence)
    )
    due_us = turn.now_us + int(reclaim.grace_s * 1_000_000)
    preemption = Preemption(for_step=reclaim.for_step, reason=reclaim.reason, told_us=turn.now_us, due_us=due_us)
    attempt = replace(attempt, preemption=preemption)
    state.attempts.put(attempt.fence, attempt)
    _tell(state, turn, attempt, step, reclaim)
    workers = workers_of(attempt)
    if not workers:
        make_way(state, turn, attempt, None)
        return ""
    turn.effects += [m.PreemptAttempt(worker, attempt.fence, due_us) for worker in workers]
    timer = Timer(
        id=reclaim_timer_of(attempt),
        kind=RECLAIM,
        due_us=due_us + state.limits.overdue_us,
        run_id=step.run_id,
        ordinal=step.ordinal,
    )
    state.set_timer(turn, timer)
    return ""


def _tell(state: State, turn: Turn, attempt: Attempt, step: Step, reclaim: calls.Reclaim) -> None:
    body = StepPreempting(
        step_id=step.id,
        name=step.name,
        attempt=attempt.number,
        fence=attempt.fence,
        for_step=reclaim.for_step,
        grace_s=reclaim.grace_s,
        reason=reclaim.reason,
    )
    state.say_of_run(turn, step.run_id, body)
    taken = QuotaReclaimed(
        project=step.project,
        step_id=step.id,
        fence=attempt.fence,
        for_step=reclaim.for_step,
        reason=reclaim.reason,
        grace_s=reclaim.grace_s,
        devices=attempt.devices,
        tree_version=reclaim.tree_version,
    )
    principal = state.runs[step.run_id].principal
    turn.said.append(
        Said(body=taken, subject=step.project, project=step.project, principal=principal, time_us=turn.now_us)
    )


def overdue(state: State, turn: Turn, step_id: str) -> None:
    """The grace is over, and its worker has not said that the attempt has ended."""
    step = state.steps.get(step_id)
    live = (state.attempts[fence] for fence in state.live_of.of(step.run_id)) if step is not None else ()
    for attempt in live:
        if attempt.step_id == step_id and attempt.preemption is not None:
            turn.effects += [m.EndWorker(worker) for worker in workers_of(attempt)]
