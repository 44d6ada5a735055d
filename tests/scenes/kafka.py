"""Any outside program that sends to a topic: aiokafka and bytes, nothing of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from aiokafka import AIOKafkaProducer

STRUCTURED = [("content-type", b"application/cloudevents+json")]


def event(event_type: str, data: object = None, **attributes: str) -> bytes:
    """A CloudEvent in structured mode."""
    return json.dumps(
        {"specversion": "1.0", "source": "/tests", "type": event_type, "data": data} | attributes
    ).encode()


def send(
    bootstrap: str,
    *values: bytes,
    topic: str = "headwater.events",
    key: str = "tests",
    partition: int | None = None,
) -> None:
    """Returns when all of them are durable, in this order, in that partition or in the key's."""
    asyncio.run(_sent(bootstrap, values, (topic, partition), key))


async def _sent(bootstrap: str, values: tuple[bytes, ...], place: tuple[str, int | None], key: str) -> None:
    settings: Mapping[str, object] = {"acks": "all", "enable_idempotence": True, "max_request_size": 8 << 20}
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **settings)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(place[0], value, key=key.encode(), partition=place[1], headers=STRUCTURED)
    finally:
        await producer.stop()
