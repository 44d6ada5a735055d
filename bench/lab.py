"""What the benchmarks share: a platform of their own, floors on the same Ray and Kafka, and a verdict."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headwater.config import load
from headwater.local.supervisor import Supervisor
from headwater.sdk import Client

FLOWS = Path(__file__).parent / "flows"


def quiet(part: str, seconds: float) -> None:
    """Takes what a start tells, and keeps it to itself."""


@contextmanager
def platform(home: Path | None = None, flows: Path = FLOWS, gpus: int = 1) -> Iterator[tuple[Supervisor, Client]]:
    """A platform on free ports with `flows` deployed; this process has joined its Ray."""
    with tempfile.TemporaryDirectory(prefix="hwbench") as fresh:
        flags = {"home": str(home or Path(fresh) / "home"), "gpus": gpus, "http.port": 0, "serve.port": 0}
        supervisor = Supervisor(load(flags=flags), quiet)
        supervisor.start()
        threading.Thread(target=supervisor.run, daemon=True).start()
        try:
            with Client(supervisor.url, supervisor.home.token()) as hw:
                hw.deploy(flows)
                yield supervisor, hw
        finally:
            supervisor.stopping.set()
            supervisor.stop()


def p50(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def p99(samples: Sequence[float]) -> float:
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * 0.99))]


class Echo:
    """A bare Ray actor, to be called."""

    def __init__(self) -> None:
        import ray

        class Echoing:
            async def echo(self) -> None: ...

        remote: Any = ray.remote(Echoing)
        self._actor = remote.options(num_cpus=0).remote()
        self.call_ms()

    def call_ms(self) -> float:
        """One round trip."""
        import ray

        return _timed(lambda: ray.get(self._actor.echo.remote()))

    def close(self) -> None:
        import ray

        ray.kill(self._actor)


def task_ms(count: int) -> list[float]:
    """Round trips of a bare Ray task, one after another, in milliseconds."""
    import ray

    task: Any = ray.remote(lambda: None)
    for _ in range(20):
        ray.get(task.remote())
    return [_timed(lambda: ray.get(task.remote())) for _ in range(count)]


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


class KafkaPair:
    """A plain producer and a plain consumer on a topic of their own."""

    def __init__(self, bootstrap: str) -> None:
        from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

        self._bootstrap, self._topic = bootstrap, f"bench-{uuid.uuid4().hex[:8]}"
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
        self._consumer = AIOKafkaConsumer(self._topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")

    async def __aenter__(self) -> KafkaPair:
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic

        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(self._topic, 1, 1)])
        await admin.close()
        await self._producer.start()
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()
        await self._producer.stop()

    async def round_trip_ms(self) -> float:
        """From just before the send to the receive."""
        began = time.perf_counter()
        sending = asyncio.create_task(self._producer.send_and_wait(self._topic, b"x"))
        await self._consumer.getone()
        taken = (time.perf_counter() - began) * 1e3
        await sending
        return taken


def verdict(bench: str, *, value: float, unit: str, floor: float, goal: float, holds: bool, **more: object) -> None:
    """The closing line, for programs."""
    line = {
        "bench": bench,
        "value": round(value, 3),
        "unit": unit,
        "floor": round(floor, 3),
        "ratio": round(value / floor, 3),
        "goal": goal,
        "holds": holds,
        **more,
    }
    print(json.dumps(line))
