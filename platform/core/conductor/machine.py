"""The Conductor as a pure machine: an event in, words for the log, effects and an answer out.

It is rebuilt from the rows; what a restart must carry out follows from them when `Started` is
decided, and there is no other recovery. One decision at a time: `mark` before it, `rollback` where it raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ...wire import calls
from ...wire.entries.events import CommandRefused
from ...wire.terms import Failure
from ..inbox import Arrived, Ordered, TopicGap
from ..records.attempts import Attempt
from ..records.inbox import Offset
from ..records.leases import Lease
from ..records.runs import CommandRow, Pin, Run, RunState
from ..records.steps import Step, StepState
from ..records.triggers import Gathering, Part, Timer, TriggerState
from ..turn import Turn
from . import messages as m
from .ringing import ring, ring_one_by_one
from .runs.answering import ask, settle_cancel
from .runs.caching import look_up
from .runs.choosing import load_choice
from .runs.commanding import issued
from .runs.executing import function_ended, host_lost
from .runs.failing import need_attention
from .runs.pinning import pinned
from .runs.resting import call_back_sleepers, rest
from .runs.reusing import looked_up
from .runs.waiting import taken_by
from .state import State
from .steps.crewing import take_up_or_lose, worker_joined, worker_lost, worker_not_started
from .steps.ganging import joined
from .steps.granting import proposed
from .steps.keeping import leave, leave_forgotten, leave_in_time
from .steps.placing import host_joined, let_go_of_hosts, parked
from .steps.reclaiming import reclaims_proposed
from .steps.reporting import checkpointed, claimed, progressed, reported
from .steps.stepping import cancel_steps, held_back
from .steps.together import kind_of
from .storing import artifacts_gone, logs_counted
from .triggers.arriving import arrived, halted, ordered
from .triggers.following import followed, followed_one_by_one
from .triggers.limiting import restart
from .triggers.timetable import set_clocks

Ring = Callable[[State, Turn, list[Timer]], None]


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """What is alive in the store: runs that have not ended with all that belongs to them."""

    runs: list[Run] = []
    commands: list[CommandRow] = []
    steps: list[Step] = []
    attempts: list[Attempt] = []
    leases: list[Lease] = []
    timers: list[Timer] = []
    pins: list[Pin] = []
    trigger_states: list[TriggerState] = []
    gatherings: list[Gathering] = []
    parts: list[Part] = []
    offsets: list[Offset] = []


class Conductor:
    """Decides for runs and steps. Its state is owned by the one loop that calls `decide`."""

    def __init__(self, state: State) -> None:
        self.state = state

    @property
    def book(self) -> Any:
        return self.state.book

    def decide(self, event: m.Event, now_us: int) -> Turn:
        turn = Turn(now_us)
        _HANDLERS[type(event)](self.state, turn, event)
        return turn

    def set_aside(self, event: m.Event, now_us: int, error: Exception) -> Turn:
        """What becomes of the subject of a decision that raised: a dead letter, attention, an error."""
        turn = Turn(now_us)
        message = f"The engine could not decide this: {type(error).__name__}: {error}"
        failure = Failure(kind="engine_error", message=message)
        if isinstance(event, Arrived):
            self.state.mail.set_aside(turn, event, message)
        elif isinstance(event, m.Issued):
            self._stand_still(turn, event.run_id, failure)
        elif isinstance(event, m.RunFunctionEnded):
            self._stand_still(turn, event.end.run_id, failure)
        elif isinstance(event, m.Followed):
            followed_one_by_one(self.state, turn, event)
        elif isinstance(event, m.Due):
            _due(self.state, turn, event, ring_one_by_one)
        elif isinstance(event, m.Reported):
            outcome = calls.Outcome(failure=failure)
            reports = tuple(msgspec.structs.replace(report, outcome=outcome) for report in event.reports)
            reported(self.state, turn, msgspec.structs.replace(event, reports=reports))
        elif isinstance(event, Ordered):
            refused = CommandRefused(command=event.order.id, code="engine_error", reason=message)
            self.state.mail.ordered(turn, event, lambda _: refused)
        else:
            turn.answer = error
        return turn

    def objected(self, event: m.Event, now_us: int, reason: str) -> Turn:
        """The same decision where the transaction's guard said no."""
        if isinstance(event, m.Proposed):
            return self.decide(m.Proposed(event.grants, refused=reason), now_us)
        if isinstance(event, m.ReclaimsProposed):
            return self.decide(m.ReclaimsProposed(event.reclaims, refused=reason), now_us)
        if isinstance(event, m.Issued):
            return self._without_what_was_kept(event, now_us)
        return self.set_aside(event, now_us, RuntimeError(reason))

    def settle(self) -> None:
        """After a commit: what has ended and was told leaves memory, and what only waits."""
        state = self.state
        changes = state.book.changes()
        state.book.settle()
        state.tidy(changes)
        looked_at = {*changes.get("runs", ()), *state.taken_back}
        state.taken_back.clear()
        rest(state, looked_at)

    def load(self, rows: Rows) -> None:
        """The picture of the store, before the first decision."""
        _load(self.state, rows)
        self.state.taken_back.update(run.id for run in rows.runs if run.parked)

    def load_waiting(self, rows: Rows) -> None:
        """More of the picture: parked runs, of which those that only wait go away at once."""
        _load(self.state, rows)
        rest(self.state, [run.id for run in rows.runs])

    def take_back(self, rows: Rows) -> None:
        """Runs that were away, with all that belongs to them, as their rows are now."""
        for run in rows.runs:
            self.state.away.pop(run.id, None)
        _load(self.state, rows)
        self.state.taken_back.update(run.id for run in rows.runs)

    def _without_what_was_kept(self, event: m.Issued, now_us: int) -> Turn:
        turn = Turn(now_us)
        leave(self.state, turn, self.state.runs[event.run_id])
        issued(self.state, turn, event)
        return turn

    def _stand_still(self, turn: Turn, run_id: str, failure: Failure) -> None:
        run = self.state.runs.get(run_id)
        if run is not None and run.state is RunState.RUNNING:
            need_attention(self.state, turn, run, failure)
        turn.answer = failure.message


def _due(state: State, turn: Turn, event: m.Due, ring_all: Ring = ring) -> None:
    if len(state.wakes):
        state.wakes.remove(min(state.wakes))
    found = state.timers.due(turn.now_us)
    call_back_sleepers(state, found)
    ring_all(state, turn, found)
    leave_in_time(state, turn)
    let_go_of_hosts(state, turn)
    _wake_for_the_next(state, turn)


def _wake_for_the_next(state: State, turn: Turn) -> None:
    soonest_us = state.timers.soonest_us()
    if soonest_us is not None:
        state.wake(turn, soonest_us)


def _started(state: State, turn: Turn, event: m.Started) -> None:
    """What a start carries out: runs find a host, attempts their worker or another, timers are set."""
    going_on: list[Run] = []
    leave_forgotten(state, turn)
    found = {worker.worker for worker in event.workers}
    for worker in event.workers:
        worker_joined(state, turn, worker)
    for run in state.runs.values():
        if run.state is RunState.CANCELLING or run.state.ended:
            cancel_steps(state, turn, run.id, run.cancel_reason or "the run has ended")
    take_up_or_lose(state, turn, found)
    for run in state.runs.values():
        if run.state is RunState.CANCELLING:
            settle_cancel(state, turn, run.id)
        elif not run.state.ended:
            going_on.append(run)
    restart(state, turn, going_on)
    _look_up_again(state, turn)
    set_clocks(state, turn)
    turn.effects.append(m.StartHost())
    _wake_for_the_next(state, turn)


def _look_up_again(state: State, turn: Turn) -> None:
    """Steps whose inputs are there and that had not heard whether their result is kept."""
    for step in state.steps.values():
        if step.state is StepState.BLOCKED and not step.missing and not look_up(state, turn, step):
            ask(state, turn, step)


def _load(state: State, rows: Rows) -> None:
    for run in rows.runs:
        state.run_of_key.load(run.idempotency_key, run.id)
        state.runs.load(run.id, msgspec.structs.replace(run, host=None))
        if run.parent_id is not None and not run.state.ended:
            state.children_of.load(run.parent_id, run.id)
    for command in sorted(rows.commands, key=lambda row: (row.run_id, row.ordinal)):
        _load_command(state, command)
    for run_id in dict.fromkeys(row.run_id for row in rows.commands if isinstance(row.command.call, calls.FirstCall)):
        load_choice(state, run_id)
    for step in rows.steps:
        state.steps.load(step.id, step)
        state.steps_of.load(step.run_id, step.id)
        if step.attention is not None:
            state.doubtful.load(step.attention.fence, step.id)
        if step.state is StepState.WAITING and (kind := kind_of(step)) is not None:
            state.waiting_of.load(kind, step.id)
    for attempt in rows.attempts:
        state.attempts.load(attempt.fence, attempt)
        if attempt.state.live:
            state.live_of.load(attempt.run_id, attempt.fence)
    for lease in rows.leases:
        state.leases.load((lease.fence, lease.device), lease)
        state.held_on.load(lease.device, (lease.fence, lease.device))
    for timer in rows.timers:
        state.timers.load(timer.id, timer)
        state.timers_of.load(timer.run_id, timer.id)
    for pin in rows.pins:
        key = (pin.run_id, pin.kind, pin.name)
        state.pins.load(key, pin)
        state.pins_of.load(pin.run_id, key)
    _load_gatherings(state, rows)
    state.mail.load(rows.offsets)
    _load_dependents(state, rows.steps)


def _load_command(state: State, row: CommandRow) -> None:
    place, call = (row.run_id, row.ordinal), row.command.call
    state.commands.load(place, row)
    state.commands_of.load(*place)
    if row.outcome is not None:
        state.answered_of.load(row.run_id, max(row.answered, state.answered_of.get(row.run_id) or 0))
        taken = taken_by(row)
        if taken is not None:
            state.taken_of.load(row.run_id, taken)
    elif isinstance(call, calls.WaitCall) and state.runs[row.run_id].state is RunState.RUNNING:
        state.waits.load(call.event_type, place)
    elif isinstance(call, calls.DeadlineCall):
        state.watched_by.load((row.run_id, call.of), row.ordinal)


def _load_gatherings(state: State, rows: Rows) -> None:
    for known in rows.trigger_states:
        state.trigger_states.load(known.id, known)
    for gathering in sorted(rows.gatherings, key=lambda one: one.id):
        state.gatherings.load(gathering.id, gathering)
        state.open_of.load((gathering.trigger, gathering.key), gathering.id)
    for part in rows.parts:
        state.parts.load((part.gathering_id, part.number), part)
        state.parts_of.load(part.gathering_id, part.number)


def _load_dependents(state: State, steps: Iterable[Step]) -> None:
    for step in steps:
        if step.state is StepState.BLOCKED:
            for ordinal in step.needs:
                row = state.commands.get((step.run_id, ordinal))
                if row is None or row.outcome is None:
                    state.fed_by.load((step.run_id, ordinal), step.id)


_HANDLERS: dict[type, Callable[[State, Turn, Any], None]] = {
    Arrived: arrived,
    TopicGap: halted,
    Ordered: ordered,
    m.Followed: followed,
    m.HostJoined: host_joined,
    m.HostLost: host_lost,
    m.Issued: issued,
    m.Parked: parked,
    m.RunFunctionEnded: function_ended,
    m.Pinned: pinned,
    m.Proposed: proposed,
    m.ReclaimsProposed: reclaims_proposed,
    m.HeldBack: held_back,
    m.WorkerJoined: worker_joined,
    m.WorkerLost: worker_lost,
    m.WorkerNotStarted: worker_not_started,
    m.Started: _started,
    m.Claimed: claimed,
    m.Joined: joined,
    m.Progressed: progressed,
    m.Checkpointed: checkpointed,
    m.Reported: reported,
    m.LookedUp: looked_up,
    m.ArtifactsGone: artifacts_gone,
    m.LogsCounted: logs_counted,
    m.Due: _due,
}
