"""The one table of what Headwater says: every type of log entry, and the entry itself.

An entry is one fact in the log. Its `position` numbers the whole store without gaps, its `seq` one
run without gaps. The body's tag is the event's type on Kafka, in server-sent events and in the API.
Changes only add optional fields; anything else is a new type. Readers ignore what they do not know.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

JSON = Any  # a value that came from JSON and goes back to it; nothing looks inside


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """The part of an entry that its type defines."""


class Demand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one rank of a step asks for, in thousandths of a device or core, and bytes; and within which level of
    topology (node, island, rack, block) all ranks must, or should, be."""

    gpus_milli: int = 0
    gpu_model: str | None = None
    cpus_milli: int = 1000
    memory_bytes: int = 0
    ranks: int = 1
    required_level: str | None = None
    preferred_level: str | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something ended badly. `kind`: exception, timeout, out_of_memory, signal, lost, preempted, cancelled,
    code_mismatch, bad_parameters, flow_stuck, crash_loop, loop_detected, refused, impossible, engine_error.
    `frames` holds the user's frames only, as text; `bases` the names of the exception's types, its own first;
    `last_words` the end of what a process wrote that died."""

    kind: str
    message: str
    cause_type: str = ""
    frames: str = ""
    step: str = ""
    bases: tuple[str, ...] = ()
    last_words: str = ""


# Runs: said by the Conductor, key = run id.


class RunAccepted(Body, frozen=True, tag="run.accepted"):
    flow: str
    code_version: str
    trigger: str
    parameters: JSON
    event_source: str = ""
    event_id: str = ""
    parent_id: str | None = None
    depth: int = 0
    root_id: str = ""


class RunStarted(Body, frozen=True, tag="run.started"):
    flow: str
    host: str


class RunSucceeded(Body, frozen=True, tag="run.succeeded"):
    flow: str
    duration_us: int
    result: JSON = None
    depth: int = 0
    root_id: str = ""


class RunFailed(Body, frozen=True, tag="run.failed"):
    flow: str
    duration_us: int
    failure: Failure
    depth: int = 0
    root_id: str = ""


class RunCancelling(Body, frozen=True, tag="run.cancelling"):
    flow: str
    reason: str = ""


class RunCancelled(Body, frozen=True, tag="run.cancelled"):
    flow: str
    duration_us: int
    reason: str = ""
    depth: int = 0
    root_id: str = ""


class RunNeedsAttention(Body, frozen=True, tag="run.needs_attention"):
    flow: str
    failure: Failure
    depth: int = 0
    root_id: str = ""


class RunModelRegistered(Body, frozen=True, tag="run.model_registered"):
    name: str
    version: int


class StepWaiting(Body, frozen=True, tag="step.waiting"):
    """A step whose inputs are there asks for its place."""

    step_id: str
    name: str
    ordinal: int
    priority: int
    demand: Demand
    since_us: int
    max_runtime_s: float | None = None
    once: bool = False
    min_runtime_s: float | None = None
    ranks_min: int = 0
    evictions: int = 0
    flow: str = ""


class StepHeld(Body, frozen=True, tag="step.held"):
    """Why a step cannot go yet, whenever the reason changes."""

    step_id: str
    name: str
    code: str
    reason: str


class StepLeased(Body, frozen=True, tag="step.leased"):
    """`place` is the fence under which its place was leased to another attempt, which it goes along with; else 0.
    `nodes` has one entry for each rank of a gang; `devices` are those of all ranks, in their order."""

    step_id: str
    name: str
    attempt: int
    fence: int
    node: str
    devices: tuple[str, ...]
    demand: Demand
    place: int = 0
    nodes: tuple[str, ...] = ()


class StepStarted(Body, frozen=True, tag="step.started"):
    step_id: str
    name: str
    attempt: int
    fence: int
    worker: str


class StepCheckpointed(Body, frozen=True, tag="step.checkpointed"):
    """What the attempt has done until now is not lost if it ends."""

    step_id: str
    name: str
    attempt: int
    fence: int
    size_bytes: int = 0


class StepPreempting(Body, frozen=True, tag="step.preempting"):
    """The attempt is told to save its work; it ends at the latest `grace_s` later, and its step waits again."""

    step_id: str
    name: str
    attempt: int
    fence: int
    for_step: str
    grace_s: float
    reason: str


class StepSucceeded(Body, frozen=True, tag="step.succeeded"):
    """`kept` says that its place stays taken: the run goes on under it, or `step.place_left` says that it is free."""

    step_id: str
    name: str
    attempt: int
    fence: int
    duration_us: int
    rows: int = 0
    size_bytes: int = 0
    digest: str | None = None
    devices: tuple[str, ...] = ()
    seen_empty: bool = False
    kept: bool = False


class StepPlaceLeft(Body, frozen=True, tag="step.place_left"):
    """The place that was kept after a step is free; `fence` is the one under which it was leased."""

    step_id: str
    name: str
    fence: int


class StepFailed(Body, frozen=True, tag="step.failed"):
    """An attempt that ended badly; `final` says that no other attempt follows."""

    step_id: str
    name: str
    attempt: int
    fence: int
    final: bool
    failure: Failure
    duration_us: int = 0
    devices: tuple[str, ...] = ()
    seen_empty: bool = False


class StepEnded(Body, frozen=True, tag="step.ended"):
    """A step that ends without an attempt of its own to tell of: `skipped` or `cancelled`."""

    step_id: str
    name: str
    state: str
    reason: str


class EventPublished(Body, frozen=True, tag="event.published"):
    """An event that a flow publishes; relayed to `headwater.published`."""

    event_id: str
    event_type: str
    data: JSON
    depth: int = 0
    root_id: str = ""


class TriggerExpired(Body, frozen=True, tag="trigger.expired"):
    """Events that were gathered for one run, and became none."""

    trigger: str
    gathering_id: str
    key: str
    reason: str
    events: tuple[str, ...] = ()


# Flows, models, deployments: asked for by the Conductor, said by the Registry.


class FlowDeployed(Body, frozen=True, tag="flow.deployed"):
    flow: str
    code_version: str
    manifest: JSON


class ModelRequested(Body, frozen=True, tag="model.requested"):
    name: str
    ordinal: int
    digest: str
    runtime: str
    signature: JSON
    metrics: JSON
    size_bytes: int = 0
    code_version: str = ""
    tables: JSON = None
    serving: JSON = None


class ModelRegistered(Body, frozen=True, tag="model.registered"):
    name: str
    version: int
    digest: str
    run_id: str
    ordinal: int
    runtime: str = "onnx"
    signature: JSON = None
    metrics: JSON = None


class ModelAliased(Body, frozen=True, tag="model.aliased"):
    """The alias of a model stands for another version from here on."""

    name: str
    alias: str
    version: int
    previous_version: int | None = None


class ModelRefused(Body, frozen=True, tag="model.refused"):
    name: str
    run_id: str
    ordinal: int
    reason: str


class DeploymentRequested(Body, frozen=True, tag="deployment.requested"):
    name: str
    version: int
    digest: str
    replicas_min: int
    replicas_max: int


class DeploymentReady(Body, frozen=True, tag="deployment.ready"):
    name: str
    version: int
    url: str
    duration_us: int = 0


class DeploymentFailed(Body, frozen=True, tag="deployment.failed"):
    name: str
    version: int
    reason: str


# Tables: said by the TableWriter, key = table.


class TableCommitted(Body, frozen=True, tag="table.committed"):
    """`stored` says by how many bytes each project's part of the table has changed."""

    table: str
    snapshot_id: int
    previous_snapshot_id: int | None
    metadata_location: str
    operation: str
    rows_added: int
    rows_total: int
    commit_key: str = ""
    stored: dict[str, int] = {}


class TableReset(Body, frozen=True, tag="table.reset"):
    table: str
    from_snapshot_id: int | None
    to_snapshot_id: int | None
    metadata_location: str = ""
    stored: dict[str, int] = {}


# Quota and devices: said by the Scheduler and the GpuPool.


class QuotaChanged(Body, frozen=True, tag="quota.changed"):
    version: int
    tree: JSON


class QuotaReclaimed(Body, frozen=True, tag="quota.reclaimed"):
    """What attempt `fence` of `project` has is taken back for `for_step`, decided on this version of the tree."""

    project: str
    step_id: str
    fence: int
    for_step: str
    reason: str
    grace_s: float
    devices: tuple[str, ...]
    tree_version: int


class QuotaStorage(Body, frozen=True, tag="quota.storage"):
    """A project has come to another `level` of its storage quota: ok, warned (from 80 % on) or full."""

    project: str
    level: str
    limit_bytes: int | None
    artifacts_bytes: int
    tables_bytes: int
    logs_bytes: int


class Device(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    model: str
    memory_bytes: int = 0


class NodeJoined(Body, frozen=True, tag="node.joined"):
    node: str
    cpus_milli: int
    memory_bytes: int
    devices: tuple[Device, ...]
    labels: dict[str, str] = {}
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


# What comes in: commands and dead letters, said by whoever owns the inbox.


class CommandDone(Body, frozen=True, tag="command.done"):
    command: str
    result: JSON = None


class CommandRefused(Body, frozen=True, tag="command.refused"):
    command: str
    code: str
    reason: str


class EventRejected(Body, frozen=True, tag="event.rejected"):
    """A dead letter was written; the raw bytes are in its row."""

    dead_letter_id: str
    code: str
    reason: str
    topic: str
    partition: int = -1
    offset: int = -1
    event_id: str = ""
    trigger: str = ""


class EventGivenUp(Body, frozen=True, tag="event.given_up"):
    """A dead letter that nobody has resolved is past its age and leaves the database; its bytes go with it."""

    dead_letter_id: str
    code: str
    reason: str
    topic: str
    received_us: int
    event_source: str = ""
    event_id: str = ""
    trigger: str = ""


class DataGap(Body, frozen=True, tag="data.gap"):
    topic: str
    partition: int
    from_offset: int
    to_offset: int
    reason: str


AnyBody = (
    RunAccepted | RunStarted | RunSucceeded | RunFailed | RunCancelling | RunCancelled | RunNeedsAttention
    | RunModelRegistered | StepWaiting | StepHeld | StepLeased | StepStarted | StepSucceeded | StepFailed | StepEnded
    | StepCheckpointed | StepPreempting | StepPlaceLeft | QuotaReclaimed | QuotaStorage
    | EventPublished | TriggerExpired | FlowDeployed | ModelRequested | ModelRegistered | ModelAliased | ModelRefused
    | DeploymentRequested | DeploymentReady | DeploymentFailed | TableCommitted | TableReset | QuotaChanged | NodeJoined
    | NodeLeft | NodeDrained | DevicesFreed | DeviceQuarantined | CommandDone | CommandRefused | EventRejected
    | EventGivenUp | DataGap
)  # fmt: skip

TERMINAL: Final = frozenset({"run.succeeded", "run.failed", "run.cancelled", "run.needs_attention"})


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An entry before the store has given it a position. `labels` are those of its run."""

    body: AnyBody
    subject: str
    project: str
    principal: str
    time_us: int
    run_id: str | None = None
    seq: int | None = None
    causation: str | None = None
    labels: dict[str, str] | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A fact in the log."""

    position: int
    body: AnyBody
    subject: str
    project: str
    principal: str
    time_us: int
    run_id: str | None = None
    seq: int | None = None
    causation: str | None = None
    labels: dict[str, str] | None = None

    @property
    def type(self) -> str:
        return type_of(self.body)


def type_of(body: Body) -> str:
    """The dotted name of a body's type, as it stands on Kafka."""
    tag = body.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


_BODY: Final = msgspec.json.Decoder(AnyBody)
_ENTRY: Final = msgspec.json.Decoder(Entry)
_ENCODER: Final = msgspec.json.Encoder()


def encode_body(body: Body) -> bytes:
    return _ENCODER.encode(body)


def decode_body(raw: str | bytes) -> AnyBody:
    """The typed body; raises `msgspec.ValidationError` for a type this version does not know."""
    body: AnyBody = _BODY.decode(raw)
    return body


def encode_entry(entry: Entry) -> bytes:
    return _ENCODER.encode(entry)


def decode_entry(raw: str | bytes) -> Entry:
    return _ENTRY.decode(raw)
