"""What is said of a run, by the Conductor; key = run id."""

from __future__ import annotations

from ..terms import JSON, Body, Failure


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
