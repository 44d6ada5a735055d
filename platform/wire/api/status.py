"""What the API answers about the platform itself."""

from __future__ import annotations

from .answer import Answer


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
