"""What the API answers about tables."""

from __future__ import annotations

from ..terms import JSON
from .answer import Answer


class TableView(Answer, frozen=True):
    name: str
    snapshot_id: int | None
    rows_total: int
    columns: JSON
    metadata_location: str
    announced_us: int


class Appended(Answer, frozen=True):
    """The commit that a key stands for: asking again gives the same snapshot, and says `already`."""

    table: str
    snapshot_id: int
    rows_added: int
    rows_total: int
    commit_key: str
    already: bool = False
