"""The steps of a run with their attempts, by pages, in the order in which they were called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from ..errors import InvalidInput
from ..wire.api.answer import Page
from ..wire.api.steps import StepView
from . import views
from .rows import RowCodec
from .schema import ATTEMPTS, STEPS


def steps_of(
    connection: sa.Connection,
    codecs: Mapping[str, RowCodec[Any]],
    where: sa.ColumnElement[bool],
    *,
    limit: int,
) -> tuple[StepView, ...]:
    """The first `limit` of a run's steps that are there, each with its attempts."""
    chosen = sa.select(STEPS).where(where).order_by(STEPS.c.ordinal).limit(limit)
    rows = [codecs["steps"].struct_of(row) for row in connection.execute(chosen)]
    ids = chosen.with_only_columns(STEPS.c.id).subquery()
    tried = sa.select(ATTEMPTS).where(ATTEMPTS.c.step_id.in_(sa.select(ids.c.id))).order_by(ATTEMPTS.c.fence)
    attempts = [codecs["attempts"].struct_of(row) for row in connection.execute(tried)]
    return views.step_views(rows, attempts)


def after_ordinal(run_id: str, *, after: str | None, name: str | None) -> sa.ColumnElement[bool]:
    """Of the run, later than the step that ended the page before, and of that name where one is given."""
    where = STEPS.c.run_id == run_id
    if after is not None:
        where &= STEPS.c.ordinal > _ordinal(after)
    return where if name is None else where & (STEPS.c.name == name)


def page_of(steps: tuple[StepView, ...], limit: int) -> Page[StepView]:
    """One more than `limit` was asked for, so that a last page says that it is the last."""
    shown = list(steps[:limit])
    return Page(items=shown, next=str(shown[-1].ordinal) if len(steps) > limit else None)


def _ordinal(after: str) -> int:
    if not after.isdecimal() or len(after) > len(str(2**31)):
        raise InvalidInput(f"after={after[:80]!r} is no place in this listing", remedy="Send `next` unchanged.")
    return int(after)
