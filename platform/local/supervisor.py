"""One platform on one machine: everything that `up` starts, keeps alive and ends, in order.

    home locked ► store, broker and Ray side by side ► topics ► actors ► ready      Serve and views come beside

The broker and Ray's head are restarted here, a bounded number of times; the actors by Ray. Whatever happens
on the way up, what was started is ended before the error reaches the caller.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..actors.wiring import Wiring
from ..config import Settings
from ..errors import Unavailable
from ..store.claim import Claim, Holder
from ..store.engine import create, sqlite_url
from ..store.postgres import Waits
from ..wire.ids import RANDOM_BYTES, uuid7
from ..wire.topics import TOPICS
from .broker import Broker
from .cast import Cast, quiet_interrupts
from .home import Home, HomeLock, state_of
from .ports import claim
from .ray_head import RayHead
from .ray_processes import Patience

LOOK_EVERY_S = 2.0

Say = Callable[[str, float], None]
"""Told of each part as it comes up: its name, and the seconds it took."""


class Supervisor:
    """A platform on `settings.home`. `start` and `stop` are called once; `run` returns when `stopping` is set."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self.settings, self._say = settings, say
        self.home = Home(settings.home)
        self.stopping = threading.Event()
        self._lock: HomeLock | None = None
        self._broker: Broker | None = None
        self._ray: RayHead | None = None
        self._cast: Cast | None = None
        self._claim: Claim | None = None
        self._restarts: list[float] = []
        self.http_port = self.serve_port = 0

    @property
    def url(self) -> str:
        return f"http://{self.settings.http.host}:{self.http_port}"

    @property
    def inference_url(self) -> str:
        return f"http://{self.settings.serve.host}:{self.serve_port}"

    @property
    def bootstrap(self) -> str:
        return self.settings.kafka.bootstrap or (self._broker.bootstrap if self._broker else "")

    def start(self) -> None:
        """Returns when the platform takes events; raises a HeadwaterError, with nothing left running."""
        try:
            self._start()
        except OSError as error:
            self.stop()
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            what = f"The disk ran full while the platform on {self.home.folder} was starting"
            raise Unavailable(what, remedy="Make room there, or choose another home with --home") from None
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        settings, home = self.settings, self.home
        home.check_room()
        self._lock = home.lock()
        self.http_port = claim(settings.http.port, whose="The API", setting="--port")
        self.serve_port = claim(settings.serve.port, whose="Inference", setting="--serve-port")
        home.token(), home.secret()
        self._ray = RayHead(
            home.below("ray"),
            host=settings.ray.host,
            port=settings.ray.port,
            cpus=settings.ray.cpus or None,
            object_store_bytes=settings.ray.object_store_bytes,
            patience=Patience(settings.ray.ready_within_s, settings.ray.stop_within_s),
            fork_workers=settings.ray.fork_workers,
        )
        with ThreadPoolExecutor(max_workers=3) as pool, quiet_interrupts():
            parts = [pool.submit(self._timed, name, work) for name, work in self._foundations()]
            for part in parts:
                part.result()
            self._put_on_the_cast()
        self._remember()

    def _foundations(self) -> list[tuple[str, Callable[[], object]]]:
        assert self._ray is not None
        parts: list[tuple[str, Callable[[], object]]] = [("store", self._make_store), ("ray", self._ray.start)]
        return [*parts, ("broker", self._start_broker)]

    def _timed(self, name: str, work: Callable[[], object]) -> None:
        began = time.monotonic()
        work()
        self._say(name, time.monotonic() - began)

    @property
    def store_url(self) -> str:
        return self.settings.store.url or sqlite_url(self.home.folder / "store.db")

    def _make_store(self) -> None:
        epoch = uuid7(time.time_ns() // 1_000, os.urandom(RANDOM_BYTES))
        waits = Waits.of(self.settings.store)
        said = f"the home folder {self.home.folder} on {socket.gethostname()}"
        holder = Holder(self.home.instance(), said, self.settings.store.instance_lease_s)
        self._claim = Claim(self.store_url, holder, waits=waits)
        self._claim.take()
        self._claim.keep()
        create(self.store_url, store_epoch=epoch, waits=waits)

    def _start_broker(self) -> None:
        kafka = self.settings.kafka
        if not kafka.bootstrap:
            self._broker = Broker(
                self.home.below("broker"),
                port=kafka.port,
                ready_within_s=kafka.ready_within_s,
                stop_within_s=kafka.stop_within_s,
            )
            self._broker.start(progress=lambda line: self._say(str(line), 0.0))
        asyncio.run(_make_topics(self.bootstrap))

    def _put_on_the_cast(self) -> None:
        assert self._ray is not None
        wiring = Wiring(
            home=str(self.home.folder),
            store_url=self.store_url,
            bootstrap=self.bootstrap,
            settings=self.settings,
            http_port=self.http_port,
            serve_port=self.serve_port,
            gpus=self.settings.gpus,
            instance=self.home.instance() if self._claim is not None and self._claim.is_needed else "",
        )
        self._cast = Cast(wiring, self._ray.address, self._ray.environment)
        self._timed("driver", self._cast.join)
        self._cast.start(self._say, within_s=self.settings.owners.start_within_s)

    def _remember(self) -> None:
        pids = dict(self._ray.pids) if self._ray else {}
        if self._broker is not None and self._broker.pid is not None:
            pids["broker"] = self._broker.pid
        state = state_of(
            url=self.url,
            inference_url=self.inference_url,
            bootstrap=self.bootstrap,
            pids=pids,
            ray=self._ray.address if self._ray else "",
        )
        self.home.write_state(state)

    def run(self) -> None:
        """Keeps the platform alive until `stopping` is set; raises Unavailable where it cannot."""
        while not self.stopping.wait(LOOK_EVERY_S):
            self._look()

    def _look(self) -> None:
        assert self._cast is not None
        assert self._claim is not None
        self._claim.check()
        for name, seconds, error in self._cast.came_beside():
            self._say(f"{name}: {error}" if error else name, seconds)
        if self._broker is not None and self._broker.pid is None:
            self._again("broker", self._broker.start)
        if self._ray is not None and not self._ray.is_alive():
            self._again("ray", self._ray_again)
        for name in self._cast.look_after(silent_after_s=self.settings.owners.silent_after_s):
            self._say(f"{name} was silent and was ended; Ray starts it again", 0.0)

    def _again(self, name: str, start: Callable[[], object]) -> None:
        """Starts a part that died, with backoff, a bounded number of times within the window."""
        owners, now = self.settings.owners, time.monotonic()
        self._restarts = [at for at in self._restarts if now - at < owners.restart_window_s]
        if len(self._restarts) >= owners.restart_limit:
            what = f"The {name} died {len(self._restarts)} times in {owners.restart_window_s:g} s"
            raise Unavailable(what, remedy=f"Its logs are in {self.home.folder}")
        self.stopping.wait(owners.restart_backoff_s * len(self._restarts))
        self._restarts.append(now)
        self._timed(f"{name} again", start)
        self._remember()

    def _ray_again(self) -> None:
        assert self._ray is not None
        assert self._cast is not None
        self._cast.leave()
        self._ray.stop()
        self._ray.start()
        self._put_on_the_cast()

    def stop(self) -> None:
        """Ends all that was started, in order; idempotent. A home that another platform holds is left alone."""
        if self._lock is None:
            return
        self.home.clear_state()
        if self._cast is not None:
            self._cast.stop()
            self._cast.leave()
            self._cast = None
        if self._ray is not None:
            self._ray.stop()
            self._ray = None
        if self._broker is not None:
            self._broker.stop()
            self._broker = None
        if self._claim is not None:
            self._claim.release()
            self._claim = None
        self._lock.release()
        self._lock = None


async def _make_topics(bootstrap: str) -> None:
    from ..events.kafka import KafkaBus
    from ..events.kafka_link import KafkaSettings

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it has to say comes as an exception, once
    bus = KafkaBus(KafkaSettings(bootstrap=bootstrap, client_id="up"))
    try:
        await bus.ensure_topics(TOPICS)
    finally:
        await bus.close()
