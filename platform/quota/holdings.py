"""What was granted: pending until the Conductor leases it, live until released, kept until its devices are empty.

Each holding takes room of the inventory and quota of its project, from the moment that it is proposed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .admission import amounts_of
from .messages import AttemptLeased, Demand, Grant, StepWaiting
from .order import Order
from .placement.inventory import WHOLE, Holder, Inventory, Seat
from .places import Places
from .undo import Undo
from .usage import Usage


@dataclass(frozen=True, slots=True)
class Holding:
    step: StepWaiting
    seats: tuple[Seat, ...]
    flavour: str | None
    amounts: dict[str, int]
    tree_version: int
    leased_us: int = 0
    released: bool = False

    def ends_us(self) -> int | None:
        """When it must have ended, by the runtime that it declared."""
        if self.leased_us and self.step.max_runtime_s is not None:
            return self.leased_us + self.step.max_runtime_s * 1_000_000
        return None

    def grant(self) -> Grant:
        nodes = tuple(seat.node for seat in self.seats)
        devices = tuple(seat.devices for seat in self.seats)
        return Grant(self.step.step_id, self.step.project, nodes[0], devices, self.tree_version, nodes, self.flavour)


class Holdings:
    """By step id while pending, by fence afterwards."""

    def __init__(self, undo: Undo, inventory: Inventory, places: Places) -> None:
        self._undo, self._inventory, self._places = undo, inventory, places
        self.all: dict[Holder, Holding] = {}
        self.by_project: dict[str, dict[Holder, None]] = {}

    def use(self, usage: Usage, order: Order) -> None:
        """The quota that is charged from now on."""
        self._usage, self._order = usage, order

    def hold(self, holder: Holder, holding: Holding) -> None:
        self.put(holder, holding)
        self._inventory.hold(holder, holding.seats)
        self._places.taken()
        self.charge(holding)

    def drop(self, holder: Holder) -> Holding:
        """Everything back at once: a grant that came to nothing."""
        holding = self._pop(holder)
        self._inventory.unhold(holder, holding.seats)
        self._discharge(holding)
        self._came_back()
        return holding

    def rename(self, holder: Holder, fence: int, holding: Holding) -> None:
        """A pending grant was leased as it was proposed."""
        pending = self._pop(holder)
        self._inventory.unhold(holder, pending.seats)
        self._inventory.hold(fence, holding.seats)
        self.put(fence, holding)

    def release(self, fence: int) -> None:
        """The quota, CPUs and memory back; the devices follow with `empty`."""
        holding = self.all[fence]
        self._discharge(holding)
        self._inventory.release(holding.seats)
        if any(seat.devices for seat in holding.seats):
            self.put(fence, replace(holding, released=True))
        else:
            self._pop(fence)
        self._came_back()

    def empty(self, device_id: str, fence: int | None) -> None:
        """What was released of the device is seen empty; with a fence, that of this attempt alone."""
        devices = self._inventory.devices
        for holder in list(devices[device_id].holders):
            if fence not in (None, holder) or holder not in self.all or not self.all[holder].released:
                continue
            self._inventory.free(device_id, holder)
            held = (i for seat in self.all[holder].seats for i in seat.devices)
            if not any(i in devices and holder in devices[i].holders for i in held):
                self._pop(holder)
        self._came_back()

    def put(self, holder: Holder, holding: Holding) -> None:
        if holder not in self.all:
            mine = self.by_project.setdefault(holding.step.project, {})
            self._undo.put(mine, holder, None)
        self._undo.put(self.all, holder, holding)

    def charge(self, holding: Holding) -> None:
        self._undo.note(_pay, self._usage, self._order, holding, -1)
        _pay(self._usage, self._order, holding, 1)

    def _discharge(self, holding: Holding) -> None:
        self._undo.note(_pay, self._usage, self._order, holding, 1)
        _pay(self._usage, self._order, holding, -1)

    def _pop(self, holder: Holder) -> Holding:
        holding = self._undo.pop(self.all, holder)
        self._undo.pop(self.by_project[holding.step.project], holder)
        return holding

    def _came_back(self) -> None:
        self._places.changed()
        self._order.something_came_back()


def holding_of(leased: AttemptLeased, step: StepWaiting, inventory: Inventory, usage: Usage, version: int) -> Holding:
    """The holding that a lease describes, charged as the tree says now."""
    seats = seats_of(leased)
    flavour = flavour_of(seats, leased.demand, inventory, usage)
    return Holding(step, seats, flavour, amounts_of(leased.demand, flavour, len(seats)), version, leased.now_us)


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


def _pay(usage: Usage, order: Order, holding: Holding, sign: int) -> None:
    project, once = holding.step.project, holding.step.once
    (usage.add if sign > 0 else usage.remove)(project, holding.amounts)
    if once:
        (usage.add_once if sign > 0 else usage.remove_once)(project, holding.amounts)
    order.used_changed(project)
