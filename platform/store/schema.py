"""The tables, made from the structs that the owners remember: a field is a column.

Integers are 64-bit, times microseconds UTC, JSON is text. Values that only code reads (payloads,
outcomes, commands) are msgpack. The log's one head row carries every owner's epoch and commits.
"""

from __future__ import annotations

import enum
import typing
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from ..core import inventory
from ..core.records.attempts import Attempt
from ..core.records.inbox import DeadLetter, InboxRow, Offset, OwnerStart, Trying
from ..core.records.leases import Lease
from ..core.records.runs import CommandRow, Pin, Run
from ..core.records.steps import CacheEntry, Step
from ..core.records.storage import StorageUse, StoredArtifact
from ..core.records.triggers import Gathering, Part, Timer, TriggerState
from ..wire import calls

OWNERS: Final = ("conductor", "scheduler", "gpu_pool", "registry", "table_writer")
METADATA: Final = sa.MetaData()
TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Sorted by its bytes on either database: pages go on by key, and a locale would order ids otherwise."""

_PACKED: Final = (calls.Payload, calls.Outcome, calls.Command)


class JsonText(sa.types.TypeDecorator[Any]):
    """A column whose text is JSON. The codec of the row encodes and decodes it, not SQLAlchemy."""

    impl = sa.Text
    cache_ok = True


class Packed(sa.types.TypeDecorator[Any]):
    """A column whose bytes are msgpack. The codec of the row encodes and decodes it."""

    impl = sa.LargeBinary
    cache_ok = True


def _column(name: str, hint: Any, *, key: bool) -> sa.Column[Any]:
    options = [option for option in typing.get_args(hint) if option is not type(None)]
    nullable = len(options) < len(typing.get_args(hint)) if options else hint is Any
    kind = options[0] if len(options) == 1 and nullable else hint
    return sa.Column(name, _type_of(kind), primary_key=key, nullable=nullable and not key)


def _type_of(kind: Any) -> sa.types.TypeEngine[Any]:
    if kind is int:
        return sa.BigInteger()
    if kind is float:
        return sa.Float()
    if kind is bytes:
        return sa.LargeBinary()
    if kind in _PACKED:
        return Packed()
    plain = kind is str or (isinstance(kind, type) and issubclass(kind, enum.StrEnum))
    if plain or typing.get_origin(kind) is typing.Literal:
        return TEXT
    return JsonText()


def _table(
    name: str,
    struct: type[msgspec.Struct],
    keys: tuple[str, ...],
    *rest: sa.schema.SchemaItem,
    fixed: tuple[str, ...] = (),
) -> sa.Table:
    """`fixed` are columns that keep what the first write gave them: an index is left alone where none of its columns is
    written again."""
    hints = typing.get_type_hints(struct)
    columns = [_column(field, hints[field], key=field in keys) for field in struct.__struct_fields__]
    return sa.Table(name, METADATA, *columns, *rest, info={"struct": struct, "keys": keys, "fixed": fixed})


LOG_HEAD: Final = sa.Table(
    "log_head",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("store_epoch", TEXT, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("clean", sa.Integer, nullable=False),
    *(sa.Column(f"{owner}_epoch", sa.BigInteger, nullable=False) for owner in OWNERS),
    *(sa.Column(f"{owner}_commits", sa.BigInteger, nullable=False) for owner in OWNERS),
)

LOG: Final = sa.Table(
    "log",
    METADATA,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("run_id", TEXT),
    sa.Column("seq", sa.BigInteger),
    sa.Column("type", TEXT, nullable=False),
    sa.Column("subject", TEXT, nullable=False),
    sa.Column("project", TEXT, nullable=False),
    sa.Column("principal", TEXT, nullable=False),
    sa.Column("causation", TEXT),
    sa.Column("time_us", sa.BigInteger, nullable=False),
    sa.Column("body", TEXT, nullable=False),
    sa.Column("labels", sa.Text),
    sa.Index("log_by_run", "run_id", "seq", unique=True),
    sa.Index("log_by_causation", "causation"),
    sa.Index("log_by_project", "project", "position"),
)

RUNS: Final = _table(
    "runs",
    Run,
    ("id",),
    sa.UniqueConstraint("idempotency_key", name="run_once"),
    sa.Index("runs_by_state", "state", "id"),
    sa.Index("runs_by_project", "project", "id"),
    sa.Index("runs_by_flow", "flow", "id"),
    sa.Index(
        "runs_by_parent",
        "parent_id",
        sqlite_where=sa.text("parent_id IS NOT NULL"),
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    ),
    fixed=("idempotency_key", "project", "flow", "parent_id"),
)
RUN_TERMS: Final = sa.Table(
    "run_terms",
    METADATA,
    sa.Column("run_id", TEXT, primary_key=True),
    sa.Column("term", TEXT, primary_key=True),
    sa.Index("runs_by_term", "term", "run_id"),
)
COMMANDS: Final = _table("commands", CommandRow, ("run_id", "ordinal"))
STEPS: Final = _table(
    "steps",
    Step,
    ("id",),
    sa.Index("steps_by_run", "run_id", "ordinal"),
    sa.Index("steps_by_state", "state"),
    fixed=("run_id", "ordinal"),
)
ATTEMPTS: Final = _table(
    "attempts",
    Attempt,
    ("fence",),
    sa.Index("attempts_by_step", "step_id"),
    sa.Index("attempts_by_state", "state"),
    sa.Index("attempts_by_run", "run_id"),
    sa.Index(
        "attempts_by_artifact",
        "artifact",
        "fence",
        sqlite_where=sa.text("artifact IS NOT NULL"),
        postgresql_where=sa.text("artifact IS NOT NULL"),
    ),
    fixed=("step_id", "run_id"),
)
LEASES: Final = _table(
    "leases",
    Lease,
    ("fence", "device"),
    sa.Index("leases_by_state", "state"),
    sa.Index(
        "live_leases_by_device",
        "device",
        sqlite_where=sa.text("state <> 'FREE'"),
        postgresql_where=sa.text("state <> 'FREE'"),
    ),
    sa.Index(
        "one_live_lease_a_whole_device",
        "device",
        unique=True,
        sqlite_where=sa.text("state <> 'FREE' AND milli = 1000"),
        postgresql_where=sa.text("state <> 'FREE' AND milli = 1000"),
    ),
)
STORAGE_USE: Final = _table("storage_use", StorageUse, ("project",))
STORED_ARTIFACTS: Final = _table(
    "stored_artifacts",
    StoredArtifact,
    ("project", "digest"),
    sa.Index("stored_artifacts_by_digest", "digest"),
)
TIMERS: Final = _table("timers", Timer, ("id",), sa.Index("timers_by_due", "due_us"))
STEP_CACHE: Final = _table("step_cache", CacheEntry, ("key",))
TRIGGER_STATES: Final = _table("trigger_states", TriggerState, ("id",))
GATHERINGS: Final = _table("gatherings", Gathering, ("id",), sa.Index("gatherings_by_trigger", "trigger", "state"))
PARTS: Final = _table("parts", Part, ("gathering_id", "number"))
PINS: Final = _table("pins", Pin, ("run_id", "kind", "name"))
INBOX: Final = _table(
    "inbox",
    InboxRow,
    ("owner", "source", "id"),
    sa.Index("inbox_by_id", "id"),
    sa.Index("inbox_by_time", "received_us"),
    sa.Index("inbox_by_type", "type", "received_us"),
)
DEAD_LETTERS: Final = _table(
    "dead_letters",
    DeadLetter,
    ("id",),
    sa.Index("dead_letters_by_time", "received_us"),
    sa.Index("dead_letters_by_event", "event_id"),
)
OFFSETS: Final = _table("offsets", Offset, ("owner", "topic", "partition"))
STARTS: Final = _table("starts", OwnerStart, ("owner",))
TRYING: Final = _table("trying", Trying, ("owner", "topic", "partition"))

FLOWS: Final = _table("flows", inventory.FlowRow, ("project", "name"))
CODE_VERSIONS: Final = _table("code_versions", inventory.CodeVersion, ("version",))
MODEL_VERSIONS: Final = _table(
    "model_versions",
    inventory.ModelVersion,
    ("name", "version"),
    sa.UniqueConstraint("run_id", "ordinal", name="version_once"),
)
MODEL_ALIASES: Final = _table("model_aliases", inventory.ModelAlias, ("name", "alias"))
DEPLOYMENTS: Final = _table("deployments", inventory.Deployment, ("name",))
NODES: Final = _table("nodes", inventory.Node, ("id",))
DEVICES: Final = _table("devices", inventory.DeviceRow, ("id",))
QUOTA_TREES: Final = _table("quota_trees", inventory.QuotaTree, ("version",))
QUOTA_NOTES: Final = _table("quota_notes", inventory.QuotaNote, ("name",))
TABLE_HEADS: Final = _table("table_heads", inventory.TableHead, ("name",))
TABLE_SHARES: Final = _table("table_shares", inventory.TableShare, ("table", "project"))
COMMIT_KEYS: Final = _table("commit_keys", inventory.CommitKey, ("table", "key"))
