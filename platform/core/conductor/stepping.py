"""The life of a step, and of its attempts.

    BLOCKED ──inputs there──► WAITING ──grant (T2)──► LEASED ──(T3)──► RUNNING ──report (T4)──► SUCCEEDED
       └─an input failed─► SKIPPED   ▲                   └─────────────────┴── FAILED | BACKOFF ─┐
                                     └────────────── lost, or retries are left ──────────────────┘

An attempt has one fence, bound to one worker incarnation. Quota is free when its leases are RELEASING;
the GpuPool frees the devices when they are seen empty.
"""

from __future__ import annotations

import msgspec

from ...wire import calls
from ...wire.types import (
    Failure,
    StepEnded,
    StepFailed,
    StepHeld,
    StepLeased,
    StepStarted,
    StepSucceeded,
)
from ..records import (
    Attempt,
    AttemptState,
    CommandRow,
    Lease,
    LeaseState,
    Run,
    RunState,
    Step,
    StepState,
    Timer,
)
from ..turn import GrantGuard, Turn
from . import messages as m
from .answering import answer, ask, settle_cancel, skip
from .state import State, Worker

replace = msgspec.structs.replace
WHOLE_GPU_MILLI = 1000


def issue_step(state: State, turn: Turn, run: Run, row: CommandRow, call: calls.StepCall) -> None:
    step = Step(
        id=f"{run.id}/{row.ordinal}",
        run_id=run.id,
        ordinal=row.ordinal,
        project=run.project,
        name=row.name,
        function=call.function,
        code_version=run.code_version,
        state=StepState.BLOCKED,
        demand=call.demand,
        priority=call.priority,
        retries=call.retries,
        backoff_s=call.backoff_s,
        timeout_s=call.timeout_s,
        max_runtime_s=call.max_runtime_s,
        effect=call.effect,
        arguments=call.arguments,
        needs=call.needs,
        created_us=turn.now_us,
    )
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


# T2: grants.


def proposed(state: State, turn: Turn, event: m.Proposed) -> None:
    turn.answer = [
        calls.Verdict(step_id=grant.step_id, reason=event.refused) if event.refused else _grant(state, turn, grant)
        for grant in event.grants
    ]


def _grant(state: State, turn: Turn, grant: calls.Grant) -> calls.Verdict:
    step = state.steps.get(grant.step_id)
    if step is None or step.state is not StepState.WAITING:
        return calls.Verdict(step_id=grant.step_id, reason="step_not_waiting")
    milli = _milli_each(step.demand.gpus_milli, len(grant.devices))
    for device in grant.devices:
        if milli + sum(state.leases[key].milli for key in state.held_on.of(device)) > WHOLE_GPU_MILLI:
            return calls.Verdict(step_id=grant.step_id, reason=f"device_held: {device}")
    fence = state.next_fence()
    worker = _worker_for(state, grant.node, step.code_version)
    attempt = Attempt(
        fence=fence,
        step_id=step.id,
        run_id=step.run_id,
        number=step.attempts + 1,
        state=AttemptState.LEASED,
        node=grant.node,
        devices=grant.devices,
        demand=step.demand,
        worker=worker.id if worker else None,
        secret=state.secret_of("attempt", str(fence)),
        leased_us=turn.now_us,
    )
    state.attempts.put(fence, attempt)
    state.live_of.add(step.run_id, fence)
    state.steps.put(step.id, replace(step, state=StepState.LEASED, attempts=attempt.number))
    for device in grant.devices:
        state.held_on.add(device, (fence, device))
        state.leases.put((fence, device), _lease(attempt, device, milli, step.project))
    turn.guards.append(_guard(grant, milli))
    body = StepLeased(
        step_id=step.id,
        name=step.name,
        attempt=attempt.number,
        fence=fence,
        node=grant.node,
        devices=grant.devices,
        demand=step.demand,
    )
    state.say_of_run(turn, step.run_id, body)
    _send(state, turn, attempt, worker, step.code_version)
    return calls.Verdict(step_id=step.id, fence=fence)


def _milli_each(gpus_milli: int, devices: int) -> int:
    return gpus_milli // devices if devices else 0


def _lease(attempt: Attempt, device: str, milli: int, project: str) -> Lease:
    return Lease(
        fence=attempt.fence,
        device=device,
        node=attempt.node,
        milli=milli,
        run_id=attempt.run_id,
        step_id=attempt.step_id,
        project=project,
        since_us=attempt.leased_us,
    )


def _guard(grant: calls.Grant, milli: int) -> GrantGuard:
    return GrantGuard(
        scheduler_epoch=grant.scheduler_epoch,
        tree_version=grant.tree_version,
        step_id=grant.step_id,
        devices=grant.devices,
        milli=milli,
    )


def _worker_for(state: State, node: str, code_version: str) -> Worker | None:
    idle = [worker for worker in state.workers.values() if worker.node == node and worker.fence is None]
    warm = next((worker for worker in idle if worker.code_version == code_version), None)
    return warm or next((worker for worker in idle if worker.code_version is None), None)


def _send(state: State, turn: Turn, attempt: Attempt, worker: Worker | None, code_version: str) -> None:
    """To the worker it is bound to; where one must start, the first to register is bound."""
    if worker is None:
        state.starting_workers.put(attempt.fence, attempt.node)
        turn.effects.append(m.StartWorker(attempt.node, attempt.fence))
        return
    if worker.code_version is None:
        turn.effects.append(m.StartWorker(attempt.node, None))  # the next blank one
    state.workers.put(worker.id, replace(worker, code_version=code_version, fence=attempt.fence))
    turn.effects.append(m.Dispatch(worker.id, attempt.fence))


# Workers.


def worker_joined(state: State, turn: Turn, event: m.WorkerJoined) -> None:
    """A new process, or one that lived through our restart. Its answer: whether it is wanted."""
    turn.answer = True
    worker = Worker(event.worker, event.node, event.code_version)
    held = next((a for a in state.attempts.values() if a.worker == event.worker and a.state.live), None)
    if held is not None:  # found again after a restart: the same fence is sent again
        state.workers.put(worker.id, replace(worker, fence=held.fence))
        turn.effects.append(m.Dispatch(worker.id, held.fence))
        return
    attempt = state.attempts.get(event.fence) if event.fence is not None else None
    if event.fence is not None:
        state.starting_workers.remove(event.fence)
    if attempt is None or not attempt.state.live or attempt.worker is not None:
        state.workers.put(worker.id, worker)
        return
    version = state.steps[attempt.step_id].code_version
    state.attempts.put(attempt.fence, replace(attempt, worker=worker.id))
    state.workers.put(worker.id, replace(worker, code_version=version, fence=attempt.fence))
    turn.effects.append(m.Dispatch(worker.id, attempt.fence))


def worker_lost(state: State, turn: Turn, event: m.WorkerLost) -> None:
    worker = state.workers.get(event.worker)
    state.workers.remove(event.worker)
    if worker is not None and worker.code_version is None:
        turn.effects.append(m.StartWorker(worker.node, None))
    if worker is not None and worker.fence is not None:
        lose(state, turn, worker.fence, event.why)


def worker_not_started(state: State, turn: Turn, event: m.WorkerNotStarted) -> None:
    state.starting_workers.remove(event.fence)
    lose(state, turn, event.fence, event.why)


def claimed(state: State, turn: Turn, event: m.Claimed) -> None:
    """T3 of a `once` attempt: the answer is empty, or why user code must not start."""
    attempt = state.attempts.get(event.fence)
    if attempt is None or attempt.secret != event.secret or attempt.worker != event.worker:
        turn.answer = "claim_lost"
    elif attempt.state is AttemptState.LEASED:
        _start(state, turn, attempt, turn.now_us)
        turn.answer = ""
    else:
        turn.answer = "" if attempt.state is AttemptState.RUNNING else "claim_lost"


def progressed(state: State, turn: Turn, event: m.Progressed) -> None:
    attempt = state.attempts.get(event.fence)
    if attempt is not None and attempt.worker == event.worker and attempt.state is AttemptState.LEASED:
        _start(state, turn, attempt, event.started_us)


def _start(state: State, turn: Turn, attempt: Attempt, started_us: int) -> None:
    state.attempts.put(attempt.fence, replace(attempt, state=AttemptState.RUNNING, started_us=started_us))
    step = state.steps[attempt.step_id]
    state.steps.put(step.id, replace(step, state=StepState.RUNNING))
    body = StepStarted(
        step_id=step.id, name=step.name, attempt=attempt.number, fence=attempt.fence, worker=attempt.worker or ""
    )
    state.say_of_run(turn, step.run_id, body)


# T4: reports.


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
    _start(state, turn, attempt, report.started_us)
    return state.attempts[attempt.fence]


def _succeed(state: State, turn: Turn, attempt: Attempt, report: calls.Report) -> None:
    if state.runs[attempt.run_id].state is not RunState.RUNNING:
        _fail(state, turn, attempt, report, Failure(kind="cancelled", message="it ended after its run was given up"))
        return
    payload = report.outcome.payload or calls.Payload()
    _close(
        state,
        turn,
        replace(attempt, state=AttemptState.SUCCEEDED, result=replace(payload, inline=None)),
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
    _close(state, turn, replace(attempt, state=ended, failure=failure), report)
    step = state.steps[attempt.step_id]
    again = ended is AttemptState.FAILED and step.failures < step.retries
    if ended is AttemptState.FAILED:
        step = replace(step, failures=step.failures + 1)
    duration = report.ended_us - report.started_us
    _after_a_bad_end(state, turn, attempt, step, failure, again=again, duration_us=duration, empty=report.seen_empty)


def lose(state: State, turn: Turn, fence: int, why: str) -> None:
    """The attempt's process is gone. A `retry` step gets a new fence; a `once` step that began needs a person."""
    attempt = state.attempts.get(fence)
    if attempt is None or not attempt.state.live:
        return
    failure = Failure(kind="lost", message=why)
    _close(state, turn, replace(attempt, state=AttemptState.LOST, failure=failure), None)
    step = state.steps[attempt.step_id]
    step = replace(step, losses=step.losses + 1)
    once_begun = step.effect == "once" and attempt.state is AttemptState.RUNNING
    again = not once_begun and step.losses <= state.limits.losses_max
    _after_a_bad_end(state, turn, attempt, step, failure, again=again, duration_us=0, empty=True)


def _after_a_bad_end(
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
    state.timers.put(timer.id, timer)
    state.timers_of.add(step.run_id, timer.id)
    state.wake(turn, timer.due_us)


def _close(state: State, turn: Turn, attempt: Attempt, report: calls.Report | None) -> None:
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


# Ends that are not reports.


def cancel_steps(state: State, turn: Turn, run_id: str, reason: str) -> None:
    """Steps of the run that have not ended: those that no worker has end now, the others are told to."""
    for step_id in state.steps_of.of(run_id):
        step = state.steps.get(step_id)
        if step is None or step.state.ended or step.state in (StepState.LEASED, StepState.RUNNING):
            continue
        state.timers.remove(f"{step.id}/backoff")
        state.timers_of.discard(run_id, f"{step.id}/backoff")
        state.steps.put(step.id, replace(step, state=StepState.CANCELLED, ended_us=turn.now_us))
        body = StepEnded(step_id=step.id, name=step.name, state="CANCELLED", reason=reason)
        state.say_of_run(turn, run_id, body)
    for fence in state.live_of.of(run_id):
        attempt = state.attempts[fence]
        if attempt.worker is not None:
            turn.effects.append(m.CancelAttempt(attempt.worker, fence))
        else:
            _withdraw(state, turn, attempt, reason)


def _withdraw(state: State, turn: Turn, attempt: Attempt, reason: str) -> None:
    """An attempt that no worker was told of ends at once; the worker that starts for it will be idle."""
    failure = Failure(kind="cancelled", message=reason)
    _close(state, turn, replace(attempt, state=AttemptState.CANCELLED, failure=failure), None)
    step = state.steps[attempt.step_id]
    _after_a_bad_end(state, turn, attempt, step, failure, again=False, duration_us=0, empty=True)


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
            failure = Failure(kind="impossible", message=hold.reason, step=step.name)
            state.steps.put(step.id, replace(step, state=StepState.FAILED, failure=failure, ended_us=turn.now_us))
            ended = StepEnded(step_id=step.id, name=step.name, state="FAILED", reason=hold.reason)
            state.say_of_run(turn, step.run_id, ended)
            answer(state, turn, step.run_id, step.ordinal, calls.Outcome(failure=failure))


def back_from_backoff(state: State, turn: Turn, step_id: str) -> None:
    step = state.steps.get(step_id)
    if step is not None and step.state is StepState.BACKOFF:
        ask(state, turn, step)
