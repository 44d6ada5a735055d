"""What the Conductor remembers: one struct for each row it writes. Fields are the columns."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ..wire.calls import Command, Effect, Outcome, Payload, Report
from ..wire.types import JSON, Demand, Failure


class RunState(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    NEEDS_ATTENTION = "NEEDS_ATTENTION"

    @property
    def ended(self) -> bool:
        return self in _ENDED_RUNS


_ENDED_RUNS = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
GOING = frozenset({RunState.RUNNING, RunState.NEEDS_ATTENTION})  # their steps go on


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


class LeaseState(StrEnum):
    HELD = "HELD"
    RELEASING = "RELEASING"
    FREE = "FREE"
    QUARANTINED = "QUARANTINED"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a flow. `seq` is the number of its last log entry; `host_fence` grows with each host.

    `parked` are the commands that it waits for while no host has it; a run inside a run answers the command
    `parent_ordinal` of `parent_id`; one that resumes `resumed_from` does the steps `redo` again, named by name or key.
    Runs of one `slot` (a trigger and a key) are limited together; `priority` is added to that of its steps.
    """

    id: str
    project: str
    flow: str
    code_version: str
    state: RunState = RunState.PENDING
    seq: int = 0
    trigger: str = ""
    event_source: str = ""
    event_id: str = ""
    idempotency_key: str
    principal: str
    parameters: JSON = None
    labels: dict[str, str] = {}
    slot: str = ""
    priority: int = 0
    parent_id: str | None = None
    parent_ordinal: int | None = None
    resumed_from: str | None = None
    redo: tuple[str, ...] = ()
    root_id: str
    depth: int = 0
    host: str | None = None
    host_fence: int = 0
    parked: tuple[int, ...] = ()
    crashes: int = 0
    cancel_reason: str = ""
    result: JSON = None
    failure: Failure | None = None
    created_us: int
    started_us: int | None = None
    ended_us: int | None = None


class CommandRow(msgspec.Struct, frozen=True, kw_only=True):
    """`answered` numbers the outcomes of the run in the order they were recorded; 0 while there is none."""

    run_id: str
    ordinal: int
    kind: str
    name: str
    key: str
    digest: str | None = None
    command: Command
    outcome: Outcome | None = None
    answered: int = 0
    issued_us: int
    ended_us: int | None = None


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """The lost `once` attempt that a step stands still for, as its row was. `gone`: its process was seen to be gone."""

    fence: int
    worker: str
    gone: bool


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a run. Its id is `run_id/ordinal`. `attempts` counts all, `failures` those that eat `retries`,
    `evictions` those that were ended for other steps. An elastic gang goes with `ranks_min` ranks or more.

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


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A device lent to an attempt, or the part `milli` of it. The key is (fence, device)."""

    fence: int
    device: str
    node: str
    milli: int
    state: LeaseState = LeaseState.HELD
    run_id: str
    step_id: str
    project: str
    since_us: int
    released_us: int | None = None
    freed_us: int | None = None


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a step with `cache=True`, for every run that calls it with the same code and inputs."""

    key: str
    project: str
    step_id: str
    payload: Payload
    created_us: int


class StorageUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a project stores, in bytes, and the `level` that was said last: ok, warned or full."""

    project: str
    artifacts_bytes: int = 0
    tables_bytes: int = 0
    logs_bytes: int = 0
    level: str = "ok"


class StoredArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact that is charged to a project. The key is (project, digest)."""

    project: str
    digest: str
    size_bytes: int
    charged_us: int


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """Something due at `due_us`: for a command of a run `sleep`, `wait`, `deadline`, `backoff` or `reclaim`; `cron`,
    whose trigger's id follows in its id; or `gather`, whose gathering's does."""

    id: str
    kind: str
    due_us: int
    run_id: str
    ordinal: int


class TriggerState(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a trigger beside its code: who paused it, and up to when a cron has been served."""

    id: str
    paused: str = ""
    paused_us: int | None = None
    served_us: int = 0


class Gathering(msgspec.Struct, frozen=True, kw_only=True):
    """Events on their way to one run: of a join, a batch or a debounce, for one key of a trigger.

    `state`: OPEN, STARTED (with `run_id`), or ENDED without a run, for `reason`.
    """

    id: str
    trigger: str
    project: str
    key: str
    state: str = "OPEN"
    opened_us: int
    due_us: int
    count: int = 0
    run_id: str = ""
    reason: str = ""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a gathering that is open, as the parameters it gives. Of a join `number` is the member's."""

    gathering_id: str
    number: int
    source: str
    event_id: str
    event_type: str
    parameters: JSON
    labels: dict[str, str] = {}
    principal: str
    depth: int = 0
    root_id: str = ""
    received_us: int


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """What a run saw of a table or model at first use. The key is (run_id, kind, name)."""

    run_id: str
    kind: str
    name: str
    body: JSON
    pinned_us: int


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
