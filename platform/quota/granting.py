"""The rounds after an event: who goes, for whom others are ended, for whom a place is kept.

First those for whom a place is kept, if it can be had; then the first of all queues, again and again, until
nothing can go. A line whose first was looked at and could not go is asked once what it has a right to (`due`):
when it came, when its project gave something back, and when the time has come that it waits for.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from .admission import Admission, Placed
from .holdings import Holding, Holdings
from .messages import Effect, Grant, Reclaim, StepWaiting
from .order import Contest, Order
from .queues import LineKey, Queues, Turn, line_of
from .reclaim import Plan, Reclaiming
from .reservations import RESERVATIONS_MAX, Reservation, Reservations
from .telling import Telling
from .undo import Undo
from .usage import Usage

DUE_MAX = 64  # lines looked at after one event


class Granting:
    def __init__(
        self, undo: Undo, queues: Queues, holdings: Holdings, reservations: Reservations, telling: Telling
    ) -> None:
        self._undo, self._queues, self._holdings = undo, queues, holdings
        self._reservations, self._telling = reservations, telling
        self.ends_others = True
        self.due: dict[LineKey, Turn] = {}
        self._due: list[tuple[Turn, LineKey]] = []  # the same, in order
        self.later: dict[LineKey, int] = {}  # lines that wait for the time

    def use(self, usage: Usage, order: Order, admission: Admission, reclaiming: Reclaiming, version: int) -> None:
        self._usage, self._order, self._admission = usage, order, admission
        self._reclaiming, self._version = reclaiming, version

    def look_at(self, key: LineKey) -> None:
        line = self._queues.lines.get(key)
        if key not in self.due and line is not None:
            self._undo.note(self._strike, key)
            self._enter(key, line.turns[0])

    def project_gave_back(self, project: str) -> None:
        for key in self._queues.of_project(project):
            self.look_at(key)

    def run(self, now_us: int) -> list[Effect]:
        self._wake(now_us)
        effects: list[Effect] = [*self._kept(), *self._rounds()]
        for _ in range(DUE_MAX):
            if not self._due:
                break
            turn, key = self._due[0]
            self._undo.note(self._enter, key, turn)
            self._strike(key)
            effects += self._claim(key, now_us)
        return effects

    def _enter(self, key: LineKey, turn: Turn) -> None:
        self.due[key] = turn
        insort(self._due, (turn, key), key=_turn)

    def _strike(self, key: LineKey) -> None:
        turn = self.due.pop(key)
        position = bisect_left(self._due, turn, key=_turn)
        while self._due[position][1] != key:
            position += 1
        del self._due[position]

    def wakes_us(self, now_us: int) -> int | None:
        """When there is something to decide without any event; None where there is nothing."""
        return now_us if self.due else min(self.later.values(), default=None)

    # Those that may go.

    def _kept(self) -> list[Effect]:
        effects: list[Effect] = []
        for reservation in self._reservations.in_order():
            step, key = reservation.step, line_of(reservation.step)
            with self._reservations.lifted([reservation]):
                placed = self._admission.judge(step.project, key[1], self._admission.options(key[1]))
            if placed is not None:
                self.unkeep(step.step_id)
                effects.append(self._grant(step, placed))
        return effects

    def _rounds(self) -> list[Effect]:
        effects: list[Effect] = []
        while awake := self._order.awake():
            fitting = [contest for contest in awake if self._admission.fits(contest.shape, contest.options)]
            self._order.quieten(contest for contest in awake if contest not in fitting)
            first = self._order.best(fitting, self._judge) if fitting else None
            if first is None:
                self._order.quieten(fitting)
                break
            step = self._queues.first_free((first[0].project, first[0].shape))
            assert step is not None
            effects.append(self._grant(step, first[1]))
        return effects

    def _judge(self, project: str, contest: Contest) -> Placed | None:
        return self._admission.judge(project, contest.shape, contest.options)

    def _grant(self, step: StepWaiting, placed: Placed) -> Grant:
        self.forget(step)
        holding = Holding(step, placed.seats, placed.option.flavour, placed.amounts(), self._version)
        self._holdings.hold(step.step_id, holding)
        return holding.grant()

    # Those that wait.

    def forget(self, step: StepWaiting) -> None:
        """The step waits no more."""
        if step.step_id in self._reservations.kept:
            self.unkeep(step.step_id)
        self._queues.remove(step)
        self._telling.forget(step)

    def unkeep(self, step_id: str) -> Reservation:
        """The place is not kept any more; the step's line is looked at again."""
        reservation = self._reservations.drop(step_id)
        self._queues.reserve(reservation.step, reserved=False)
        self._order.something_came_back()
        self.look_at(line_of(reservation.step))
        return reservation

    def _claim(self, key: LineKey, now_us: int) -> list[Effect]:
        """Ends others for the first of the line that has a right to their place, one after the other."""
        effects: list[Effect] = []
        while self.ends_others and len(self._reservations.kept) < RESERVATIONS_MAX:
            step = self._queues.first_free(key)
            plan = self._reclaiming.plan(step, now_us) if step is not None else None
            if step is None or plan is None:
                break
            effects += self._carry_through(step, plan, now_us)
        self._look_again(key, self._reclaiming.sooner)
        return effects

    def _carry_through(self, step: StepWaiting, plan: Plan, now_us: int) -> list[Effect]:
        policy = self._usage.tree.policy
        urgent = self._usage.tree.tier(self._usage.path(step.project)[0]) == 1
        grace_s = policy.urgent_grace_s if urgent else policy.grace_s
        effects: list[Effect] = [self._end(fence, step, grace_s, now_us) for fence in plan.victims]
        at_us, basis = now_us + grace_s * 1_000_000, f"{len(plan.victims)} gangs end for it within {grace_s} s"
        self._queues.reserve(step, reserved=True)
        self._reservations.keep(step, plan.placed, at_us, basis, plan.victims)
        return effects

    def _end(self, fence: int, step: StepWaiting, grace_s: int, now_us: int) -> Reclaim:
        holding = self._holdings.leave(fence)
        self._reclaiming.note(holding.step.project, now_us)
        own = holding.step.project == step.project
        why = "matters less" if own else f"is beyond what project {holding.step.project} is guaranteed"
        reason = f"Ended for step {step.name} of project {step.project}: it {why}."
        return Reclaim(fence, holding.step.step_id, holding.step.project, step.step_id, grace_s, reason)

    def _look_again(self, key: LineKey, at_us: int | None) -> None:
        if at_us is not None:
            self._undo.put(self.later, key, at_us)
        elif key in self.later:
            self._undo.pop(self.later, key)

    def _wake(self, now_us: int) -> None:
        for key in [key for key, at_us in self.later.items() if at_us <= now_us]:
            self._undo.pop(self.later, key)
            self.look_at(key)


def _turn(entry: tuple[Turn, LineKey]) -> Turn:
    return entry[0]
