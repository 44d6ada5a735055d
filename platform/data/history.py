"""The snapshots of a table in the order they were made: what to announce, and what was appended since.

Only the line of ancestors of a snapshot counts; what was rolled back is not on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from pyiceberg.io import FileIO
from pyiceberg.manifest import ManifestContent, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation, ancestors_of
from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

from ..errors import Conflict
from .snapshot import Snapshot

KEY = "headwater.key"
OFFSETS = "headwater.offsets"
PROJECT = "headwater.project"


@dataclass(frozen=True, slots=True)
class Entry:
    """One snapshot as it is announced; `key`, `project` and `offsets` are empty where another engine made it. The bytes
    are those of its files; `bytes_total` is None where its writer does not count."""

    snapshot_id: int
    parent_id: int | None
    operation: str
    rows_added: int
    rows_deleted: int
    rows_total: int | None
    committed_us: int
    key: str = ""
    offsets: Mapping[str, int] = field(default_factory=dict)
    project: str = ""
    bytes_added: int = 0
    bytes_removed: int = 0
    bytes_total: int | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """The announced head is no ancestor of the current one: the table was rolled back or its history expired."""

    from_id: int
    to_id: int | None


def snapshots_between(metadata: TableMetadata, announced: int | None, current: int | None) -> list[Entry] | Reset:
    """What came after `announced`, up to and with `current`, oldest first; None stands for the empty table."""
    if announced == current:
        return []
    line = _line(metadata, current, until=announced)
    if announced is not None and (not line or line[-1].parent_snapshot_id != announced):
        return Reset(announced, current)
    return [entry_of(snapshot) for snapshot in reversed(line)]


def find_key(metadata: TableMetadata, key: str, announced: int | None) -> Entry | None:
    """The snapshot that committed `key`, sought from the current one back to the announced head."""
    for snapshot in _line(metadata, metadata.current_snapshot_id, until=announced):
        if snapshot.summary is not None and snapshot.summary[KEY] == key:
            return entry_of(snapshot)
    return None


def newest_keyed(metadata: TableMetadata, prefix: str) -> Entry | None:
    """The newest snapshot that was committed under a key that begins so."""
    for snapshot in _line(metadata, metadata.current_snapshot_id, until=None):
        if snapshot.summary is not None and (snapshot.summary[KEY] or "").startswith(prefix):
            return entry_of(snapshot)
    return None


def entry_of(snapshot: IcebergSnapshot) -> Entry:
    summary = snapshot.summary
    said = {} if summary is None else dict(summary.additional_properties)
    total = said.get("total-records")
    return Entry(
        snapshot_id=snapshot.snapshot_id,
        parent_id=snapshot.parent_snapshot_id,
        operation="" if summary is None else summary.operation.value,
        rows_added=int(said.get("added-records", 0)),
        rows_deleted=int(said.get("deleted-records", 0)) + int(said.get("added-position-deletes", 0)),
        rows_total=None if total is None else int(total) - int(said.get("total-position-deletes", 0)),
        committed_us=snapshot.timestamp_ms * 1000,
        key=said.get(KEY, ""),
        offsets=orjson.loads(said.get(OFFSETS, "{}")),
        project=said.get(PROJECT, ""),
        bytes_added=int(said.get("added-files-size", 0)),
        bytes_removed=int(said.get("removed-files-size", 0)),
        bytes_total=int(said["total-files-size"]) if "total-files-size" in said else None,
    )


@dataclass(frozen=True, slots=True)
class Appended:
    """The manifests of some appends, oldest first, and which of their entries belong to them."""

    manifests: list[ManifestFile]
    snapshot_ids: frozenset[int]

    def holds(self, entry: ManifestEntry) -> bool:
        return entry.snapshot_id in self.snapshot_ids and entry.status == ManifestEntryStatus.ADDED


def appended_since(metadata: TableMetadata, snapshot: Snapshot, since: int, io: FileIO) -> Appended:
    """What was appended after `since`. Raises Conflict where rows were also changed or removed, or `since` is foreign.

    Compactions (`replace`) move rows without changing them and are passed over.
    """
    line = _line(metadata, snapshot.snapshot_id, until=since)
    known = line[-1].parent_snapshot_id == since if line else snapshot.snapshot_id == since
    if not known:
        what = f"snapshot {since} is no ancestor of snapshot {snapshot.snapshot_id} of table {snapshot.table}"
        raise Conflict(what, remedy="It was rolled back or expired: read the whole table once and go on from there")
    appends = [entry for entry in reversed(line) if _is_append(entry, snapshot.table, since)]
    ids = frozenset(entry.snapshot_id for entry in appends)
    manifests: dict[str, ManifestFile] = {}
    for entry in appends:
        for manifest in entry.manifests(io):
            if manifest.content is ManifestContent.DATA and manifest.added_snapshot_id in ids:
                manifests[manifest.manifest_path] = manifest
    return Appended(list(manifests.values()), ids)


def _is_append(snapshot: IcebergSnapshot, table: str, since: int) -> bool:
    operation = None if snapshot.summary is None else snapshot.summary.operation
    if operation in (Operation.APPEND, Operation.REPLACE):
        return operation is Operation.APPEND
    said = "of an unknown kind" if operation is None else f"'{operation.value}'"
    what = f"table {table} was not only appended to since {since}: snapshot {snapshot.snapshot_id} is {said}"
    raise Conflict(what, remedy=f"Read the whole table, or only since({snapshot.snapshot_id})")


def _line(metadata: TableMetadata, current: int | None, *, until: int | None) -> list[IcebergSnapshot]:
    """The ancestors of `current`, itself first, back to `until` without it, or to the oldest one kept."""
    line: list[IcebergSnapshot] = []
    head = None if current is None else metadata.snapshot_by_id(current)
    for snapshot in ancestors_of(head, metadata):
        if snapshot.snapshot_id == until:
            break
        line.append(snapshot)
    return line
