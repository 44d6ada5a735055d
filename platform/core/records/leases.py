"""What is lent to an attempt: the Conductor writes it until RELEASING, the GpuPool from then on."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class LeaseState(StrEnum):
    HELD = "HELD"
    RELEASING = "RELEASING"
    FREE = "FREE"
    QUARANTINED = "QUARANTINED"


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A device lent to an attempt, or the part `milli` of it. The key is (fence, device).

    From RELEASING on it knows itself when the attempt ran: it outlives the attempt's row.
    """

    fence: int
    device: str
    node: str
    milli: int
    state: LeaseState = LeaseState.HELD
    run_id: str
    step_id: str
    project: str
    since_us: int
    started_us: int | None = None
    ended_us: int | None = None
    released_us: int | None = None
    freed_us: int | None = None
