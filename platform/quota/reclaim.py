"""Whom to end so that a step gets what it has a right to: one pass, whole gangs, and a place that really fits.

A step has a right to what is within the guarantee of its project, or of a team above it: the gangs of others
that borrow make way. A tier may have a right to what lower tiers have borrowed, and a step to the place of one
of its own project that matters less. Nobody is ended who is within its own guarantee (each is judged as if
those chosen before it were gone), before its `min_runtime`, or who may run only once.

    candidates in order ─► counted on their nodes until the ranks fit ─► the rest of the quota
                        ─► tried on the real inventory, whom it can do without is spared

The first pass only counts; what comes free is then placed by the placer itself, topology and all, so a
count that was too hopeful takes more candidates and tries again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from .admission import Admission, Option, Placed
from .holdings import Holding, Holdings
from .messages import StepWaiting
from .placement.inventory import Inventory
from .places import Places, widest
from .policy import TAKES_FROM
from .queues import shape_of
from .rooms import Gone, Room, fewest, room_of
from .undo import Undo
from .usage import Usage
from .victims import Victims

VICTIMS_MAX = 512
LOOKED_AT_MAX = 50_000
TRIES_MAX = 8
SPARED_MAX = 64
AGAIN_US = 5_000_000
NEVER_US = 1 << 62
HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    victims: tuple[int, ...]
    placed: Placed


class Reclaiming:
    """`sooner`, after a search: when the first of those passed over only for time may be looked at again."""

    def __init__(
        self,
        undo: Undo,
        usage: Usage,
        inventory: Inventory,
        places: Places,
        holdings: Holdings,
        admission: Admission,
        evicted: dict[str, tuple[int, ...]],
    ) -> None:
        self._undo, self._usage, self._inventory, self._places = undo, usage, inventory, places
        self._holdings, self._admission = holdings, admission
        self.evicted = evicted  # project → when its gangs were ended for others, for an hour
        self._victims: Victims | None = None
        self.sooner: int | None = None
        self.looked_at = 0  # candidates, by all searches until now

    def victims(self) -> Victims:
        if self._victims is None:
            self._victims = Victims(self._usage, self._holdings.all)
            self._holdings.watch(self._victims.add, self._victims.remove)
        return self._victims

    def hopeful(self, step: StepWaiting, now_us: int) -> tuple[Option, ...]:
        """The options with which there may be somebody to end for the step: a quick look."""
        if not self._usage.tree.policy.evictions_per_hour:
            return ()
        options = self._admission.options(shape_of(step))
        return tuple(option for option in options if _Search(self, step, option, now_us).possible())

    def plan(self, step: StepWaiting, options: tuple[Option, ...], now_us: int) -> Plan | None:
        """Whom to end for the step, and the place that it then gets; None where there is no right or no way.

        To be asked while what is about to come free is taken off.
        """
        self.sooner = None
        plans = (_Search(self, step, option, now_us).run() for option in options)
        plan = next((plan for plan in plans if plan is not None), None)
        if plan is not None and not plan.victims:  # enough is about to come free: the order says for whom
            self.sooner = now_us + AGAIN_US
            return None
        return plan

    def place_after(self, step: StepWaiting, victims: tuple[int, ...]) -> Placed | None:
        """Where the step goes once these are gone; None where that is nowhere."""
        found = (_Search(self, step, option, 0).after(victims) for option in self._admission.options(shape_of(step)))
        return next((placed for placed in found if placed is not None), None)

    def note(self, project: str, now_us: int) -> None:
        """One more of the project's gangs is ended for another."""
        recent = tuple(at for at in self.evicted.get(project, ()) if at > now_us - HOUR_US)
        self._undo.put(self.evicted, project, (*recent, now_us))

    def safe_until(self, holding: Holding) -> int:
        """Until when the gang is not to be ended, by what it declared and how often it was ended already."""
        settled = self._usage.tree.policy.settle_s * min(holding.step.evictions, 8)
        safe_us = holding.leased_us + max(holding.step.min_runtime_s, settled) * 1_000_000
        recent = self.evicted.get(holding.step.project, ())
        most = self._usage.tree.policy.evictions_per_hour
        if not most:
            return NEVER_US
        if len(recent) >= most:
            safe_us = max(safe_us, recent[-most] + HOUR_US)
        return safe_us


class _Search:
    """One look for one step and option."""

    def __init__(self, whole: Reclaiming, step: StepWaiting, option: Option, now_us: int) -> None:
        self.whole, self.step, self.option, self.now_us = whole, step, option, now_us
        self.usage, self.inventory = whole._usage, whole._inventory
        self.demand = fewest(step)
        self.path = self.usage.path(step.project)
        self.entitled = self.usage.entitled_at(step.project, option.amounts, shape_of(step)) if self.path else None
        self.contested = [f for f in option.amounts if self.usage.governs(f)]
        self.gone: Gone = {}  # what those chosen used
        self.grown: dict[str, None] = {}  # the nodes that hold more ranks without those counted, in order
        self.spare = 0  # ranks that fit as it is
        self.rooms: dict[str, Room] = {}
        self.chosen: dict[int, None] = {}

    def possible(self) -> bool:
        """Whether there may be somebody to end, and the bounds that no victim could move leave room."""
        return (self._of_others() or bool(self._own())) and all(
            self.usage.largest(self.step.project, flavour).amount >= self.option.amounts[flavour]
            for flavour in self.contested
        )

    def _of_others(self) -> bool:
        """Whether the step has a right to what others have borrowed, and some have."""
        if not self.path or not self.usage.someone_borrows(self.path[-1], self.contested):
            return False
        right = self.entitled is not None and self.entitled != self.path[-1]
        return right or bool(TAKES_FROM[self.usage.tier(self.step)])

    def run(self) -> Plan | None:
        candidates, fits = self._candidates(), self._fits_now()
        counted = self.demand.ranks if fits else self._counted_now()
        for attempt in range(TRIES_MAX):
            target = self.demand.ranks * (attempt + 1)
            while counted < target and (fence := next(candidates, None)) is not None:
                counted += self._count(fence)
            if counted < self.demand.ranks:
                return None
            enough = fits or self._keep_what_helps(attempt)
            plan = self._tried() if enough and self._choose_for_quota() else None
            if plan is not None or fits or counted < target:
                return plan
        return None

    def after(self, victims: tuple[int, ...]) -> Placed | None:
        return self._place_without(list(victims))

    # Choosing.

    def _count(self, fence: int) -> int:
        """Counts the gang as gone, on each of its nodes where it would be beyond the guarantee. How many more ranks."""
        holding, more = self.whole._holdings.all[fence], 0
        for name in dict.fromkeys(seat.node for seat in holding.seats):
            node = self.inventory.nodes.get(name)
            if node is None or not node.in_service or not self._right_model(node.spec.gpu_model):
                continue
            room = self.rooms.get(name)
            if room is None:
                room = self.rooms[name] = room_of(node)
                room.ranks_now = room.ranks(self.demand)
            if not self._may_lose(holding, room.gone):
                continue
            before = room.ranks(self.demand)
            room.take(fence, name, holding)
            self._take_off(holding, room.gone)
            after = room.ranks(self.demand)
            if after > before:
                self.grown[name] = None
            more += after - before
        return more

    def _keep_what_helps(self, attempt: int) -> bool:
        """Chooses those on the nodes that hold the most ranks, within the guarantee of each. Whether they suffice."""
        names = list(self.grown)
        if self.demand.ranks == 1:
            names = names[attempt : attempt + 1]
        self.chosen.clear()
        self.gone.clear()
        needed = self.demand.ranks - (0 if attempt else self.spare)
        for name in sorted(names, key=lambda name: (-self.rooms[name].ranks(self.demand), name)):
            if needed <= 0:
                break
            if self._choose_all(self.rooms[name].chosen):
                needed -= self.rooms[name].ranks(self.demand) - self.rooms[name].ranks_now
        return needed <= 0

    def _choose_all(self, fences: list[int]) -> bool:
        """Chooses these, unless one would not be beyond its guarantee any more."""
        gone = dict(self.gone)
        for fence in fences:
            holding = self.whole._holdings.all[fence]
            if fence not in self.chosen:
                if not self._may_lose(holding, gone):
                    return False
                self._take_off(holding, gone)
        self.gone = gone
        self.chosen.update(dict.fromkeys(fences))
        return True

    def _choose_for_quota(self) -> bool:
        """Chooses more, in order, until the quota suffices too."""
        candidates = self._candidates()
        while not self._affordable():
            fence = next((each for each in candidates if each not in self.chosen), None)
            if fence is None or len(self.chosen) >= VICTIMS_MAX:
                return False
            self._choose_all([fence])
        return True

    def _take_off(self, holding: Holding, gone: Gone) -> None:
        for node in self.usage.path(holding.step.project):
            for flavour, amount in holding.amounts.items():
                gone[flavour, node] = gone.get((flavour, node), 0) + amount

    def _affordable(self) -> bool:
        with self.whole._undo.undone():
            for fence in self.chosen:
                self.whole._holdings.discharge(self.whole._holdings.all[fence])
            return self._payable()

    def _payable(self) -> bool:
        """Whether there is quota, without what windows keep."""
        project, shape = self.step.project, shape_of(self.step)
        if shape.once and any(
            self.usage.owned_room(project, f, shape) < self.option.amounts[f] for f in self.contested
        ):
            return False
        return all(self.usage.lendable(project, f, shape).amount >= self.option.amounts[f] for f in self.contested)

    # Who may be asked.

    def _candidates(self) -> Iterator[int]:
        for fence in self._own():
            if self._may_be_ended(self.whole._holdings.all[fence]):
                yield fence
        if not self._of_others():
            return
        pool = (self.path[-1], self.option.flavour or "cpu")
        for fence in islice(self.whole.victims().in_order(pool, self.now_us), LOOKED_AT_MAX):
            self.whole.looked_at += 1
            holding = self.whole._holdings.all[fence]
            if self._may_lose(holding, {}) and self._may_be_ended(holding):
                yield fence

    def _own(self) -> list[int]:
        """Of the step's own project, what matters less, in order."""
        found = []
        for holder in self.whole._holdings.by_project.get(self.step.project, {}):
            holding = self.whole._holdings.all[holder]
            if isinstance(holder, int) and holding.step.priority < self.step.priority and holding.may_leave():
                found.append((holding.step.priority, self._loss(holding), holder))
        return [fence for *_, fence in sorted(found)]

    def _loss(self, holding: Holding) -> int:
        return (self.now_us - holding.saved_us()) * len(holding.seats)

    def _may_be_ended(self, holding: Holding) -> bool:
        safe_us = self.whole.safe_until(holding)
        if safe_us > self.now_us:
            self.whole.sooner = min(self.whole.sooner or safe_us, safe_us)
        return safe_us <= self.now_us

    def _may_lose(self, holding: Holding, gone: Gone) -> bool:
        """Whether, with what is `gone`, the gang is part of what was borrowed, at each node below where its path
        meets the step's; or of the step's own project.
        """
        theirs = self.usage.path(holding.step.project)
        if not theirs or theirs[0] == self.path[0]:
            return bool(theirs) and holding.step.priority < self.step.priority
        if self.entitled in (None, self.path[-1]):
            if self.usage.tier(holding.step) not in TAKES_FROM[self.usage.tier(self.step)]:
                return False
        elif self.entitled in theirs:
            return False
        below = [node for node in theirs if node not in self.path]
        return any(
            flavour in holding.amounts
            and all(self.usage.beyond(node, flavour) - gone.get((flavour, node), 0) > 0 for node in below)
            for flavour in self.contested
        )

    # Trying.

    def _tried(self) -> Plan | None:
        """The plan as the placer has it, without those who turn out not to be needed; None where nothing fits."""
        chosen = list(self.chosen)
        placed = self._place_without(chosen)
        if placed is None:
            return None
        for fence in reversed(chosen[-SPARED_MAX:]):
            fewer = [each for each in chosen if each != fence]
            again = self._place_without(fewer)
            if again is not None:
                chosen, placed = fewer, again
        return Plan(tuple(chosen), placed)

    def _place_without(self, fences: list[int]) -> Placed | None:
        holdings = self.whole._holdings
        with self.whole._undo.undone():
            for fence in fences:
                holdings.as_if_gone(fence)
            if not self._payable():
                return None
            seats = widest(self.inventory, self.demand, self.demand.ranks, self.option.models)
        return None if seats is None else Placed(self.option, seats)

    def _fits_now(self) -> bool:
        return widest(self.inventory, self.demand, self.demand.ranks, self.option.models) is not None

    def _counted_now(self) -> int:
        """How many ranks the nodes hold as they are; one rank alone was tried already."""
        if self.demand.ranks > 1:
            nodes = (n for n in self.inventory.nodes.values() if n.in_service and self._right_model(n.spec.gpu_model))
            self.spare = min(sum(room_of(node).ranks(self.demand) for node in nodes), self.demand.ranks - 1)
        return self.spare

    def _right_model(self, model: str) -> bool:
        return not self.demand.gpus_milli or model in self.option.models
