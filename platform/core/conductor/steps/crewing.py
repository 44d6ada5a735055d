"""Workers: which one an attempt is sent to, those that join, and those that are lost with what they ran."""

from __future__ import annotations

import msgspec

from ....wire.types import Failure
from ...records import Attempt, Step
from ...turn import Turn
from .. import messages as m
from ..runs.attending import seen_gone
from ..runs.failing import lose, lose_all
from ..state import State, Worker

replace = msgspec.structs.replace


def worker_for(state: State, node: str, step: Step) -> Worker | None:
    """An idle worker with the step's code and packages, or a blank one where it needs no packages of its own."""
    there = [worker for worker in state.workers.values() if worker.node == node and worker.env == step.env]
    idle = [worker for worker in there if not worker.fences]
    warm = next((worker for worker in idle if worker.code_version == step.code_version), None)
    return warm or next((worker for worker in idle if worker.code_version is None), None)


def send(state: State, turn: Turn, attempts: list[Attempt], worker: Worker | None, code_version: str) -> None:
    """To the worker they are bound to; where one must start for the first, the first to register is bound."""
    first = attempts[0]
    if worker is None:
        state.starting_workers.put(first.fence, first.node)
        turn.effects.append(m.StartWorker(first.node, first.fence))
        return
    if worker.code_version is None:
        turn.effects.append(m.StartWorker(first.node, None))  # the next blank one
    fences = tuple(attempt.fence for attempt in attempts)
    state.workers.put(worker.id, replace(worker, code_version=code_version, fences=fences))
    turn.effects.append(m.Dispatch(worker.id, fences))


def worker_joined(state: State, turn: Turn, event: m.WorkerJoined) -> None:
    """A new process, or one that lived through our restart. Its answer: whether it is wanted."""
    turn.answer = True
    worker = Worker(event.worker, event.node, event.code_version, env=event.env)
    held = [a for a in state.attempts.values() if a.worker == event.worker and a.state.live]
    if held:  # found again after a restart: the same fences are sent again
        fences = tuple(sorted(each.fence for each in held))
        state.workers.put(worker.id, replace(worker, fences=fences))
        turn.effects.append(m.Dispatch(worker.id, fences))
        for each in held:
            if each.preemption is not None:
                turn.effects.append(m.PreemptAttempt(worker.id, each.fence, each.preemption.due_us))
        return
    attempt = state.attempts.get(event.fence) if event.fence is not None else None
    if event.fence is not None:
        state.starting_workers.remove(event.fence)
    if attempt is None or not attempt.state.live or attempt.worker is not None:
        state.workers.put(worker.id, worker)
        return
    step = state.steps[attempt.step_id]
    state.attempts.put(attempt.fence, replace(attempt, worker=worker.id))
    state.workers.put(worker.id, replace(worker, code_version=step.code_version, env=step.env, fences=(attempt.fence,)))
    turn.effects.append(m.Dispatch(worker.id, (attempt.fence,)))


def worker_lost(state: State, turn: Turn, event: m.WorkerLost) -> None:
    worker = state.workers.get(event.worker)
    state.workers.remove(event.worker)
    if worker is not None and worker.code_version is None and not worker.env:
        turn.effects.append(m.StartWorker(worker.node, None))
    seen_gone(state, event.worker)
    if worker is not None:
        lose_all(state, turn, worker.fences, event.cause or Failure(kind="lost", message=event.why), gone=True)


def worker_not_started(state: State, turn: Turn, event: m.WorkerNotStarted) -> None:
    state.starting_workers.remove(event.fence)
    lose(state, turn, event.fence, event.cause or Failure(kind="lost", message=event.why), gone=True)
