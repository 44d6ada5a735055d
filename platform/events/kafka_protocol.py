"""The two Kafka requests that know topics by their id, which aiokafka does not speak: Metadata v12, Fetch v13.

A topic that is deleted and made again under its name has another id. Fetching by id is what keeps a position
of the old one from reading the new one in silence: the broker answers UNKNOWN_TOPIC_ID instead. Both requests
need Kafka 3.1 or later. The layouts are those of Kafka's own MetadataRequest.json and FetchRequest.json.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, ClassVar

import msgspec
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from .bus import Partition

READ_COMMITTED = 1
UNKNOWN_TOPIC_OR_PARTITION = 3
OFFSET_OUT_OF_RANGE = 1
UNKNOWN_TOPIC_ID = 100
INCONSISTENT_TOPIC_ID = 103
NO_TOPIC_ID = "0" * 32


class TopicState(msgspec.Struct, frozen=True):
    """One topic as the cluster has it: its id, and the leader of each partition (-1: none now)."""

    topic_id: str
    leaders: dict[int, int]


class Fetched(msgspec.Struct, frozen=True):
    """What one partition answered: an error code, or bytes of record batches and whose transactions failed."""

    topic_id: str
    partition: int
    error_code: int
    aborted: list[tuple[int, int]]
    batches: bytes


class Wanted(msgspec.Struct, frozen=True):
    """One partition to fetch from, and where."""

    topic_id: str
    partition: Partition
    offset: int
    size_max_bytes: int


class Uuid(AbstractType):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: str) -> bytes:
        return bytes.fromhex(value)

    @classmethod
    def decode(cls, data: BytesIO) -> str:
        return data.read(16).hex()


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY: ClassVar[int] = 3
    API_VERSION: ClassVar[int] = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class MetadataRequest(Request[_MetadataStruct]):  # type: ignore[misc]
    """Asks for the topics by name (None: all). Makes no topic."""

    API_KEY = 3

    def __init__(self, topics: list[str] | None) -> None:
        self._topics = topics

    def build(self, request_struct_class: Any) -> Any:
        names: list[Any] | None = None if self._topics is None else [(NO_TOPIC_ID, name, {}) for name in self._topics]
        return request_struct_class(names, False, False, {})


def topics_of(response: Any) -> dict[str, TopicState]:
    """The topics that exist, by name."""
    found = {}
    for error_code, name, topic_id, _, partitions, *_ in response.topics:
        if error_code == 0:
            found[name] = TopicState(topic_id, {part[1]: part[2] for part in partitions})
    return found


class _FetchResponse(Response):  # type: ignore[misc]
    API_KEY: ClassVar[int] = 1
    API_VERSION: ClassVar[int] = 13
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("session_id", Int32),
        (
            "topics",
            CompactArray(
                ("topic_id", Uuid),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("high_watermark", Int64),
                        ("last_stable_offset", Int64),
                        ("log_start_offset", Int64),
                        (
                            "aborted",
                            CompactArray(("producer_id", Int64), ("first_offset", Int64), ("tags", TaggedFields)),
                        ),
                        ("preferred_read_replica", Int32),
                        ("records", CompactBytes),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _FetchStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 1
    API_VERSION = 13
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _FetchResponse
    SCHEMA = Schema(
        ("replica_id", Int32),
        ("max_wait_ms", Int32),
        ("min_bytes", Int32),
        ("max_bytes", Int32),
        ("isolation_level", Int8),
        ("session_id", Int32),
        ("session_epoch", Int32),
        (
            "topics",
            CompactArray(
                ("topic_id", Uuid),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("current_leader_epoch", Int32),
                        ("fetch_offset", Int64),
                        ("last_fetched_epoch", Int32),
                        ("log_start_offset", Int64),
                        ("max_bytes", Int32),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        (
            "forgotten_topics",
            CompactArray(("topic_id", Uuid), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("rack_id", CompactString("utf-8")),
        ("tags", TaggedFields),
    )


class FetchRequest(Request[_FetchStruct]):  # type: ignore[misc]
    """Asks one broker for records, committed ones only; it waits up to `wait_ms` for the first byte."""

    API_KEY = 1

    def __init__(self, wanted: list[Wanted], *, wait_ms: int, size_max_bytes: int) -> None:
        self._wanted, self._wait_ms, self._size_max_bytes = wanted, wait_ms, size_max_bytes

    def build(self, request_struct_class: Any) -> Any:
        topics: dict[str, list[Any]] = {}
        for one in self._wanted:
            topics.setdefault(one.topic_id, []).append(
                (one.partition.number, -1, one.offset, -1, -1, one.size_max_bytes, {})
            )
        by_id: list[Any] = [(topic_id, partitions, {}) for topic_id, partitions in topics.items()]
        limits = (self._wait_ms, 1, self._size_max_bytes, READ_COMMITTED)
        return request_struct_class(-1, *limits, 0, -1, by_id, [], "", {})


def fetched_of(response: Any) -> list[Fetched]:
    """One answer per partition asked for; an error of the whole response stands for each of none."""
    return [
        Fetched(topic_id, number, error_code, [(one[0], one[1]) for one in aborted or []], batches or b"")
        for topic_id, partitions, _ in response.topics
        for number, error_code, _, _, _, aborted, _, batches, _ in partitions
    ]
