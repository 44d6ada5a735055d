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
def platform(home: Path | None = None) -> Iterator[tuple[Supervisor, Client]]:
    """A platform on free ports with the benchmark's flows deployed; this process has joined its Ray."""
    with tempfile.TemporaryDirectory(prefix="hwbench") as fresh:
        flags = {"home": str(home or Path(fresh) / "home"), "gpus": 1, "http.port": 0, "serve.port": 0}
        supervisor = Supervisor(load(flags=flags), quiet)
        supervisor.start()
        threading.Thread(target=supervisor.run, daemon=True).start()
        try:
            with Client(supervisor.url, supervisor.home.token()) as hw:
                hw.deploy(FLOWS)
                yield supervisor, hw
        finally:
            supervisor.stopping.set()
            supervisor.stop()


def p50(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def p99(samples: Sequence[float]) -> float:
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * 0.99))]


def loop_s() -> float:
    """A Python loop of 10 million integer additions: how fast this machine is today."""
    began, total = time.perf_counter(), 0
    for number in range(10_000_000):
        total += number
    return time.perf_counter() - began


def actor_call_ms(count: int) -> list[float]:
    """Round trips to a bare Ray actor, one after another, in milliseconds."""
    import ray

    class Echo:
        async def echo(self) -> None: ...

    remote: Any = ray.remote(Echo)
    echo = remote.options(num_cpus=0).remote()
    ray.get(echo.echo.remote())
    taken = [_timed(lambda: ray.get(echo.echo.remote())) for _ in range(count)]
    ray.kill(echo)
    return taken


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


def kafka_ms(bootstrap: str, count: int) -> list[float]:
    """From just before a plain producer's send to a plain consumer's receive, in milliseconds."""
    return asyncio.run(_kafka_ms(bootstrap, count))


async def _kafka_ms(bootstrap: str, count: int) -> list[float]:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    topic = f"bench-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await producer.start()
    await consumer.start()
    taken = []
    try:
        for number in range(count + 20):
            began = time.perf_counter()
            sending = asyncio.create_task(producer.send_and_wait(topic, b"x"))
            await consumer.getone()
            if number >= 20:
                taken.append((time.perf_counter() - began) * 1e3)
            await sending
    finally:
        await consumer.stop()
        await producer.stop()
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
