"""T2: the Scheduler proposes where a step may go; the Conductor leases the place, or says why not.

Short steps of the same kind go along under the same lease (see `together`).
"""

from __future__ import annotations

import msgspec

from ....wire import calls
from ....wire.entries.steps import StepLeased
from ...records.attempts import Attempt, AttemptState, Member
from ...records.leases import Lease
from ...records.steps import Step, StepState
from ...turn import GrantGuard, Turn
from .. import messages as m
from ..state import Place, State, Worker
from .crewing import send, send_gang, worker_for
from .members import is_gang
from .together import companions, unqueue

WHOLE_GPU_MILLI = 1000

replace = msgspec.structs.replace


def proposed(state: State, turn: Turn, event: m.Proposed) -> None:
    turn.answer = [
        calls.Verdict(step_id=grant.step_id, reason=event.refused) if event.refused else _grant(state, turn, grant)
        for grant in event.grants
    ]


def _grant(state: State, turn: Turn, grant: calls.Grant) -> calls.Verdict:
    """Leases the place to the step, and to those that go along with it to the same worker."""
    step = state.steps.get(grant.step_id)
    if step is None or step.state is not StepState.WAITING:
        return calls.Verdict(step_id=grant.step_id, reason="step_not_waiting")
    milli = _milli_each(step.demand.gpus_milli, len(grant.devices) // max(len(grant.nodes), 1))
    for device in grant.devices:
        if milli + sum(state.leases[key].milli for key in state.held_on.of(device)) > WHOLE_GPU_MILLI:
            return calls.Verdict(step_id=grant.step_id, reason=f"device_held: {device}")
    if is_gang(step):
        turn.guards.append(_guard(grant, milli, []))
        gang = lease(state, turn, step, grant, None)
        _lend(state, gang, grant, milli)
        send_gang(state, turn, gang, step)
        return calls.Verdict(step_id=step.id, fence=gang.fence)
    worker = worker_for(state, grant.node, step)
    others = companions(state, step) if worker is not None and worker.code_version == step.code_version else []
    turn.guards.append(_guard(grant, milli, others))
    first = lease(state, turn, step, grant, worker)
    if not grant.devices:
        place = Place(first.fence, grant.node, grant.scheduler_epoch, grant.tree_version, turn.now_us)
        state.places.put(first.fence, place)
    _lend(state, first, grant, milli)
    along = [lease(state, turn, other, grant, worker, place=first.fence) for other in others]
    send(state, turn, [first, *along], worker, step.code_version)
    return calls.Verdict(step_id=step.id, fence=first.fence)


def _lend(state: State, attempt: Attempt, grant: calls.Grant, milli: int) -> None:
    """Each device is lent on its own node."""
    nodes = grant.nodes or (grant.node,)
    each = len(grant.devices) // len(nodes)
    project = state.steps[attempt.step_id].project
    for index, device in enumerate(grant.devices):
        state.held_on.add(device, (attempt.fence, device))
        lease = _device_lease(attempt, device, milli, project)
        state.leases.put((attempt.fence, device), replace(lease, node=nodes[index // each]))


def lease(
    state: State, turn: Turn, step: Step, grant: calls.Grant, worker: Worker | None, *, place: int = 0
) -> Attempt:
    fence = state.next_fence()
    attempt = Attempt(
        fence=fence,
        step_id=step.id,
        run_id=step.run_id,
        number=step.attempts + 1,
        state=AttemptState.LEASED,
        node=grant.node,
        devices=grant.devices,
        place=place,
        demand=replace(step.demand, ranks=len(grant.nodes) or 1),
        worker=worker.id if worker else None,
        secret=state.secret_of("attempt", str(fence)),
        leased_us=turn.now_us,
        members=_members(grant) if is_gang(step) else (),
    )
    unqueue(state, step)
    state.attempts.put(fence, attempt)
    state.live_of.add(step.run_id, fence)
    state.steps.put(step.id, replace(step, state=StepState.LEASED, attempts=attempt.number))
    body = StepLeased(
        step_id=step.id,
        name=step.name,
        attempt=attempt.number,
        fence=fence,
        node=grant.node,
        devices=grant.devices,
        demand=attempt.demand,
        place=place,
        nodes=grant.nodes,
    )
    state.say_of_run(turn, step.run_id, body)
    return attempt


def _milli_each(gpus_milli: int, devices: int) -> int:
    return gpus_milli // devices if devices else 0


def _members(grant: calls.Grant) -> tuple[Member, ...]:
    nodes = grant.nodes or (grant.node,)
    each = len(grant.devices) // len(nodes)
    return tuple(
        Member(rank=rank, node=node, devices=grant.devices[rank * each : (rank + 1) * each])
        for rank, node in enumerate(nodes)
    )


def _device_lease(attempt: Attempt, device: str, milli: int, project: str) -> Lease:
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


def _guard(grant: calls.Grant, milli: int, others: list[Step]) -> GrantGuard:
    return GrantGuard(
        scheduler_epoch=grant.scheduler_epoch,
        tree_version=grant.tree_version,
        step_id=grant.step_id,
        devices=grant.devices,
        milli=milli,
        companions=tuple(other.id for other in others),
    )
