"""The catalog as the TableWriter uses it: each call opens it, does one thing, and closes it. Blocking, for threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata

from ...config import Data
from ...core.inventory import CommitKey, TableHead
from ...core.table_writer import Author, Seen, SnapshotFact
from ...data import catalog as catalogs
from ...data import commit as commits
from ...data.catalog import CatalogSettings
from ...data.history import Entry, Reset, entry_of, newest_keyed, snapshots_between
from ...data.write import Target
from ...errors import NotFound
from ...sdk.table import Table as Rows
from ...wire.terms import JSON


def catalog_of(home: Path, data: Data) -> CatalogSettings:
    """The catalog of the settings; the embedded one of the home folder where they name none."""
    if not data.catalog_uri:
        return catalogs.embedded(home / "lake")
    properties = {"uri": data.catalog_uri, "warehouse": data.warehouse}
    return CatalogSettings("headwater", {name: value for name, value in properties.items() if value})


class LastCommit(NamedTuple):
    """A commit, and what it has put into one column."""

    key: str
    values: list[Any]


class LakeDesk:
    """Safe for several threads; one table is written by one of them at a time."""

    def __init__(self, settings: CatalogSettings) -> None:
        self._settings = settings

    def tables(self) -> list[str]:
        with self._opened() as catalog:
            return catalogs.list_tables(catalog)

    def prepare(self, table: str, schema: pa.Schema) -> Target:
        """Where and how to write files for the table, which is made where it is not there."""
        with self._opened() as catalog:
            return commits.prepare(catalog, table, schema)

    def commit(self, append: commits.Append) -> commits.Committed:
        with self._opened() as catalog:
            return commits.commit(catalog, append)

    def look(self, table: str, announced: int | None, author: Author | None = None) -> Seen:
        """What the table holds beyond its announced head."""
        try:
            with self._opened() as catalog:
                found = catalogs.load(catalog, table)
        except NotFound:
            return Seen(
                table=table,
                announced=announced,
                current=None,
                line=() if announced is None else None,
                metadata_location="",
                columns=(),
            )
        return _seen(table, found, announced, author)

    def last_commit(self, table: str, prefix: str, column: str) -> LastCommit | None:
        """The newest commit whose key begins so; None where there is none, or no table."""
        try:
            with self._opened() as catalog:
                found = catalogs.load(catalog, table)
        except NotFound:
            return None
        entry = newest_keyed(found.metadata, prefix)
        if entry is None:
            return None
        rows = Rows.pinned(catalogs.snapshot_of(table, found, entry.snapshot_id)).select(column)
        added = rows if entry.parent_id is None else rows.since(entry.parent_id)
        return LastCommit(entry.key, added.to_arrow()[column].to_pylist())

    def answer_again(self, spent: CommitKey, head: TableHead | None) -> dict[str, JSON]:
        """The first answer to a commit key, as far as the table still tells it."""
        fact: Entry | None = None
        try:
            with self._opened() as catalog:
                snapshot = catalogs.load(catalog, spent.table).metadata.snapshot_by_id(spent.snapshot_id)
                fact = entry_of(snapshot) if snapshot else None
        except NotFound:  # the table is gone, the commit was made
            pass
        return {
            "table": spent.table,
            "snapshot_id": spent.snapshot_id,
            "previous_snapshot_id": fact.parent_id if fact else None,
            "metadata_location": head.metadata_location if head else "",
            "operation": fact.operation if fact else "append",
            "rows_added": spent.rows_added,
            "rows_total": (fact.rows_total if fact else None) or (head.rows_total if head else 0),
            "commit_key": spent.key,
            "already": True,
        }

    @contextmanager
    def _opened(self) -> Iterator[Catalog]:
        with catalogs.opened(self._settings) as catalog:
            yield catalog


def _seen(name: str, table: Table, announced: int | None, author: Author | None) -> Seen:
    metadata = table.metadata
    current = metadata.current_snapshot_id
    line = snapshots_between(metadata, announced, current)
    pinned = catalogs.snapshot_of(name, table)
    whole = snapshots_between(metadata, None, current) if isinstance(line, Reset) else ()
    assert not isinstance(whole, Reset)
    return Seen(
        table=name,
        announced=announced,
        current=current,
        line=None if isinstance(line, Reset) else tuple(_fact(entry) for entry in line),
        keyed=tuple(_fact(entry) for entry in whole if entry.key),
        metadata_location=table.metadata_location,
        columns=tuple((column.name, column.type) for column in pinned.columns),
        rows_total=_rows(metadata, current),
        bytes_total=_bytes(metadata, current),
        author=author,
    )


def _fact(entry: Entry) -> SnapshotFact:
    return SnapshotFact(
        id=entry.snapshot_id,
        parent=entry.parent_id,
        operation=entry.operation,
        rows_added=entry.rows_added,
        rows_deleted=entry.rows_deleted,
        rows_total=entry.rows_total,
        committed_us=entry.committed_us,
        key=entry.key,
        project=entry.project,
        bytes_added=entry.bytes_added,
        bytes_removed=entry.bytes_removed,
    )


def _rows(metadata: TableMetadata, current: int | None) -> int:
    snapshot = metadata.snapshot_by_id(current) if current is not None else None
    return (entry_of(snapshot).rows_total or 0) if snapshot else 0


def _bytes(metadata: TableMetadata, current: int | None) -> int:
    snapshot = metadata.snapshot_by_id(current) if current is not None else None
    return (entry_of(snapshot).bytes_total or 0) if snapshot else 0
