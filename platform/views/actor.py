"""The actor `views`: one Faust app, embedded, that folds `headwater.runs` into windows in memory.

Nothing waits for it and nothing is lost with it: each start reads the topic again under a group of its
own, from its first record, and drops what is older than the windows kept.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import ray

from ..actors.courtesy import LAST, settle_in
from ..actors.describe import Described
from ..actors.owner import start_or_end
from ..actors.wiring import Wiring
from ..wire.envelope import Event, parse
from ..wire.topics import RUNS
from ..wire.types import Entry
from .run_metrics import RunMetrics

STOPPED_WITHIN_S: Final = 5.0

log = logging.getLogger("headwater.views")


@dataclass(slots=True)
class Heard:
    """What `describe` tells of the stream. Nothing waits here: the broker is the mailbox."""

    last_event: str = ""
    last_event_us: int = 0

    def __len__(self) -> int:
        return 0


class Views:
    """See the module. `start` returns once the topic is being read, and is idempotent."""

    def __init__(self, wiring: Wiring) -> None:
        settle_in(LAST)
        settings = wiring.settings.views
        self._bootstrap, self._folder = wiring.bootstrap, wiring.folder / "views"
        self._metrics = RunMetrics(int(settings.window_s * 1e6), int(settings.keep_s * 1e6))
        self._heard = Heard()
        self._described = Described("views", self._heard)
        self._starting: asyncio.Task[None] | None = None
        self._running = AsyncExitStack()

    @ray.method
    async def start(self) -> None:
        if self._starting is None:
            self._starting = asyncio.create_task(start_or_end("views", self._start()))
        await asyncio.shield(self._starting)

    @ray.method
    async def flow_metrics(self) -> list[dict[str, int | str]]:
        return self._metrics.rows()

    @ray.method
    async def describe(self) -> dict[str, Any]:
        return self._described.now()

    async def stop(self) -> None:
        async with asyncio.timeout(STOPPED_WITHIN_S):
            await self._running.aclose()

    async def _start(self) -> None:
        from faust.contrib.asgi import faust_app_running

        app = self._app()
        await self._running.enter_async_context(faust_app_running(app))

    def _app(self) -> Any:
        import faust

        app = faust.App(
            f"headwater-views-{uuid.uuid4().hex[:8]}",
            broker=f"aiokafka://{self._bootstrap}",
            store="memory://",
            datadir=str(self._folder),  # it makes the folder and, with a memory store, keeps nothing in it
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            topic_partitions=RUNS.partitions,
            table_standby_replicas=0,
            consumer_auto_offset_reset="earliest",
        )
        topic = app.topic(RUNS.name, value_serializer="raw", key_serializer="raw", value_type=bytes)

        @app.agent(topic)
        async def fold(stream: Any) -> None:
            async for message in stream.events():
                self._hear(message.message.value, message.headers)

        return app

    def _hear(self, value: bytes, headers: Any) -> None:
        entry = entry_of(value, list(dict(headers or {}).items()))
        if entry is not None:
            self._metrics.hear(entry)
            self._heard.last_event, self._heard.last_event_us = entry.type, time.time_ns() // 1_000


def entry_of(value: bytes, headers: list[tuple[str, bytes | None]]) -> Entry | None:
    """The log entry in a record of `headwater.runs`; None where it is of a type that this version does not know."""
    event = parse(value, headers)
    if not isinstance(event, Event):
        log.warning("A record of %s is no event: %s", RUNS.name, event.sentence)
        return None
    try:
        return msgspec.convert(event.data, Entry)
    except msgspec.ValidationError:
        return None
