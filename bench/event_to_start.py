"""From just before a client's send to the flow's first line (a), and to its first step's first line (b).

Warm, one event at a time. The floor is Kafka publish to receive plus one Ray actor call, on the same broker and
the same Ray, and in the same rhythm: event, round trip and call in turn, each after the same rest, because a broker
and an actor that have slept for some milliseconds answer later than ones that are asked without a pause.
Goals: (a) p50 at most 2x, (b) p50 at most 3x, the p99 of both at most 10x the floor's p50.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Generator
from typing import NamedTuple

from lab import Echo, KafkaPair, p50, p99, platform, verdict
from speed import loop_s

from headwater.sdk import Client
from headwater.wire.entries.runs import RunFailed, RunSucceeded
from headwater.wire.types import Entry

SAMPLES = int(sys.argv[1]) if len(sys.argv) > 1 else 500
WARM = 20
REST_S = 0.03


class Taken(NamedTuple):
    """Milliseconds, a sample for each event."""

    flow: list[float]
    step: list[float]
    kafka: list[float]
    call: list[float]


async def events(bootstrap: str, hw: Client) -> Taken:
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    told, echo, taken = hw.watch(), Echo(), Taken([], [], [], [])
    try:
        async with KafkaPair(bootstrap) as pair:
            for number in range(WARM + SAMPLES):
                event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/bench", "type": "bench.sent"}
                event["data"] = {"sent_ns": time.time_ns()}  # type: ignore[assignment]
                headers = [("content-type", b"application/cloudevents+json")]
                await producer.send_and_wait("headwater.events", json.dumps(event).encode(), headers=headers)
                result = await asyncio.to_thread(next_result, told)
                await asyncio.sleep(REST_S)
                kafka = await pair.round_trip_ms()
                await asyncio.sleep(REST_S)
                call = await asyncio.to_thread(echo.call_ms)
                await asyncio.sleep(REST_S)
                if number >= WARM:
                    samples = (result["flow"] / 1e6, result["step"] / 1e6, kafka, call)
                    for kept, sample in zip(taken, samples, strict=True):
                        kept.append(sample)
    finally:
        await producer.stop()
        echo.close()
    return taken


def next_result(told: Generator[Entry, None, None]) -> dict[str, int]:
    for entry in told:
        if isinstance(entry.body, RunFailed):
            raise RuntimeError(entry.body.failure.message)
        if isinstance(entry.body, RunSucceeded):
            result: dict[str, int] = entry.body.result
            return result
    raise RuntimeError("the stream ended")


def main() -> None:
    with platform() as (supervisor, hw):
        flow_ms, step_ms, kafka, call = asyncio.run(events(supervisor.bootstrap, hw))
    floor = p50(kafka) + p50(call)
    print(f"loop of 10 M additions {loop_s():.2f} s; {SAMPLES} samples")
    print(f"{'':24}{'p50 ms':>9}{'p99 ms':>9}{'x floor':>9}")
    for name, taken in (("Kafka round trip", kafka), ("Ray actor call", call)):
        print(f"{name:24}{p50(taken):9.2f}{p99(taken):9.2f}")
    for name, taken in (("(a) flow's first line", flow_ms), ("(b) step's first line", step_ms)):
        print(f"{name:24}{p50(taken):9.2f}{p99(taken):9.2f}{p50(taken) / floor:9.2f}")
    slow = max(p99(flow_ms), p99(step_ms)) <= 10 * floor
    holds = p50(flow_ms) <= 2 * floor and p50(step_ms) <= 3 * floor and slow
    verdict(
        "event_to_start",
        value=p50(step_ms),
        unit="ms",
        floor=floor,
        goal=3,
        holds=holds,
        flow_ratio=round(p50(flow_ms) / floor, 3),
        p99_ratio=round(max(p99(flow_ms), p99(step_ms)) / floor, 3),
    )


if __name__ == "__main__":
    main()
