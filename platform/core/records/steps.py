"""What the Conductor remembers of a step, and of the results that other runs may take. Fields are the columns."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ...wire.calls import Effect, Payload
from ...wire.terms import Demand, Failure


class StepState(StrEnum):
    BLOCKED = "BLOCKED"  # its inputs are not there yet
    WAITING = "WAITING"  # ready, waits for its place
    LEASED = "LEASED"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"
    NEEDS_ATTENTION = "NEEDS_ATTENTION"

    @property
    def ended(self) -> bool:
        return self in _ENDED_STEPS


_ENDED_STEPS = frozenset({StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED})


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """The lost `once` attempt that a step stands still for, as its row was. `gone`: its process was seen to be gone."""

    fence: int
    worker: str
    gone: bool


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a run. Its id is `run_id/ordinal`. `attempts` counts all, `failures` those that eat `retries`,
    `evictions` those that were ended for other steps. An elastic gang goes with `ranks_min` ranks or more.
    `tier` is 0 where it is of its project's.

    `attention` is set while a person has to say what becomes of it; `alone` once it was lost together with others.
    """

    id: str
    run_id: str
    ordinal: int
    project: str
    name: str
    function: str
    code_version: str
    state: StepState
    demand: Demand
    priority: int = 0
    retries: int = 0
    backoff_s: float = 1.0
    timeout_s: float | None = None
    max_runtime_s: float | None = None
    min_runtime_s: float | None = None
    ranks_min: int = 0
    tier: int = 0
    effect: Effect = "retry"
    retry_on: tuple[str, ...] = ()
    code_digest: str = ""
    secrets: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    arguments: Payload
    needs: tuple[int, ...] = ()
    missing: int = 0
    attempts: int = 0
    failures: int = 0
    losses: int = 0
    evictions: int = 0
    alone: bool = False
    held_code: str = ""
    held_reason: str = ""
    checkpoint: Payload | None = None
    checkpoint_us: int | None = None
    attention: Attention | None = None
    failure: Failure | None = None
    created_us: int
    waiting_us: int | None = None
    ended_us: int | None = None


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a step with `cache=True`, for every run that calls it with the same code and inputs."""

    key: str
    project: str
    step_id: str
    payload: Payload
    created_us: int
