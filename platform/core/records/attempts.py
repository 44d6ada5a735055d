"""What the Conductor remembers of each try at a step. Fields are the columns."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ...wire.calls import Payload, Report
from ...wire.terms import Demand, Failure


class AttemptState(StrEnum):
    LEASED = "LEASED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    LOST = "LOST"
    CANCELLED = "CANCELLED"
    PREEMPTED = "PREEMPTED"

    @property
    def live(self) -> bool:
        return self in (AttemptState.LEASED, AttemptState.RUNNING)


class Preemption(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt makes way for `for_step`: told to save its work at `told_us`, ended at `due_us` at the latest."""

    for_step: str
    reason: str
    told_us: int
    due_us: int


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rank of a gang: where it is, the incarnation it is bound to, the address at which it has joined, and until
    the whole gang has ended how it ended; from then on whether its worker has said that nothing of it is left."""

    rank: int
    node: str
    devices: tuple[str, ...] = ()
    worker: str | None = None
    address: str = ""
    report: Report | None = None
    seen_empty: bool = False


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at a step, under one fence. `worker` is the incarnation it is bound to, None until one registers;
    `artifact` the digest of its result where that is one; `place` the fence that its place was leased under, where
    that is another attempt's. Of a gang `node` and `worker` are those of rank 0, and `demand.ranks` is how many ranks
    it was given."""

    fence: int
    step_id: str
    run_id: str
    number: int
    state: AttemptState
    node: str
    devices: tuple[str, ...] = ()
    place: int = 0
    demand: Demand
    worker: str | None = None
    secret: str = ""
    leased_us: int
    started_us: int | None = None
    ended_us: int | None = None
    rows: int = 0
    peak_memory_bytes: int = 0
    result: Payload | None = None
    artifact: str | None = None
    failure: Failure | None = None
    preemption: Preemption | None = None
    members: tuple[Member, ...] = ()
