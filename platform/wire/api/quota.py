"""What the HTTP API answers about quota: why a step waits, what would happen if, and what was used.

Amounts are in base units: thousandths of GPUs and cores, bytes of memory.
"""

from __future__ import annotations

import msgspec

from ..terms import JSON
from .answer import Answer


class Eta(Answer, frozen=True):
    """When the step may start, by `basis`: what is kept for it, what was declared, or what earlier attempts took."""

    at_us: int
    basis: str


class Lack(Answer, frozen=True):
    """What stands against the step, one for each flavour that it could be charged to.

    Of quota: `bound_by` is the node of the tree that leaves only `room` of the `needed`. Of a place: of `nodes` so many
    are `short`, by reason; `ranks` would fit now, and `largest_milli` is the most GPU that one rank could get.
    """

    flavour: str
    needed: int = 0
    room: int = 0
    bound_by: str = ""
    used: int = 0
    nominal: int = 0
    nodes: int = 0
    short: dict[str, int] = msgspec.field(default_factory=dict)
    ranks: int = 0
    largest_milli: int = 0


class Kept(Answer, frozen=True):
    """The place that is kept for the step, and when it comes free, by `basis`."""

    nodes: tuple[str, ...]
    devices: tuple[str, ...]
    at_us: int | None
    basis: str


class StepExplained(Answer, frozen=True):
    """Why a step waits; `code` is quota, no_place, queue, reserved, no_project or undecided. `ahead` are steps."""

    step_id: str
    project: str
    name: str
    code: str
    sentence: str
    ahead: tuple[str, ...] = ()
    lacks: tuple[Lack, ...] = ()
    kept: Kept | None = None
    eta: Eta | None = None


class Simulate(Answer, frozen=True):
    """A scenario to try: `quota` (a whole tree), `nodes`, `lost`, `drained`, `steps`; docs/quota.md has the keys."""

    scenario: JSON


class Loss(Answer, frozen=True):
    """A project that would hold `amount` more than it is still guaranteed; the `gangs` could be asked back."""

    project: str
    flavour: str
    amount: int
    guaranteed_before: int
    guaranteed_after: int
    gangs: tuple[str, ...] = ()


class WouldWait(Answer, frozen=True):
    step_id: str
    code: str
    sentence: str
    ahead: tuple[str, ...] = ()
    eta: Eta | None = None


class Simulated(Answer, frozen=True):
    """What the scenario would lead to, by step. `homeless` lose their node and are asked for anew; `waits` are those
    of the scenario that would wait; `usage` has each node of the tree as it would be."""

    starts: tuple[str, ...]
    ends: tuple[str, ...]
    refused: tuple[str, ...]
    losses: tuple[Loss, ...]
    usage: JSON
    waits: tuple[WouldWait, ...] = ()
    homeless: tuple[str, ...] = ()


class Used(Answer, frozen=True):
    """One project in one stretch of time, in GPU-milliseconds: a whole device for a second is 1,000.

    `leased`: devices were kept for it. `running`: its code ran on them. `idle`: the rest, waste: until the worker had
    started, and after the end until the device was seen empty.
    """

    project: str
    from_us: int
    to_us: int
    leased_gpu_ms: int
    running_gpu_ms: int
    idle_gpu_ms: int
    attempts: int


class UsageView(Answer, frozen=True):
    """By project and stretch, in order of time; stretches in which nothing was leased are left out."""

    from_us: int
    to_us: int
    bucket_s: int
    items: tuple[Used, ...]
