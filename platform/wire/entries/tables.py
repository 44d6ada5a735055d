"""What is said of a table, by the TableWriter; key = table."""

from __future__ import annotations

import msgspec

from ..terms import Body


class TableCommitted(Body, frozen=True, tag="table.committed"):
    """`stored` says by how many bytes each project's part of the table has changed."""

    table: str
    snapshot_id: int
    previous_snapshot_id: int | None
    metadata_location: str
    operation: str
    rows_added: int
    rows_total: int
    commit_key: str = ""
    stored: dict[str, int] = msgspec.field(default_factory=dict)


class TableReset(Body, frozen=True, tag="table.reset"):
    table: str
    from_snapshot_id: int | None
    to_snapshot_id: int | None
    metadata_location: str = ""
    stored: dict[str, int] = msgspec.field(default_factory=dict)
