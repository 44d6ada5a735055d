"""What is said of a step, by the Conductor; key = run id."""

from __future__ import annotations

from ..terms import Body, Demand, Failure


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
    tier: int = 0


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
    """The place that was kept after a step is free; `fence` is the one under which it was leased. With 0 all are that
    were kept until then: the Conductor was started again, and nobody knows of them any more."""

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
