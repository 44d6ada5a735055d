"""What a reader asks of a snapshot: which columns, which rows, and after which snapshot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """`columns` None is all of them; `where` empty is all rows; `since` is exclusive and sees appends only."""

    columns: tuple[str, ...] | None = None
    where: str = ""
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """In whose name and what for the data is read."""

    principal: str = "local"
    purpose: str = ""
