"""What Conductor, FlowHosts and Workers tell one another. Values only; every list may be travelled in bulk.

A run's record is its list of commands, numbered by `ordinal`. The host issues them, the Conductor
answers with outcomes; after a crash the record is handed to another host, which plays it back.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from .terms import JSON, Demand, Failure

INLINE_MAX_BYTES: Final = 64 * 1024

CommandKind = Literal[
    "step", "run", "register", "publish", "sleep", "wait_for", "now", "uuid", "random", "first", "result_timeout"
]
Effect = Literal["retry", "once"]


class Payload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value in transit: its bytes inline (at most 64 KiB), or the digest of an artifact that holds them.

    `codec` is `pickle` (protocol 5, with persistent ids for futures), `frames` (the same with its buffers beside it),
    `json`, or that of an artifact codec. `about` says what the value is to those who do not read it.
    """

    codec: str = "pickle"
    inline: bytes | None = None
    digest: str | None = None
    size_bytes: int = 0
    about: JSON = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a command ended: a payload, or a failure. Neither means that it ended with nothing to say."""

    payload: Payload | None = None
    failure: Failure | None = None


class StepCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="step"):
    """`function` is `module:qualname` in the code bundle; `needs` are the ordinals of futures among the arguments."""

    function: str
    arguments: Payload
    needs: tuple[int, ...] = ()
    demand: Demand = Demand()
    priority: int = 0
    retries: int = 0
    backoff_s: float = 1.0
    timeout_s: float | None = None
    max_runtime_s: float | None = None
    min_runtime_s: float | None = None
    ranks_min: int = 0
    tier: int = 0
    effect: Effect = "retry"
    code_digest: str = ""
    retry_on: tuple[str, ...] = ()
    cache: bool = False
    secrets: tuple[str, ...] = ()
    env: tuple[str, ...] = ()


class RunCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="run"):
    """A flow called in a flow: a run of its own, of the same code version. Outcome: what it returned."""

    project: str
    flow: str
    parameters: JSON = None
    code_digest: str = ""


class RegisterCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="register"):
    """Outcome: JSON `{"name", "version"}`. `serving` is None or `{"replicas_min", "replicas_max"}`."""

    name: str
    digest: str
    runtime: str
    signature: JSON = None
    metrics: JSON = None
    size_bytes: int = 0
    serving: JSON = None


class PublishCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="publish"):
    event_type: str
    data: JSON = None


class SleepCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="sleep"):
    duration_us: int


class WaitCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="wait_for"):
    """An event accepted since the run began, each once per run. Outcome: JSON `{"id", "source", "type", "subject",
    "data"}`, or a failure of kind `timeout`."""

    event_type: str
    where: str | None = None
    timeout_us: int | None = None


class FirstCall(msgspec.Struct, frozen=True, kw_only=True, tag="first"):
    """Outcome: JSON ordinal of that command among `of` which ended first. With `again` also among those that the
    command `again`, the `first` before this one, left over: whoever takes one after another names each once."""

    of: tuple[int, ...]
    again: int | None = None


class DeadlineCall(msgspec.Struct, frozen=True, kw_only=True, tag="result_timeout"):
    """Outcome: JSON true where command `of` did not end within `duration_us`."""

    of: int
    duration_us: int


class NowCall(msgspec.Struct, frozen=True, tag="now"):
    """Outcome: JSON microseconds since the epoch."""


class UuidCall(msgspec.Struct, frozen=True, tag="uuid"):
    """Outcome: JSON text."""


class RandomCall(msgspec.Struct, frozen=True, tag="random"):
    """Outcome: JSON float in [0, 1)."""


Call = (
    StepCall
    | RunCall
    | RegisterCall
    | PublishCall
    | SleepCall
    | WaitCall
    | FirstCall
    | DeadlineCall
    | NowCall
    | UuidCall
    | RandomCall
)


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing a flow function asked for. `key` is `name#n` (the n-th of that name) or the user's own;
    `digest` is that of its input by value, None where the input cannot be compared."""

    ordinal: int
    name: str
    key: str
    call: Call
    digest: str | None = None

    @property
    def kind(self) -> str:
        tag = self.call.__struct_config__.tag
        assert isinstance(tag, str)
        return tag


class Recorded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`answered` numbers the outcomes of a run in the order they were recorded, from 1."""

    command: Command
    outcome: Outcome | None = None
    answered: int = 0


class RunOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a FlowHost needs to execute a run, or to take it up again by replay.

    `function` is `module:qualname`; `bundle` is the digest of the code's tree artifact.
    """

    run_id: str
    fence: int
    project: str
    flow: str
    function: str
    code_version: str
    bundle: str
    parameters: JSON
    principal: str
    secret: str
    record: tuple[Recorded, ...] = ()


class RunEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The flow function ended. `preview` is the result as JSON where it has such a form."""

    run_id: str
    fence: int
    outcome: Outcome
    preview: JSON = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of the command `ordinal` of a run, sent to the host that executes it."""

    run_id: str
    fence: int
    ordinal: int
    outcome: Outcome
    answered: int = 0


class GangSeat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The place of one rank among the `world` of its gang, and among the `local_world` on its node."""

    rank: int
    world: int
    local_rank: int
    local_world: int
    node: str
    devices: tuple[str, ...] = ()


class Rendezvous(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a rank that has joined: `host:port` of rank 0 once all are there, empty until then; or why it must
    not begin."""

    address: str = ""
    refused: str = ""


class AttemptOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a Worker needs to run one attempt. `inputs` holds the results that `needs` names."""

    fence: int
    run_id: str
    step_id: str
    ordinal: int
    name: str
    attempt: int
    project: str
    principal: str
    function: str
    code_version: str
    bundle: str
    arguments: Payload
    inputs: dict[int, Payload] = {}
    node: str = ""
    devices: tuple[str, ...] = ()
    gpus_milli: int = 0
    effect: Effect = "retry"
    timeout_s: float | None = None
    secret: str = ""
    checkpoint: Payload | None = None
    secrets: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    memory_bytes: int = 0
    gang: GangSeat | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an attempt ended, from the one worker that ran it. Times in microseconds UTC.

    `seen_empty` says that nothing of the attempt is left on its logical devices; one that was not `begun` is given back
    without having run.
    """

    fence: int
    worker: str
    started_us: int
    ended_us: int
    outcome: Outcome
    rows: int = 0
    peak_memory_bytes: int = 0
    seen_empty: bool = True
    begun: bool = True


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Word from a running attempt: lossy, never in the log, shown live. `rate` is units a second."""

    fence: int
    run_id: str
    step_id: str
    name: str
    attempt: int
    worker: str
    done: float
    total: float | None = None
    rate: float | None = None
    unit: str = "rows"
    note: str = ""
    time_us: int = 0

    @property
    def percent(self) -> float | None:
        """Of the whole; None where nobody knows the whole."""
        return min(100.0, 100.0 * self.done / self.total) if self.total else None

    @property
    def left_s(self) -> float | None:
        """Seconds to the end at this rate; None where rate or whole are unknown."""
        return max(0.0, self.total - self.done) / self.rate if self.total and self.rate else None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """The Scheduler's proposal: this step may go now, there. Of a gang `nodes` has an entry for each rank, and
    `devices` are those of all ranks, in their order."""

    step_id: str
    node: str
    devices: tuple[str, ...]
    tree_version: int
    scheduler_epoch: int
    nodes: tuple[str, ...] = ()


class Reclaim(msgspec.Struct, frozen=True, kw_only=True):
    """The Scheduler's proposal: this attempt saves its work and ends after the grace, for another step."""

    fence: int
    step_id: str
    for_step: str
    grace_s: float
    reason: str
    tree_version: int
    scheduler_epoch: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The Conductor's word on a proposal. `reason` is empty where it was accepted."""

    step_id: str
    fence: int | None = None
    reason: str = ""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Why a step waits, from the Scheduler."""

    step_id: str
    code: str
    reason: str
    final: bool = False  # no node and no quota could ever satisfy it: the step fails


class PinnedTable(msgspec.Struct, frozen=True, kw_only=True):
    """The table as a run sees it: readers open `metadata_location` and never the catalog."""

    name: str
    metadata_location: str
    snapshot_id: int | None


class PinnedModel(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    version: int
    digest: str
    runtime: str
    signature: JSON
    metrics: JSON


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command to one of the owners, the same through its topic and through the API.

    `id` is (source, id) of the CloudEvent; `kind` is its type, `run.start` or `quota.apply` for instance.
    """

    source: str
    id: str
    kind: str
    principal: str
    project: str
    data: JSON = None
    sha256: str = ""
