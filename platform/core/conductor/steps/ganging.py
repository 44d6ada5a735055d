"""Gangs: one attempt, one fence, a worker for each rank.

    recruited ──each rank joins, with its address──► all there: RUNNING, and each is told to begin
        every rank done ──► SUCCEEDED, with the result of rank 0
        one rank fails, is stopped or lost ──► the others are stopped; when all have ended the attempt ends that way

An attempt of a gang keeps its leases until its last rank has ended. Of a single attempt nothing here is asked.
"""

from __future__ import annotations

import msgspec

from ....wire import calls
from ....wire.terms import Failure
from ...records.attempts import Attempt, AttemptState, Member
from ...turn import Turn
from .. import messages as m
from ..runs.failing import fail, lose
from ..state import State
from .ending import start, succeeded
from .members import member_of, with_member, withdraw_unbound, workers_of

replace = msgspec.structs.replace

PREEMPTED = ("preempted",)
DEATHS = ("lost", "signal", "out_of_memory")
GIVEN_UP = "given up: another attempt holds the step, or it has ended"


def joined(state: State, turn: Turn, event: m.Joined) -> None:
    """A rank is ready. Empty where it waits for others; the address of rank 0 once all are there."""
    attempt = state.attempts.get(event.fence)
    member = member_of(attempt, event.worker) if attempt is not None else None
    if attempt is None or member is None or attempt.secret != event.secret or not attempt.state.live:
        turn.answer = calls.Rendezvous(refused="claim_lost")
        return
    if attempt.failure is not None or member.report is not None:
        turn.answer = calls.Rendezvous(refused="another rank has ended")
        return
    if not member.address:
        attempt = with_member(attempt, replace(member, address=event.address))
        state.attempts.put(attempt.fence, attempt)
    turn.answer = calls.Rendezvous()
    if all(each.address for each in attempt.members):
        turn.answer = calls.Rendezvous(address=attempt.members[0].address)
        if attempt.state is AttemptState.LEASED:
            _begin(state, turn, attempt)


def _begin(state: State, turn: Turn, attempt: Attempt) -> None:
    start(state, turn, attempt, turn.now_us)
    for worker in workers_of(attempt):
        turn.effects.append(m.Begin(worker, attempt.fence, attempt.members[0].address))


def rank_ended(state: State, turn: Turn, attempt: Attempt, report: calls.Report) -> str:
    """One rank has ended; the first that ended badly stops the others. Why the report counts for nothing, or empty."""
    member = member_of(attempt, report.worker)
    if member is None or member.report is not None:
        return GIVEN_UP
    failure = report.outcome.failure
    if member.rank:  # the gang's result is that of rank 0
        report = replace(report, outcome=calls.Outcome(failure=failure))
    attempt = with_member(attempt, replace(member, report=report))
    if failure is not None and attempt.failure is None:
        attempt = replace(attempt, failure=_of_rank(failure, member))
        attempt = withdraw_unbound(attempt, turn.now_us)
        for worker in workers_of(attempt):
            turn.effects.append(m.CancelAttempt(worker, attempt.fence))
    state.attempts.put(attempt.fence, attempt)
    settle_gang(state, turn, attempt)
    return ""


def rank_lost(state: State, turn: Turn, attempt: Attempt, worker: str, failure: Failure) -> None:
    outcome = calls.Outcome(failure=failure)
    now_us = turn.now_us
    last = calls.Report(
        fence=attempt.fence, worker=worker, started_us=now_us, ended_us=now_us, outcome=outcome, seen_empty=False
    )
    rank_ended(state, turn, attempt, last)


def rank_not_started(state: State, turn: Turn, attempt: Attempt, failure: Failure) -> None:
    """No worker came up for one of its ranks: the gang ends."""
    if attempt.failure is None:
        attempt = withdraw_unbound(replace(attempt, failure=failure), turn.now_us)
        for worker in workers_of(attempt):
            turn.effects.append(m.CancelAttempt(worker, attempt.fence))
        state.attempts.put(attempt.fence, attempt)
    settle_gang(state, turn, attempt)


def settle_gang(state: State, turn: Turn, attempt: Attempt) -> None:
    """Once its last rank has ended, the attempt ends."""
    reports = [member.report for member in attempt.members if member.report is not None]
    if len(reports) < len(attempt.members):
        return
    together = replace(
        reports[0],
        started_us=attempt.started_us or min(report.started_us for report in reports),
        ended_us=max(report.ended_us for report in reports),
        rows=sum(report.rows for report in reports),
        peak_memory_bytes=max(report.peak_memory_bytes for report in reports),
        seen_empty=all(report.seen_empty for report in reports),
    )
    if attempt.failure is None:
        succeeded(state, turn, replace(attempt, members=_told(attempt)), together)
        return
    failure = _cause(attempt)
    state.attempts.put(attempt.fence, replace(attempt, members=_told(attempt)))
    if failure.kind == "lost":
        lose(state, turn, attempt.fence, failure, gone=True)
    else:
        fail(state, turn, state.attempts[attempt.fence], failure, together)


def _cause(attempt: Attempt) -> Failure:
    """Why the gang ended. Ranks whose peer has gone often fail sooner than its end is heard of."""
    assert attempt.failure is not None
    ended = [(member, member.report.outcome.failure) for member in attempt.members if member.report is not None]
    for kinds in (PREEMPTED if attempt.preemption is not None else (), DEATHS):
        for member, failure in ended:
            if failure is not None and failure.kind in kinds:
                return _of_rank(failure, member)
    return attempt.failure


def _told(attempt: Attempt) -> tuple[Member, ...]:
    """The members without what the attempt's own row says."""
    return tuple(
        replace(member, report=None, seen_empty=member.report is not None and member.report.seen_empty)
        for member in attempt.members
    )


def _of_rank(failure: Failure, member: Member) -> Failure:
    if failure.kind in ("cancelled", "preempted"):
        return failure
    return replace(failure, message=f"Rank {member.rank} on {member.node}: {failure.message}")
