"""The actor `web`: uvicorn with the API on the actor's own loop, and the hub that the Conductor pushes to."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from importlib import metadata
from typing import Any, Final

import ray
import uvicorn
from ray.exceptions import RayError

from ..actors.courtesy import BESIDE, settle_in
from ..actors.describe import Described
from ..actors.lines.switchboard import Address, Switchboard
from ..actors.names import find, forget
from ..actors.owner import start_or_end
from ..actors.wiring import Wiring
from ..artifacts.files import Files
from ..errors import Conflict, Unavailable
from ..events.kafka import KafkaBus
from ..events.kafka_link import KafkaSettings
from ..events.pace import Pace
from ..store.queries import Queries
from ..wire.calls import Progress
from ..wire.ids import RANDOM_BYTES, uuid7
from ..wire.types import Entry
from .accounts import end_charges, sums_of
from .app import build
from .live import Hub
from .owners import RayOwners
from .seams import Platform, WebSettings

ATTACH_EVERY_S: Final = 2.0
BACKLOG: Final = 1_024

log = logging.getLogger("headwater.web")


class Web:
    """See the module. `start` returns the address once calls are answered, and is idempotent."""

    def __init__(self, wiring: Wiring) -> None:
        settle_in(BESIDE)
        self._wiring = wiring
        self._switchboard = Switchboard(self, wiring.secret)
        self._starting: asyncio.Task[str] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @ray.method
    async def start(self) -> str:
        return await self._started_once()

    async def _started_once(self) -> str:
        if self._starting is None:
            self._starting = asyncio.create_task(start_or_end("web", self._start()))
        return await asyncio.shield(self._starting)

    @ray.method
    async def line(self) -> Address:
        """Where the Conductor speaks to this process, once it has started."""
        await self._started_once()
        return await self._switchboard.address()

    def follow(self, after: int, upto: int, entries: list[Entry]) -> None:
        """A push of the Conductor's hub."""
        self._hub.follow(after, upto, entries)

    def progress(self, items: list[Progress]) -> None:
        self._hub.progress(items)

    @ray.method
    async def describe(self) -> dict[str, Any]:
        return self._described.now()

    async def _start(self) -> str:
        settings = self._wiring.settings
        sock = listen(settings.http.host, self._wiring.http_port)
        queries = Queries(self._wiring.engine(read_only=True))
        self._hub = Hub(queries, buffer_max=settings.web.subscriber_buffer)
        self._described = Described("web", None)
        platform = self._platform(queries)
        app = build(platform)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none",
                                backlog=BACKLOG, timeout_graceful_shutdown=1)  # fmt: skip
        self._server = uvicorn.Server(config)
        self._spawn(self._serve(sock))
        self._spawn(self._attach())
        self._spawn(self._collect(platform))
        self._spawn(self._sweep(platform))
        host, port = sock.getsockname()[:2]
        return f"http://{host}:{port}"

    def _platform(self, queries: Queries) -> Platform:
        wiring = self._wiring
        link = KafkaSettings(
            bootstrap=wiring.bootstrap, client_id="web", deadline_s=wiring.settings.events.publish_within_s
        )
        settings = WebSettings(
            home=wiring.folder,
            token=(wiring.folder / "token").read_text().strip(),
            secret=wiring.secret(),
            version=metadata.version("headwater"),
            inference_url=f"http://{wiring.settings.serve.host}:{wiring.serve_port}",
            bootstrap=wiring.bootstrap,
            started_us=now_us(),
            heartbeat_s=wiring.settings.web.heartbeat_s,
            order_timeout_s=wiring.settings.events.command_within_s,
            event_max_bytes=wiring.settings.events.max_bytes,
            artifacts_keep_us=int(wiring.settings.artifacts.keep_s * 1e6),
            artifacts_grace_us=int(wiring.settings.artifacts.grace_s * 1e6),
            logs_keep_us=int(wiring.settings.logs.keep_s * 1e6),
            logs_total_max_bytes=wiring.settings.logs.total_max_bytes,
        )
        return Platform(
            settings=settings,
            queries=queries,
            hub=self._hub,
            owners=RayOwners(),
            producer=KafkaBus(link).producer(),
            files=Files(wiring.folder / "artifacts"),
            replays=Pace(wiring.settings.events.replays_per_s),
            now_us=now_us,
            new_id=new_id,
        )

    async def _serve(self, sock: socket.socket) -> None:
        """A server that ends, ends the process: Ray starts another."""
        try:
            await self._server.serve(sockets=[sock])
        except asyncio.CancelledError:
            raise
        except BaseException:
            log.exception("The API cannot go on")
        logging.shutdown()
        os._exit(1)

    async def _attach(self) -> None:
        """Keeps Web among the hub's followers, over restarts of the Conductor too, and covers pushes that were lost."""
        while True:
            try:
                await find("conductor").attach.remote("web")
            except (RayError, Unavailable):
                forget("conductor")
            await asyncio.sleep(ATTACH_EVERY_S)
            try:
                await self._hub.tick()
            except Exception:
                log.exception("The log's head could not be read; the next tick tries again")

    async def _collect(self, platform: Platform) -> None:
        """Takes away, now and then, the artifacts that nothing needs any more."""
        while True:
            await asyncio.sleep(self._wiring.settings.artifacts.collect_every_s)
            try:
                taken = await asyncio.to_thread(platform.collector().collect, now_us())
                await end_charges(platform)
            except Exception:
                log.exception("The artifacts could not be collected; the next time tries again")
            else:
                log.info("Collected %d artifacts, %d bytes", len(taken), sum(each.size_bytes for each in taken))

    async def _sweep(self, platform: Platform) -> None:
        """Takes away, now and then, the logs that are too old or too much."""
        while True:
            await asyncio.sleep(self._wiring.settings.logs.sweep_every_s)
            try:
                gone, kept = await asyncio.to_thread(platform.log_keeper().sweep, now_us())
                await platform.owners.logs_counted(await asyncio.to_thread(sums_of, platform.queries, kept))
            except Exception:
                log.exception("The logs of old runs could not be removed; the next time tries again")
            else:
                log.info("Removed %d logs, %d bytes", len(gone), sum(each.size_bytes for each in gone))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; raises Conflict where another process has it."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        what = f"The address {host}:{port} cannot be used: {error.strerror}"
        raise Conflict(what, remedy="Choose another port with --port.") from None
    sock.listen(BACKLOG)
    return sock


def now_us() -> int:
    return time.time_ns() // 1_000


def new_id() -> str:
    return uuid7(now_us(), os.urandom(RANDOM_BYTES))
