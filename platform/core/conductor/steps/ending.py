"""The two ends of an attempt that goes well: its start, and its result."""

from __future__ import annotations

import msgspec

from ....wire import calls
from ....wire.entries.steps import StepStarted, StepSucceeded
from ....wire.terms import Failure
from ...records.attempts import Attempt, AttemptState
from ...records.runs import GOING
from ...records.steps import StepState
from ...turn import Turn
from ..runs.answering import answer
from ..runs.caching import remember
from ..runs.failing import close, fail
from ..state import State
from ..storing import charge, no_room_for
from .keeping import keep
from .together import learn_pace

replace = msgspec.structs.replace


def start(state: State, turn: Turn, attempt: Attempt, started_us: int) -> None:
    state.attempts.put(attempt.fence, replace(attempt, state=AttemptState.RUNNING, started_us=started_us))
    step = state.steps[attempt.step_id]
    state.steps.put(step.id, replace(step, state=StepState.RUNNING))
    body = StepStarted(
        step_id=step.id, name=step.name, attempt=attempt.number, fence=attempt.fence, worker=attempt.worker or ""
    )
    state.say_of_run(turn, step.run_id, body)


def succeeded(state: State, turn: Turn, attempt: Attempt, report: calls.Report) -> None:
    if state.runs[attempt.run_id].state not in GOING:
        failure = Failure(kind="cancelled", message="it ended after its run was given up")
        fail(state, turn, attempt, failure, report)
        return
    if (refused := no_room_for(state, state.steps[attempt.step_id], report.outcome.payload)) is not None:
        fail(state, turn, attempt, refused, report)
        return
    accept(state, turn, attempt, report)


def accept(state: State, turn: Turn, attempt: Attempt, report: calls.Report) -> None:
    payload = report.outcome.payload or calls.Payload()
    close(
        state,
        turn,
        replace(
            attempt,
            state=AttemptState.SUCCEEDED,
            result=replace(payload, inline=None),
            artifact=payload.digest,
        ),
        report,
    )
    step = state.steps[attempt.step_id]
    run = state.runs[step.run_id]
    learn_pace(state, step, report)
    kept = keep(state, turn, attempt, step)
    state.steps.put(step.id, replace(step, state=StepState.SUCCEEDED, checkpoint=None, ended_us=turn.now_us))
    body = StepSucceeded(
        step_id=step.id,
        name=step.name,
        attempt=attempt.number,
        fence=attempt.fence,
        duration_us=report.ended_us - report.started_us,
        rows=report.rows,
        size_bytes=payload.size_bytes,
        digest=payload.digest,
        devices=attempt.devices if attempt.state.live else (),
        seen_empty=report.seen_empty,
        kept=kept,
    )
    state.say(turn, run, body)
    if payload.digest is not None:
        charge(state, turn, step.project, payload.digest, payload.size_bytes)
    remember(state, turn, step, payload)
    answer(state, turn, step.run_id, step.ordinal, report.outcome)
