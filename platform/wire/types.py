"""The one table of what Headwater says: every type of log entry, and the entry itself.

An entry is one fact in the log. Its `position` numbers the whole store without gaps, its `seq` one
run without gaps. The body's tag is the event's type on Kafka, in server-sent events and in the API.
Changes only add optional fields; anything else is a new type. Readers ignore what they do not know.
"""

from __future__ import annotations

from typing import Final

import msgspec

from .entries.events import (
    CommandDone,
    CommandRefused,
    DataGap,
    EventGivenUp,
    EventPublished,
    EventRejected,
    TriggerExpired,
)
from .entries.models import (
    DeploymentFailed,
    DeploymentReady,
    DeploymentRequested,
    FlowDeployed,
    ModelAliased,
    ModelRefused,
    ModelRegistered,
    ModelRequested,
)
from .entries.nodes import DeviceQuarantined, DevicesFreed, NodeDrained, NodeJoined, NodeLeft
from .entries.quota import QuotaChanged, QuotaReclaimed, QuotaStorage
from .entries.runs import (
    RunAccepted,
    RunCancelled,
    RunCancelling,
    RunFailed,
    RunModelRegistered,
    RunNeedsAttention,
    RunStarted,
    RunSucceeded,
)
from .entries.steps import (
    StepCheckpointed,
    StepEnded,
    StepFailed,
    StepHeld,
    StepLeased,
    StepPlaceLeft,
    StepPreempting,
    StepStarted,
    StepSucceeded,
    StepWaiting,
)
from .entries.tables import TableCommitted, TableReset
from .terms import Body

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
