"""What the API answers about the quota tree: who holds, waits and stores what."""

from __future__ import annotations

import msgspec

from ..terms import JSON
from .answer import Answer


class Held(Answer, frozen=True):
    """What a project holds now: `gpus_milli` are thousandths of devices; `used` is by the tree's flavours, in
    thousandths of devices and cores, and bytes."""

    project: str
    devices: tuple[str, ...]
    gpus_milli: int
    runs: int
    used: dict[str, int] = msgspec.field(default_factory=dict)


class Waiting(Answer, frozen=True):
    step_id: str
    run_id: str
    project: str
    name: str
    code: str
    reason: str
    since_us: int | None


class Stored(Answer, frozen=True):
    """What a project stores, in bytes; `level` is ok, warned (from 80 % of its limit on) or full. Without a limit it
    may store what it likes."""

    project: str
    artifacts_bytes: int
    tables_bytes: int
    logs_bytes: int
    limit_bytes: int | None = None
    level: str = "ok"


class QuotaView(Answer, frozen=True):
    version: int
    tree: JSON
    principal: str
    applied_us: int
    held: tuple[Held, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    stored: tuple[Stored, ...] = ()
