"""The ranks of a gang: who they are, which of them have a worker, and what each is told of its place."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ....wire import calls
from ....wire.terms import Failure
from ...records.attempts import Attempt, Member
from ...records.steps import Step
from ..state import State, Worker

replace = msgspec.structs.replace


def is_gang(step: Step) -> bool:
    return step.demand.ranks > 1 or step.ranks_min > 0


def workers_of(attempt: Attempt) -> list[str]:
    """The workers at work on it, those of ranks that have ended left out."""
    if not attempt.members:
        return [attempt.worker] if attempt.worker is not None else []
    return [member.worker for member in attempt.members if member.worker is not None and member.report is None]


def member_of(attempt: Attempt, worker: str) -> Member | None:
    return next((member for member in attempt.members if member.worker == worker), None)


def unbound(attempt: Attempt) -> Iterator[Member]:
    """The ranks for which a worker is still to start."""
    return (member for member in attempt.members if member.worker is None and member.report is None)


def bind(state: State, attempt: Attempt, member: Member, worker: Worker, step: Step) -> Attempt:
    """The attempt with this worker for the rank; the worker is busy with it."""
    state.workers.put(worker.id, replace(worker, code_version=step.code_version, env=step.env, fences=(attempt.fence,)))
    attempt = with_member(attempt, replace(member, worker=worker.id))
    if member.rank == 0:
        attempt = replace(attempt, worker=worker.id)
    state.attempts.put(attempt.fence, attempt)
    return attempt


def seat_of(attempt: Attempt, worker: str) -> calls.GangSeat | None:
    """What the worker's rank is told of its place; None where the attempt is none of a gang."""
    member = member_of(attempt, worker)
    if member is None:
        return None
    beside = [other.rank for other in attempt.members if other.node == member.node]
    return calls.GangSeat(
        rank=member.rank,
        world=len(attempt.members),
        local_rank=beside.index(member.rank),
        local_world=len(beside),
        node=member.node,
        devices=member.devices,
    )


def withdraw_unbound(attempt: Attempt, now_us: int) -> Attempt:
    """Ranks that no worker was told of end with the others; whoever starts for them will be idle."""
    outcome = calls.Outcome(failure=Failure(kind="cancelled", message="the gang ended before this rank had begun"))
    for member in list(unbound(attempt)):
        report = calls.Report(fence=attempt.fence, worker="", started_us=now_us, ended_us=now_us, outcome=outcome)
        attempt = with_member(attempt, replace(member, report=report))
    return attempt


def with_member(attempt: Attempt, member: Member) -> Attempt:
    """The attempt with its member of that rank as it is now."""
    members = tuple(member if each.rank == member.rank else each for each in attempt.members)
    return replace(attempt, members=members)
