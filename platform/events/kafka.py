"""The bus on Apache Kafka (3.1 or later), by aiokafka.

Producers are idempotent with `acks=all` and no linger: what `send` returned is durable. A broker that is down
shows as Unavailable at the deadline; everything made here connects at first need and goes on when it returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    ProducerClosed,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from ..errors import Conflict, InvalidInput, NotFound
from ..wire.topics import Topic
from .bus import Headers, Landed, Message, Start
from .kafka_link import CLOSE_S, FAILURES, KafkaSettings, Link, unavailable
from .kafka_source import KafkaSource

BATCH_BYTES = 1 << 18
REQUEST_BYTES = 16 << 20  # the topic's own bound decides; this only must not be lower

T = TypeVar("T")


class KafkaBus:
    """A `Bus` on the cluster that the settings name."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self._link = Link(settings)
        self._made: list[KafkaProducer | KafkaSource] = []

    def producer(self) -> KafkaProducer:
        made = KafkaProducer(self.settings, self._link)
        self._made.append(made)
        return made

    def source(self, start: Start) -> KafkaSource:
        made = KafkaSource(Link(self.settings), start)
        self._made.append(made)
        return made

    async def ensure_topics(self, topics: Iterable[Topic]) -> list[str]:
        wanted = {topic.name: topic for topic in topics}
        changed = await self._in_time(self._ensure(wanted))
        await self._in_time(self._until_led(wanted))
        return changed

    async def topic_ids(self) -> dict[str, str]:
        states = await self._in_time(self._link.topics())
        return {name: state.topic_id for name, state in states.items()}

    async def close(self) -> None:
        made, self._made = self._made, []
        await asyncio.gather(*(one.close() for one in made))
        await self._link.close()

    async def _ensure(self, wanted: dict[str, Topic]) -> list[str]:
        there = await self._link.topics()
        missing = [topic for name, topic in wanted.items() if name not in there]
        small = [
            topic for name, topic in wanted.items() if name in there and len(there[name].leaders) < topic.partitions
        ]
        if not missing and not small:
            return []
        admin = AIOKafkaAdminClient(
            bootstrap_servers=self.settings.bootstrap, request_timeout_ms=int(self.settings.request_timeout_s * 1000)
        )
        try:
            await admin.start()
            if missing:
                _require_made(await admin.create_topics([_new_topic(topic, self.settings) for topic in missing]))
            if small:
                await admin.create_partitions({topic.name: NewPartitions(topic.partitions) for topic in small})
        finally:
            await admin.close()
        return [topic.name for topic in (*missing, *small)]

    async def _until_led(self, wanted: dict[str, Topic]) -> None:
        """Waits until every partition has a leader, so that the first send does not meet a topic half made."""
        while True:
            there = await self._link.topics(wanted)
            led = {name: sum(leader >= 0 for leader in state.leaders.values()) for name, state in there.items()}
            if all(led.get(name, 0) >= topic.partitions for name, topic in wanted.items()):
                return
            await asyncio.sleep(self.settings.retry_s / 5)

    async def _in_time(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self.settings.deadline_s):
                return await work
        except FAILURES as error:
            raise unavailable(self.settings, error) from error


class KafkaProducer:
    """A `Producer`. What a failed call had handed over is still sent when the broker returns, in its order."""

    def __init__(self, settings: KafkaSettings, link: Link) -> None:
        self._settings, self._link = settings, link
        self._producer: Any = None
        self._starting = asyncio.Lock()

    async def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Landed:
        return (await self.send_many([Message(topic, key, value, headers)]))[0]

    async def send_many(self, messages: Sequence[Message]) -> list[Landed]:
        last: BaseException | None = None
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                while True:
                    try:
                        return await self._send(messages)
                    except (OSError, KafkaError) as error:
                        last = await self._mended(error, messages)
        except TimeoutError as error:
            raise unavailable(self._settings, last or error) from error

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer)

    async def _send(self, messages: Sequence[Message]) -> list[Landed]:
        producer = await self._started()
        landing = []
        for message in messages:
            landing.append(
                await producer.send(message.topic, message.value, key=message.key, headers=list(message.headers))
            )
        return [Landed(done.partition, done.offset) for done in await asyncio.gather(*landing)]

    async def _started(self) -> Any:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._settings.bootstrap,
                    client_id=self._settings.client_id,
                    enable_idempotence=True,
                    acks="all",
                    linger_ms=0,
                    compression_type=self._settings.compression,
                    max_batch_size=BATCH_BYTES,
                    max_request_size=REQUEST_BYTES,
                    request_timeout_ms=int(self._settings.request_timeout_s * 1000),
                    retry_backoff_ms=int(self._settings.retry_s * 1000),
                )
                try:
                    await producer.start()
                except BaseException:
                    await _stop(producer)
                    raise
                self._producer = producer
        return self._producer

    async def _mended(self, error: BaseException, messages: Sequence[Message]) -> BaseException:
        """The error, once what it broke was put away and sending again makes sense; otherwise raises."""
        if isinstance(error, MessageSizeTooLargeError):
            sizes = max(len(message.value or b"") for message in messages)
            raise InvalidInput(f"A message of {sizes:,} bytes is over the topic's bound", remedy="Send less") from error
        if isinstance(error, UnknownTopicOrPartitionError):
            there = await self._link.topics({message.topic for message in messages})
            gone = sorted({message.topic for message in messages} - set(there))
            if gone:
                raise NotFound(
                    f"The topic '{gone[0]}' does not exist", remedy="Make it with `ensure_topics`"
                ) from error
        if isinstance(error, KafkaError) and not error.retriable:
            await self.close()
        await asyncio.sleep(self._settings.retry_s)
        return error


async def _stop(producer: Any) -> None:
    """Ends a producer, giving what it still holds a moment to leave."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await producer.flush()
    except FAILURES:
        producer._message_accumulator.fail_all(ProducerClosed())  # otherwise `stop` waits for a broker that is gone
    try:
        async with asyncio.timeout(CLOSE_S):
            await producer.stop()
    except (*FAILURES, KeyError):  # KeyError: a batch in flight meets the accumulator that has given it up
        with suppress(*FAILURES):
            await producer.client.close()


def _new_topic(topic: Topic, settings: KafkaSettings) -> Any:
    return NewTopic(
        topic.name,
        topic.partitions,
        settings.replication,
        topic_configs={
            "retention.ms": str(topic.retention_ms),
            "cleanup.policy": topic.cleanup.value,
            "max.message.bytes": str(topic.max_message_bytes),
        },
    )


def _require_made(response: Any) -> None:
    for name, code, *said in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise Conflict(f"The topic '{name}' was not made: {error.__name__} {said}", remedy="See the broker's log")
