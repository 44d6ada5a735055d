"""What the API answers about the steps of a run and each try at them."""

from __future__ import annotations

from ..calls import Progress
from ..terms import JSON, Demand, Failure
from .answer import Answer


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
