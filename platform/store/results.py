"""The results of steps, from the rows of the attempts that gave them: listed, by digest, by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from ..core.records.attempts import AttemptState
from ..errors import InvalidInput
from ..wire.api.answer import Page
from ..wire.api.artifacts import ArtifactView
from ..wire.calls import Outcome, Payload
from .engine import reached
from .schema import ATTEMPTS, COMMANDS, STEPS

SHOWN: Final = (
    ATTEMPTS.c.fence, ATTEMPTS.c.run_id, ATTEMPTS.c.step_id, ATTEMPTS.c.number, ATTEMPTS.c.ended_us,
    ATTEMPTS.c.result, STEPS.c.ordinal, STEPS.c.name, STEPS.c.project,
)  # fmt: skip
_PAYLOAD: Final = msgspec.msgpack.Decoder(Payload)
_OUTCOME: Final = msgspec.msgpack.Decoder(Outcome)


class ResultFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which artifacts to list; what is None does not narrow."""

    run: str | None = None
    project: str | None = None
    step: str | None = None

    def where(self) -> list[sa.ColumnElement[bool]]:
        exact = ((ATTEMPTS.c.run_id, self.run), (STEPS.c.project, self.project), (STEPS.c.name, self.step))
        return [column == text for column, text in exact if text is not None]


class Found(NamedTuple):
    """A result as the API shows it, and where its bytes are."""

    view: ArtifactView
    payload: Payload


class Results:
    """Blocking and read-only; safe for several threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def page(self, chosen: ResultFilter, *, after: str | None, limit: int) -> Page[ArtifactView]:
        """The results that are artifacts, newest first."""
        where = [ATTEMPTS.c.artifact.is_not(None), *chosen.where()]
        if after is not None:
            where.append(ATTEMPTS.c.fence < _fence(after))
        rows = self._rows(where, limit + 1)
        shown = rows[:limit]
        more = str(shown[-1].fence) if len(rows) > limit else None
        return Page(items=[_found(row, _PAYLOAD.decode(row.result)).view for row in shown], next=more)

    def of_digest(self, digest: str) -> Found | None:
        """The newest result with this content."""
        rows = self._rows([ATTEMPTS.c.artifact == digest], 1)
        return _found(rows[0], _PAYLOAD.decode(rows[0].result)) if rows else None

    def of_step(self, run_id: str, ordinal: int) -> Found | None:
        """The accepted result of a step, which small ones have in the record of the run."""
        done = ATTEMPTS.c.state == AttemptState.SUCCEEDED
        rows = self._rows([ATTEMPTS.c.step_id == f"{run_id}/{ordinal}", done], 1)
        if not rows:
            return None
        recorded = sa.select(COMMANDS.c.outcome).where(COMMANDS.c.run_id == run_id, COMMANDS.c.ordinal == ordinal)
        with reached(self._engine) as connection:
            outcome = connection.execute(recorded).scalar()
        payload = None if outcome is None else _OUTCOME.decode(outcome).payload
        return _found(rows[0], payload or _PAYLOAD.decode(rows[0].result))

    def _rows(self, where: Sequence[sa.ColumnElement[bool]], limit: int) -> Sequence[Any]:
        joined = ATTEMPTS.join(STEPS, ATTEMPTS.c.step_id == STEPS.c.id)
        statement = sa.select(*SHOWN).select_from(joined).where(*where).order_by(ATTEMPTS.c.fence.desc()).limit(limit)
        with reached(self._engine) as connection:
            return connection.execute(statement).all()


def _found(row: sa.Row[Any], payload: Payload) -> Found:
    view = ArtifactView(
        digest=payload.digest or "",
        codec=payload.codec,
        size_bytes=payload.size_bytes,
        run_id=row.run_id,
        step_id=row.step_id,
        ordinal=row.ordinal,
        name=row.name,
        project=row.project,
        attempt=row.number,
        created_us=row.ended_us or 0,
        about=payload.about,
    )
    return Found(view, payload)


def _fence(after: str) -> int:
    if not after.isdigit():
        raise InvalidInput(f"after={after[:80]!r} is no place in this listing", remedy="Send `next` unchanged.")
    return int(after)
