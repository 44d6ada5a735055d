"""What every owner remembers of what it takes in: its inbox, dead letters and offsets. Fields are the columns."""

from __future__ import annotations

import msgspec

from ...wire.terms import JSON


class InboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """An event or command that was taken in. `outcome` tells what became of it, trigger by trigger."""

    owner: str
    source: str
    id: str
    sha256: str
    type: str
    project: str
    principal: str
    topic: str = ""
    partition: int = -1
    offset: int = -1
    received_us: int
    data: JSON = None
    outcome: JSON = None
    duplicates: int = 0


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be taken in, with its raw bytes and the reason. `headers` are (name, base64) pairs.

    `state` is open, replayed (what it became is `run_id`, where it is a run) or discarded.
    """

    id: str
    owner: str
    code: str
    reason: str
    topic: str
    partition: int = -1
    offset: int = -1
    event_source: str = ""
    event_id: str = ""
    event_type: str = ""
    trigger: str = ""
    project: str = ""
    principal: str = ""
    raw: bytes = b""
    headers: JSON = None
    received_us: int
    state: str = "open"
    resolved_by: str = ""
    resolved_us: int | None = None
    run_id: str = ""


class Offset(msgspec.Struct, frozen=True, kw_only=True):
    """How far an owner has read an ordered source: `next` is the first not taken. The log is topic `log`."""

    owner: str
    topic: str
    partition: int
    next: int
    topic_id: str = ""
    halted: str = ""


class OwnerStart(msgspec.Struct, frozen=True, kw_only=True):
    """An owner has started, and not stopped in order since."""

    owner: str
    began_us: int


class Trying(msgspec.Struct, frozen=True, kw_only=True):
    """A record is about to be parsed, for the `count`th time. Void once the partition's `next` lies beyond it."""

    owner: str
    topic: str
    partition: int
    offset: int
    count: int
