"""Many runs at once, each five times a trivial step and a durable sleep, beside the sleeps. Goal: at most 1.3x.

The events that start them are sent in one go; what counts is the time from the first send to the last run's end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator

from lab import platform, verdict
from speed import loop_s

from headwater.sdk import Client
from headwater.wire.entries.runs import RunFailed, RunSucceeded
from headwater.wire.types import Entry

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
ROUNDS, PAUSE_S = 5, float(sys.argv[2]) if len(sys.argv) > 2 else 4.0
WARM = 5


def main() -> None:
    with platform() as (supervisor, hw):
        told = hw.watch(state=["SUCCEEDED", "FAILED"])
        asyncio.run(sent(supervisor.bootstrap, WARM, rounds=2, pause_s=0.1))
        ended(told, WARM)
        began = time.perf_counter()
        asyncio.run(sent(supervisor.bootstrap, RUNS, rounds=ROUNDS, pause_s=PAUSE_S))
        ended(told, RUNS)
        taken = time.perf_counter() - began
        memory_mb = conductor_mb(hw)
    sleeps = ROUNDS * PAUSE_S
    print(f"loop of 10 M additions {loop_s():.2f} s; {RUNS:,} runs")
    print(f"{'':24}{'s':>9}")
    print(f"{'the sleeps':24}{sleeps:9.2f}")
    print(f"{'first send to last end':24}{taken:9.2f}")
    holds = taken <= 1.3 * sleeps
    verdict("many_runs", value=taken, unit="s", floor=sleeps, goal=1.3, holds=holds, runs=RUNS, conductor_mb=memory_mb)


async def sent(bootstrap: str, count: int, **parameters: float) -> None:
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    headers = [("content-type", b"application/cloudevents+json")]
    event = {"specversion": "1.0", "source": f"/bench/{time.time_ns()}", "type": "bench.rounds", "data": parameters}
    bodies = [json.dumps({**event, "id": str(number)}).encode() for number in range(count)]
    await asyncio.gather(*[await producer.send("headwater.events", body, headers=headers) for body in bodies])
    await producer.stop()


def ended(told: Iterator[Entry], count: int) -> None:
    while count:
        body = next(told).body
        if isinstance(body, RunFailed):
            raise RuntimeError(body.failure.message)
        count -= isinstance(body, RunSucceeded)


def conductor_mb(hw: Client) -> float:
    return next(actor.memory_bytes for actor in hw.actors() if actor.name == "conductor") / 1e6


if __name__ == "__main__":
    main()
