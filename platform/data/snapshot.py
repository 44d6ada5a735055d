"""A pinned snapshot as it travels: enough to read a table without its catalog, small enough for an argument."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A top-level column; `type` is in Iceberg's words (`long`, `decimal(10, 2)`, `list<string>`)."""

    name: str
    type: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`snapshot_id` is None for a table that nobody has written to; `rows` is None where the writer did not count."""

    table: str
    metadata_location: str
    snapshot_id: int | None
    columns: tuple[Column, ...]
    rows: int | None
