"""Which nodes and devices there are, and which are empty: the GpuPool as a pure machine.

    Reported ─► node.joined (a new node, or one that changed)          NodeGone ─► node.left
    Released ─► seen empty? ─yes─► lease FREE, device.freed
                    └─no─► Examine ─► Examined ─► FREE, or after a bound QUARANTINED, device.quarantined
    Reported, a device ill ─► QUARANTINED, device.quarantined    a node that flaps comes back ─► DRAINED, node.drained
    Examined, seen empty after all ─► device.freed, back in service

Leases are its own from RELEASING on. Heartbeats never come here: only what changed does.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..errors import did_you_mean
from ..wire import calls
from ..wire.entries.events import CommandDone, CommandRefused
from ..wire.entries.nodes import DeviceQuarantined, DevicesFreed, NodeDrained, NodeJoined, NodeLeft
from ..wire.types import AnyBody, Said
from .device_health import (
    HOT,
    DeviceHealth,
    Forgiven,
    HealthBounds,
    flapping,
    forgiving,
    illness_of,
    is_cool,
    lately,
    still_forgiven,
)
from .gpu_messages import Event, Examined, NodeGone, NodeReport, Released, Reported, examine, is_logical, parts_of
from .inbox import Arrived, Inbox, Ordered, TopicGap
from .inventory import DeviceRow, Node
from .ledger import Book, Ledger
from .records.inbox import Offset
from .records.leases import Lease, LeaseState
from .turn import Turn

OWNER: Final = "gpu_pool"
PRINCIPAL: Final = "headwater"
RESTORED: Final = 0  # the fence of a device.freed that frees the device of whatever it had

replace = msgspec.structs.replace


class GpuPool:
    def __init__(self, bounds: HealthBounds | None = None) -> None:
        self.book = Book()
        self.bounds = bounds or HealthBounds()
        self.mail = Inbox(self.book, OWNER)
        self.nodes: Ledger[str, Node] = Ledger(self.book, "nodes")
        self.devices: Ledger[str, DeviceRow] = Ledger(self.book, "devices")
        self.leases: Ledger[tuple[int, str], Lease] = Ledger(self.book, "leases")
        self.health: Ledger[str, DeviceHealth] = Ledger(self.book)
        self.examined: Ledger[int, str] = Ledger(self.book)  # fences that are being looked at

    def load(
        self, *, nodes: list[Node], devices: list[DeviceRow], quarantined: list[Lease], offsets: list[Offset]
    ) -> None:
        """The rows. Leases that are RELEASING come as `Released` events."""
        for node in nodes:
            self.nodes.load(node.id, node)
        for device in devices:
            self.devices.load(device.id, device)
        for lease in quarantined:
            self.leases.load((lease.fence, lease.device), lease)
        self.mail.load(offsets)

    def decide(self, event: Event, now_us: int) -> Turn:
        turn = Turn(now_us)
        match event:
            case Reported(report):
                self._reported(turn, report)
            case NodeGone():
                self._gone(turn, event)
            case Released():
                self._released(turn, event)
            case Examined():
                self._examined(turn, event)
            case Ordered():
                self.mail.ordered(turn, event, lambda order: self._obey(turn, order))
            case Arrived():
                self.mail.command_record(turn, event, lambda order: self._obey(turn, order))
            case TopicGap():
                self.mail.halt(turn, event)
        return turn

    def set_aside(self, event: Event, now_us: int, error: Exception) -> Turn:
        return self.mail.undecided(event, now_us, error, who="The GpuPool")

    def objected(self, event: Event, now_us: int, reason: str) -> Turn:
        return self.set_aside(event, now_us, RuntimeError(reason))

    def settle(self) -> None:
        for key, lease in self.book.changes().get("leases", {}).items():
            if lease is not None and lease.state is LeaseState.FREE:
                self.leases.forget(key)
        self.book.settle()
        self.mail.tidy()

    # Nodes.

    def _reported(self, turn: Turn, report: NodeReport) -> None:
        known = self.nodes.get(report.node)
        leaves_us = lately(known.leaves_us, turn.now_us, self.bounds) if known is not None else ()
        reason = known.reason or flapping(leaves_us, self.bounds) if known is not None else ""
        drained = bool(reason) or (known is not None and known.state == "DRAINED")
        state = "DRAINED" if drained else "READY"
        node = Node(
            id=report.node,
            ray_node=report.ray_node,
            cpus_milli=report.cpus_milli,
            memory_bytes=report.memory_bytes,
            labels=report.labels,
            state=state,
            joined_us=known.joined_us if known is not None else turn.now_us,
            seen_us=turn.now_us,
            reason=reason,
            leaves_us=leaves_us,
        )
        same_node = known is not None and replace(known, seen_us=turn.now_us, leaves_us=leaves_us) == node
        if self._put_devices(report) or not same_node:
            self.nodes.put(node.id, node)
            self._say(turn, node.id, _joined(report))
            if state == "DRAINED":
                self._say(turn, node.id, NodeDrained(node=node.id, drained=True, reason=reason))
            for device in self._devices_of(node.id):
                if device.state == "QUARANTINED":
                    self._say(turn, device.id, _quarantined(device))
        for health in report.health:
            self._examine_health(turn, health)

    def _put_devices(self, report: NodeReport) -> bool:
        """Whether the node's devices are others than before. One that is in quarantine stays there."""
        changed = False
        told = {device.id: device for device in report.devices}
        for known in self._devices_of(report.node):
            if known.id not in told and known.state != "QUARANTINED":
                self.devices.put(known.id, replace(known, state="LEFT"))
                changed = True
        for device in told.values():
            before = self.devices.get(device.id)
            row = DeviceRow(id=device.id, node=report.node, model=device.model, memory_bytes=device.memory_bytes)
            if before is not None:
                row = replace(row, ecc_forgiven=before.ecc_forgiven, xids_forgiven=before.xids_forgiven)
                if before.state == "QUARANTINED":
                    row = replace(row, state=before.state, reason=before.reason, illness=before.illness)
            if row != before:
                self.devices.put(row.id, row)
                changed = True
        return changed

    def _devices_of(self, node: str) -> list[DeviceRow]:
        return [device for device in self.devices.values() if device.node == node and device.state != "LEFT"]

    def _examine_health(self, turn: Turn, health: DeviceHealth) -> None:
        """An ill device is lent no more; what runs on it goes on as long as it can."""
        row = self.devices.get(health.device)
        if row is None or row.state == "LEFT":
            return
        if health != self.health.get(health.device):
            self.health.put(health.device, health)
        forgiven = still_forgiven(health, Forgiven(row.ecc_forgiven, row.xids_forgiven))
        if (forgiven.ecc_uncorrected, forgiven.xids) != (row.ecc_forgiven, row.xids_forgiven):
            row = replace(row, ecc_forgiven=forgiven.ecc_uncorrected, xids_forgiven=forgiven.xids)
            self.devices.put(row.id, row)
        ill = illness_of(health, self.bounds, forgiven)
        if ill is not None and row.illness in ("", HOT) and ill.kind != row.illness:
            row = replace(row, state="QUARANTINED", reason=ill.reason, illness=ill.kind)
            self.devices.put(row.id, row)
            self._say(turn, row.id, _quarantined(row))
        elif row.illness == HOT and is_cool(health, self.bounds):
            self._recovered(turn, replace(row, illness=""))

    def _recovered(self, turn: Turn, row: DeviceRow) -> None:
        """It is cool again, and back where nothing else keeps it."""
        if any(lease.device == row.id and lease.state is LeaseState.QUARANTINED for lease in self.leases.values()):
            self.devices.put(row.id, replace(row, reason="something was left on it"))
        else:
            self._restored(turn, row, PRINCIPAL)

    def _gone(self, turn: Turn, event: NodeGone) -> None:
        """Nothing lives on a node that is gone: what was still being emptied there is empty."""
        node_id = event.node
        node = self.nodes.get(node_id)
        if node is None or node.state == "LEFT":
            return
        leaves_us = lately(node.leaves_us, turn.now_us, self.bounds)
        if node.state == "READY" and not event.was_told:
            leaves_us = (*leaves_us, turn.now_us)
        self.nodes.put(node_id, replace(node, state="LEFT", seen_us=turn.now_us, leaves_us=leaves_us))
        self._say(turn, node_id, NodeLeft(node=node_id, reason=event.reason))
        for fence in sorted({lease.fence for lease in self.leases.values() if lease.node == node_id}):
            elsewhere = any(self._is_here(lease.node) for _, lease in self._of_fence(fence))
            if fence in self.examined and not elsewhere:
                self._free(turn, fence)

    # Devices.

    def _released(self, turn: Turn, event: Released) -> None:
        new = (lease for lease in event.leases if (lease.fence, lease.device) not in self.leases)
        kept = tuple(lease for lease in new if lease.state is LeaseState.RELEASING)
        if not kept:
            return
        for lease in kept:
            self.leases.load((lease.fence, lease.device), lease)
            self.book.note(lambda lease=lease: self.leases.forget((lease.fence, lease.device)))  # type: ignore[misc]
        parts = tuple(part for part in parts_of(event, kept) if self._is_here(part.node))
        if not parts or (event.seen_empty and self._logical(kept)):
            self._free(turn, event.fence)
            return
        self.examined.put(event.fence, parts[0].worker)
        turn.effects.append(examine(parts, kept))

    def _is_here(self, node_id: str) -> bool:
        node = self.nodes.get(node_id)
        return node is not None and node.state != "LEFT"

    def _logical(self, leases: tuple[Lease, ...]) -> bool:
        return all(is_logical(lease.node, lease.device) for lease in leases)

    def _examined(self, turn: Turn, event: Examined) -> None:
        if event.fence not in self.examined:
            if event.empty:
                self._back_in_service(turn, event.fence)
            return
        if event.empty:
            self._free(turn, event.fence)
            return
        self.examined.remove(event.fence)
        for key, lease in self._of_fence(event.fence):
            self.leases.put(key, replace(lease, state=LeaseState.QUARANTINED))
            row = self.devices.get(lease.device)
            if row is not None:
                self.devices.put(row.id, replace(row, state="QUARANTINED", reason=event.why))
            said = DeviceQuarantined(device=lease.device, reason=event.why, node=lease.node)
            self._say(turn, lease.device, said)

    def _free(self, turn: Turn, fence: int) -> None:
        self.examined.remove(fence)
        leases = self._of_fence(fence)
        for key, lease in leases:
            self.leases.put(key, replace(lease, state=LeaseState.FREE, freed_us=turn.now_us))
        devices = tuple(lease.device for _, lease in leases)
        if devices:
            freed = DevicesFreed(fence=fence, devices=devices)
            self._say(turn, leases[0][1].node, freed, project=leases[0][1].project)

    def _back_in_service(self, turn: Turn, fence: int) -> None:
        """What was left on quarantined devices has gone meanwhile; one that is ill waits until it is well."""
        for lease in list(self.leases.values()):
            row = self.devices.get(lease.device)
            if lease.fence != fence or row is None or row.state != "QUARANTINED":
                continue
            if row.illness:
                self._let_go(turn, row)
            else:
                self._restored(turn, row, PRINCIPAL)

    def _restored(self, turn: Turn, row: DeviceRow, principal: str) -> None:
        self.devices.put(row.id, replace(row, state="READY", reason="", illness=""))
        self._let_go(turn, row)
        self._say(turn, row.id, DevicesFreed(fence=RESTORED, devices=(row.id,)), principal=principal)

    def _let_go(self, turn: Turn, row: DeviceRow) -> None:
        """Of what was left on it."""
        for lease in list(self.leases.values()):
            if lease.device == row.id and lease.state is LeaseState.QUARANTINED:
                freed = replace(lease, state=LeaseState.FREE, freed_us=turn.now_us)
                self.leases.put((lease.fence, lease.device), freed)

    def _of_fence(self, fence: int) -> list[tuple[tuple[int, str], Lease]]:
        """Its leases that are RELEASING."""
        held = [((lease.fence, lease.device), lease) for lease in self.leases.values() if lease.fence == fence]
        return [(key, lease) for key, lease in held if lease.state is LeaseState.RELEASING]

    # Commands.

    def _obey(self, turn: Turn, order: calls.Order) -> CommandDone | CommandRefused:
        data = order.data if isinstance(order.data, dict) else {}
        match order.kind:
            case "node.drain":
                return self._drain(turn, order, data)
            case "device.restore":
                return self._restore(turn, order, data)
        reason = f"The GpuPool knows node.drain and device.restore, not {order.kind!r}"
        return _refused(order, "unknown_command", reason)

    def _drain(self, turn: Turn, order: calls.Order, data: dict[str, Any]) -> CommandDone | CommandRefused:
        node_id, drained = str(data.get("node", "")), data.get("drained", True)
        node = self.nodes.get(node_id)
        if node is None or node.state == "LEFT":
            here = [known.id for known in self.nodes.values() if known.state != "LEFT"]
            return _refused(order, "not_found", f"No node is named {node_id!r}. {did_you_mean(node_id, here)}")
        if not isinstance(drained, bool):
            return _refused(order, "bad_command", f"`drained` is {drained!r}; write true or false")
        state = "DRAINED" if drained else "READY"
        if node.state != state:
            self.nodes.put(node_id, replace(node, state=state, reason="", leaves_us=()))
            self._say(turn, node_id, NodeDrained(node=node_id, drained=drained), principal=order.principal)
        return CommandDone(command=order.id, result={"node": node_id, "drained": drained})

    def _restore(self, turn: Turn, order: calls.Order, data: dict[str, Any]) -> CommandDone | CommandRefused:
        device_id = str(data.get("device", ""))
        row = self.devices.get(device_id)
        if row is None or row.state != "QUARANTINED":
            out = [known.id for known in self.devices.values() if known.state == "QUARANTINED"]
            said = f"Device {device_id!r} is not in quarantine; there are: {', '.join(sorted(out)) or 'none'}"
            return _refused(order, "not_quarantined", said)
        forgiven = forgiving(self.health.get(device_id))
        row = replace(row, ecc_forgiven=forgiven.ecc_uncorrected, xids_forgiven=forgiven.xids)
        self._restored(turn, row, order.principal)
        return CommandDone(command=order.id, result={"device": device_id})

    def _say(self, turn: Turn, subject: str, body: AnyBody, *, project: str = "", principal: str = PRINCIPAL) -> None:
        turn.said.append(
            Said(
                body=body,
                subject=subject,
                project=project or self.mail.default_project,
                principal=principal,
                time_us=turn.now_us,
            )
        )


def _joined(report: NodeReport) -> NodeJoined:
    return NodeJoined(
        node=report.node,
        cpus_milli=report.cpus_milli,
        memory_bytes=report.memory_bytes,
        devices=report.devices,
        labels=report.labels,
        ray_node=report.ray_node,
    )


def _quarantined(device: DeviceRow) -> DeviceQuarantined:
    return DeviceQuarantined(device=device.id, reason=device.reason, node=device.node, illness=device.illness)


def _refused(order: calls.Order, code: str, reason: str) -> CommandRefused:
    return CommandRefused(command=order.id, code=code, reason=reason)
