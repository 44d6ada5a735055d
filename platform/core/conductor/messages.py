"""What the Conductor hears (past tense) and what its shell must do (imperative)."""

from __future__ import annotations

from msgspec import Struct

from ...wire import calls
from ...wire.terms import JSON, Failure
from ...wire.types import Entry
from ..inbox import Arrived, Ordered, SeekTo, TopicGap
from ..records.runs import CommandRow
from ..records.steps import CacheEntry
from ..records.storage import StoredArtifact
from ..trigger import Happening


class Followed(Struct, frozen=True):
    """Entries of the log that this machine has not seen, in order; `upto` is the position they end at."""

    entries: tuple[Entry, ...]
    upto: int


class HostJoined(Struct, frozen=True):
    host: str


class HostLost(Struct, frozen=True):
    host: str
    why: str


class Issued(Struct, frozen=True):
    """Commands of a run. From the rows: `happenings`, the events of the types it waits for that were accepted since
    it began, oldest first, up to the log's position `upto`; `reusable`, commands of the runs that this one resumes;
    `cached`, results of steps by their cache key; `children`, the runs that such commands called, by (run, ordinal);
    `charged`, to whom the artifacts that are registered are charged already."""

    run_id: str
    fence: int
    commands: tuple[calls.Command, ...]
    happenings: tuple[Happening, ...] = ()
    upto: int = 0
    reusable: tuple[CommandRow, ...] = ()
    cached: dict[str, CacheEntry] = {}
    children: dict[tuple[str, int], str] = {}
    charged: tuple[StoredArtifact, ...] = ()


class Parked(Struct, frozen=True):
    """The host asks to let go of a run that waits for these commands."""

    run_id: str
    fence: int
    waits: tuple[int, ...]


class RunFunctionEnded(Struct, frozen=True):
    end: calls.RunEnd


class Pinned(Struct, frozen=True):
    """`before` is what the run that this one resumes saw under that name; `meant`, of a model's version or alias, what
    the rows have for it now, or why they have nothing."""

    run_id: str
    kind: str
    name: str
    before: JSON = None
    meant: calls.PinnedModel | str | None = None


class Proposed(Struct, frozen=True):
    grants: tuple[calls.Grant, ...]
    refused: str = ""


class ReclaimsProposed(Struct, frozen=True):
    reclaims: tuple[calls.Reclaim, ...]
    refused: str = ""


class HeldBack(Struct, frozen=True):
    holds: tuple[calls.Hold, ...]


class WorkerJoined(Struct, frozen=True):
    """A worker process has minted its incarnation. `fence` is the attempt it was started for, if any."""

    worker: str
    node: str
    fence: int | None = None
    code_version: str | None = None
    env: tuple[str, ...] = ()


class WorkerLost(Struct, frozen=True):
    """`cause` says more than that it is gone: a signal, or no memory left."""

    worker: str
    why: str
    cause: Failure | None = None


class WorkerNotStarted(Struct, frozen=True):
    """`cause` is set where it is the step's own fault: packages that cannot be installed."""

    fence: int
    why: str
    cause: Failure | None = None


class Started(Struct, frozen=True):
    """This process has loaded its picture. `workers` are those that lived through the restart."""

    workers: tuple[WorkerJoined, ...] = ()


class Claimed(Struct, frozen=True):
    fence: int
    worker: str
    secret: str


class Joined(Struct, frozen=True):
    """A rank of a gang is ready to begin; `address` is `host:port` at which the others would find it."""

    fence: int
    worker: str
    secret: str
    address: str


class Progressed(Struct, frozen=True):
    """The first word from an attempt that runs for a while."""

    fence: int
    worker: str
    started_us: int


class Checkpointed(Struct, frozen=True):
    """An attempt hands over a state from which a later one can go on."""

    fence: int
    worker: str
    state: calls.Payload


class Reported(Struct, frozen=True):
    """`charged`, from the rows: to whom the artifacts among the results are charged already."""

    reports: tuple[calls.Report, ...]
    charged: tuple[StoredArtifact, ...] = ()


class ArtifactsGone(Struct, frozen=True):
    """A collection has taken away what was charged."""

    charged: tuple[StoredArtifact, ...]


class LogsCounted(Struct, frozen=True):
    """What a sweep has found of the logs of each project."""

    size_bytes: dict[str, int]


class LookedUp(Struct, frozen=True):
    """What the rows have kept for a step that waits for their word; None where they have nothing."""

    step_id: str
    entry: CacheEntry | None


class Due(Struct, frozen=True):
    pass


Event = (
    Arrived
    | TopicGap
    | Ordered
    | Followed
    | HostJoined
    | HostLost
    | Issued
    | Parked
    | RunFunctionEnded
    | Pinned
    | Proposed
    | ReclaimsProposed
    | HeldBack
    | WorkerJoined
    | WorkerLost
    | WorkerNotStarted
    | Started
    | Claimed
    | Joined
    | Progressed
    | Checkpointed
    | Reported
    | LookedUp
    | ArtifactsGone
    | LogsCounted
    | Due
)


class StartHost(Struct, frozen=True):
    """A blank FlowHost is wanted."""


class EndHost(Struct, frozen=True):
    """A FlowHost that had nothing to do for a while ends."""

    host: str


class Execute(Struct, frozen=True):
    host: str
    run_id: str
    fence: int


class Deliver(Struct, frozen=True):
    host: str
    answer: calls.Answer


class CloseRun(Struct, frozen=True):
    host: str
    run_id: str
    fence: int
    reason: str


class StartWorker(Struct, frozen=True):
    """A worker is wanted on `node`: for `fence`, or (None) a blank one to have at hand."""

    node: str
    fence: int | None


class Dispatch(Struct, frozen=True):
    """To be run in this order, in one call."""

    worker: str
    fences: tuple[int, ...]


class CancelAttempt(Struct, frozen=True):
    worker: str
    fence: int


class PreemptAttempt(Struct, frozen=True):
    """The worker tells the attempt to save its work, and ends it at `due_us`."""

    worker: str
    fence: int
    due_us: int


class Begin(Struct, frozen=True):
    """All ranks are there: this one begins, with rank 0 at `address`."""

    worker: str
    fence: int
    address: str


class EndWorker(Struct, frozen=True):
    """The process did not do as it was told, or holds devices that its attempt no longer has: it is ended."""

    worker: str


class Wake(Struct, frozen=True):
    """Say `Due` at this time."""

    at_us: int


class LookUp(Struct, frozen=True):
    """Whether the rows have a result for this step, whose inputs are there now: to be told by `LookedUp`."""

    step_id: str
    key: str


Effect = (
    LookUp
    | StartHost
    | EndHost
    | Execute
    | Deliver
    | CloseRun
    | StartWorker
    | Dispatch
    | CancelAttempt
    | PreemptAttempt
    | Begin
    | EndWorker
    | SeekTo
    | Wake
)
