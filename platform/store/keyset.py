"""Pages of a listing by the key of their last row, so that every page costs the same.

`after` of a page is the `next` of the page before: the key of its last row, as a JSON array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from ..errors import InvalidInput
from ..wire.api.answer import Page

T = TypeVar("T")


def listed(
    rows: Sequence[Any], limit: int, view: Callable[[Any], T], key_of: Callable[[Any], tuple[Any, ...]]
) -> Page[T]:
    """One row more than `limit` was asked for, so that a last page says that it is the last."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(items=[view(row) for row in shown], next=_token(key_of(shown[-1])) if more else None)


def _token(key: tuple[Any, ...]) -> str:
    return msgspec.json.encode(key).decode()


def key_after(after: str, table: sa.Table) -> tuple[Any, ...]:
    columns = table.primary_key.columns
    types = tuple(column.type.python_type for column in columns)
    try:
        return msgspec.json.decode(after, type=tuple[types])  # type: ignore[valid-type]
    except msgspec.DecodeError:
        what = f"after={after[:80]!r} is no place in this listing"
        raise InvalidInput(what, remedy="Send `next` unchanged.") from None
