"""Which part of the log is read, and what comes of it: pages, and marks of how far it goes."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from ..wire.types import Entry
from .run_terms import label_term
from .schema import LOG, RUN_TERMS, RUNS


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the log: one run's, or what fits all that is given; `types` are types of entries, `labels`
    those that the run has all."""

    run_id: str | None = None
    project: str | None = None
    flow: str | None = None
    types: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()

    def where(self) -> list[sa.ColumnElement[bool]]:
        if self.run_id is not None:
            return [LOG.c.run_id == self.run_id]
        found = [] if self.project is None else [LOG.c.project == self.project]
        if self.flow is not None:
            found.append(LOG.c.run_id.in_(sa.select(RUNS.c.id).where(RUNS.c.flow == self.flow)))
        for label in self.labels:
            labelled = sa.select(RUN_TERMS.c.run_id).where(RUN_TERMS.c.term == label_term(*label))
            found.append(LOG.c.run_id.in_(labelled))
        return [*found, LOG.c.type.in_(self.types)] if self.types else found


class Head(msgspec.Struct, frozen=True):
    store_epoch: str
    position: int


class LogPage(msgspec.Struct, frozen=True):
    """`through` is the position up to which the scope was read: entries of unknown types are passed over."""

    entries: list[Entry]
    through: int


class LogMark(msgspec.Struct, frozen=True):
    position: int
    type: str
