"""The life of a step, and of its attempts.

    BLOCKED ──inputs there──► WAITING ──grant (T2)──► LEASED ──(T3)──► RUNNING ──report (T4)──► SUCCEEDED
       └─an input failed─► SKIPPED   ▲                   └─────────────────┴── FAILED | BACKOFF ─┐
                                     └────────────── lost, or retries are left ──────────────────┘

An attempt has one fence, bound to one worker incarnation. Quota is free when its leases are RELEASING;
the GpuPool frees the devices when they are seen empty.
"""

from __future__ import annotations

import msgspec

from ....wire import calls
from ....wire.entries.steps import StepEnded, StepHeld
from ....wire.terms import Failure
from ...records.attempts import Attempt, AttemptState
from ...records.runs import CommandRow, Run
from ...records.steps import Step, StepState
from ...turn import Turn
from .. import messages as m
from ..runs.answering import answer, ask, skip
from ..runs.failing import BadEnd, after_a_bad_end, close, resolve
from ..state import State
from .members import withdraw_unbound, workers_of
from .together import unqueue

replace = msgspec.structs.replace


def issue_step(state: State, turn: Turn, run: Run, row: CommandRow, call: calls.StepCall) -> None:
    step = step_of(run, row, call, turn.now_us)
    state.steps_of.add(run.id, step.id)
    missing = 0
    for ordinal in call.needs:
        source = state.commands.get((run.id, ordinal))
        if source is not None and source.outcome is not None and source.outcome.failure is not None:
            state.steps.put(step.id, step)
            skip(state, turn, step, source.outcome.failure)
            return
        if source is None or source.outcome is None:
            missing += 1
            state.fed_by.add((run.id, ordinal), step.id)
    step = replace(step, missing=missing)
    state.steps.put(step.id, step)
    if not missing:
        ask(state, turn, step)


def step_of(run: Run, row: CommandRow, call: calls.StepCall, now_us: int) -> Step:
    return Step(
        id=f"{run.id}/{row.ordinal}",
        run_id=run.id,
        ordinal=row.ordinal,
        project=run.project,
        name=row.name,
        function=call.function,
        code_version=run.code_version,
        state=StepState.BLOCKED,
        demand=call.demand,
        priority=call.priority + run.priority,
        retries=call.retries,
        backoff_s=call.backoff_s,
        timeout_s=call.timeout_s,
        max_runtime_s=call.max_runtime_s,
        min_runtime_s=call.min_runtime_s,
        ranks_min=call.ranks_min,
        tier=call.tier,
        effect=call.effect,
        retry_on=call.retry_on,
        code_digest=call.code_digest,
        secrets=call.secrets,
        env=call.env,
        arguments=call.arguments,
        needs=call.needs,
        created_us=now_us,
    )


def cancel_steps(state: State, turn: Turn, run_id: str, reason: str) -> None:
    """Steps of the run that have not ended: those that no worker has end now, the others are told to."""
    for step_id in state.steps_of.of(run_id):
        step = state.steps.get(step_id)
        if step is None or step.state.ended or step.state in (StepState.LEASED, StepState.RUNNING):
            continue
        state.drop_timer(run_id, f"{step.id}/backoff")
        unqueue(state, step)
        if step.attention is not None:
            resolve(state, step.attention.fence)
        state.steps.put(step.id, replace(step, state=StepState.CANCELLED, attention=None, ended_us=turn.now_us))
        body = StepEnded(step_id=step.id, name=step.name, state="CANCELLED", reason=reason)
        state.say_of_run(turn, run_id, body)
    for fence in state.live_of.of(run_id):
        attempt = state.attempts[fence]
        workers = workers_of(attempt)
        if workers and attempt.members and attempt.failure is None:
            attempt = withdraw_unbound(attempt, turn.now_us)
            state.attempts.put(fence, replace(attempt, failure=Failure(kind="cancelled", message=reason)))
        turn.effects += [m.CancelAttempt(worker, fence) for worker in workers]
        if not workers:
            _withdraw(state, turn, attempt, reason)


def _withdraw(state: State, turn: Turn, attempt: Attempt, reason: str) -> None:
    """An attempt that no worker was told of ends at once; the worker that starts for it will be idle."""
    failure = Failure(kind="cancelled", message=reason)
    close(state, turn, replace(attempt, state=AttemptState.CANCELLED, failure=failure), None)
    step = state.steps[attempt.step_id]
    after_a_bad_end(state, turn, attempt, step, BadEnd(failure))


def held_back(state: State, turn: Turn, event: m.HeldBack) -> None:
    for hold in event.holds:
        step = state.steps.get(hold.step_id)
        if step is None or step.state is not StepState.WAITING or step.held_reason == hold.reason:
            continue
        step = replace(step, held_code=hold.code, held_reason=hold.reason)
        state.steps.put(step.id, step)
        body = StepHeld(step_id=step.id, name=step.name, code=hold.code, reason=hold.reason)
        state.say_of_run(turn, step.run_id, body)
        if hold.final:
            unqueue(state, step)
            failure = Failure(kind="impossible", message=hold.reason, step=step.name)
            state.steps.put(step.id, replace(step, state=StepState.FAILED, failure=failure, ended_us=turn.now_us))
            ended = StepEnded(step_id=step.id, name=step.name, state="FAILED", reason=hold.reason)
            state.say_of_run(turn, step.run_id, ended)
            answer(state, turn, step.run_id, step.ordinal, calls.Outcome(failure=failure))


def back_from_backoff(state: State, turn: Turn, step_id: str) -> None:
    step = state.steps.get(step_id)
    if step is not None and step.state is StepState.BACKOFF:
        ask(state, turn, step)
