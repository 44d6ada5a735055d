"""What Web needs of the rest: values and Protocols, so that the API runs on real actors and in a test alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from ..artifacts.collector import Collector
from ..artifacts.files import Files
from ..events.bus import Producer
from ..events.pace import Pace
from ..store.queries import Queries
from ..wire.api.quota import Simulated, StepExplained
from ..wire.api.status import ActorView, FlowMetrics
from ..wire.api.tables import Appended
from ..wire.calls import Order
from ..wire.terms import JSON
from .live import Hub
from .log_keeping import LogKeeper

MIB = 1 << 20


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """Rows for a table: an Arrow IPC stream in a file of the spool. `key` is the commit key."""

    table: str
    path: str
    key: str
    project: str
    principal: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """An owner's no to an order."""

    code: str
    reason: str


class Done(msgspec.Struct, frozen=True, kw_only=True):
    result: JSON = None


class Owners(Protocol):
    """The actors. Each call raises Unavailable where its actor does not answer."""

    async def order(self, owner: str, order: Order) -> Done | Refused: ...

    async def append(self, append: Append) -> Appended | Refused: ...

    async def describe(self) -> list[ActorView]: ...

    async def ready(self) -> dict[str, str]:
        """For each owner that is needed "ok", or what is wrong."""

    async def artifacts_gone(self, digests: list[str]) -> int:
        """How many charges of artifacts have ended that are not there any more."""

    async def logs_counted(self, size_bytes: dict[str, int]) -> None:
        """The bytes of logs of each project, as a sweep has found them."""

    async def flow_metrics(self) -> list[FlowMetrics]: ...

    async def explain_step(self, step_id: str) -> StepExplained | None:
        """Why the step waits; None where it does not."""

    async def simulate_quota(self, scenario: dict[str, JSON]) -> Simulated:
        """What the scenario would lead to. Raises InvalidInput naming what does not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Bounds and waits of the API, and what it says of the platform it belongs to."""

    home: Path
    token: str
    secret: bytes = b""
    version: str = "0"
    inference_url: str = ""
    bootstrap: str = ""
    started_us: int = 0
    heartbeat_s: float = 15.0
    order_timeout_s: float = 10.0
    event_max_bytes: int = MIB
    deploy_max_bytes: int = 64 * MIB
    append_max_bytes: int = 16 * 1024 * MIB
    artifacts_keep_us: int = 30 * 86_400_000_000
    artifacts_grace_us: int = 86_400_000_000
    logs_keep_us: int = 30 * 86_400_000_000
    logs_total_max_bytes: int = 10 * 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    settings: WebSettings
    queries: Queries
    hub: Hub
    owners: Owners
    producer: Producer
    files: Files
    replays: Pace
    now_us: Callable[[], int]
    new_id: Callable[[], str]

    def collector(self) -> Collector:
        settings = self.settings
        return Collector(self.files, self.queries.references, settings.artifacts_keep_us, settings.artifacts_grace_us)

    @property
    def log_folder(self) -> Path:
        """With a folder for each run."""
        return self.settings.home / "logs" / "runs"

    def log_keeper(self) -> LogKeeper:
        settings = self.settings
        return LogKeeper(self.log_folder, self.queries, settings.logs_keep_us, settings.logs_total_max_bytes)


OWNER_OF: dict[str, str] = {
    "run": "conductor",
    "trigger": "conductor",
    "letter": "conductor",
    "event": "conductor",
    "quota": "scheduler",
    "gpu": "gpu_pool",
    "node": "gpu_pool",
    "device": "gpu_pool",
    "code": "registry",
    "model": "registry",
    "deployment": "registry",
    "table": "table_writer",
}
