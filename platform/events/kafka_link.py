"""One process's line to a Kafka cluster: connects at first need, asks by node, and connects again when lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.offset import OffsetRequest

from ..errors import Unavailable
from .bus import Partition
from .kafka_protocol import READ_COMMITTED, MetadataRequest, TopicState, topics_of

FAILURES = (KafkaError, OSError, TimeoutError)
EARLIEST, LATEST = -2, -1
CLOSE_S = 2.0


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach Kafka. At rest nothing waits for these numbers: a record is fetched as it lands.

    `deadline_s` bounds every call and is how long a silent broker is borne before Unavailable is raised.
    """

    bootstrap: str
    client_id: str = "headwater"
    deadline_s: float = 10.0
    request_timeout_s: float = 5.0
    retry_s: float = 0.1
    fetch_wait_s: float = 0.25
    topics_every_s: float = 5.0
    partition_fetch_bytes: int = 1 << 20
    fetch_bytes: int = 8 << 20
    compression: str | None = None
    replication: int = 1


class Link:
    """Raises one of FAILURES where the cluster does not answer; the next call tries again."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self._client: Any = None
        self._connecting = asyncio.Lock()

    async def topics(self, names: Iterable[str] | None = None) -> dict[str, TopicState]:
        """The topics that exist now, with ids and leaders, as one broker knows them."""
        return topics_of(await self.ask(None, MetadataRequest(None if names is None else list(names))))

    async def ask(self, node_id: int | None, request: Any, *, line: object = ConnectionGroup.DEFAULT) -> Any:
        """The answer of that node (None: any). Requests of one `line` queue behind each other at the broker."""
        client = await self._connected()
        node = client.get_random_node() if node_id is None else node_id
        return await client.send(node, request, group=line)

    async def offsets(self, partitions: Mapping[Partition, int], which: int) -> dict[Partition, int]:
        """The EARLIEST or LATEST offset of each partition, given its leader; those without an answer are left out."""
        by_leader: dict[int, dict[str, list[tuple[int, int]]]] = {}
        for partition, leader in partitions.items():
            if leader >= 0:
                by_leader.setdefault(leader, {}).setdefault(partition.topic, []).append((partition.number, which))
        found = {}
        for leader, topics in by_leader.items():
            answer = await self.ask(leader, OffsetRequest(-1, READ_COMMITTED, list(topics.items())))
            for topic, parts in answer.topics:
                found.update({Partition(topic, part[0]): part[-1] for part in parts if part[1] == 0})
        return found

    async def commit(self, group: str, positions: Mapping[Partition, int]) -> None:
        """Commits for the group. A coordinator that only now comes up is asked again, until the caller's deadline."""
        while True:
            try:
                return await self._commit(group, positions)
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(self.settings.retry_s)

    async def _commit(self, group: str, positions: Mapping[Partition, int]) -> None:
        client = await self._connected()
        node = await client.coordinator_lookup(CoordinationType.GROUP, group)
        topics: dict[str, list[tuple[int, int, str]]] = {}
        for partition, offset in positions.items():
            topics.setdefault(partition.topic, []).append((partition.number, offset, ""))
        request = OffsetCommitRequest(group, -1, "", -1, list(topics.items()))
        answer = await self.ask(node, request, line=ConnectionGroup.COORDINATION)
        for error_code in (part[1] for _, parts in answer.topics for part in parts):
            if error_code:
                raise for_code(error_code)()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(*FAILURES):
                await asyncio.wait_for(client.close(), CLOSE_S)

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._client is None:
                client = AIOKafkaClient(
                    bootstrap_servers=self.settings.bootstrap,
                    client_id=self.settings.client_id,
                    request_timeout_ms=int(self.settings.request_timeout_s * 1000),
                    retry_backoff_ms=int(self.settings.retry_s * 1000),
                )
                try:
                    await client.bootstrap()
                except FAILURES:
                    await client.close()
                    raise
                self._client = client
        return self._client


def unavailable(settings: KafkaSettings, error: BaseException | None) -> Unavailable:
    """The sentence for a cluster that did not answer in time."""
    cause = f" ({type(error).__name__}: {error})" if error is not None and str(error) else ""
    return Unavailable(
        f"Kafka at {settings.bootstrap} did not answer within {settings.deadline_s:g} s{cause}",
        remedy="Start the broker or correct the bootstrap address; reading and sending go on when it answers",
    )
