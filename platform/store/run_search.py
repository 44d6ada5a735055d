"""Which runs to list, as SQL: each page is a stretch of one index, from the newest run back, at any depth."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from ..core.records.runs import RunState
from ..errors import InvalidInput, did_you_mean
from ..wire.api.runs import RunSummary
from ..wire.ids import RANDOM_BYTES, uuid7
from ..wire.labels import labels_of
from .run_terms import label_term, parameter_term, word_term, words
from .schema import RUN_TERMS, RUNS

_SUMMARY: Final = tuple(RUNS.c[field] for field in RunSummary.__struct_fields__)


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list; what is None or empty does not narrow.

    `since_us` and `until_us` count from the run's creation, the second excluded. `parameters` and `labels` are
    NAME=VALUE, `error` words that are all in what the run failed of: its message, the type and kind of the cause, the
    step.
    """

    project: str | None = None
    flow: str | None = None
    state: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    parameters: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    error: str = ""

    def page(self, *, before: str | None, limit: int) -> sa.Select[Any]:
        """The newest `limit` of them whose id is below `before`."""
        terms = self._terms()
        key: sa.ColumnElement[str] = RUN_TERMS.c.run_id if terms else RUNS.c.id
        where = [*self._columns(), *self._bounds(key, before)]
        statement = sa.select(*_SUMMARY)
        if terms:
            statement = statement.select_from(RUN_TERMS.join(RUNS, RUNS.c.id == RUN_TERMS.c.run_id))
            where += [RUN_TERMS.c.term == terms[0], *map(_has, terms[1:])]
        return statement.where(*where).order_by(key.desc()).limit(limit)

    def _columns(self) -> list[sa.ColumnElement[bool]]:
        if self.state is not None and self.state not in RunState.__members__:
            raise InvalidInput(f"{self.state!r} is no state of a run", remedy=did_you_mean(self.state, RunState))
        exact = {"project": self.project, "flow": self.flow, "state": self.state}
        return [RUNS.c[name] == text for name, text in exact.items() if text is not None]

    def _bounds(self, key: sa.ColumnElement[str], before: str | None) -> list[sa.ColumnElement[bool]]:
        """Times are bounds of the id, which begins with the time of the run's creation."""
        lowest = [] if self.since_us is None else [key >= _first_id(self.since_us)]
        highest = [each for each in (before, None if self.until_us is None else _first_id(self.until_us)) if each]
        return [*lowest, *([key < min(highest)] if highest else [])]

    def _terms(self) -> list[str]:
        labelled = [label_term(name, text) for name, text in labels_of(self.labels).items()]
        return [*map(_parameter, self.parameters), *labelled, *map(word_term, words(self.error))]


def _parameter(text: str) -> str:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InvalidInput(f"parameter={text[:80]!r} names no value", remedy="Write NAME=VALUE.")
    return parameter_term(name, value)


def _has(term: str) -> sa.ColumnElement[bool]:
    other = RUN_TERMS.alias()
    return sa.exists().where(other.c.run_id == RUNS.c.id, other.c.term == term)


def _first_id(time_us: int) -> str:
    return uuid7(max(0, time_us), bytes(RANDOM_BYTES))
