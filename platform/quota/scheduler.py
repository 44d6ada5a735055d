"""Who may go now, and where: the Scheduler's machine.

    StepWaiting ─► queue ─► Grant (pending) ─AttemptLeased─► live ─AttemptReleased─► releasing ─DeviceFreed─► gone
                     ▲         │ GrantRefused
                     └─────────┘

After every event nothing waits that fits and may go. Which of those that could goes first: see `order`. A
grant holds quota and devices from the moment it is proposed. A refused one is decided again with the next
event (`Ticked` will do), never in the same one, so that a refusal repeated for ever is no loop.

`decide` is all or nothing: an event that raises leaves the machine as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import assert_never

from msgspec.structs import replace

from ..wire.api.quota import StepExplained
from . import absences, messages
from .admission import Admission
from .backfill import Backfill
from .explaining import Explaining
from .forecast import Forecast
from .granting import Granting
from .growing import Growing
from .half_life import HalfLife
from .holdings import Holding, Holdings, holding_of, step_of
from .loading import Loading
from .messages import Effect, Event, Grant, NodeDrained, NodeJoined, NodeLeft, NodeSpec, StepWaiting, Waiting
from .moving import Moving
from .order import Order
from .placement.inventory import Holder, Inventory, Node
from .placement.workload import Workload
from .places import Places
from .queues import LineKey, Queues, line_of
from .reasons import Reasons
from .reclaim import Reclaiming
from .report import NodeUsage, report
from .reservations import Reservations
from .runtimes import Measured, unmeasured
from .telling import Telling
from .tree import Tree
from .undo import Undo
from .usage import Usage


class Scheduler:
    def __init__(self, tree: Tree, version: int) -> None:
        self._undo = Undo()
        self._inventory = Inventory(self._undo)
        self._places = Places(self._inventory)
        self._queues = Queues(self._undo, self._line_changed)
        self._holdings = Holdings(self._undo, self._inventory, self._places)
        self._telling = Telling(self._undo, self._queues)
        self._reservations = Reservations(self._undo, self._inventory, self._places, self._holdings)
        self._granting = Granting(self._undo, self._queues, self._holdings, self._reservations, self._telling)
        self._evicted: dict[str, tuple[int, ...]] = {}
        self._now_us, self._models = 0, list[str]()
        self._is_tried, self.decided = False, 0  # how often something was, what was taken back included
        self._use(Usage(tree), version)
        self._forecast = Forecast(self)

    @classmethod
    def load(
        cls,
        tree: Tree,
        version: int,
        *,
        nodes: Iterable[NodeSpec] = (),
        history: Iterable[Event] = (),
        waiting: Iterable[StepWaiting] = (),
        leaving: Iterable[messages.AttemptLeaving] = (),
        away: Iterable[tuple[NodeSpec, int]] = (),
    ) -> Scheduler:
        """A machine as the database has it. `history`: AttemptLeased of what is live or releasing, AttemptReleased of
        the latter, AttemptCheckpointed, DeviceQuarantined. `leaving`: what makes way, and what did within the last
        hour. `away`: nodes that left, and when. The next event decides what waits.
        """
        machine = cls(tree, version)
        machine._inventory.load(nodes, away)
        machine._models_changed()
        Loading(machine._usage, machine._inventory, machine._holdings, version).load(history, machine._take)
        machine._queues.load(waiting)
        machine._telling.loaded()
        machine._reclaiming.victims()  # in order from the start, so that no claim waits for it
        machine._granting.make_way_again(list(leaving))
        return machine

    def mark(self) -> None:
        self._undo.mark()

    def rollback(self) -> None:
        self.back_to(0)

    def depth(self) -> int:
        return self._undo.depth()

    def back_to(self, depth: int) -> None:
        revision = self._inventory.revision
        self._undo.back_to(depth)
        self._went_back(revision)

    def _went_back(self, revision: int) -> None:
        if self._inventory.revision != revision:  # what was found meanwhile was found with other nodes
            self._order.stale()
        self._granting.rolled_back()
        self._telling.clear()
        self._changed()

    def decide(self, event: Event, now_us: int = 0) -> list[Effect]:
        """What follows from the event. Time only goes on: an earlier `now_us` than before counts as that."""
        return self.decide_all((event,), now_us)

    def decide_all(self, events: Sequence[Event], now_us: int = 0) -> list[Effect]:
        """What follows from all of them, as if they had happened at once: one look at who may go."""
        depth, self.decided = self._undo.depth(), self.decided + 1
        try:
            self._tick(now_us)
            if all(isinstance(event, messages.GrantRefused) for event in events):
                return [effect for event in events for effect in self._take(event)]
            self._queues.resume_all()
            effects = [effect for event in events for effect in self._take(event)]
            effects += self._give_up()
            effects += self._granting.run(self._now_us)
            return effects if self._is_tried else effects + self._telling.say(self._reasons, self._admission)
        except BaseException:
            self.back_to(depth)
            raise

    def wakes_us(self) -> int | None:
        """When a `Ticked` would find something to decide; None where only other events would."""
        given_up_us = absences.given_up_us(self._inventory, self._usage.tree.policy)
        kept_us = self._now_us if self._telling.behindhand and not self._is_tried else self._holdings.sharers.wakes_us()
        times = (self._granting.wakes_us(self._now_us), self._usage.changes_us, given_up_us, kept_us)
        return min((at for at in times if at is not None), default=None)

    def explain(self, step_id: str) -> Waiting | Grant | None:
        """Why the step waits, as of now; its grant where it has one; None where it is neither."""
        if step_id in self._holdings.all:
            return self._holdings.all[step_id].grant()
        step = self._queues.steps.get(step_id)
        return None if step is None else self._explaining.why(step, self._reasons)

    def explained(self, step_id: str, measured: Measured = unmeasured) -> StepExplained | None:
        """Everything about why the step waits, `measured` to tell when; None where it does not."""
        step = self._queues.steps.get(step_id)
        if step is None:
            return None
        now_us = self._now_us
        return self._explaining.of(
            step, self._reasons, lambda: self._forecast.eta(step, measured, now_us), now_us=now_us
        )

    def usage(self) -> list[NodeUsage]:
        """Each node of the tree, parents first, with what is used, borrowed, lent and waited for."""
        return report(self._usage, self._queues)

    @contextmanager
    def tried(self) -> Iterator[None]:
        """What is decided inside is taken back at the end; nobody is told why it waits."""
        revision = self._inventory.revision
        try:
            with self._undo.undone():
                self._undo.put_attribute(self, "_is_tried", True)
                yield
        finally:
            self._went_back(revision)

    def holdings(self) -> Mapping[Holder, Holding]:
        """By step id what was proposed, by fence what was leased."""
        return self._holdings.all

    def nodes(self) -> Mapping[str, Node]:
        """By id, those that left and still hold something included."""
        return self._inventory.nodes

    def waiting(self, step_id: str) -> StepWaiting | None:
        return self._queues.steps.get(step_id)

    def count_waiting(self) -> int:
        return len(self._queues.steps)

    @property
    def workload(self) -> Workload:
        """What is typically asked for."""
        return self._inventory.workload

    @property
    def half_life(self) -> HalfLife | None:
        """What was borrowed lately, where the tree has a half-life."""
        return self._usage.past

    @property
    def tree(self) -> Tree:
        """As it was written, whatever windows are open."""
        return self._usage.declared

    @property
    def tree_version(self) -> int:
        return self._version

    def _take(self, event: Event) -> list[Effect]:
        match event:
            case messages.StepWaiting():
                return self._waiting(event)
            case messages.StepGone(step_id):
                self._gone(step_id)
            case messages.AttemptLeased():
                self._leased(event)
            case messages.AttemptReleased(fence, kept):
                self._granting.came_back(self._holdings.over(fence, self._now_us if kept else None))
            case messages.PlaceLeft(fence):
                for place in [fence] if fence else self._holdings.sharers.kept():
                    self._granting.came_back(self._holdings.left(place))
            case messages.AttemptCheckpointed(fence, at_us):
                if fence in self._holdings.all:
                    self._holdings.put(fence, replace(self._holdings.all[fence], checkpoint_us=at_us))
            case messages.AttemptLeaving():
                self._leaves(event)
            case messages.ReclaimRefused(fence):
                self._granting.not_ended(fence)
            case messages.DeviceFreed(device_ids, fence):
                self._holdings.empty(device_ids, fence)
            case messages.DeviceQuarantined(device_ids):
                self._quarantine(device_ids, True)
            case messages.DeviceRestored(device_ids):
                self._quarantine(device_ids, False)
                self._holdings.empty(device_ids, None)
            case messages.TreeChanged(tree, version):
                self._change_tree(tree, version)
            case messages.GrantRefused(step_id, reason):
                self._refused(step_id, reason)
            case messages.NodeJoined() | messages.NodeLeft() | messages.NodeDrained():
                self._node(event)
            case messages.Ticked():
                return []
            case _:
                assert_never(event)
        return []

    def _waiting(self, step: StepWaiting) -> list[Effect]:
        known = self._queues.steps.get(step.step_id)
        if known == step or step.step_id in self._holdings.all:
            return []
        if known is not None:
            self._granting.forget(known)
        if line_of(step) not in self._queues.lines:
            refusal = self._admission.refusal(step)
            if refusal is not None:
                return [messages.Impossible(step.step_id, refusal)]
        self._queues.add(step)
        self._granting.waits_again(step)
        self._inventory.workload.ask(step.demand)
        self._telling.came(step)
        return []

    def _gone(self, step_id: str) -> None:
        step = self._queues.steps.get(step_id)
        if step is not None:
            self._granting.forget(step)
        elif step_id in self._holdings.all:
            self._granting.project_gave_back(self._holdings.drop(step_id).step.project)

    def _give_up(self) -> list[Effect]:
        """Refuses what waited for nodes that stay away."""
        policy = self._usage.tree.policy
        for each in (refused := absences.refused(self._inventory, self._queues, self._admission, policy, self._now_us)):
            self._gone(each.step_id)
        return [*refused]

    def _joined(self, leased: messages.AttemptLeased) -> None:
        """It goes along with the attempt that has the place. After a restart that one may be over already."""
        self._gone(leased.step_id)
        if leased.place not in self._holdings.all:
            self._leased(replace(leased, fence=leased.place, place=0))
        else:
            self._holdings.sharers.begin(leased.place)
        self._holdings.sharers.join(leased.place, leased.fence)

    def _leased(self, leased: messages.AttemptLeased) -> None:
        held = self._holdings.all
        if leased.place:
            self._joined(leased)
            return
        if leased.fence in held:
            return
        pending, waiting = held.get(leased.step_id), self._queues.steps.get(leased.step_id)
        step = pending.step if pending is not None else waiting or step_of(leased)
        holding = holding_of(leased, step, self._inventory, self._usage, self._version)
        if pending is not None and (pending.seats, pending.amounts) == (holding.seats, holding.amounts):
            self._holdings.rename(leased.step_id, leased.fence, holding)
            return
        if pending is not None:
            self._holdings.drop(leased.step_id)
        elif waiting is not None:
            self._granting.forget(waiting)
        for seat in holding.seats:
            self._inventory.expect(seat)
        self._holdings.hold(leased.fence, holding)

    def _leaves(self, event: messages.AttemptLeaving) -> None:
        """What this machine has proposed itself is known to leave, and is counted."""
        holding = self._holdings.all.get(event.fence)
        if holding is not None and not holding.leaving and not holding.released:
            self._granting.make_way_again([event])

    def _quarantine(self, device_ids: tuple[str, ...], quarantined: bool) -> None:
        for device_id in device_ids:
            if device_id in self._inventory.devices:
                self._inventory.quarantine(device_id, quarantined)
        self._places_changed()

    def _node(self, event: NodeJoined | NodeLeft | NodeDrained) -> None:
        match event:
            case NodeJoined(spec):
                self._inventory.join(spec)
            case NodeLeft(node_id) if node_id in self._inventory.nodes:
                self._inventory.leave(node_id, self._now_us)
            case NodeDrained(node_id) if node_id in self._inventory.nodes:
                self._inventory.drain(node_id)
        self._places_changed()
        self._models_changed()

    def _refused(self, step_id: str, reason: str) -> None:
        if step_id not in self._holdings.all:
            return
        step = self._holdings.drop(step_id).step
        self._granting.project_gave_back(step.project)
        if reason != messages.STEP_NOT_WAITING:
            self._queues.add(step)
            self._queues.pause(line_of(step))

    def _change_tree(self, tree: Tree, version: int) -> None:
        for step_id in list(self._reservations.kept):
            self._granting.unkeep(step_id)
        self._undo.note(self._use, self._usage, self._version)
        usage = Usage(tree, self._now_us)
        usage.inherit(self._usage)
        self._use(usage, version)
        self._holdings.charge_anew()
        self._reclaiming.victims()
        for key in self._queues.lines:
            self._telling.moved(key)
            self._granting.look_at(key)

    def _line_changed(self, key: LineKey) -> None:
        self._order.line_changed(key)
        self._telling.moved(key)
        if key in self._queues.lines:
            self._granting.look_at(key)

    def _places_changed(self) -> None:
        """Other nodes or devices are in service."""
        for step_id in self._reservations.broken():
            self._granting.unkeep(step_id)
        self._holdings.room_came()

    def _tick(self, now_us: int) -> None:
        if now_us > self._now_us:
            self._undo.put_attribute(self, "_now_us", now_us)
            for place in self._holdings.sharers.forgotten(now_us):
                self._granting.came_back(self._holdings.left(place))
            self._undo.put_attribute(self._usage, "now_us", now_us)
            if not self._is_tried and self._usage.pass_to(now_us):
                self._order.stale()
            if self._usage.changes_us is not None and now_us >= self._usage.changes_us:
                self._change_tree(self._usage.declared, self._version)  # a window opens or closes

    def _changed(self) -> None:
        """What fits, or who may go, may be another than was found."""
        self._places.changed()
        self._order.something_came_back()

    def _models_changed(self) -> None:
        if (models := self._inventory.gpu_models()) != self._models:
            self._undo.note(setattr, self, "_models", self._models)
            self._models = models
            self._order.stale()

    def _use(self, usage: Usage, version: int) -> None:
        self._usage, self._version = usage, version
        self._admission = Admission(usage, self._inventory, self._places)
        self._order = Order(usage, self._queues, self._admission)
        self._holdings.use(usage, self._order)
        self._reclaiming = Reclaiming(
            self._undo, usage, self._inventory, self._places, self._holdings, self._admission, self._evicted
        )
        backfill = Backfill(self._undo, usage, self._inventory, self._holdings, self._admission)
        self._granting.use(usage, self._order, self._admission, version)
        growing = Growing(self._undo, usage, self._places, self._holdings, self._admission)
        moving = Moving(usage, self._inventory, self._holdings, self._admission, self._reclaiming)
        self._granting.look_with(self._reclaiming, backfill, growing, moving)
        self._explaining = Explaining(usage, self._inventory, self._admission, self._reservations, self._telling)
        self._reasons = Reasons(usage, self._inventory, self._queues, self._holdings, self._order, self._reservations)
