"""What the API answers about runs, and what it takes to start one."""

from __future__ import annotations

import msgspec

from ..terms import JSON, Failure
from .answer import Answer
from .steps import StepView


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
    labels: dict[str, str] = msgspec.field(default_factory=dict)


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
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    pins: tuple[PinView, ...] = ()


class StartRun(Answer, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/runs`. Asking twice with one `key` starts one run."""

    flow: str
    project: str | None = None
    parameters: dict[str, JSON] = msgspec.field(default_factory=dict)
    key: str | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class CancelRun(Answer, frozen=True, forbid_unknown_fields=True):
    reason: str = ""


class Started(Answer, frozen=True):
    run_id: str
    command: str
