"""What the HTTP API answers: one struct for each noun, the same for server, client and command line.

Times are microseconds UTC. A listing is a `Page`; `next` is the `after=` of the page that follows.
Every failure is `{"error": {"code", "message", "remedy"}}`. Changes only add optional fields.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import msgspec

from .calls import Progress
from .types import JSON, Demand, Failure

T = TypeVar("T")

COMMAND_SOURCE: Final = "/v1"  # of commands that come through the API; one is known as SOURCE/ID
PAGE_MAX: Final = 1_000
PAGE_DEFAULT: Final = 50


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The parent of what is answered: every field is written, so that a reader need not know defaults."""


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    items: list[T]
    next: str | None = None


class Problem(Answer, frozen=True, omit_defaults=True):
    """`file`, `line` and the user's `frames` say where, when a deployed folder is refused; `index` which of a batch."""

    code: str
    message: str
    remedy: str = ""
    file: str = ""
    line: int = 0
    frames: str = ""
    index: int | None = None


class ErrorAnswer(Answer, frozen=True):
    error: Problem


# Runs


class RunSummary(Answer, frozen=True):
    id: str
    project: str
    flow: str
    state: str
    trigger: str
    principal: str
    code_version: str
    created_us: int
    started_us: int | None = None
    ended_us: int | None = None
    parent_id: str | None = None
    labels: dict[str, str] = {}


class AttemptView(Answer, frozen=True):
    """One try at a step. `artifact` is the digest of its result where that is too large for a row; `about` says what
    the result is, of `codec` and `size_bytes`; `preempting` why a living one makes way for another step."""

    fence: int
    number: int
    state: str
    node: str
    devices: tuple[str, ...]
    leased_us: int
    started_us: int | None = None
    ended_us: int | None = None
    rows: int = 0
    peak_memory_bytes: int = 0
    artifact: str | None = None
    codec: str = ""
    size_bytes: int = 0
    about: JSON = None
    failure: Failure | None = None
    preempting: str = ""


class StepView(Answer, frozen=True):
    """`held_code` and `held_reason` say why a waiting step waits. `needs` are the ordinals of the steps that feed it;
    `inputs` says what each argument is; `progress` is the newest word of an attempt that runs."""

    id: str
    ordinal: int
    name: str
    state: str
    demand: Demand
    created_us: int
    waiting_us: int | None = None
    ended_us: int | None = None
    held_code: str = ""
    held_reason: str = ""
    failure: Failure | None = None
    needs: tuple[int, ...] = ()
    inputs: JSON = None
    attempts: tuple[AttemptView, ...] = ()
    progress: Progress | None = None

    @property
    def artifact(self) -> str | None:
        """The digest of the accepted result, where that is an artifact."""
        return next((attempt.artifact for attempt in self.attempts if attempt.state == "SUCCEEDED"), None)


class ArtifactView(Answer, frozen=True):
    """The result of a step. `digest` is empty where it is small and lies in the database; `about` says what it is, and
    `head` shows its beginning where that can be read without running code: Arrow, arrays, JSON and text."""

    digest: str
    codec: str
    size_bytes: int
    run_id: str
    step_id: str
    ordinal: int
    name: str
    project: str
    attempt: int
    created_us: int
    about: JSON = None
    head: JSON = None


class LogText(Answer, frozen=True):
    """What a step's attempt, or the flow itself (`ordinal` -1), wrote from `offset` up to `end` of its log: whole
    lines, mostly. Before it `left_out` bytes of a log over its bound are gone."""

    name: str
    ordinal: int
    attempt: int
    offset: int
    end: int
    text: str
    left_out: int = 0


class Collected(Answer, frozen=True):
    """What a collection of artifacts took, or would take: `largest` are the first of them."""

    dry_run: bool
    count: int
    size_bytes: int
    largest: tuple[str, ...] = ()


class ModelRef(Answer, frozen=True):
    name: str
    version: int


class PinView(Answer, frozen=True):
    """What a run sees of a table or model: decided at first use. `version` is a snapshot's id or a model's number."""

    kind: str
    name: str
    version: int | None = None


class RunDetail(Answer, frozen=True):
    """A run with the first 1,000 of its `steps_total` steps, as they were called. `cursor` is the log's end when read.

    `provenance` is that of its code version: `source` (commit, diff) and `environment` (Python, packages).
    """

    id: str
    project: str
    flow: str
    state: str
    trigger: str
    principal: str
    code_version: str
    created_us: int
    started_us: int | None = None
    ended_us: int | None = None
    parent_id: str | None = None
    root_id: str = ""
    event_source: str = ""
    event_id: str = ""
    cancel_reason: str = ""
    parameters: JSON = None
    result: JSON = None
    failure: Failure | None = None
    steps: tuple[StepView, ...] = ()
    steps_total: int = 0
    models: tuple[ModelRef, ...] = ()
    cursor: str = ""
    resumed_from: str | None = None
    provenance: JSON = None
    labels: dict[str, str] = {}
    pins: tuple[PinView, ...] = ()


class StartRun(Answer, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/runs`. Asking twice with one `key` starts one run."""

    flow: str
    project: str | None = None
    parameters: dict[str, JSON] = {}
    key: str | None = None
    labels: dict[str, str] = {}


class CancelRun(Answer, frozen=True, forbid_unknown_fields=True):
    reason: str = ""


class Started(Answer, frozen=True):
    run_id: str
    command: str


# What is deployed and served


class TriggerView(Answer, frozen=True):
    name: str
    kind: str
    subject: str
    where: str | None = None


class FlowView(Answer, frozen=True):
    """`parameters` is a JSON Schema object."""

    project: str
    name: str
    code_version: str
    doc: str
    parameters: JSON
    triggers: tuple[TriggerView, ...]
    principal: str
    deployed_us: int


class Deployed(Answer, frozen=True):
    """What `POST /v1/deploys` answers: the code version and its flows as `project/flow`."""

    code_version: str
    flows: tuple[str, ...]
    command: str


class ModelView(Answer, frozen=True):
    name: str
    version: int
    project: str
    runtime: str
    digest: str
    size_bytes: int
    signature: JSON
    metrics: JSON
    run_id: str
    code_version: str
    tables: JSON
    principal: str
    registered_us: int
    aliases: tuple[str, ...] = ()


class DeploymentView(Answer, frozen=True):
    name: str
    project: str
    version: int
    state: str
    reason: str
    url: str
    replicas_min: int
    replicas_max: int
    principal: str
    requested_us: int
    ready_us: int | None = None


class TableView(Answer, frozen=True):
    name: str
    snapshot_id: int | None
    rows_total: int
    columns: JSON
    metadata_location: str
    announced_us: int


class Appended(Answer, frozen=True):
    """The commit that a key stands for: asking again gives the same snapshot, and says `already`."""

    table: str
    snapshot_id: int
    rows_added: int
    rows_total: int
    commit_key: str
    already: bool = False


# Quota


class Held(Answer, frozen=True):
    """What a project holds now: `gpus_milli` are thousandths of devices; `used` is by the tree's flavours, in
    thousandths of devices and cores, and bytes."""

    project: str
    devices: tuple[str, ...]
    gpus_milli: int
    runs: int
    used: dict[str, int] = {}


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


# Nodes


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


# Events, commands, actors


class Accepted(Answer, frozen=True):
    """Events that are durable in the broker, in the order sent."""

    ids: tuple[str, ...]


class EventType(Answer, frozen=True):
    """An event type seen or listened for. `flows` are `project/flow`; `example` is the data of the last one."""

    type: str
    publishers: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    seen: int = 0
    last_seen_us: int | None = None
    example: JSON = None


class GapView(Answer, frozen=True):
    """A partition that stands still: its records from `stands_at` on are not there, or of another topic."""

    owner: str
    topic: str
    partition: int
    stands_at: int
    reason: str


class DeadLetterSummary(Answer, frozen=True):
    id: str
    code: str
    reason: str
    topic: str
    partition: int
    offset: int
    event_type: str
    event_id: str
    trigger: str
    project: str
    received_us: int


class DeadLetterDetail(Answer, frozen=True):
    """`raw` is what came, as base64 in JSON; `headers` are (name, base64) pairs."""

    id: str
    code: str
    reason: str
    topic: str
    partition: int
    offset: int
    event_source: str
    event_type: str
    event_id: str
    trigger: str
    project: str
    principal: str
    received_us: int
    raw: bytes
    headers: JSON


class PostOrder(Answer, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/orders`: a command to the owner that its kind belongs to."""

    kind: str
    data: JSON = None
    project: str = ""
    id: str | None = None


class CommandView(Answer, frozen=True):
    """What became of a command: `state` is pending, done or refused."""

    id: str
    state: str
    result: JSON = None
    code: str = ""
    reason: str = ""
    position: int | None = None


class ActorView(Answer, frozen=True):
    """`state` is alive, or why it did not answer."""

    name: str
    state: str
    pid: int = 0
    mailbox: int = 0
    last_event: str = ""
    last_event_us: int = 0
    restarts: int = 0
    memory_bytes: int = 0


class FlowMetrics(Answer, frozen=True):
    """One minute of one flow. Durations are those of the runs that ended in it."""

    flow: str
    minute_us: int
    started: int
    succeeded: int
    failed: int
    duration_us: int = 0
    duration_max_us: int = 0


class Status(Answer, frozen=True):
    version: str
    home: str
    inference_url: str
    bootstrap: str
    store_epoch: str
    position: int
    relayed: int
    started_us: int


class Readiness(Answer, frozen=True):
    """`parts` says for each part that is needed "ok", or what is wrong with it."""

    ready: bool
    parts: dict[str, str]


_ERROR: Final = msgspec.json.Decoder(ErrorAnswer)


def decode_error(raw: bytes) -> Problem | None:
    """The problem in a failed answer; None where the body is something else (another server's page)."""
    try:
        return _ERROR.decode(raw).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
