"""Where table names lead: the lake that a run, a notebook or a test reads from and appends to.

A run's host sets `current_lake` to one that records what it pins and sends appends to the
TableWriter. Where nobody did, names lead to the embedded lake of the home folder, so that a flow
called directly, or a notebook, needs no platform.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .query import Reader
from .snapshot import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

    from .commit import Committed


@dataclass(frozen=True, slots=True)
class Batches:
    """What is appended: batches, read once, and their schema, known even where there are none."""

    schema: pa.Schema
    batches: Iterable[pa.RecordBatch]


class Lake(Protocol):
    def resolve(self, name: str, snapshot_id: int | None) -> Snapshot:
        """The table's snapshot, pinned: the current one for None. Raises NotFound."""
        ...

    def append(self, name: str, batches: Batches, key: str) -> Committed:
        """The snapshot that holds the batches; the same key again changes nothing. An empty key is made up."""
        ...


@dataclass(frozen=True, slots=True)
class LocalLake:
    """The embedded catalog in a folder; each call opens it and closes it again."""

    folder: Path

    def resolve(self, name: str, snapshot_id: int | None) -> Snapshot:
        from . import catalog

        with catalog.opened(catalog.embedded(self.folder)) as opened:
            return catalog.resolve(opened, name, snapshot_id)

    def append(self, name: str, batches: Batches, key: str) -> Committed:
        from . import catalog, commit

        with catalog.opened(catalog.embedded(self.folder)) as opened:
            append = commit.Append(name, (), key or f"local/{uuid.uuid4().hex}")
            return commit.append_batches(opened, append, batches.schema, batches.batches)


current_lake: ContextVar[Lake | None] = ContextVar("current_lake", default=None)
current_reader: ContextVar[Reader | None] = ContextVar("current_reader", default=None)


def active_lake() -> Lake:
    """The lake of this context, otherwise the embedded one of the home folder."""
    return current_lake.get() or LocalLake(home_folder() / "lake")


def home_folder() -> Path:
    """HEADWATER_HOME, otherwise `.headwater` in the current folder."""
    return Path(os.environ.get("HEADWATER_HOME") or ".headwater")
