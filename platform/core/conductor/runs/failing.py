"""Attempts that end badly: lost, failed or withdrawn; whether another follows, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from ....wire import calls
from ....wire.entries.runs import RunNeedsAttention
from ....wire.entries.steps import StepFailed
from ....wire.terms import Failure
from ...records.attempts import Attempt, AttemptState
from ...records.leases import Lease, LeaseState
from ...records.runs import GOING, Run, RunState
from ...records.steps import Attention, Step, StepState
from ...records.triggers import Timer
from ...retrying import is_retried
from ...turn import Turn
from .. import messages as m
from ..state import State
from ..steps.placing import leave_host
from .answering import answer, ask, settle_cancel

WAITS_AGAIN = frozenset({"lost", "preempted", "called_back"})  # it need not wait for long: nothing of its own failed

replace = msgspec.structs.replace


@dataclass(frozen=True, slots=True)
class BadEnd:
    """How an attempt ended badly. `again` says that another may follow, as far as the step is concerned."""

    failure: Failure
    again: bool = False
    duration_us: int = 0
    empty: bool = True


def fail(state: State, turn: Turn, attempt: Attempt, failure: Failure, report: calls.Report | None) -> None:
    """The attempt has failed, or was cancelled; another follows where retries are left for such a failure."""
    if failure.kind == "preempted" and attempt.preemption is not None:
        make_way(state, turn, attempt, report)
        return
    ended = AttemptState.CANCELLED if failure.kind == "cancelled" else AttemptState.FAILED
    close(state, turn, replace(attempt, state=ended, failure=failure), report)
    step = state.steps[attempt.step_id]
    again = ended is AttemptState.FAILED and step.failures < step.retries and is_retried(step.retry_on, failure)
    if ended is AttemptState.FAILED:
        step = replace(step, failures=step.failures + 1)
    duration_us = report.ended_us - report.started_us if report else 0
    empty = report is not None and report.seen_empty
    after_a_bad_end(state, turn, attempt, step, BadEnd(failure, again, duration_us, empty))


def lose(state: State, turn: Turn, fence: int, failure: Failure, *, gone: bool) -> None:
    """The attempt's process is out of reach, and `gone` where it was seen to end.

    A `retry` step gets a new fence, unless its own code has ended the process: that is a failure like any other.
    A `once` step that began stands still until a person says what became of it.
    """
    attempt = state.attempts.get(fence)
    if attempt is None or not attempt.state.live:
        return
    step = state.steps[attempt.step_id]
    once_begun = step.effect == "once" and attempt.state is AttemptState.RUNNING
    if attempt.preemption is not None:
        make_way(state, turn, attempt, None)
    elif once_begun and state.runs[step.run_id].state in GOING:
        close(state, turn, replace(attempt, state=AttemptState.LOST, failure=failure), None)
        stand_still(state, turn, attempt, failure, gone=gone)
    elif failure.kind != "lost" and not once_begun:
        fail(state, turn, attempt, failure, None)
    else:
        close(state, turn, replace(attempt, state=AttemptState.LOST, failure=failure), None)
        step = replace(step, losses=step.losses + 1)
        again = not once_begun and step.losses <= state.limits.losses_max
        after_a_bad_end(state, turn, attempt, step, BadEnd(failure, again, empty=False))


def lose_all(state: State, turn: Turn, fences: Iterable[int], failure: Failure, *, gone: bool) -> None:
    """What a worker had when it was lost. Several were together: none of them is to blame, and each comes back
    alone, so that whichever ends its process does so as the only one."""
    live = [fence for fence in fences if (attempt := state.attempts.get(fence)) is not None and attempt.state.live]
    if len(live) == 1:
        lose(state, turn, live[0], failure, gone=gone)
        return
    for fence in live:
        attempt = state.attempts[fence]
        state.steps.put(attempt.step_id, replace(state.steps[attempt.step_id], alone=True))
        lost = Failure(kind="lost", message=f"its process ended with {len(live)} attempts: {failure.message}")
        _withdraw(state, turn, attempt, AttemptState.LOST, lost)


def give_back(state: State, turn: Turn, attempt: Attempt) -> None:
    """Its worker has not begun it, and will not: what stood before it takes long."""
    failure = Failure(kind="called_back", message="it stood behind one that takes long, and had not begun")
    _withdraw(state, turn, attempt, AttemptState.CANCELLED, failure)


def _withdraw(state: State, turn: Turn, attempt: Attempt, ended: AttemptState, failure: Failure) -> None:
    """The step waits for another place, without counting this one; in a run that goes on no more it has ended."""
    step = state.steps[attempt.step_id]
    if state.runs[step.run_id].state not in GOING:
        failure, ended = Failure(kind="cancelled", message=failure.message), AttemptState.CANCELLED
    close(state, turn, replace(attempt, state=ended, failure=failure), None)
    after_a_bad_end(state, turn, attempt, step, BadEnd(failure, again=True))


def make_way(state: State, turn: Turn, attempt: Attempt, report: calls.Report | None) -> None:
    """The attempt has ended for another step. Its own waits again where it stood, as often as is allowed."""
    assert attempt.preemption is not None
    going = state.runs[attempt.run_id].state in GOING
    kind = "preempted" if going else "cancelled"
    failure = Failure(kind=kind, message=attempt.preemption.reason)
    close(state, turn, replace(attempt, state=AttemptState.PREEMPTED, failure=failure), report)
    step = state.steps[attempt.step_id]
    if attempt.preemption.for_step != step.id:  # otherwise it begins again with more ranks
        step = replace(step, evictions=step.evictions + 1)
    again = step.evictions <= state.limits.evictions_max
    if not again:
        said = f"It was ended for other steps {step.evictions} times, which is the limit. {failure.message}"
        failure = replace(failure, message=said)
    duration_us = report.ended_us - report.started_us if report else 0
    empty = report is not None and report.seen_empty
    after_a_bad_end(state, turn, attempt, step, BadEnd(failure, again, duration_us, empty))


def after_a_bad_end(state: State, turn: Turn, attempt: Attempt, step: Step, end: BadEnd) -> None:
    again = end.again and state.runs[step.run_id].state in GOING
    tell_of(state, turn, attempt, end, final=not again)
    if again and end.failure.kind in WAITS_AGAIN:
        ask(state, turn, step)
    elif again:
        _back_off(state, turn, step)
    else:
        give_up(state, turn, step, end.failure)


def tell_of(state: State, turn: Turn, attempt: Attempt, end: BadEnd, *, final: bool) -> None:
    """The word about an attempt that ended badly; its devices are free to look at from here."""
    body = StepFailed(
        step_id=attempt.step_id,
        name=state.steps[attempt.step_id].name,
        attempt=attempt.number,
        fence=attempt.fence,
        final=final,
        failure=end.failure,
        duration_us=end.duration_us,
        devices=attempt.devices,
        seen_empty=end.empty,
    )
    state.say_of_run(turn, attempt.run_id, body)


def give_up(state: State, turn: Turn, step: Step, failure: Failure) -> None:
    """The step has ended badly, for good."""
    ended = StepState.CANCELLED if failure.kind == "cancelled" else StepState.FAILED
    state.steps.put(step.id, replace(step, state=ended, attention=None, failure=failure, ended_us=turn.now_us))
    answer(state, turn, step.run_id, step.ordinal, calls.Outcome(failure=replace(failure, step=step.name)))
    settle_cancel(state, turn, step.run_id)


def stand_still(state: State, turn: Turn, attempt: Attempt, failure: Failure, *, gone: bool) -> None:
    """Nobody can know whether the attempt did its work: the step and its run wait for a person."""
    step = state.steps[attempt.step_id]
    attention = Attention(fence=attempt.fence, worker=attempt.worker or "", gone=gone)
    state.steps.put(
        step.id,
        replace(step, state=StepState.NEEDS_ATTENTION, attention=attention, failure=failure, losses=step.losses + 1),
    )
    state.doubtful.put(attempt.fence, step.id)
    tell_of(state, turn, attempt, BadEnd(failure, empty=False), final=False)
    need_attention(state, turn, state.runs[step.run_id], replace(failure, step=step.name))


def need_attention(state: State, turn: Turn, run: Run, failure: Failure) -> None:
    """The run leaves its host until a person has spoken; what it has started goes on."""
    if run.host is not None:
        turn.effects.append(m.CloseRun(run.host, run.id, run.host_fence, "it needs attention"))
    leave_host(state, turn, run)
    here = state.runs[run.id]
    if here.state is not RunState.NEEDS_ATTENTION:
        still = replace(here, state=RunState.NEEDS_ATTENTION, failure=failure, parked=())
        state.say(turn, still, RunNeedsAttention(flow=run.flow, failure=failure, depth=run.depth, root_id=run.root_id))


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
    if attempt.preemption is not None:
        state.drop_timer(attempt.run_id, reclaim_timer_of(attempt))
    for device in attempt.devices:
        lease = state.leases.get((attempt.fence, device))
        if lease is None or lease.state is not LeaseState.HELD:
            continue
        state.held_on.discard(device, (attempt.fence, device))
        state.leases.put((attempt.fence, device), released(lease, ended, turn.now_us))


def released(lease: Lease, ended: Attempt, now_us: int) -> Lease:
    """The GpuPool's from here on."""
    return replace(
        lease,
        state=LeaseState.RELEASING,
        started_us=ended.started_us,
        ended_us=ended.ended_us,
        released_us=now_us,
    )


def reclaim_timer_of(attempt: Attempt) -> str:
    return f"{attempt.step_id}/reclaim"


def resolve(state: State, fence: int) -> None:
    """What became of the attempt is known, or of no interest any more."""
    state.doubtful.remove(fence)
    attempt = state.attempts.get(fence)
    if attempt is not None:
        state.attempts.put(fence, attempt)  # touched, so that it leaves memory with this commit
