"""Who may read or write what, and in which form: the one question that every access asks.

The answer is a value and is applied where the plan is made, so that no row and no column that was
refused is ever decoded. The rules come with the governance release; until then everything is
allowed within the project, and the question is already asked at every door.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    READ = "read"
    APPEND = "append"


class ColumnAction(StrEnum):
    """What happens to a column that was asked for."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Decision:
    """`row_filter` is a filter in the table's own words, empty for all rows; `columns` is in the order asked."""

    allowed: bool
    row_filter: str = ""
    columns: tuple[tuple[str, ColumnAction], ...] = ()
    reason: str = ""

    def denied_columns(self) -> tuple[str, ...]:
        return tuple(name for name, action in self.columns if action is ColumnAction.DENY)


def authorize(principal: str, action: Action, table: str, columns: tuple[str, ...], purpose: str) -> Decision:
    """What `principal` may do with `columns` of `table` for `purpose`: everything, in this version."""
    return Decision(allowed=True, columns=tuple((name, ColumnAction.ALLOW) for name in columns))
