"""Who may go now, and where: the Scheduler's machine.

    StepWaiting ─► queue ─► Grant (pending) ─AttemptLeased─► live ─AttemptReleased─► releasing ─DeviceFreed─► gone
                     ▲         │ GrantRefused
                     └─────────┘

After every event nothing waits that fits and may go. An event that gives something back wakes only the
queues that were noted under what changed; of those, the project with the lowest resulting share goes
first, then the higher priority, then the longer wait. A queue whose first cannot go moves aside. A grant
holds quota and devices from the moment it is proposed. A refused one is decided again with the next event
(`Ticked` will do), never in the same one, so that a refusal repeated for ever is no loop.

`decide` is all or nothing: an event that raises leaves the machine as it was.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import assert_never

from . import admission, messages
from .admission import Admission, CauseKey, Placed
from .holdings import Holding, flavour_of, holding_of
from .messages import (
    Demand,
    Effect,
    Event,
    Grant,
    Impossible,
    NodeDrained,
    NodeJoined,
    NodeLeft,
    NodeSpec,
    StepWaiting,
    Waiting,
)
from .placement import fit
from .placement.inventory import Holder, Inventory
from .queues import Entry, Place, QueueKey, Queues, Turn, queue_of
from .reasons import Reasons
from .report import NodeUsage, report
from .tree import Tree
from .undo import Undo
from .usage import Usage

REFUSED = "its grant was refused"


class Scheduler:
    def __init__(self, tree: Tree, version: int) -> None:
        self._undo = Undo()
        self._inventory = Inventory(self._undo)
        self._queues = Queues(self._undo)
        self._holdings: dict[Holder, Holding] = {}  # by step id while pending, by fence afterwards
        self._told: dict[str, object] = {}  # step → the reason that was said last
        self._later: dict[QueueKey, None] = {}  # to be looked at with the next event
        self._later_opened: dict[Place, None] = {}
        self._opened: dict[Place, None] = {}  # places that came free in this event
        self._use(Usage(tree), version)

    @classmethod
    def load(
        cls,
        tree: Tree,
        version: int,
        *,
        nodes: Iterable[NodeSpec] = (),
        history: Iterable[Event] = (),
        waiting: Iterable[StepWaiting] = (),
    ) -> Scheduler:
        """A machine as the database has it. `history`: AttemptLeased of what is live or releasing,
        AttemptReleased of the latter, DeviceQuarantined. The next event decides what waits.
        """
        machine = cls(tree, version)
        for node in nodes:
            machine._inventory.join(node)
        for event in history:
            machine._take(event, {})
        for step in waiting:
            machine._queues.add(step)
            machine._later[queue_of(step)] = None
        return machine

    def mark(self) -> None:
        self._undo.mark()

    def rollback(self) -> None:
        self._undo.back_to(0)

    def depth(self) -> int:
        """A place to come back to with `back_to`, within the current mark."""
        return self._undo.depth()

    def back_to(self, depth: int) -> None:
        self._undo.back_to(depth)

    def decide(self, event: Event) -> list[Effect]:
        depth = self._undo.depth()
        try:
            woken = self._put_off() if not isinstance(event, messages.GrantRefused) else {}
            effects = self._take(event, woken)
            return effects + self._settle(woken)
        except BaseException:
            self._undo.back_to(depth)
            self._opened = {}
            raise

    def outstanding(self) -> list[Effect]:
        """The grants that have no answer yet."""
        return [holding.grant() for key, holding in self._holdings.items() if isinstance(key, str)]

    def explain(self, step_id: str) -> Waiting | Grant | None:
        """Why the step waits, as of now; its grant where it has one; None where it is neither."""
        if step_id in self._holdings:
            return self._holdings[step_id].grant()
        step = self._queues.steps.get(step_id)
        if step is None:
            return None
        causes = self._queues.queues[queue_of(step)].causes
        if self._queues.first(queue_of(step)) is not step:
            return self._reasons.behind(step)
        return self._reasons.first(step, causes) if causes else self._reasons.undecided(step, REFUSED)

    def usage(self) -> list[NodeUsage]:
        """Each node of the tree, parents first, with what is used, borrowed, lent and waited for."""
        return report(self._usage, self._queues)

    @property
    def tree_version(self) -> int:
        return self._version

    def _take(self, event: Event, woken: dict[QueueKey, None]) -> list[Effect]:
        match event:
            case messages.StepWaiting():
                return self._waiting(event, woken)
            case messages.StepGone(step_id):
                self._gone(step_id, woken)
            case messages.AttemptLeased():
                self._leased(event, woken)
            case messages.AttemptReleased(fence):
                self._released(fence, woken)
            case messages.DeviceFreed(device_ids, fence):
                self._freed(device_ids, fence, woken)
            case messages.DeviceQuarantined(device_ids):
                self._quarantine(device_ids, True, woken)
            case messages.DeviceRestored(device_ids):
                self._quarantine(device_ids, False, woken)
            case messages.TreeChanged(tree, version):
                self._change_tree(tree, version, woken)
            case messages.GrantRefused(step_id, reason):
                self._refused(step_id, reason)
            case messages.NodeJoined() | messages.NodeLeft() | messages.NodeDrained():
                self._node(event, woken)
            case messages.Ticked():
                pass
            case _:
                assert_never(event)
        return []

    def _put_off(self) -> dict[QueueKey, None]:
        """What was put off, now to be looked at."""
        woken = dict.fromkeys(self._later)
        for key in woken:
            self._undo.pop(self._later, key)
        for place in list(self._later_opened):
            self._undo.pop(self._later_opened, place)
            self._opened[place] = None
        return woken

    def _waiting(self, step: StepWaiting, woken: dict[QueueKey, None]) -> list[Effect]:
        known = self._queues.steps.get(step.step_id)
        if known == step or step.step_id in self._holdings:
            return []
        if known is not None:
            self._forget(known, woken)
        key = queue_of(step)
        if key not in self._queues.queues:
            refusal = self._admission.refusal(step)
            if refusal is not None:
                return [Impossible(step.step_id, refusal)]
        self._queues.add(step)
        if self._queues.first(key) is step:
            woken[key] = None
            return []
        return self._tell(step, "queue", self._reasons.behind)

    def _gone(self, step_id: str, woken: dict[QueueKey, None]) -> None:
        step = self._queues.steps.get(step_id)
        if step is not None:
            self._forget(step, woken)
        elif step_id in self._holdings:
            self._drop(step_id, woken)

    def _leased(self, leased: messages.AttemptLeased, woken: dict[QueueKey, None]) -> None:
        if leased.fence in self._holdings:
            return
        pending, waiting = self._holdings.get(leased.step_id), self._queues.steps.get(leased.step_id)
        step = pending.step if pending is not None else waiting or _step_of(leased)
        holding = holding_of(leased, step, self._inventory, self._usage, self._version)
        if pending is not None and (pending.seats, pending.amounts) == (holding.seats, holding.amounts):
            self._undo.pop(self._holdings, leased.step_id)
            self._inventory.unhold(leased.step_id, pending.seats)
            self._inventory.hold(leased.fence, holding.seats)
            self._undo.put(self._holdings, leased.fence, holding)
            return
        if pending is not None:
            self._drop(leased.step_id, woken)
        elif waiting is not None:
            self._forget(waiting, woken)
        for seat in holding.seats:
            self._inventory.expect(seat)
        self._hold(leased.fence, holding)

    def _released(self, fence: int, woken: dict[QueueKey, None]) -> None:
        holding = self._holdings.get(fence)
        if holding is None or holding.released:
            return
        self._charge(holding, -1)
        self._inventory.release(holding.seats)
        if any(seat.devices for seat in holding.seats):
            self._undo.put(self._holdings, fence, replace(holding, released=True))
        else:
            self._undo.pop(self._holdings, fence)
        self._wake_quota(holding, woken)
        self._wake_places()

    def _freed(self, device_ids: tuple[str, ...], fence: int | None, woken: dict[QueueKey, None]) -> None:
        devices = self._inventory.devices
        for device_id in device_ids:
            for holder in list(devices[device_id].holders) if device_id in devices else ():
                if fence in (None, holder) and self._holdings[holder].released:
                    self._inventory.free(device_id, holder)
                    held = (i for seat in self._holdings[holder].seats for i in seat.devices)
                    if not any(i in devices and holder in devices[i].holders for i in held):
                        self._undo.pop(self._holdings, holder)
        self._wake_places()

    def _quarantine(self, device_ids: tuple[str, ...], quarantined: bool, woken: dict[QueueKey, None]) -> None:
        for device_id in device_ids:
            if device_id in self._inventory.devices:
                self._inventory.quarantine(device_id, quarantined)
        if not quarantined:
            self._freed(device_ids, None, woken)

    def _node(self, event: NodeJoined | NodeLeft | NodeDrained, woken: dict[QueueKey, None]) -> None:
        match event:
            case NodeJoined(spec):
                self._inventory.join(spec)
                woken.update(dict.fromkeys(self._queues.queues))
            case NodeLeft(node_id) if node_id in self._inventory.nodes:
                self._inventory.leave(node_id)
            case NodeDrained(node_id) if node_id in self._inventory.nodes:
                self._inventory.drain(node_id)

    def _refused(self, step_id: str, reason: str) -> None:
        holding, freed = self._holdings.get(step_id), dict[QueueKey, None]()
        if holding is None:
            return
        self._drop(step_id, freed)
        if reason != messages.STEP_NOT_WAITING:
            self._queues.add(holding.step)
            self._queues.block(queue_of(holding.step), ())
            freed[queue_of(holding.step)] = None
        for key in freed:
            self._undo.put(self._later, key, None)
        for place in self._opened:
            self._undo.put(self._later_opened, place, None)
        self._opened.clear()

    def _change_tree(self, tree: Tree, version: int, woken: dict[QueueKey, None]) -> None:
        self._undo.note(self._use, self._usage, self._version)
        self._use(Usage(tree), version)
        for holder, holding in list(self._holdings.items()):
            demand = holding.step.demand
            flavour = flavour_of(holding.seats, demand, self._inventory, self._usage)
            charged = replace(holding, flavour=flavour, amounts=admission.amounts_of(demand, flavour))
            self._undo.put(self._holdings, holder, charged)
            if not charged.released:
                self._usage.add(charged.step.project, charged.amounts)
        woken.update(dict.fromkeys(self._queues.queues))

    def _settle(self, woken: dict[QueueKey, None]) -> list[Effect]:
        """Grants what may go, in order, until every queue looked at is empty or has a cause.

        Looked at are the woken queues, and those that lack a place which has come free, as long as it is.
        """
        effects: list[Effect] = []
        full: set[CauseKey] = set()
        projects: dict[str, list[tuple[Turn, Demand]]] = {}
        order: list[tuple[tuple[int, ...], Turn, int, str]] = []  # the last two: a cursor's number, or 0 and a project
        opened, self._opened = self._opened, {}
        cursors: list[tuple[Place, Entry] | None] = [None]

        def advance(place: Place, after: Entry | None) -> None:
            entry = self._queues.next_for(place, after)
            if entry is not None and place not in full:
                heapq.heappush(order, (entry[0], entry[1], len(cursors), entry[2][0]))
                cursors.append((place, entry))

        def enter(project: str) -> None:
            turns = projects[project] = self._candidates(project, woken, opened)
            if turns:
                heapq.heappush(order, (self._shares(project, turns[0][1]), turns[0][0], 0, project))

        for project in dict.fromkeys(project for project, _ in woken):
            enter(project)
        for place in opened:
            advance(place, None)
        while order:
            shares, _, number, name = heapq.heappop(order)
            if (cursor := cursors[number]) is not None:
                if name not in projects and cursor[0] not in full:
                    enter(name)
                advance(*cursor)
                continue
            turns = projects[name]
            now = self._shares(name, turns[0][1])
            if now > shares:  # others of its team were granted something meanwhile
                heapq.heappush(order, (now, turns[0][0], 0, name))
                continue
            if self._still_blocked((name, turns[0][1]), woken, opened.keys() - full):
                turns.pop(0)
            else:
                effects += self._try(name, turns, full)
            if turns:
                heapq.heappush(order, (self._shares(name, turns[0][1]), turns[0][0], 0, name))
        return effects

    def _candidates(
        self, project: str, woken: dict[QueueKey, None], opened: dict[Place, None]
    ) -> list[tuple[Turn, Demand]]:
        """The project's queues to look at, the first turn first."""
        found = []
        for key in self._queues.of_project(project):
            queue = self._queues.queues[key]
            if key in woken or any(admission.key_of(cause) in opened for cause in queue.causes):
                found.append((queue.turns[0], key[1]))
        return sorted(found, key=_turn)

    def _still_blocked(self, key: QueueKey, woken: dict[QueueKey, None], opened: set[Place]) -> bool:
        """Whether nothing that the queue lacked has come free, or what had is taken again."""
        causes = self._queues.queues[key].causes
        told = self._told.get(self._queues.first(key).step_id) not in (None, "queue")
        return told and key not in woken and not any(admission.key_of(cause) in opened for cause in causes)

    def _try(self, project: str, turns: list[tuple[Turn, Demand]], full: set[CauseKey]) -> list[Effect]:
        """Grants the project's first, or notes why not; `turns` is then what is left to look at."""
        _, demand = turns.pop(0)
        key = (project, demand)
        step = self._queues.first(key)
        found = self._admission.check(project, demand, full)
        if not isinstance(found, Placed):
            self._queues.block(key, found, self._shares(project, demand))
            return self._tell(step, tuple(map(admission.key_of, found)), lambda step: self._reasons.first(step, found))
        self._forget(step, {})
        option = found.option
        holding = Holding(step, found.seats, option.flavour, option.amounts, self._version)
        self._hold(step.step_id, holding)
        if key in self._queues.queues:
            insort(turns, (self._queues.queues[key].turns[0], demand), key=_turn)
        return [holding.grant()]

    def _shares(self, project: str, demand: Demand) -> tuple[int, ...]:
        return self._usage.shares(project, self._admission.options(demand)[0].amounts)

    def _tell(self, step: StepWaiting, reason: object, say: Callable[[StepWaiting], Waiting]) -> list[Effect]:
        if self._told.get(step.step_id) == reason:
            return []
        self._undo.put(self._told, step.step_id, reason)
        return [say(step)]

    def _forget(self, step: StepWaiting, woken: dict[QueueKey, None]) -> None:
        key = queue_of(step)
        was_first = self._queues.first(key) is step
        self._queues.remove(step)
        if step.step_id in self._told:
            self._undo.pop(self._told, step.step_id)
        if was_first and key in self._queues.queues:
            woken[key] = None

    def _hold(self, holder: Holder, holding: Holding) -> None:
        self._undo.put(self._holdings, holder, holding)
        self._inventory.hold(holder, holding.seats)
        self._charge(holding, 1)

    def _drop(self, step_id: str, woken: dict[QueueKey, None]) -> None:
        """A grant that came to nothing, or to a lease that is counted anew."""
        holding = self._undo.pop(self._holdings, step_id)
        self._inventory.unhold(step_id, holding.seats)
        self._charge(holding, -1)
        self._wake_quota(holding, woken)
        self._wake_places()

    def _charge(self, holding: Holding, sign: int) -> None:
        add, remove = self._usage.add, self._usage.remove
        change, inverse = (add, remove) if sign > 0 else (remove, add)
        project = holding.step.project
        teams = [self._usage.share(node, {}) for node in self._usage.path(project)[1:-1]]
        change(project, holding.amounts)
        self._undo.note(inverse, project, holding.amounts)
        self._reorder(project, teams)

    def _wake_quota(self, holding: Holding, woken: dict[QueueKey, None]) -> None:
        """Wakes what lacked this quota, save what is still short by the same bound."""
        for node in self._usage.path(holding.step.project):
            for flavour in holding.amounts:
                for key in self._queues.caused_by((flavour, node)):
                    room = self._usage.room(key[0], flavour)
                    if room.bound_by != node or room.amount >= self._needed(key, flavour):
                        woken[key] = None

    def _needed(self, key: QueueKey, flavour: str) -> int:
        causes = self._queues.queues[key].causes
        return min(c.needed for c in causes if isinstance(c, admission.OverQuota) and c.flavour == flavour)

    def _wake_places(self) -> None:
        """Opens, for this event, the places that queues lack and that are there now."""
        for demand, models in self._queues.places():
            if fit.place(self._inventory, demand, models) is not None:
                self._opened[demand, models] = None

    def _reorder(self, project: str, teams: list[int]) -> None:
        """Puts blocked queues where the project's changed use, or its teams', now has them."""
        path = self._usage.path(project)
        changed = {node for node, share in zip(path[1:-1], teams, strict=True) if self._usage.share(node, {}) != share}
        if changed:
            names = [name for name in self._queues.projects() if changed.intersection(self._usage.path(name))]
        else:
            names = [project]
        for name in names:
            for key in self._queues.of_project(name):
                causes = self._queues.queues[key].causes
                if any(isinstance(cause, admission.NoPlace) for cause in causes):
                    self._queues.block(key, causes, self._shares(*key))

    def _use(self, usage: Usage, version: int) -> None:
        self._usage, self._version = usage, version
        self._admission = Admission(usage, self._inventory)
        self._reasons = Reasons(usage, self._inventory, self._queues, self._holdings)


def _turn(entry: tuple[Turn, Demand]) -> Turn:
    return entry[0]


def _step_of(leased: messages.AttemptLeased) -> StepWaiting:
    return StepWaiting(
        leased.step_id,
        leased.run_id,
        leased.project,
        leased.name,
        leased.demand,
        leased.now_us,
        max_runtime_s=leased.max_runtime_s,
    )
