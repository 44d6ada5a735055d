"""Workers: which one an attempt is sent to, those that join, and those that are lost with what they ran."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from ....wire.terms import Failure
from ...records.attempts import Attempt, Member
from ...records.steps import Step
from ...turn import Turn
from .. import messages as m
from ..runs.attending import seen_gone
from ..runs.failing import lose, lose_all
from ..state import State, Worker
from .ganging import rank_lost, rank_not_started
from .keeping import leave_node
from .members import bind, unbound, workers_of

replace = msgspec.structs.replace


def worker_for(state: State, node: str, step: Step) -> Worker | None:
    """An idle worker with the step's code and packages, or a blank one where it needs no packages of its own."""
    there = [worker for worker in state.workers.values() if worker.node == node and worker.env == step.env]
    idle = sorted((worker for worker in there if not worker.fences), key=lambda worker: worker.id)
    warm = next((worker for worker in idle if worker.code_version == step.code_version), None)
    return warm or next((worker for worker in idle if worker.code_version is None), None)


def send(state: State, turn: Turn, attempts: list[Attempt], worker: Worker | None, code_version: str) -> None:
    """To the worker they are bound to; where one must start for the first, the first to register is bound."""
    first = attempts[0]
    if worker is None:
        _start_for(state, turn, first, first.node)
        return
    fences = tuple(attempt.fence for attempt in attempts)
    state.workers.put(worker.id, replace(worker, code_version=code_version, fences=fences))
    _dispatch(turn, worker, fences)


def send_gang(state: State, turn: Turn, attempt: Attempt, step: Step) -> None:
    """To an idle worker for each rank; where one must start, the first to register on its node is bound."""
    for member in attempt.members:
        worker = worker_for(state, member.node, step)
        if worker is None:
            _start_for(state, turn, attempt, member.node)
        else:
            attempt = bind(state, attempt, member, worker, step)
            _dispatch(turn, worker, (attempt.fence,))


def _start_for(state: State, turn: Turn, attempt: Attempt, node: str) -> None:
    state.starting_workers.put(attempt.fence, node)
    turn.effects.append(m.StartWorker(node, attempt.fence))


def _dispatch(turn: Turn, worker: Worker, fences: tuple[int, ...]) -> None:
    """`worker` is as it was before it was bound."""
    if worker.code_version is None:
        turn.effects.append(m.StartWorker(worker.node, None))  # the next blank one
    turn.effects.append(m.Dispatch(worker.id, fences))


def worker_joined(state: State, turn: Turn, event: m.WorkerJoined) -> None:
    """A new process, or one that lived through our restart. Its answer: whether it is wanted."""
    turn.answer = True
    worker = Worker(event.worker, event.node, event.code_version, env=event.env)
    held = [a for a in state.attempts.values() if a.state.live and event.worker in workers_of(a)]
    if held:  # found again after a restart: the same fences are sent again
        _take_up(state, turn, worker, held)
        return
    attempt = state.attempts.get(event.fence) if event.fence is not None else None
    if event.fence is not None:
        state.starting_workers.remove(event.fence)
    if attempt is None or not attempt.state.live or not _wants(attempt, worker):
        state.workers.put(worker.id, worker)
        take_over(state, turn, worker.id)
        return
    step = state.steps[attempt.step_id]
    if attempt.members:
        member = next(each for each in unbound(attempt) if each.node == worker.node)
        attempt = bind(state, attempt, member, worker, step)
        for other in unbound(attempt):
            state.starting_workers.put(attempt.fence, other.node)
    else:
        busy = replace(worker, code_version=step.code_version, env=step.env, fences=(attempt.fence,))
        state.attempts.put(attempt.fence, replace(attempt, worker=worker.id))
        state.workers.put(worker.id, busy)
    turn.effects.append(m.Dispatch(worker.id, (attempt.fence,)))


def take_over(state: State, turn: Turn, worker_id: str) -> None:
    """A worker that is free takes the first attempt for which one is still to start, rather than let it wait for
    that; whoever starts for it will be idle."""
    worker = state.workers.get(worker_id)
    if worker is None or worker.fences:
        return
    for fence in state.starting_workers:
        attempt = state.attempts.get(fence) if state.starting_workers[fence] == worker.node else None
        if attempt is None or not attempt.state.live or attempt.members or attempt.worker is not None:
            continue
        step = state.steps[attempt.step_id]
        if step.env == worker.env and worker.code_version in (step.code_version, None):
            state.attempts.put(fence, replace(attempt, worker=worker.id))
            state.workers.put(worker.id, replace(worker, code_version=step.code_version, fences=(fence,)))
            turn.effects.append(m.Dispatch(worker.id, (fence,)))
            return


def _wants(attempt: Attempt, worker: Worker) -> bool:
    if attempt.members:
        return any(member.node == worker.node for member in unbound(attempt))
    return attempt.worker is None


def _take_up(state: State, turn: Turn, worker: Worker, held: list[Attempt]) -> None:
    fences = tuple(sorted(attempt.fence for attempt in held))
    state.workers.put(worker.id, replace(worker, fences=fences))
    turn.effects.append(m.Dispatch(worker.id, fences))
    for attempt in held:
        if attempt.failure is not None:  # of a gang, of which another rank has ended
            turn.effects.append(m.CancelAttempt(worker.id, attempt.fence))
        elif attempt.preemption is not None:
            turn.effects.append(m.PreemptAttempt(worker.id, attempt.fence, attempt.preemption.due_us))


def take_up_or_lose(state: State, turn: Turn, found: Collection[str]) -> None:
    """After a restart: workers that were still to start are started, and what those had that are gone was lost."""
    gone: dict[str, list[int]] = {}
    for attempt in state.attempts.values():
        if not attempt.state.live:
            continue
        if not attempt.members and attempt.worker is None:
            _start_for(state, turn, attempt, attempt.node)
        for member in unbound(attempt):
            _start_for(state, turn, attempt, member.node)
        for worker in workers_of(attempt):
            if worker not in found:
                gone.setdefault(worker, []).append(attempt.fence)
    lost = Failure(kind="lost", message="its worker was gone when the Conductor started")
    for worker, fences in gone.items():
        lose_of_worker(state, turn, worker, fences, lost)


def lose_of_worker(state: State, turn: Turn, worker: str, fences: Collection[int], failure: Failure) -> None:
    """What the worker had, whose process was seen to end."""
    alone: list[int] = []
    for fence in fences:
        attempt = state.attempts.get(fence)
        if attempt is not None and attempt.members and attempt.state.live:
            rank_lost(state, turn, attempt, worker, failure)
        else:
            alone.append(fence)
    lose_all(state, turn, alone, failure, gone=True)


def worker_lost(state: State, turn: Turn, event: m.WorkerLost) -> None:
    worker = state.workers.get(event.worker)
    state.workers.remove(event.worker)
    if worker is not None and worker.code_version is None and not worker.env:
        turn.effects.append(m.StartWorker(worker.node, None))
    seen_gone(state, event.worker)
    if worker is not None:
        lose_of_worker(state, turn, worker.id, worker.fences, event.cause or Failure(kind="lost", message=event.why))


def worker_not_started(state: State, turn: Turn, event: m.WorkerNotStarted) -> None:
    state.starting_workers.remove(event.fence)
    attempt = state.attempts.get(event.fence)
    if attempt is not None and attempt.worker is not None and not attempt.members:
        return  # another has taken it over
    failure = event.cause or Failure(kind="lost", message=event.why)
    if attempt is not None and attempt.members and attempt.state.live:
        rank_not_started(state, turn, attempt, failure)
    else:
        lose(state, turn, event.fence, failure, gone=True)


def node_lost(state: State, turn: Turn, node: str, failure: Failure) -> None:
    """Whatever was at work there is out of reach; of a gang those of its ranks that were there."""
    leave_node(state, turn, node)
    together: dict[str, list[int]] = {}
    for attempt in state.attempts.values():
        if attempt.state.live and not attempt.members and attempt.node == node:
            together.setdefault(attempt.worker or str(attempt.fence), []).append(attempt.fence)
        for member in attempt.members:
            if attempt.state.live and member.node == node and member.report is None:
                _rank_out_of_reach(state, turn, attempt.fence, member, failure)
    for fences in together.values():
        lose_all(state, turn, fences, failure, gone=False)


def _rank_out_of_reach(state: State, turn: Turn, fence: int, member: Member, failure: Failure) -> None:
    attempt = state.attempts.get(fence)
    if attempt is None or not attempt.state.live:
        return
    if member.worker is not None:
        rank_lost(state, turn, attempt, member.worker, failure)
    else:
        rank_not_started(state, turn, attempt, failure)
