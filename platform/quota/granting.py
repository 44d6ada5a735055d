"""The rounds after an event: who goes, for whom others are ended, for whom a place is kept.

First those for whom a place is kept, if it can be had; then the first of all queues, again and again, until
nothing can go. A line whose first was looked at and could not go is asked once what it has a right to (`due`):
when it came, when its project gave something back, and when the time has come that it waits for.
"""

from __future__ import annotations

from msgspec.structs import replace

from .admission import Admission, Placed
from .alarms import Alarms
from .backfill import Backfill, is_large
from .claims import Claim, Claims
from .growing import Growing
from .holdings import Holding, Holdings
from .messages import AttemptLeaving, Effect, Grant, Reclaim, StepWaiting
from .moving import Moving
from .order import Contest, Order
from .queues import LineKey, Queues, SortedLines, Turn, line_of, turn_of
from .reclaim import Plan, Reclaiming
from .reservations import RESERVATIONS_MAX, Reservation, Reservations
from .telling import Telling
from .undo import Undo
from .usage import Usage

DUE_MAX = 64  # lines looked at after one event
PASSES_MAX = 4  # over them: after jobs were moved the others are looked at again
LARGE_LOOKED_AT = 16
AGAIN_US = 60_000_000


class Granting:
    def __init__(
        self, undo: Undo, queues: Queues, holdings: Holdings, reservations: Reservations, telling: Telling
    ) -> None:
        self._undo, self._queues, self._holdings = undo, queues, holdings
        self._reservations, self._telling = reservations, telling
        self.due = SortedLines(undo)
        self.large = SortedLines(undo)  # lines of gangs that would have a place kept
        self.later = Alarms(undo)
        self._tried: dict[str, int] = {}  # step → what had been given back when its kept place was tried last

    def use(self, usage: Usage, order: Order, admission: Admission, version: int) -> None:
        """The quota that decides from now on."""
        self._tried.clear()
        self._usage, self._order, self._admission, self._version = usage, order, admission, version

    def look_with(self, reclaiming: Reclaiming, backfill: Backfill, growing: Growing, moving: Moving) -> None:
        self._reclaiming, self._backfill = reclaiming, backfill
        self._growing, self._moving = growing, moving
        self._claims = Claims(self._undo, self._queues, self._holdings, self._reservations, reclaiming)

    def look_at(self, key: LineKey) -> None:
        line = self._queues.lines.get(key)
        if line is not None:
            self.due.put(key, line.turns[0])

    def project_gave_back(self, project: str) -> None:
        for key in self._queues.of_project(project):
            self.look_at(key)

    def came_back(self, holding: Holding | None) -> None:
        """What an attempt had is free, where nobody else has a part in it."""
        if holding is not None:
            self.project_gave_back(holding.step.project)

    def run(self, now_us: int) -> list[Effect]:
        for due in self.later.take_due(now_us):
            self.look_at(due)
        effects: list[Effect] = [*self._kept(), *self._rounds(), *self._behind(now_us)]
        effects += self._claimed(now_us)
        self._keep_for_the_first(now_us)
        return effects + self._growing.grow(now_us)

    def wakes_us(self, now_us: int) -> int | None:
        """When there is something to decide without any event; None where there is nothing."""
        if len(self.due):
            return now_us
        times = (self.later.soonest(), self._growing.wakes_us(now_us))
        return min((at for at in times if at is not None), default=None)

    def rolled_back(self) -> None:
        self.later.rolled_back()
        self._tried.clear()

    # Those that may go.

    def _kept(self) -> list[Effect]:
        effects: list[Effect] = []
        for reservation in self._reservations.in_order():
            step = reservation.step
            if self._tried.get(step.step_id) == self._order.given_back:
                continue
            key, self._tried[step.step_id] = line_of(step), self._order.given_back
            elsewhere = self._admission.fits(key[1], self._admission.options(key[1]))
            if reservation.victims and not elsewhere and not self._reservations.may_be_free(reservation):
                continue  # there may be many of these; the few dated ones also go where they fit in part
            with self._reservations.lifted([reservation]):
                placed = self._admission.judge(step.project, key[1], self._admission.options(key[1]))
            if placed is not None:
                self.unkeep(step.step_id)
                effects.append(self._grant(step, placed))
            elif reservation.victims and not any(fence in self._holdings.all for fence in reservation.victims):
                self.unkeep(step.step_id)  # they have gone, and meanwhile it may not go: a window is too near
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

    def _behind(self, now_us: int) -> list[Effect]:
        """Those that have declared to be over before a kept place is needed may use it until then."""
        effects: list[Effect] = []
        if not any(each.at_us is not None and not each.victims for each in self._reservations.kept.values()):
            return effects
        groups: dict[tuple[int, ...], list[Contest]] = {}
        for contest in self._order.dated():
            kept = self._reservations.by(now_us + (contest.shape.max_runtime_s or 0) * 1_000_000)
            groups.setdefault(tuple(each.number for each in kept), []).append(contest)
        for numbers in sorted(groups):
            while (found := self._best_beside(numbers, groups[numbers])) is not None:
                effects.append(self._grant(*found))
        return effects

    def _best_beside(self, numbers: tuple[int, ...], contests: list[Contest]) -> tuple[StepWaiting, Placed] | None:
        """Who goes first where the places of these numbers are free until they are needed."""
        lifted = [each for each in self._reservations.in_order() if each.number in numbers]
        if not lifted:
            return None
        with self._reservations.lifted(lifted):
            fitting = [contest for contest in contests if self._admission.fits(contest.shape, contest.options)]
            first = self._order.best(fitting, self._judge) if fitting else None
        step = None if first is None else self._queues.first_free((first[0].project, first[0].shape))
        return None if first is None or step is None else (step, first[1])

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
        self._holdings.room_came()
        self.look_at(line_of(reservation.step))
        return reservation

    def _claimed(self, now_us: int) -> list[Effect]:
        """Looks at lines that are due, the first first; the others stay due."""
        effects: list[Effect] = []
        left = DUE_MAX
        for _ in range(PASSES_MAX):
            keys = self.due.first(left)
            claims = self._claims.of(keys, now_us)
            left -= len(claims)
            for claim in claims:
                moved = self._claim(claim, now_us, effects)
                if not (moved or claim.rest):
                    self.due.remove(claim.key)
                if moved:  # what was found for the others is of the picture before
                    break
            if not keys or len(claims) < len(keys) or claims[-1].rest:
                break
        return effects

    def _claim(self, claim: Claim, now_us: int, effects: list[Effect]) -> bool:
        """Ends others for the first of the line that have a right to their place, or moves some; whether it moved."""
        for entitled, plan in claim.plans:
            effects += self._carry_through(entitled, plan, now_us)
        key, sooner, moved = claim.key, claim.sooner, False
        step = self._queues.first_free(key)
        if step is not None and self._moving.may_help(step):
            move_us = step.since_us + self._usage.tree.policy.move_after_s * 1_000_000
            if move_us <= now_us:
                effects += (moves := self._move(step, now_us))
                moved, move_us = bool(moves), now_us + AGAIN_US
            sooner = min(sooner or move_us, move_us)
            step = self._queues.first_free(key)
        if step is not None and is_large(step):
            ready_us = step.since_us + self._usage.tree.policy.reserve_after_s * 1_000_000
            if ready_us <= now_us:
                self.large.put(key, turn_of(step))
            else:
                sooner = min(sooner or ready_us, ready_us)
        self.later.put(key, sooner)
        return moved

    def _keep_for_the_first(self, now_us: int) -> None:
        """One dated place for each GPU flavour: for the gang that would go first, of those that wait longest."""
        if not len(self.large):
            return
        dated = {each.placed.option.flavour for each in self._reservations.kept.values() if not each.victims}
        for key in self.large.first(LARGE_LOOKED_AT):
            if self._queues.first_free(key) is None:
                self.large.remove(key)
        keys = [key for key in self.large.first(LARGE_LOOKED_AT) if not self._flavours(key) & dated]
        for key in self._in_order(keys):
            if self._flavours(key) & dated:
                continue
            self.large.remove(key)
            step = self._queues.first_free(key)
            date = None if step is None else self._backfill.date(step)
            if step is not None and date is not None:
                dated.add(date.placed.option.flavour)
                self._queues.reserve(step, reserved=True)
                self._reservations.keep(step, date.placed, date.at_us, date.basis, ())
            elif step is not None:
                again_us = now_us + AGAIN_US
                self.later.put(key, min(self.later.at.get(key, again_us), again_us))

    def _flavours(self, key: LineKey) -> set[str | None]:
        return {option.flavour for option in self._admission.options(key[1])}

    def _in_order(self, keys: list[LineKey]) -> list[LineKey]:
        """By the share that would result, then by turn; without lines that have nobody to go."""
        ready: list[tuple[int, Turn, int]] = []
        for index, key in enumerate(keys):
            step, path = self._queues.first_free(key), self._usage.path(key[0])
            if step is not None and path:
                share = self._usage.share(path[0], self._admission.options(key[1])[0].amounts)
                ready.append((share, turn_of(step), index))
        return [keys[index] for *_, index in sorted(ready)]

    def _move(self, step: StepWaiting, now_us: int) -> list[Effect]:
        plan = self._moving.plan(step, now_us) if len(self._reservations.kept) < RESERVATIONS_MAX else None
        if plan is None:
            return []
        node = plan.placed.seats[0].node
        why = f"Moved so that step {step.name} of project {step.project} fits on node {node}; there is room elsewhere."
        return self._carry_through(step, plan, now_us, why)

    def _carry_through(self, step: StepWaiting, plan: Plan, now_us: int, why: str = "") -> list[Effect]:
        policy = self._usage.tree.policy
        urgent = self._usage.tier(step) == 1
        grace_s = policy.urgent_grace_s if urgent else policy.grace_s
        effects: list[Effect] = [self._end(fence, step, grace_s, now_us, why) for fence in plan.victims]
        at_us, basis = now_us + grace_s * 1_000_000, f"{len(plan.victims)} gangs end for it within {grace_s} s"
        self._queues.reserve(step, reserved=True)
        self._reservations.keep(step, plan.placed, at_us, basis, plan.victims)
        return effects

    def count_eviction(self, project: str, at_us: int) -> None:
        self._reclaiming.note(project, at_us)

    def _keep_again(self, step: StepWaiting, victims: tuple[int, ...], at_us: int) -> None:
        """The place that these victims make free for the step, where it still is one."""
        placed = self._reclaiming.place_after(step, victims)
        if placed is not None:
            basis = f"{len(victims)} gangs end for it"
            self._queues.reserve(step, reserved=True)
            self._reservations.keep(step, placed, at_us, basis, victims)

    def make_way_again(self, leaving: list[AttemptLeaving]) -> None:
        """As it was before the restart: evictions counted, and a place kept for each step that others end for."""
        victims: dict[str, list[AttemptLeaving]] = {}
        for event in sorted(leaving, key=lambda each: (each.at_us, each.fence)):
            holding = self._holdings.all.get(event.fence)
            if holding is None or event.for_step != holding.step.step_id:
                self.count_eviction(event.project, event.at_us)
            if holding is not None and not holding.released:
                self._holdings.leave(event.fence, grows=event.for_step == holding.step.step_id)
            if holding is not None and self._may_be_kept_for(event.for_step):
                victims.setdefault(event.for_step, []).append(event)
        for step_id, events in victims.items():
            fences = tuple(event.fence for event in events)
            self._keep_again(self._queues.steps[step_id], fences, max(event.due_us for event in events))

    def _may_be_kept_for(self, step_id: str) -> bool:
        return step_id in self._queues.steps and step_id not in self._reservations.kept

    def waits_again(self, step: StepWaiting) -> None:
        """A gang that begins again with more ranks goes when what it had is seen empty, and not with fewer before."""
        again = self._growing.place_again(step) if step.ranks_min else None
        if again is not None and len(self._reservations.kept) < RESERVATIONS_MAX:
            basis = "what it had before is seen empty first"
            self._queues.reserve(step, reserved=True)
            self._reservations.keep(step, again[1], None, basis, (again[0],))

    def not_ended(self, fence: int) -> None:
        """It stays; the places that were to come free with it are given up and looked for anew."""
        holding = self._holdings.all.get(fence)
        if holding is not None and holding.leaving:
            self._holdings.put(fence, replace(holding, leaving=False, grows=False))
        for reservation in self._reservations.in_order():
            if fence in reservation.victims:
                self.unkeep(reservation.step.step_id)

    def _end(self, fence: int, step: StepWaiting, grace_s: int, now_us: int, moved: str) -> Reclaim:
        holding = self._holdings.leave(fence)
        self._reclaiming.note(holding.step.project, now_us)
        own = holding.step.project == step.project
        why = "matters less" if own else f"is beyond what project {holding.step.project} is guaranteed"
        reason = moved or f"Ended for step {step.name} of project {step.project}: it {why}."
        return Reclaim(fence, holding.step.step_id, holding.step.project, step.step_id, grace_s, reason)
