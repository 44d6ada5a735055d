"""The API on a real store and the bus in memory, with the owners played by a table of answers."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import uvicorn

from headwater.artifacts.files import Files
from headwater.events.memory import MemoryBus
from headwater.events.pace import Pace
from headwater.store.queries import Queries
from headwater.web.app import build
from headwater.web.live import Hub
from headwater.web.seams import Append, Done, Platform, Refused, WebSettings
from headwater.wire.api.quota import Simulated, StepExplained
from headwater.wire.api.status import ActorView, FlowMetrics
from headwater.wire.api.tables import Appended
from headwater.wire.calls import Order
from headwater.wire.topics import TOPICS

from .store import Story

TOKEN = "secret"


@dataclass
class Orders:
    """An `Owners` that notes what it is asked and answers as told."""

    answers: dict[str, Done | Refused] = field(default_factory=dict)
    placed: list[tuple[str, Order]] = field(default_factory=list)
    appended: list[tuple[Append, int]] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=lambda: {"conductor": "ok"})
    is_silent: bool = False
    explained: dict[str, StepExplained] = field(default_factory=dict)
    scenarios: list[Any] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    log_sums: dict[str, int] = field(default_factory=dict)

    async def order(self, owner: str, order: Order) -> Done | Refused:
        self.placed.append((owner, order))
        if self.is_silent:
            await asyncio.Event().wait()
        return self.answers.get(order.kind, Done(result={"run_id": "r1"}))

    async def append(self, append: Append) -> Appended | Refused:
        with pa.OSFile(append.path) as source:
            rows = pa.ipc.open_stream(source).read_all().num_rows
        self.appended.append((append, rows))
        return Appended(table=append.table, snapshot_id=7, rows_added=rows, rows_total=rows, commit_key=append.key)

    async def artifacts_gone(self, digests: list[str]) -> int:
        self.gone += digests
        return len(digests)

    async def logs_counted(self, size_bytes: dict[str, int]) -> None:
        self.log_sums = size_bytes

    async def describe(self) -> list[ActorView]:
        return [ActorView(name="conductor", state="alive", pid=1)]

    async def ready(self) -> dict[str, str]:
        return self.parts

    async def flow_metrics(self) -> list[FlowMetrics]:
        return [FlowMetrics(flow="eta/train_delay", minute_us=0, started=1, succeeded=1, failed=0)]

    async def explain_step(self, step_id: str) -> StepExplained | None:
        return self.explained.get(step_id)

    async def simulate_quota(self, scenario: dict[str, Any]) -> Simulated:
        self.scenarios.append(scenario)
        return Simulated(starts=("if/1",), ends=(), refused=(), losses=(), usage=[])


@dataclass
class Scene:
    home: Path
    story: Story
    hub: Hub
    owners: Orders
    bus: MemoryBus
    app: Any
    platform: Platform

    def tell(self, *bodies: Any, run: str | None = None, project: str = "eta") -> None:
        """Commits entries and pushes them to the hub, as the Conductor does."""
        for body in bodies:
            entry = self.story.say(body, run=run, project=project)
            self.hub.follow(entry.position - 1, entry.position, [entry])

    def client(self) -> httpx.AsyncClient:
        """In-process, without a socket."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://web", headers=headers)


@asynccontextmanager
async def a_scene(folder: Path, **settings: Any) -> AsyncIterator[Scene]:
    story, bus, owners = Story(folder), MemoryBus(), Orders()
    await bus.ensure_topics(TOPICS)
    reader = story.reader()
    hub = Hub(Queries(reader), buffer_max=settings.pop("buffer_max", 100))
    numbers = itertools.count(1)
    platform = Platform(
        settings=WebSettings(home=folder, token=TOKEN, **settings), queries=Queries(reader), hub=hub, owners=owners,
        producer=bus.producer(), files=Files(folder / "artifacts"), replays=Pace(1_000), now_us=lambda: 0,
        new_id=lambda: f"id-{next(numbers)}",
    )  # fmt: skip
    try:
        yield Scene(folder, story, hub, owners, bus, build(platform), platform)
    finally:
        await bus.close()
        reader.dispose()
        story.close()


@asynccontextmanager
async def listening(app: Any, port: int = 0) -> AsyncIterator[str]:
    """The address of a real server on loopback."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0, ws="none")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:
        await asyncio.sleep(0)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
        sock.close()
