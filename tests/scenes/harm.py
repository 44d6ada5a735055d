"""Faults by seed, done to real processes: killed, stopped for a while, killed at a named point."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import psutil

from headwater import crash
from scenes.life import processes_of

OWNERS = ("ConductorActor", "SchedulerActor", "GpuPoolActor", "RegistryActor", "TableWriterActor", "Web")
PAUSE_S = (2.0, 8.0)
STOPPED_S = (0.5, 12.0)
BETWEEN_FALLS_S = 45.0  # of the broker and of Ray's head: each takes everybody with it
TIMES_MAX = 5


class Harm:
    """Does harm to the platform of a home until it is told to stop, and says what it did."""

    def __init__(self, rng: random.Random, home: Path, points: Path, say: Callable[[str], None]) -> None:
        self._rng, self._home, self._points, self._say = rng, home, points, say
        self._fell = time.monotonic()
        self._asleep: dict[int, psutil.Process] = {}
        self._kinds: dict[str, tuple[int, Callable[[], Awaitable[str]]]] = {
            "kill an owner": (6, lambda: self._kill(*OWNERS)),
            "kill the conductor": (4, lambda: self._kill("ConductorActor")),
            "kill a worker": (4, lambda: self._kill("Worker")),
            "kill a host": (3, lambda: self._kill("FlowHost")),
            "kill the agent": (1, lambda: self._kill("NodeAgent")),
            "stop for a while": (5, lambda: self._stop(*OWNERS, "Worker", "FlowHost")),
            "arm a point": (6, self._arm),
            "arm a stop": (2, lambda: self._arm(crash.STOP)),
            "kill the broker": (1, lambda: self._fall("kafka.Kafka")),
            "kill ray's head": (1, lambda: self._fall("gcs_server")),
        }

    async def run(self, stopping: asyncio.Event) -> None:
        weights = [weight for weight, _ in self._kinds.values()]
        while not stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), self._rng.uniform(*PAUSE_S))
                break
            (kind,) = self._rng.choices(list(self._kinds), weights)
            with suppress(psutil.Error, ProcessLookupError):
                self._say(f"{kind}: {await self._kinds[kind][1]()}")
        self.undo()

    def undo(self) -> None:
        """Whoever was stopped goes on; what is armed and has killed nobody is disarmed."""
        for process in self._asleep.values():
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
        for file in self._points.iterdir():
            file.unlink(missing_ok=True)

    async def _found(self, *names: str) -> list[psutil.Process]:
        living = await asyncio.to_thread(processes_of, self._home.parent)
        return [one for one in living if any(name in title_of(one) for name in names)]

    async def _kill(self, *names: str) -> str:
        found = await self._found(*(f"ray::{name}" for name in names))
        if not found:
            return "none there"
        victim = self._rng.choice(sorted(found, key=lambda one: one.pid))
        title = title_of(victim)
        os.kill(victim.pid, signal.SIGKILL)
        return f"{title} {victim.pid}"

    async def _stop(self, *names: str) -> str:
        found = await self._found(*(f"ray::{name}" for name in names))
        if not found:
            return "none there"
        victim, seconds = self._rng.choice(found), self._rng.uniform(*STOPPED_S)
        title = title_of(victim)
        victim.suspend()
        self._asleep[victim.pid] = victim
        asyncio.get_running_loop().call_later(seconds, self._wake, victim)
        return f"{title} {victim.pid} for {seconds:.1f} s"

    def _wake(self, victim: psutil.Process) -> None:
        self._asleep.pop(victim.pid, None)
        with suppress(psutil.Error):
            victim.resume()

    async def _arm(self, how: str = "") -> str:
        """Who is stopped at a point stays so, until those who watch it end it."""
        point, times = self._rng.choice(crash.POINTS), self._rng.randint(1, TIMES_MAX)
        (self._points / point).write_text(f"{times} {how}".strip())
        return f"{point}, at the {times}. time"

    async def _fall(self, name: str) -> str:
        if time.monotonic() - self._fell < BETWEEN_FALLS_S:
            return "too soon after the last"
        self._fell = time.monotonic()
        found = await self._found(name)
        for one in found:
            os.kill(one.pid, signal.SIGKILL)
        return f"{len(found)} processes"


def title_of(process: psutil.Process) -> str:
    """What Ray calls the process, or that it is the broker."""
    with suppress(psutil.Error):
        words = process.cmdline()
        java = "kafka.Kafka" if "kafka.Kafka" in words else ""
        return java or (words[0] if words else "")
    return ""
