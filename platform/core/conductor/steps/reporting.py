"""T3 and T4: what workers say of their attempts, from the claim to the report."""

from __future__ import annotations

import msgspec

from ....wire import calls
from ....wire.entries.steps import StepCheckpointed
from ...records.attempts import Attempt, AttemptState
from ...records.runs import GOING
from ...records.steps import Step
from ...turn import Turn
from .. import messages as m
from ..runs.attending import go_on
from ..runs.failing import fail, give_back, give_up
from ..state import State
from ..storing import know
from .crewing import take_over
from .ending import accept, start, succeeded
from .ganging import GIVEN_UP, rank_ended

replace = msgspec.structs.replace
NEVER_BEGUN = frozenset({"cancelled", "lost", "preempted"})  # so it may be, where no word of a start came before


def claimed(state: State, turn: Turn, event: m.Claimed) -> None:
    """T3 of a `once` attempt: the answer is empty, or why user code must not start."""
    attempt = state.attempts.get(event.fence)
    if attempt is None or attempt.secret != event.secret or attempt.worker != event.worker or attempt.members:
        turn.answer = "claim_lost"  # a gang's ranks claim by joining
    elif attempt.state is AttemptState.LEASED:
        start(state, turn, attempt, turn.now_us)
        turn.answer = ""
    else:
        turn.answer = "" if attempt.state is AttemptState.RUNNING else "claim_lost"


def progressed(state: State, turn: Turn, event: m.Progressed) -> None:
    attempt = state.attempts.get(event.fence)
    if attempt is None or attempt.members:  # a gang runs when all its ranks have joined
        return
    if attempt.worker == event.worker and attempt.state is AttemptState.LEASED:
        start(state, turn, attempt, event.started_us)


def checkpointed(state: State, turn: Turn, event: m.Checkpointed) -> None:
    """The state that a later attempt at the step is given; the answer is why it is not kept, or nothing."""
    attempt = state.attempts.get(event.fence)
    if attempt is None or not attempt.state.live or attempt.worker != event.worker:
        turn.answer = "given up: another attempt holds the step, or it has ended"
        return
    step = state.steps[attempt.step_id]
    state.steps.put(step.id, replace(step, checkpoint=event.state, checkpoint_us=turn.now_us))
    body = StepCheckpointed(
        step_id=step.id,
        name=step.name,
        attempt=attempt.number,
        fence=attempt.fence,
        size_bytes=event.state.size_bytes,
    )
    state.say_of_run(turn, step.run_id, body)
    turn.answer = ""


def reported(state: State, turn: Turn, event: m.Reported) -> None:
    turn.answer = ""
    know(state, event.charged)
    for report in event.reports:
        worker = state.workers.get(report.worker)
        if worker is not None and report.fence in worker.fences and report.seen_empty:  # otherwise it ends itself
            left = tuple(fence for fence in worker.fences if fence != report.fence)
            state.workers.put(worker.id, replace(worker, fences=left))
            if not left and not report.seen_empty:  # what it holds of its devices goes with its process
                state.workers.remove(worker.id)
                turn.effects.append(m.EndWorker(worker.id))
        attempt = state.attempts.get(report.fence)
        if _is_late(state, report):
            _late(state, turn, state.steps[state.doubtful[report.fence]], report)
            continue
        if attempt is not None and attempt.state.live and attempt.members:
            turn.answer = rank_ended(state, turn, attempt, report)
            continue
        if attempt is None or not attempt.state.live or attempt.worker != report.worker:
            turn.answer = GIVEN_UP
            continue
        if not report.begun:
            give_back(state, turn, attempt)
            continue
        attempt = _begun(state, turn, attempt, report)
        if report.outcome.failure is None:
            succeeded(state, turn, attempt, report)
        else:
            fail(state, turn, attempt, report.outcome.failure, report)
    for worker_id in dict.fromkeys(report.worker for report in event.reports):
        take_over(state, turn, worker_id)


def _is_late(state: State, report: calls.Report) -> bool:
    """Whether the attempt of a `once` step was given up for lost, and a person has not spoken yet."""
    attempt = state.attempts.get(report.fence)
    return report.fence in state.doubtful and attempt is not None and attempt.worker == report.worker


def _late(state: State, turn: Turn, step: Step, report: calls.Report) -> None:
    """It was not lost after all: what it says counts."""
    attempt = state.attempts[report.fence]
    state.doubtful.remove(report.fence)
    if report.outcome.failure is not None:
        state.attempts.put(attempt.fence, replace(attempt, state=AttemptState.FAILED, failure=report.outcome.failure))
        give_up(state, turn, step, report.outcome.failure)
    else:
        state.steps.put(step.id, replace(step, attention=None))
        accept(state, turn, replace(attempt, failure=None), report)
    go_on(state, turn, step.run_id)


def _begun(state: State, turn: Turn, attempt: Attempt, report: calls.Report) -> Attempt:
    """The attempt as RUNNING: one that ended before its first word tells of its start along with its end."""
    never = report.outcome.failure is not None and report.outcome.failure.kind in NEVER_BEGUN
    if attempt.state is AttemptState.RUNNING or never or state.runs[attempt.run_id].state not in GOING:
        return attempt
    start(state, turn, attempt, report.started_us)
    return state.attempts[attempt.fence]
