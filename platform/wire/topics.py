"""The one table of Kafka topics: what each is for, how it is cut, and how long it is kept.

Inbound topics are the input log: Headwater reads them and the outside writes. Outbound topics are projections
of the database's log: Headwater writes them, and could make them again. No owner reads an outbound topic.
A record may be larger than an event may be (`max_message_bytes`), so that an event that is too large arrives
and is answered with a dead letter instead of vanishing at its producer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
MIB: Final = 1 << 20


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Cleanup(StrEnum):
    DELETE = "delete"
    COMPACT = "compact"


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic. `owner` is the actor that reads it (inbound) or whose changes it tells (outbound)."""

    name: str
    direction: Direction
    owner: str
    key: str
    partitions: int = 1
    retention_ms: int = 7 * DAY_MS
    cleanup: Cleanup = Cleanup.DELETE
    max_message_bytes: int = 2 * MIB


EVENTS: Final = Topic(
    name="headwater.events",
    direction=Direction.INBOUND,
    owner="conductor",
    key="the producer's choice; events of one key stay in order",
    partitions=4,
    max_message_bytes=8 * MIB,
)
RUNS: Final = Topic(
    name="headwater.runs", direction=Direction.OUTBOUND, owner="conductor", key="subject (run id)", partitions=4
)
MODELS: Final = Topic(name="headwater.models", direction=Direction.OUTBOUND, owner="registry", key="subject (model)")
TABLES: Final = Topic(
    name="headwater.tables", direction=Direction.OUTBOUND, owner="table_writer", key="subject (table)"
)
QUOTA: Final = Topic(name="headwater.quota", direction=Direction.OUTBOUND, owner="scheduler", key="subject (project)")
GPUS: Final = Topic(name="headwater.gpus", direction=Direction.OUTBOUND, owner="gpu_pool", key="subject (node/device)")
PUBLISHED: Final = Topic(
    name="headwater.published", direction=Direction.OUTBOUND, owner="conductor", key="subject of the event, or its run"
)
RUN_COMMANDS: Final = Topic(
    name="headwater.runs.commands", direction=Direction.INBOUND, owner="conductor", key="subject (run id or flow)"
)
MODEL_COMMANDS: Final = Topic(
    name="headwater.models.commands", direction=Direction.INBOUND, owner="registry", key="subject (model)"
)
QUOTA_COMMANDS: Final = Topic(
    name="headwater.quota.commands", direction=Direction.INBOUND, owner="scheduler", key="subject (project)"
)
GPU_COMMANDS: Final = Topic(
    name="headwater.gpus.commands", direction=Direction.INBOUND, owner="gpu_pool", key="subject (node/device)"
)

TOPICS: Final = (
    EVENTS,
    RUNS,
    MODELS,
    TABLES,
    QUOTA,
    GPUS,
    PUBLISHED,
    RUN_COMMANDS,
    MODEL_COMMANDS,
    QUOTA_COMMANDS,
    GPU_COMMANDS,
)
BY_NAME: Final = {topic.name: topic for topic in TOPICS}
