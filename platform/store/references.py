"""What the rows refer to among the artifacts: every code version, model and cache entry, and the runs that are kept.

A run is kept while it goes on, while it needs attention, and for a time after its end; and with it the runs inside it
and the one that it resumes, whatever their age.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa

from ..core.collection import Needs, named_in
from ..core.records.attempts import AttemptState
from ..core.records.runs import RunState
from .engine import reached
from .schema import ATTEMPTS, CODE_VERSIONS, COMMANDS, MODEL_VERSIONS, PINS, RUNS, STEP_CACHE, STEPS

BATCH: Final = 1_000
OVER: Final = tuple(state for state in RunState if state.ended)
_AT_WORK: Final = tuple(state for state in AttemptState if state.live)
_OF_RUNS: Final = (
    RUNS.c.parameters, RUNS.c.result, COMMANDS.c.command, COMMANDS.c.outcome, STEPS.c.arguments, STEPS.c.checkpoint,
    PINS.c.body,
)  # fmt: skip


def references(engine: sa.Engine, *, ended_since_us: int) -> Needs:
    """The digests that rows name, those of runs that ended before that time left out."""
    found: set[str] = set()
    with reached(engine) as connection, connection.begin():
        oldest = sa.select(sa.func.min(ATTEMPTS.c.leased_us)).where(ATTEMPTS.c.state.in_(_AT_WORK))
        at_work_since_us = connection.scalar(oldest)
        for statement in _statements(ended_since_us):
            for value in _values(connection, statement):
                found |= named_in(value)
    return Needs(found, at_work_since_us)


def kept_runs(ended_since_us: int) -> sa.Select[Any]:
    """The ids of the runs that are kept, by themselves or for another."""
    recent = sa.or_(RUNS.c.state.not_in(OVER), RUNS.c.ended_us.is_(None), RUNS.c.ended_us >= ended_since_us)
    kept = sa.select(RUNS.c.id, RUNS.c.resumed_from).where(recent).cte("kept", recursive=True)
    along = sa.or_(RUNS.c.parent_id == kept.c.id, RUNS.c.id == kept.c.resumed_from)
    every = kept.union(sa.select(RUNS.c.id, RUNS.c.resumed_from).join(kept, along))
    return sa.select(every.c.id)


def _statements(ended_since_us: int) -> Iterator[sa.Select[Any]]:
    yield sa.select(CODE_VERSIONS.c.bundle)
    yield sa.select(MODEL_VERSIONS.c.digest)
    yield sa.select(STEP_CACHE.c.payload)
    for column in _OF_RUNS:
        run_id = column.table.c.id if column.table is RUNS else column.table.c.run_id
        yield sa.select(column).where(run_id.in_(kept_runs(ended_since_us)))


def _values(connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[bytes]:
    with connection.execution_options(yield_per=BATCH).execute(statement) as rows:
        for value in rows.scalars():
            if value is not None:
                yield value.encode() if isinstance(value, str) else bytes(value)
