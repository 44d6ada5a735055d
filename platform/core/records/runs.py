"""What the Conductor remembers of a run: its row, its commands and what it has pinned. Fields are the columns."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ...wire.calls import Command, Outcome
from ...wire.terms import JSON, Failure


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


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """What a run saw of a table or model at first use. The key is (run_id, kind, name)."""

    run_id: str
    kind: str
    name: str
    body: JSON
    pinned_us: int
