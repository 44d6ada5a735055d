"""What the rows refer to among the artifacts: every code version, model and cache entry, and the runs that are kept.

A run is kept while it goes on, while it needs attention, and for a time after its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa

from ..core.collection import named_in
from ..core.records import RunState
from .engine import reached
from .schema import CODE_VERSIONS, COMMANDS, MODEL_VERSIONS, RUNS, STEP_CACHE, STEPS

BATCH: Final = 1_000
_OVER: Final = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


def references(engine: sa.Engine, *, ended_since_us: int) -> set[str]:
    """The digests that rows name, those of runs that ended before that time left out."""
    found: set[str] = set()
    with reached(engine) as connection, connection.begin():
        for statement in _statements(ended_since_us):
            for value in _values(connection, statement):
                found |= named_in(value)
    return found


def _statements(ended_since_us: int) -> Iterator[sa.Select[Any]]:
    kept = sa.or_(RUNS.c.state.not_in(_OVER), RUNS.c.ended_us.is_(None), RUNS.c.ended_us >= ended_since_us)
    runs = sa.select(RUNS.c.id).where(kept)
    yield sa.select(CODE_VERSIONS.c.bundle)
    yield sa.select(MODEL_VERSIONS.c.digest)
    yield sa.select(STEP_CACHE.c.payload)
    for column in (COMMANDS.c.command, COMMANDS.c.outcome):
        yield sa.select(column).where(COMMANDS.c.run_id.in_(runs))
    for column in (STEPS.c.arguments, STEPS.c.checkpoint):
        yield sa.select(column).where(STEPS.c.run_id.in_(runs))


def _values(connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[bytes]:
    with connection.execution_options(yield_per=BATCH).execute(statement) as rows:
        for value in rows.scalars():
            if value is not None:
                yield value.encode() if isinstance(value, str) else bytes(value)
