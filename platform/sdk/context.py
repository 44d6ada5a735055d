"""Where user code stands: in a flow, in a step, or in neither. Set by whoever calls user code."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..wire.calls import PinnedModel
    from .running.replay import Execution


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a step has come. `total` is None where nobody knows."""

    done: float
    total: float | None = None
    unit: str = ""
    note: str = ""


def _unheard(mark: Mark) -> None:
    """Progress outside the platform goes nowhere."""


def _never() -> bool:
    """Outside the platform nobody takes the place of this code."""
    return False


def _unkept(state: object) -> None:
    """A checkpoint outside the platform is not kept: there is no other attempt that could go on from it."""


@dataclass(frozen=True, slots=True)
class Current:
    """The attempt, or the flow, in which this code runs. In plain Python: a run named `local`.

    In a gang `rank` counts from 0 to `world_size` - 1, `local_rank` on its node, and `master` is an address (host,
    port) on rank 0's node at which the ranks may meet. `restored` is what the last attempt at this step gave to
    `checkpoint`, None where there was none; `secrets` holds those that the step names.
    """

    run_id: str = "local"
    project: str = ""
    step: str = ""
    step_id: str = ""
    attempt: int = 1
    fence: int = 0
    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    master: tuple[str, int] = ("127.0.0.1", 0)
    tell: Callable[[Mark], None] = field(default=_unheard, repr=False)
    keep: Callable[[object], None] = field(default=_unkept, repr=False)
    is_preempted: Callable[[], bool] = field(default=_never, repr=False)
    restored: Any = field(default=None, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def idempotency_key(self) -> str:
        """`run/step`: the same for every attempt at this step, to hand to systems outside."""
        return self.step_id or self.run_id

    @property
    def logger(self) -> logging.Logger:
        return logging.getLogger(self.step or "flow")

    @property
    def preempting(self) -> bool:
        """Whether this attempt makes way for another step: time to call `checkpoint`, which then ends it. It goes on
        elsewhere, as another attempt; without a checkpoint until the grace is over, from the last one before."""
        return self.is_preempted()

    def checkpoint(self, state: object) -> None:
        """Keeps `state` for the next attempt at this step, should this one not get to its end. Returns once it is
        durable; the last one counts. Where this attempt makes way for another step it ends here.
        Of a gang the checkpoint of rank 0 is kept, and given to every rank of the next attempt."""
        self.keep(state)

    def progress(self, done: float, total: float | None = None, *, unit: str = "", note: str = "") -> None:
        """Says how far this step is; at most the latest word of each fifth of a second is passed on."""
        self.tell(Mark(done, total, unit, note))


execution: ContextVar[Execution | None] = ContextVar("execution", default=None)
position: ContextVar[Current | None] = ContextVar("position", default=None)
model_pins: ContextVar[Callable[[str], PinnedModel] | None] = ContextVar("model_pins", default=None)


def current() -> Current:
    """Where this code runs."""
    return position.get() or Current()
