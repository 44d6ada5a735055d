"""What the API answers about machines and their devices."""

from __future__ import annotations

from ..terms import JSON
from .answer import Answer


class DeviceView(Answer, frozen=True):
    """`state` is READY or QUARANTINED, the latter with its reason; `illness` is silent, xid, ecc or hot."""

    id: str
    model: str
    memory_bytes: int
    state: str
    reason: str = ""
    illness: str = ""


class NodeView(Answer, frozen=True):
    """A machine: `state` is READY, DRAINED (nothing new starts there) or LEFT; `attempts` run there now.
    `reason` is why the platform itself has drained it."""

    id: str
    state: str
    cpus_milli: int
    memory_bytes: int
    labels: JSON = None
    devices: tuple[DeviceView, ...] = ()
    attempts: int = 0
    joined_us: int = 0
    seen_us: int = 0
    reason: str = ""
