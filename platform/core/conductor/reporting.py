"""T3 and T4: what workers say of their attempts, from the claim to the report."""

from __future__ import annotations

import msgspec

from ...wire import calls
from ...wire.types import Failure, StepStarted, StepSucceeded
from ..records import Attempt, AttemptState, RunState, StepState
from ..turn import Turn
from . import messages as m
from .answering import answer
from .failing import after_a_bad_end, close
from .state import State

replace = msgspec.structs.replace


def claimed(state: State, turn: Turn, event: m.Claimed) -> None:
    """T3 of a `once` attempt: the answer is empty, or why user code must not start."""
    attempt = state.attempts.get(event.fence)
    if attempt is None or attempt.secret != event.secret or attempt.worker != event.worker:
        turn.answer = "claim_lost"
    elif attempt.state is AttemptState.LEASED:
        start(state, turn, attempt, turn.now_us)
        turn.answer = ""
    else:
        turn.answer = "" if attempt.state is AttemptState.RUNNING else "claim_lost"


def progressed(state: State, turn: Turn, event: m.Progressed) -> None:
    attempt = state.attempts.get(event.fence)
    if attempt is not None and attempt.worker == event.worker and attempt.state is AttemptState.LEASED:
        start(state, turn, attempt, event.started_us)


def start(state: State, turn: Turn, attempt: Attempt, started_us: int) -> None:
    state.attempts.put(attempt.fence, replace(attempt, state=AttemptState.RUNNING, started_us=started_us))
    step = state.steps[attempt.step_id]
    state.steps.put(step.id, replace(step, state=StepState.RUNNING))
    body = StepStarted(
        step_id=step.id, name=step.name, attempt=attempt.number, fence=attempt.fence, worker=attempt.worker or ""
    )
    state.say_of_run(turn, step.run_id, body)


def reported(state: State, turn: Turn, event: m.Reported) -> None:
    turn.answer = ""
    for report in event.reports:
        worker = state.workers.get(report.worker)
        if worker is not None and worker.fence == report.fence:
            state.workers.put(worker.id, replace(worker, fence=None))
        attempt = state.attempts.get(report.fence)
        if attempt is None or not attempt.state.live or attempt.worker != report.worker:
            turn.answer = "given up: another attempt holds the step, or it has ended"
            continue
        attempt = _begun(state, turn, attempt, report)
        if report.outcome.failure is None:
            _succeed(state, turn, attempt, report)
        else:
            _fail(state, turn, attempt, report, report.outcome.failure)


def _begun(state: State, turn: Turn, attempt: Attempt, report: calls.Report) -> Attempt:
    """The attempt as RUNNING: one that ended before its first word tells of its start along with its end."""
    never = report.outcome.failure is not None and report.outcome.failure.kind in ("cancelled", "lost")
    if attempt.state is AttemptState.RUNNING or never or state.runs[attempt.run_id].state is not RunState.RUNNING:
        return attempt
    start(state, turn, attempt, report.started_us)
    return state.attempts[attempt.fence]


def _succeed(state: State, turn: Turn, attempt: Attempt, report: calls.Report) -> None:
    if state.runs[attempt.run_id].state is not RunState.RUNNING:
        _fail(state, turn, attempt, report, Failure(kind="cancelled", message="it ended after its run was given up"))
        return
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
    state.steps.put(step.id, replace(step, state=StepState.SUCCEEDED, ended_us=turn.now_us))
    body = StepSucceeded(
        step_id=step.id,
        name=step.name,
        attempt=attempt.number,
        fence=attempt.fence,
        duration_us=report.ended_us - report.started_us,
        rows=report.rows,
        size_bytes=payload.size_bytes,
        digest=payload.digest,
        devices=attempt.devices,
        seen_empty=report.seen_empty,
    )
    state.say(turn, run, body)
    answer(state, turn, step.run_id, step.ordinal, report.outcome)


def _fail(state: State, turn: Turn, attempt: Attempt, report: calls.Report, failure: Failure) -> None:
    ended = AttemptState.CANCELLED if failure.kind == "cancelled" else AttemptState.FAILED
    close(state, turn, replace(attempt, state=ended, failure=failure), report)
    step = state.steps[attempt.step_id]
    again = ended is AttemptState.FAILED and step.failures < step.retries
    if ended is AttemptState.FAILED:
        step = replace(step, failures=step.failures + 1)
    duration = report.ended_us - report.started_us
    after_a_bad_end(state, turn, attempt, step, failure, again=again, duration_us=duration, empty=report.seen_empty)
