"""What the API reads: listings by keyset pages and details, each in one short read transaction.

Blocking and read-only; safe for several threads. `after` of a listing is the `next` of the page
before. Runs and dead letters come newest first, all else by key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from ..core.collection import Needs
from ..core.records.attempts import AttemptState
from ..core.records.leases import LeaseState
from ..core.records.runs import RunState
from ..core.records.steps import StepState
from ..wire.api.answer import COMMAND_SOURCE, PAGE_DEFAULT, PAGE_MAX, Page
from ..wire.api.commands import CommandView
from ..wire.api.events import DeadLetterDetail, DeadLetterSummary, EventType, GapView
from ..wire.api.holdings import QuotaView
from ..wire.api.nodes import NodeView
from ..wire.api.quota import UsageView
from ..wire.api.runs import ModelRef, RunDetail
from ..wire.api.steps import StepView
from ..wire.api.tables import TableView
from ..wire.api.triggers import Explanation, TriggerDetail
from . import trigger_views, views
from .engine import reached
from .event_types import event_types
from .keyset import T, key_after, listed
from .quota_usage import usage
from .reader import Picture, entry_of
from .references import references
from .results import Results
from .rows import codecs
from .run_search import RunFilter
from .run_steps import after_ordinal, page_of, steps_of
from .schema import (
    ATTEMPTS,
    CODE_VERSIONS,
    DEAD_LETTERS,
    DEPLOYMENTS,
    DEVICES,
    FLOWS,
    LEASES,
    LOG,
    LOG_HEAD,
    MODEL_ALIASES,
    MODEL_VERSIONS,
    NODES,
    OFFSETS,
    PINS,
    QUOTA_TREES,
    RUNS,
    STEPS,
    STORAGE_USE,
    STORED_ARTIFACTS,
    TABLE_HEADS,
)
from .scope import Head, LogMark, LogPage, Scope

RELAY: Final = "relay"
WAITING_MAX: Final = 1_000
IN_ONE_MAX: Final = 400
_LIVE: Final[dict[sa.Table, tuple[str, ...]]] = {
    RUNS: tuple(state for state in RunState if not state.ended),
    STEPS: tuple(state for state in StepState if not state.ended),
    LEASES: tuple(state for state in LeaseState if state is not LeaseState.FREE),
    NODES: ("READY", "DRAINED"),
    DEVICES: ("READY", "QUARANTINED"),
}
_LETTER_SUMMARY: Final = tuple(DEAD_LETTERS.c[field] for field in DeadLetterSummary.__struct_fields__)


class Queries:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._codecs = codecs()

    def head(self) -> Head:
        with reached(self._engine) as connection:
            row = connection.execute(sa.select(LOG_HEAD.c.store_epoch, LOG_HEAD.c.position)).one()
        return Head(row.store_epoch, row.position)

    def relayed(self) -> int:
        """The position up to which the log was published to Kafka."""
        mark = sa.select(OFFSETS.c.next).where(OFFSETS.c.topic == RELAY).limit(1)
        row = self._first(mark)
        return 0 if row is None else int(row.next) - 1

    def counts(self) -> dict[str, dict[str, int]]:
        """How many runs and steps are in each state that has not ended, and how many dead letters there are."""
        with reached(self._engine) as connection, connection.begin():
            counted = {table.name: _by_state(connection, table, states) for table, states in _LIVE.items()}
            still_open = sa.select(sa.func.count()).where(DEAD_LETTERS.c.state == "open")
            letters = connection.execute(still_open).scalar_one()
            return {**counted, "dead_letters": {"": int(letters)}}

    # The log

    def log(self, scope: Scope, *, after: int, upto: int, limit: int = PAGE_MAX) -> LogPage:
        """The entries of `scope` with after < position <= upto, in order, at most `limit`."""
        bounds = (LOG.c.position > after, LOG.c.position <= upto)
        statement = sa.select(LOG).where(*bounds, *scope.where()).order_by(LOG.c.position).limit(limit)
        rows = self._all(statement)
        through = rows[-1].position if len(rows) == limit else max(after, upto)
        return LogPage([entry for row in rows if (entry := entry_of(row)) is not None], through)

    def last_of_run(self, run_id: str) -> LogMark | None:
        newest = sa.select(LOG.c.position, LOG.c.type).where(LOG.c.run_id == run_id).order_by(LOG.c.seq.desc()).limit(1)
        last = self._first(newest)
        return None if last is None else LogMark(last.position, last.type)

    def command(self, command_id: str) -> CommandView:
        """What became of a command of the API, by its id, or of any other, as SOURCE/ID."""
        causes = (command_id, f"{COMMAND_SOURCE}/{command_id}")
        answers = sa.select(LOG).where(LOG.c.causation.in_(causes)).order_by(LOG.c.position)
        entries = [entry for row in self._all(answers.limit(100)) if (entry := entry_of(row)) is not None]
        return views.command_view(command_id, entries)

    # Runs

    def runs(self, chosen: RunFilter, *, after: str | None = None, limit: int = PAGE_DEFAULT) -> Page[Any]:
        before = None if after is None else key_after(after, RUNS)[0]
        rows = self._all(chosen.page(before=before, limit=limit + 1))
        return listed(rows, limit, views.run_summary, lambda row: (row.id,))

    def run_project(self, run_id: str) -> str | None:
        row = self._first(sa.select(RUNS.c.project).where(RUNS.c.id == run_id))
        return None if row is None else str(row.project)

    def run_flow(self, run_id: str) -> str | None:
        row = self._first(sa.select(RUNS.c.flow).where(RUNS.c.id == run_id))
        return None if row is None else str(row.flow)

    def run(self, run_id: str) -> RunDetail | None:
        """The run with its first steps, their attempts and the models it registered, as of one moment."""
        with reached(self._engine) as connection, connection.begin():
            head = connection.execute(sa.select(LOG_HEAD)).one()
            found = self._structs(connection, RUNS, RUNS.c.id == run_id)
            if not found:
                return None
            mine = after_ordinal(run_id, after=None, name=None)
            steps = steps_of(connection, self._codecs, mine, limit=PAGE_MAX)
            total = connection.execute(sa.select(sa.func.count()).where(STEPS.c.run_id == run_id)).scalar_one()
            models = self._structs(connection, MODEL_VERSIONS, MODEL_VERSIONS.c.run_id == run_id)
            pins = self._structs(connection, PINS, PINS.c.run_id == run_id)
            code = self._structs(connection, CODE_VERSIONS, CODE_VERSIONS.c.version == found[0].code_version)
        cursor = f"{head.store_epoch}:{head.position}"
        detail = views.run_detail(found[0], steps)
        refs = tuple(ModelRef(name=model.name, version=model.version) for model in models)
        return msgspec.structs.replace(
            detail,
            steps_total=total,
            models=refs,
            cursor=cursor,
            pins=tuple(map(views.pin_view, pins)),
            provenance=code[0].provenance if code else None,
        )

    def steps(
        self, run_id: str, *, name: str | None = None, after: str | None = None, limit: int = PAGE_MAX
    ) -> Page[StepView]:
        """Those of a run, in the order in which they were called; `name` narrows to those of one name."""
        mine = after_ordinal(run_id, after=after, name=name)
        with reached(self._engine) as connection, connection.begin():
            return page_of(steps_of(connection, self._codecs, mine, limit=limit + 1), limit)

    # Flows, models, deployments, tables

    def flows(self, *, after: str | None = None, limit: int = PAGE_DEFAULT) -> Page[Any]:
        return self._listing(FLOWS, views.flow_view, after=after, limit=limit)

    def models(self, *, after: str | None = None, limit: int = PAGE_DEFAULT) -> Page[Any]:
        page: Page[Any] = self._listing(MODEL_VERSIONS, views.model_view, after=after, limit=limit)
        with reached(self._engine) as connection:
            mine = MODEL_ALIASES.c.name.in_({model.name for model in page.items})
            aliases = self._structs(connection, MODEL_ALIASES, mine)
        return views.with_aliases(page, aliases)

    def deployments(self, *, after: str | None = None, limit: int = PAGE_DEFAULT) -> Page[Any]:
        return self._listing(DEPLOYMENTS, views.deployment_view, after=after, limit=limit)

    def tables(self, *, after: str | None = None, limit: int = PAGE_DEFAULT) -> Page[Any]:
        return self._listing(TABLE_HEADS, views.table_view, after=after, limit=limit)

    def table(self, name: str) -> TableView | None:
        with reached(self._engine) as connection:
            found = self._structs(connection, TABLE_HEADS, TABLE_HEADS.c.name == name)
        return views.table_view(found[0]) if found else None

    def ends_of(self, run_ids: Collection[str]) -> dict[str, int | None]:
        """When the runs ended that there are; None where one goes on."""
        wanted, found = sorted(run_ids), dict[str, int | None]()
        for start in range(0, len(wanted), IN_ONE_MAX):
            some = RUNS.c.id.in_(wanted[start : start + IN_ONE_MAX])
            rows = self._all(sa.select(RUNS.c.id, RUNS.c.state, RUNS.c.ended_us).where(some))
            found.update({row.id: row.ended_us if RunState(row.state).ended else None for row in rows})
        return found

    def projects_of(self, run_ids: Collection[str]) -> dict[str, str]:
        """The project of each run that there is."""
        wanted, found = sorted(run_ids), dict[str, str]()
        for start in range(0, len(wanted), IN_ONE_MAX):
            some = RUNS.c.id.in_(wanted[start : start + IN_ONE_MAX])
            found.update({row.id: row.project for row in self._all(sa.select(RUNS.c.id, RUNS.c.project).where(some))})
        return found

    def charged_digests(self) -> set[str]:
        """The artifacts that are charged to some project."""
        return {row.digest for row in self._all(sa.select(STORED_ARTIFACTS.c.digest).distinct())}

    def attempts_at_work(self) -> set[tuple[str, str]]:
        """(run, ORDINAL.NUMBER) of each."""
        at_work = [state for state in AttemptState if state.live]
        columns = (ATTEMPTS.c.run_id, ATTEMPTS.c.step_id, ATTEMPTS.c.number)
        rows = self._all(sa.select(*columns).where(ATTEMPTS.c.state.in_(at_work)))
        return {(row.run_id, f"{row.step_id.rpartition('/')[2]}.{row.number}") for row in rows}

    def references(self, ended_since_us: int) -> Needs:
        return references(self._engine, ended_since_us=ended_since_us)

    @property
    def results(self) -> Results:
        return Results(self._engine)

    def event_types(self) -> list[EventType]:
        return event_types(self._engine)

    # Quota

    def quota(self) -> QuotaView | None:
        """The newest tree, what each project holds, and why steps wait; None before the first tree."""
        with reached(self._engine) as connection, connection.begin():
            trees = self._structs(connection, QUOTA_TREES, order=QUOTA_TREES.c.version.desc(), limit=1)
            leases = self._structs(connection, LEASES, LEASES.c.state == LeaseState.HELD)
            live = self._structs(connection, ATTEMPTS, ATTEMPTS.c.state.in_([s for s in AttemptState if s.live]))
            mine = sa.select(RUNS.c.id, RUNS.c.project).where(RUNS.c.id.in_({attempt.run_id for attempt in live}))
            project_of = {row.id: row.project for row in connection.execute(mine)}
            models = {row.id: row.model for row in connection.execute(sa.select(DEVICES.c.id, DEVICES.c.model))}
            waiting = self._structs(connection, STEPS, STEPS.c.state == StepState.WAITING, limit=WAITING_MAX)
            stored = self._structs(connection, STORAGE_USE, order=STORAGE_USE.c.project)
        if not trees:
            return None
        attempts = [(project_of[attempt.run_id], attempt) for attempt in live]
        held = views.holdings(trees[0], attempts, leases, models)
        return views.quota_view(trees[0], held, waiting, stored)

    def usage(self, *, from_us: int, to_us: int, bucket_s: int, now_us: int, project: str | None = None) -> UsageView:
        """What each project had of the devices from then to then, by stretches of `bucket_s`."""
        with reached(self._engine) as connection, connection.begin():
            found = usage(connection, from_us=from_us, to_us=to_us, bucket_s=bucket_s, now_us=now_us, project=project)
        return UsageView(from_us=from_us, to_us=to_us, bucket_s=bucket_s, items=found)

    def nodes(self, *, after: str | None = None, limit: int = PAGE_DEFAULT) -> Page[NodeView]:
        """The machines that are or were nodes, with their devices and how much runs there."""
        live = ATTEMPTS.c.state.in_([state for state in AttemptState if state.live])
        busy = sa.select(ATTEMPTS.c.node, sa.func.count()).where(live).group_by(ATTEMPTS.c.node)
        with reached(self._engine) as connection:
            devices = self._structs(connection, DEVICES)
            attempts = {str(row[0]): int(row[1]) for row in connection.execute(busy)}
        return self._listing(NODES, lambda row: views.node_view(row, devices, attempts), after=after, limit=limit)

    def gaps(self) -> list[GapView]:
        """The partitions that stand still until somebody says from where to go on."""
        with reached(self._engine) as connection:
            found = self._structs(connection, OFFSETS, OFFSETS.c.halted != "")
        return [views.gap_view(row) for row in found]

    # Dead letters

    def dead_letters(self, *, after: str | None = None, limit: int = PAGE_DEFAULT, **chosen: str | None) -> Page[Any]:
        """Those of the `chosen` state, code and trigger; newest first, by their ids, which are made from the time."""
        where = [DEAD_LETTERS.c[name] == value for name, value in chosen.items() if value]
        if after is not None:
            where.append(DEAD_LETTERS.c.id < key_after(after, DEAD_LETTERS)[0])
        statement = sa.select(*_LETTER_SUMMARY).where(*where).order_by(DEAD_LETTERS.c.id.desc()).limit(limit + 1)
        return listed(self._all(statement), limit, lambda row: DeadLetterSummary(**row._mapping), lambda row: (row.id,))

    def dead_letter(self, letter_id: str) -> DeadLetterDetail | None:
        with reached(self._engine) as connection:
            found = self._structs(connection, DEAD_LETTERS, DEAD_LETTERS.c.id == letter_id)
        return views.dead_letter_detail(found[0]) if found else None

    # Triggers and events

    def triggers(self) -> list[TriggerDetail]:
        with self._picture() as picture:
            return trigger_views.triggers(picture)

    def explain(self, event_id: str, source: str | None = None) -> list[Explanation]:
        with self._picture() as picture:
            return trigger_views.explain(picture, event_id, source)

    # Below

    @contextmanager
    def _picture(self) -> Iterator[Picture]:
        with reached(self._engine) as connection, connection.begin():
            yield Picture(connection, dict(self._codecs))

    def _listing(self, table: sa.Table, view: Callable[[Any], T], *, after: str | None, limit: int) -> Page[T]:
        keys = list(table.primary_key.columns)
        where = [] if after is None else [sa.tuple_(*keys) > sa.tuple_(*map(sa.literal, key_after(after, table)))]
        with reached(self._engine) as connection:
            found = self._structs(connection, table, *where, limit=limit + 1)
        names = [column.name for column in keys]
        return listed(found, limit, view, lambda row: tuple(getattr(row, name) for name in names))

    def _structs(
        self,
        connection: sa.Connection,
        table: sa.Table,
        *where: sa.ColumnElement[bool],
        order: sa.ColumnElement[Any] | None = None,
        limit: int | None = None,
    ) -> list[Any]:
        by = table.primary_key.columns if order is None else (order,)
        statement = sa.select(table).where(*where).order_by(*by).limit(limit)
        codec = self._codecs[table.name]
        return [codec.struct_of(row) for row in connection.execute(statement)]

    def _all(self, statement: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with reached(self._engine) as connection:
            return connection.execute(statement).all()

    def _first(self, statement: sa.Select[Any]) -> sa.Row[Any] | None:
        with reached(self._engine) as connection:
            return connection.execute(statement).first()


def _by_state(connection: sa.Connection, table: sa.Table, states: tuple[str, ...]) -> dict[str, int]:
    state = table.c.state
    counted = sa.select(state, sa.func.count()).where(state.in_(states)).group_by(state)
    found = {str(row[0]): int(row[1]) for row in connection.execute(counted)}
    return {name: found.get(name, 0) for name in states}
