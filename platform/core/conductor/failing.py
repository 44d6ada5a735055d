"""Attempts that end badly: lost, failed or withdrawn; whether another follows, and when."""

from __future__ import annotations

import msgspec

from ...wire import calls
from ...wire.types import Failure, StepFailed
from ..records import Attempt, AttemptState, LeaseState, RunState, Step, StepState, Timer
from ..turn import Turn
from .answering import answer, ask, settle_cancel
from .state import State

replace = msgspec.structs.replace


def lose(state: State, turn: Turn, fence: int, why: str) -> None:
    """The attempt's process is gone. A `retry` step gets a new fence; a `once` step that began needs a person."""
    attempt = state.attempts.get(fence)
    if attempt is None or not attempt.state.live:
        return
    failure = Failure(kind="lost", message=why)
    close(state, turn, replace(attempt, state=AttemptState.LOST, failure=failure), None)
    step = state.steps[attempt.step_id]
    step = replace(step, losses=step.losses + 1)
    once_begun = step.effect == "once" and attempt.state is AttemptState.RUNNING
    again = not once_begun and step.losses <= state.limits.losses_max
    after_a_bad_end(state, turn, attempt, step, failure, again=again, duration_us=0, empty=True)


def after_a_bad_end(
    state: State,
    turn: Turn,
    attempt: Attempt,
    step: Step,
    failure: Failure,
    *,
    again: bool,
    duration_us: int,
    empty: bool,
) -> None:
    run = state.runs[step.run_id]
    again = again and run.state is RunState.RUNNING
    body = StepFailed(
        step_id=step.id,
        name=step.name,
        attempt=attempt.number,
        fence=attempt.fence,
        final=not again,
        failure=failure,
        duration_us=duration_us,
        devices=attempt.devices,
        seen_empty=empty,
    )
    state.say(turn, run, body)
    if again and failure.kind == "lost":
        ask(state, turn, step)
    elif again:
        _back_off(state, turn, step)
    else:
        ended = StepState.CANCELLED if failure.kind == "cancelled" else StepState.FAILED
        state.steps.put(step.id, replace(step, state=ended, failure=failure, ended_us=turn.now_us))
        answer(state, turn, step.run_id, step.ordinal, calls.Outcome(failure=replace(failure, step=step.name)))
        settle_cancel(state, turn, step.run_id)


def _back_off(state: State, turn: Turn, step: Step) -> None:
    delay_s = step.backoff_s * 2 ** (step.failures - 1)
    timer = Timer(
        id=f"{step.id}/backoff",
        kind="backoff",
        due_us=turn.now_us + int(delay_s * 1_000_000),
        run_id=step.run_id,
        ordinal=step.ordinal,
    )
    state.steps.put(step.id, replace(step, state=StepState.BACKOFF))
    state.set_timer(turn, timer)


def close(state: State, turn: Turn, attempt: Attempt, report: calls.Report | None) -> None:
    ended = replace(
        attempt,
        ended_us=report.ended_us if report else turn.now_us,
        started_us=attempt.started_us or (report.started_us if report else None),
        rows=report.rows if report else 0,
        peak_memory_bytes=report.peak_memory_bytes if report else 0,
    )
    state.attempts.put(attempt.fence, ended)
    state.live_of.discard(attempt.run_id, attempt.fence)
    for device in attempt.devices:
        lease = state.leases[attempt.fence, device]
        state.held_on.discard(device, (attempt.fence, device))
        state.leases.put((attempt.fence, device), replace(lease, state=LeaseState.RELEASING, released_us=turn.now_us))
