"""T2: the Scheduler proposes where a step may go; the Conductor leases the place, or says why not."""

from __future__ import annotations

import msgspec

from ....wire import calls
from ....wire.types import StepLeased
from ...records import Attempt, AttemptState, Lease, StepState
from ...turn import GrantGuard, Turn
from .. import messages as m
from ..state import State
from .crewing import send, worker_for

WHOLE_GPU_MILLI = 1000

replace = msgspec.structs.replace


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
    worker = worker_for(state, grant.node, step)
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
    send(state, turn, attempt, worker, step.code_version)
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
