"""What was granted: pending until the Conductor leases it, live until released, kept until its devices are empty.

Each holding takes room of the inventory and quota of its project, from the moment that it is proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace

from .admission import amounts_of
from .charges import Charges
from .messages import AttemptLeased, Demand, Grant, StepWaiting
from .order import Order
from .placement.inventory import WHOLE, Holder, Inventory, Seat
from .places import Places
from .sharers import Sharers
from .undo import Undo
from .usage import Usage


class Holding(Struct, frozen=True):
    step: StepWaiting
    seats: tuple[Seat, ...]
    flavour: str | None
    amounts: dict[str, int]
    tree_version: int
    leased_us: int = 0
    released: bool = False
    checkpoint_us: int = 0
    leaving: bool = False  # it is being ended for another
    grows: bool = False  # or to begin again with more ranks
    looked: int = -1  # what had come back when it was last looked for more ranks in vain

    def saved_us(self) -> int:
        """What was done until then is not lost if the gang ends now."""
        return max(self.leased_us, self.checkpoint_us)

    def may_leave(self) -> bool:
        return not (self.released or self.leaving or self.step.once)

    def ends_us(self) -> int | None:
        """When it must have ended, by the runtime that it declared."""
        if self.leased_us and self.step.max_runtime_s is not None:
            return self.leased_us + self.step.max_runtime_s * 1_000_000
        return None

    def grant(self) -> Grant:
        nodes = tuple(seat.node for seat in self.seats)
        devices = tuple(seat.devices for seat in self.seats)
        return Grant(self.step.step_id, self.step.project, nodes[0], devices, self.tree_version, nodes, self.flavour)


Watcher = Callable[[int, Holding], None]


class Holdings:
    """By step id while pending, by fence afterwards."""

    def __init__(self, undo: Undo, inventory: Inventory, places: Places) -> None:
        self._undo, self._inventory, self._places = undo, inventory, places
        self.all: dict[Holder, Holding] = {}
        self.by_project: dict[str, dict[Holder, None]] = {}
        self.sharers = Sharers(undo)
        self.going: dict[Holder, None] = {}  # what is being ended for others, or emptied
        self.came_back = 0  # how often room or quota did
        self._watchers: list[tuple[Watcher, Watcher]] = []

    def use(self, usage: Usage, order: Order) -> None:
        """The quota that is charged from now on."""
        self._usage, self._order = usage, order
        self._watchers = []

    def watch(self, added: Watcher, removed: Watcher) -> None:
        """Calls these with every leased holding that comes and goes, roll-backs included."""
        self._watchers.append((added, removed))

    def hold(self, holder: Holder, holding: Holding) -> None:
        self.put(holder, holding)
        self._inventory.hold(holder, holding.seats)
        self._places.taken()
        self.charge(holding)

    def load(self, fence: int, holding: Holding) -> None:
        """As `hold` does for what nobody takes back; the caller charges it."""
        self._inventory.load_held(fence, holding.seats)
        self._swap(fence, holding, None)

    def drop(self, holder: Holder) -> Holding:
        """Everything back at once: a grant that came to nothing."""
        holding = self._pop(holder)
        self._inventory.unhold(holder, holding.seats)
        self.discharge(holding)
        self.room_came()
        return holding

    def rename(self, holder: Holder, fence: int, holding: Holding) -> None:
        """A pending grant was leased as it was proposed."""
        pending = self._pop(holder)
        self._inventory.unhold(holder, pending.seats)
        self._inventory.hold(fence, holding.seats)
        self.put(fence, holding)

    def leave(self, fence: int, *, grows: bool = False) -> Holding:
        """The gang is being ended, for another or to begin again with more ranks."""
        self.put(fence, replace(self.all[fence], leaving=True, grows=grows))
        return self.all[fence]

    def over(self, fence: int, kept_us: int | None) -> Holding | None:
        """What the attempt gives back; nothing while others have a part in it, or from `kept_us` on it is kept."""
        place = self.sharers.last_of(fence)
        if place is None or kept_us is None:
            return self._given_back(place)
        if place in self.all:
            self.sharers.keep(place, kept_us)
        return None

    def left(self, place: int) -> Holding | None:
        """What was kept under this fence, given back."""
        return self._given_back(place if self.sharers.leave(place) else None)

    def _given_back(self, place: int | None) -> Holding | None:
        holding = None if place is None else self.all.get(place)
        if place is None or holding is None or holding.released:
            return None
        self.release(place)
        return holding

    def release(self, fence: int) -> None:
        """The quota, CPUs and memory back; the devices follow with `empty`."""
        holding = self.all[fence]
        self.discharge(holding)
        self._inventory.release(holding.seats)
        if any(seat.devices for seat in holding.seats):
            self.put(fence, replace(holding, released=True))
        else:
            self._pop(fence)
        self.room_came()

    def empty(self, device_ids: Iterable[str], fence: int | None) -> None:
        """What was released of the devices is seen empty; with a fence, that of this attempt alone."""
        for device_id in device_ids:
            if device_id in self._inventory.devices:
                self._empty(device_id, fence)

    def _empty(self, device_id: str, fence: int | None) -> None:
        devices = self._inventory.devices
        for holder in list(devices[device_id].holders):
            if fence not in (None, holder) or holder not in self.all or not self.all[holder].released:
                continue
            self._inventory.free(device_id, holder)
            held = (i for seat in self.all[holder].seats for i in seat.devices)
            if not any(i in devices and holder in devices[i].holders for i in held):
                self._pop(holder)
        self.room_came()

    def as_if_gone(self, holder: Holder) -> None:
        """Takes off what the holder has, as long as the caller takes it back."""
        holding, devices = self.all[holder], self._inventory.devices
        if holding.released:
            shares = ((i, seat) for seat in holding.seats for i in seat.devices if i in devices)
            left = tuple(Seat(seat.node, (i,), seat.milli, 0, 0) for i, seat in shares if holder in devices[i].holders)
            self._inventory.unhold(holder, left)
        else:
            self._undo.note(_pay, self._usage, None, holding, 1)
            _pay(self._usage, None, holding, -1)  # the order need not hear of what is taken back
            self._inventory.unhold(holder, holding.seats)

    def put(self, holder: Holder, holding: Holding) -> None:
        before = self.all.get(holder)
        self._undo.note(self._swap, holder, before, holding)
        self._swap(holder, holding, before)

    def charge(self, holding: Holding) -> None:
        self._undo.note(_pay, self._usage, self._order, holding, -1)
        _pay(self._usage, self._order, holding, 1)

    def discharge(self, holding: Holding) -> None:
        self._undo.note(_pay, self._usage, self._order, holding, 1)
        _pay(self._usage, self._order, holding, -1)

    def _pop(self, holder: Holder) -> Holding:
        holding = self.all[holder]
        self._undo.note(self._swap, holder, holding, None)
        self._swap(holder, None, holding)
        return holding

    def _swap(self, holder: Holder, after: Holding | None, before: Holding | None) -> None:
        known = after or before
        assert known is not None
        mine = self.by_project.setdefault(known.step.project, {})
        if after is None:
            del self.all[holder], mine[holder]
        else:
            self.all[holder], mine[holder] = after, None
        self.going.pop(holder, None)
        if after is not None and (after.leaving or after.released):
            self.going[holder] = None
        if isinstance(holder, int):
            self._tell(holder, after, before)

    def _tell(self, fence: int, after: Holding | None, before: Holding | None) -> None:
        for added, removed in self._watchers:
            if before is not None:
                removed(fence, before)
            if after is not None:
                added(fence, after)

    def charge_anew(self) -> None:
        """Charges the quota in use, which is new, for all there is. The way back is to the one before."""
        charges = Charges(self._usage)
        for holder, holding in list(self.all.items()):
            demand, ranks = holding.step.demand, len(holding.seats)
            flavour = flavour_of(holding.seats, demand, self._inventory, self._usage)
            amounts = charges.amounts(demand, flavour, ranks)
            if (flavour, amounts) != (holding.flavour, holding.amounts):
                self.put(holder, replace(holding, flavour=flavour, amounts=amounts))
            if not holding.released:
                charges.add(holding.step.project, amounts, once=holding.step.once)
        charges.pay()
        self.room_came()

    def room_came(self) -> None:
        """Something may fit now that did not, or be paid."""
        self._undo.put_attribute(self, "came_back", self.came_back + 1)
        self._places.changed()
        self._order.something_came_back()


def holding_of(leased: AttemptLeased, step: StepWaiting, inventory: Inventory, usage: Usage, version: int) -> Holding:
    """The holding that a lease describes, charged as the tree says now."""
    seats = seats_of(leased)
    flavour = flavour_of(seats, leased.demand, inventory, usage)
    return Holding(step, seats, flavour, amounts_of(leased.demand, flavour, len(seats)), version, leased.now_us)


def step_of(leased: AttemptLeased) -> StepWaiting:
    """The step of a lease that was never seen waiting."""
    return StepWaiting(
        leased.step_id,
        leased.run_id,
        leased.project,
        leased.name,
        leased.demand,
        leased.now_us,
        leased.priority,
        leased.max_runtime_s,
        leased.min_runtime_s,
        leased.ranks_min,
        leased.once,
        leased.evictions,
        leased.flow,
        leased.tier,
    )


def flavour_of(seats: tuple[Seat, ...], demand: Demand, inventory: Inventory, usage: Usage) -> str | None:
    if not demand.gpus_milli:
        return None
    node = inventory.nodes.get(seats[0].node)
    model = node.spec.gpu_model if node is not None and node.spec.gpu_model else demand.gpu_model or ""
    return usage.flavour_of(model)


def seats_of(leased: AttemptLeased) -> tuple[Seat, ...]:
    demand = leased.demand
    nodes = leased.nodes or (leased.node,) * (len(leased.devices) or demand.ranks)
    devices = leased.devices or ((),) * len(nodes)
    milli = min(demand.gpus_milli, WHOLE)
    places = zip(nodes, devices, strict=True)
    return tuple(Seat(node, ids, milli, demand.cpus_milli, demand.memory_bytes) for node, ids in places)


def _pay(usage: Usage, order: Order | None, holding: Holding, sign: int) -> None:
    project, once = holding.step.project, holding.step.once
    (usage.add if sign > 0 else usage.remove)(project, holding.amounts)
    if once:
        (usage.add_once if sign > 0 else usage.remove_once)(project, holding.amounts)
    if order is not None:
        order.used_changed(project)
