"""What is said of nodes and devices, by the GpuPool; key = node, or device."""

from __future__ import annotations

import msgspec

from ..terms import Body


class Device(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    model: str
    memory_bytes: int = 0


class NodeJoined(Body, frozen=True, tag="node.joined"):
    node: str
    cpus_milli: int
    memory_bytes: int
    devices: tuple[Device, ...]
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    ray_node: str = ""


class NodeLeft(Body, frozen=True, tag="node.left"):
    node: str
    reason: str


class NodeDrained(Body, frozen=True, tag="node.drained"):
    """`reason` is given where the platform itself has drained it."""

    node: str
    drained: bool
    reason: str = ""


class DevicesFreed(Body, frozen=True, tag="device.freed"):
    fence: int
    devices: tuple[str, ...]


class DeviceQuarantined(Body, frozen=True, tag="device.quarantined"):
    """`illness` is silent, xid, ecc or hot, or empty where something was left on the device."""

    device: str
    reason: str
    node: str = ""
    illness: str = ""
