"""Nodes and their devices: what is held, by whom, and what is free.

A holder (a step that was granted something, later the fence of its attempt) holds seats, one per rank.
When it ends its CPUs and memory are free at once; its shares of devices stay until they are seen empty.
Free is always total minus held, per device, so a picture that runs behind can dip below zero and comes
right by itself. `hold` and `unhold` are exact inverses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ...errors import InvalidInput
from ..messages import Demand, NodeSpec
from ..undo import Undo
from .board import Board
from .node import WHOLE, Device, Holder, Node, Seat
from .tightness import Room, Share, Tightness
from .workload import Workload

__all__ = ["WHOLE", "Holder", "Inventory", "Node", "Seat"]


class Inventory:
    def __init__(self, undo: Undo) -> None:
        self._undo = undo
        self.nodes: dict[str, Node] = {}
        self.devices: dict[str, Device] = {}
        self.departed: dict[str, tuple[NodeSpec, int]] = {}  # nodes that are awaited, and when they left
        self.largest_seats: dict[Demand, int] = {}  # a cache of `fit.largest`, dropped when nodes change
        self.workload = Workload(undo)
        self.board = Board(self.nodes)
        self._tightness = Tightness(self.nodes)
        self.revision = 0  # of the nodes; only grows, through roll-backs too, so that caches can tell
        self._models: list[str] = []  # as of this revision
        self._models_at = -1

    def load(self, nodes: Iterable[NodeSpec], away: Iterable[tuple[NodeSpec, int]]) -> None:
        """The nodes that are there, and those that are awaited, with when they left."""
        for spec in nodes:
            self.join(spec)
        self.departed.update({spec.id: (spec, left_us) for spec, left_us in away})

    @property
    def by_room(self) -> dict[str, list[Room]]:
        """By model the nodes in service, those with the fewest whole devices free first."""
        return self._tightness.by_room()

    @property
    def partly(self) -> dict[str, list[Share]]:
        """By model the devices that are shared already, those with the least left first."""
        return self._tightness.partly()

    def hold(self, holder: Holder, seats: tuple[Seat, ...]) -> None:
        self._undo.note(self._unhold, holder, seats)
        self._hold(holder, seats)

    def load_held(self, holder: Holder, seats: tuple[Seat, ...]) -> None:
        """As `hold`, of what nobody takes back."""
        self._hold(holder, seats)

    def unhold(self, holder: Holder, seats: tuple[Seat, ...]) -> None:
        """Everything back at once: a grant that came to nothing."""
        self._undo.note(self._hold, holder, seats)
        self._unhold(holder, seats)

    def release(self, seats: tuple[Seat, ...]) -> None:
        """CPUs and memory back; the devices follow with `free`."""
        rooms = tuple(Seat(seat.node, (), 0, seat.cpus_milli, seat.memory_bytes) for seat in seats)
        self._undo.note(self._hold, "", rooms)
        self._unhold("", rooms)

    def free(self, device_id: str, holder: Holder) -> None:
        """The holder's share of the device back, seen empty."""
        device = self.devices[device_id]
        part = Seat(device.node, (device_id,), device.holders[holder], 0, 0)
        self._undo.note(self._hold, holder, (part,))
        self._unhold(holder, (part,))

    def quarantine(self, device_id: str, quarantined: bool) -> None:
        device = self.devices[device_id]
        if device.quarantined is not quarantined:
            self._undo.note(self._quarantine, device_id, device.quarantined)
            self._quarantine(device_id, quarantined)

    def join(self, spec: NodeSpec) -> None:
        """The node as `spec` has it. A device that is not there any more stays while it is held."""
        known = self.nodes.get(spec.id)
        devices = {device.id: self._device(spec.id, device.id, device.milli, known) for device in spec.devices}
        for device_id, device in known.devices.items() if known is not None else ():
            if device.holders and device_id not in devices:
                gone = Device(device_id, spec.id, device.total, device.free, True, dict(device.holders))
                devices[device_id] = gone
        cpus_held = 0 if known is None else known.spec.cpus_milli - known.cpus_free
        memory_held = 0 if known is None else known.spec.memory_bytes - known.memory_free
        node = Node(spec, _in_order(devices), spec.cpus_milli - cpus_held, spec.memory_bytes - memory_held)
        node.in_service = not spec.drained
        if spec.id in self.departed:
            self._undo.pop(self.departed, spec.id)
        self._replace(spec.id, node)

    def expect(self, seat: Seat) -> None:
        """Makes room for a lease on a node or device not heard of yet, so that its end is counted right."""
        known = self.nodes.get(seat.node)
        missing = [i for i in seat.devices if known is None or i not in known.devices]
        if known is None:
            spec = NodeSpec(seat.node, 0, 0)
            devices = {i: Device(i, seat.node, WHOLE, WHOLE, True) for i in missing}
            self._replace(seat.node, Node(spec, _in_order(devices), 0, 0, in_service=False, left=True))
        elif missing:
            copy = _copy(known, in_service=known.in_service, left=known.left)
            more = {i: Device(i, seat.node, WHOLE, WHOLE, True) for i in missing}
            copy.devices = _in_order({**copy.devices, **more})
            self._replace(seat.node, copy)

    def leave(self, node_id: str, now_us: int) -> None:
        """Nothing is placed there any more; the node is forgotten once it holds nothing."""
        node = self.nodes[node_id]
        self._undo.put(self.departed, node_id, (node.spec, now_us))
        held = node.cpus_free < node.spec.cpus_milli or node.memory_free < node.spec.memory_bytes
        gone = not held and not any(device.holders for device in node.devices.values())
        self._replace(node_id, None if gone else _copy(node, in_service=False, left=True))

    def drain(self, node_id: str) -> None:
        self._replace(node_id, _copy(self.nodes[node_id], in_service=False, left=self.nodes[node_id].left))

    def gpu_models(self) -> list[str]:
        """The models of the GPUs on known nodes."""
        if self._models_at != self.revision:
            known = (node for node in self.nodes.values() if node.spec.devices and not node.left)
            self._models, self._models_at = sorted({node.spec.gpu_model for node in known}), self.revision
        return list(self._models)

    def may_return(self, demand: Demand) -> bool:
        """Whether a node of the kind that is asked for is away and not given up."""
        return any(
            not demand.gpus_milli or (spec.devices and demand.gpu_model in (None, spec.gpu_model))
            for spec, _ in self.departed.values()
        )

    def give_up(self, left_us: int) -> bool:
        """Awaits no more those that left until then; whether there were any."""
        gone = [node_id for node_id, (_, at_us) in self.departed.items() if at_us <= left_us]
        for node_id in gone:
            self._undo.pop(self.departed, node_id)
        return bool(gone)

    def _replace(self, node_id: str, node: Node | None) -> None:
        before = self.nodes.get(node_id)
        self._undo.note(self._swap, node_id, before)
        self._swap(node_id, node)

    def _swap(self, node_id: str, node: Node | None) -> None:
        before = self.nodes.pop(node_id, None)
        if before is not None:
            for device_id in before.devices:
                del self.devices[device_id]
        if node is not None:
            self.nodes[node_id] = node
            self.devices.update(node.devices)
        self._touch(node_id)
        self.largest_seats.clear()
        self.revision += 1

    def _device(self, node_id: str, device_id: str, milli: int, known: Node | None) -> Device:
        elsewhere = self.devices.get(device_id)
        if elsewhere is not None and elsewhere.node != node_id:
            raise InvalidInput(
                f"Node {node_id} brings device {device_id}, which is on node {elsewhere.node}",
                remedy="Let that node leave first, or give each device an id of its own",
            )
        before = known.devices.get(device_id) if known is not None else None
        if before is None:
            return Device(device_id, node_id, milli, milli)
        free = milli - sum(before.holders.values())
        reported = known is not None and any(device.id == device_id for device in known.spec.devices)
        return Device(device_id, node_id, milli, free, before.quarantined and reported, dict(before.holders))

    def _hold(self, holder: Holder, seats: tuple[Seat, ...]) -> None:
        self._change(holder, seats, 1)

    def _unhold(self, holder: Holder, seats: tuple[Seat, ...]) -> None:
        self._change(holder, seats, -1)

    def _change(self, holder: Holder, seats: tuple[Seat, ...], sign: int) -> None:
        for seat in seats:
            node = self.nodes.get(seat.node)
            if node is None:
                continue
            node.cpus_free -= sign * seat.cpus_milli
            node.memory_free -= sign * seat.memory_bytes
            for device_id in seat.devices:
                device = node.devices.get(device_id)
                if device is not None:
                    node.whole_free += device.give(holder, sign * seat.milli)
            self._touch(seat.node)

    def _quarantine(self, device_id: str, quarantined: bool) -> None:
        device = self.devices[device_id]
        self.nodes[device.node].whole_free += device.suspect(quarantined)
        self._touch(device.node)

    def _touch(self, node_id: str) -> None:
        self.board.touch(node_id)
        self._tightness.touch(node_id)


def _in_order(devices: dict[str, Device]) -> dict[str, Device]:
    """By id, so that the same devices give the same place in whatever order they were heard of."""
    return dict(sorted(devices.items()))


def _copy(node: Node, *, in_service: bool, left: bool) -> Node:
    devices = {i: replace(device, holders=dict(device.holders)) for i, device in node.devices.items()}
    return Node(node.spec, devices, node.cpus_free, node.memory_free, in_service, left)
